//! `Schema`: the shape of a struct or enum as data.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

use crate::attributes;

pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    attributes::no_generics(input)?;
    let ident = &input.ident;
    let name = ident.to_string();
    let docs = attributes::docs(&input.attrs);
    let shape = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                let inner = &fields.unnamed[0].ty;
                quote! {
                    ::modulith_contract::Shape::Newtype {
                        name: #name,
                        docs: #docs,
                        inner: <#inner as ::modulith_contract::Schema>::shape,
                    }
                }
            }
            fields => {
                let fields = describe(fields);
                quote! {
                    ::modulith_contract::Shape::Struct {
                        name: #name,
                        module: ::core::module_path!(),
                        docs: #docs,
                        fields: &[#fields],
                    }
                }
            }
        },
        Data::Enum(data) => {
            let variants = data.variants.iter().map(|variant| {
                let name = variant.ident.to_string();
                let docs = attributes::docs(&variant.attrs);
                let fields = describe(&variant.fields);
                quote! {
                    ::modulith_contract::Variant { name: #name, docs: #docs, fields: &[#fields] }
                }
            });
            quote! {
                ::modulith_contract::Shape::Enum {
                    name: #name,
                    module: ::core::module_path!(),
                    docs: #docs,
                    variants: &[#(#variants),*],
                }
            }
        }
        Data::Union(_) => {
            return Err(Error::new_spanned(
                ident,
                "a union cannot be part of a contract",
            ));
        }
    };
    Ok(quote! {
        impl ::modulith_contract::Schema for #ident {
            fn shape() -> ::modulith_contract::Shape {
                #shape
            }
        }
    })
}

fn describe(fields: &Fields) -> TokenStream {
    let fields = fields.iter().enumerate().map(|(index, field)| {
        let name = field
            .ident
            .as_ref()
            .map_or_else(|| index.to_string(), ToString::to_string);
        let docs = attributes::docs(&field.attrs);
        let ty = &field.ty;
        quote! {
            ::modulith_contract::Field {
                name: #name,
                docs: #docs,
                shape: <#ty as ::modulith_contract::Schema>::shape,
            }
        }
    });
    quote!(#(#fields),*)
}
