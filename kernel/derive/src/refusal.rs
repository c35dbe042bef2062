//! `Refusal`: the ways the business says no, with their words.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{
    Data, DeriveInput, Error, Fields, LitStr, Result, Token, Variant,
    parse::{Parse, ParseStream},
};

use crate::{attributes, schema};

const KINDS: [(&str, &str); 3] = [
    ("invalid", "Invalid"),
    ("not_found", "NotFound"),
    ("precondition", "Precondition"),
];

struct Words {
    kind: Ident,
    message: LitStr,
}

impl Parse for Words {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let kind: Ident = input.parse()?;
        if !KINDS.iter().any(|(word, _)| kind == word) {
            return Err(Error::new_spanned(
                &kind,
                format!(
                    "`{kind}` is not a kind of refusal; it is invalid, not_found or precondition"
                ),
            ));
        }
        input.parse::<Token![,]>()?;
        let message = input.parse()?;
        input.parse::<Option<Token![,]>>()?;
        Ok(Self { kind, message })
    }
}

pub(crate) fn expand(input: DeriveInput) -> Result<TokenStream> {
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(
            ident,
            "a refusal is an enum, with a variant for each state of the world that stands in the way",
        ));
    };
    if data.variants.is_empty() {
        return Err(Error::new_spanned(
            ident,
            "a refusal without variants refuses nothing: leave `refusal = …` out of the message instead",
        ));
    }
    let schema = schema::expand(&input)?;
    let mut display = TokenStream::new();
    let mut kinds = TokenStream::new();
    for variant in &data.variants {
        let words = words(variant)?;
        let name = &variant.ident;
        let message = &words.message;
        let pattern = pattern(variant);
        display.extend(quote! { Self::#name #pattern => ::core::write!(f, #message), });
        let kind = KINDS
            .iter()
            .find(|(word, _)| words.kind == word)
            .map(|(_, variant)| Ident::new(variant, words.kind.span()))
            .expect("the kind was checked when it was parsed");
        kinds.extend(quote! {
            Self::#name { .. } => ::modulith_contract::RefusalKind::#kind,
        });
    }
    Ok(quote! {
        #schema

        impl ::core::fmt::Display for #ident {
            #[allow(unused_variables, reason = "a message need not name every field")]
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                match self {
                    #display
                }
            }
        }

        impl ::core::error::Error for #ident {}

        impl ::modulith_contract::Refusal for #ident {
            fn kind(&self) -> ::modulith_contract::RefusalKind {
                match self {
                    #kinds
                }
            }
        }
    })
}

fn words(variant: &Variant) -> Result<Words> {
    let attr = attributes::only(&variant.attrs, "refusal")?.ok_or_else(|| {
        Error::new_spanned(
            &variant.ident,
            format!(
                "`{}` says neither what kind of refusal it is nor its message: add \
                 `#[refusal(precondition, \"…\")]` (or invalid, or not_found)",
                variant.ident
            ),
        )
    })?;
    attr.parse_args()
}

fn pattern(variant: &Variant) -> TokenStream {
    match &variant.fields {
        Fields::Named(fields) => {
            let names = fields.named.iter().filter_map(|field| field.ident.as_ref());
            quote!({ #(#names),* })
        }
        Fields::Unnamed(fields) => {
            // In a message, `{_0}` is the first field.
            let names = (0..fields.unnamed.len()).map(|i| quote::format_ident!("_{i}"));
            quote!((#(#names),*))
        }
        Fields::Unit => quote!(),
    }
}
