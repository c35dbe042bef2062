//! `Id`: a checked newtype around text.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result, Type};

use crate::{attributes, schema};

pub(crate) fn expand(input: DeriveInput) -> Result<TokenStream> {
    attributes::no_generics(&input)?;
    let ident = &input.ident;
    if !wraps_string(&input.data) {
        return Err(Error::new_spanned(
            ident,
            format!("an id is a newtype around String: `pub struct {ident}(String);`"),
        ));
    }
    let name = ident.to_string();
    let schema = schema::expand(&input)?;
    Ok(quote! {
        #schema

        impl #ident {
            /// Checks a text and makes it an id.
            ///
            /// # Errors
            /// Unless it is 1 to 64 ASCII letters, digits or any of `-`, `_`, `.`, `:`.
            pub fn new(
                id: impl ::core::convert::Into<::std::string::String>,
            ) -> ::core::result::Result<Self, ::modulith_contract::InvalidId> {
                let id = id.into();
                ::modulith_contract::derive_support::check_id(#name, &id)?;
                ::core::result::Result::Ok(Self(id))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl ::core::fmt::Display for #ident {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl ::core::str::FromStr for #ident {
            type Err = ::modulith_contract::InvalidId;

            fn from_str(id: &str) -> ::core::result::Result<Self, Self::Err> {
                Self::new(id)
            }
        }

        impl ::modulith_contract::derive_support::serde::Serialize for #ident {
            fn serialize<S: ::modulith_contract::derive_support::serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::core::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> ::modulith_contract::derive_support::serde::Deserialize<'de> for #ident {
            fn deserialize<D: ::modulith_contract::derive_support::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::core::result::Result<Self, D::Error> {
                let id = <::std::string::String as ::modulith_contract::derive_support::serde::Deserialize>
                    ::deserialize(deserializer)?;
                Self::new(id).map_err(::modulith_contract::derive_support::serde::de::Error::custom)
            }
        }

        impl ::modulith_contract::Key for #ident {
            fn write(&self, out: &mut ::std::vec::Vec<u8>) {
                ::modulith_contract::Key::write(&self.0, out);
            }

            fn read(
                bytes: &mut &[u8],
            ) -> ::core::result::Result<Self, ::modulith_contract::MalformedKey> {
                let id = <::std::string::String as ::modulith_contract::Key>::read(bytes)?;
                Self::new(id).map_err(|_| ::modulith_contract::MalformedKey)
            }
        }
    })
}

fn wraps_string(data: &Data) -> bool {
    let Data::Struct(data) = data else {
        return false;
    };
    let Fields::Unnamed(fields) = &data.fields else {
        return false;
    };
    let Some(Type::Path(path)) = fields.unnamed.first().map(|field| &field.ty) else {
        return false;
    };
    fields.unnamed.len() == 1
        && path
            .path
            .segments
            .last()
            .is_some_and(|last| last.ident == "String")
}
