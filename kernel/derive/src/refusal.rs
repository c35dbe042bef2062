//! `Refusal`: the ways the business says no, with their words.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::{
    Data, DeriveInput, Error, Fields, LitStr, Result, Token, Variant,
    ext::IdentExt,
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
        if !input.peek(Ident::peek_any) {
            return Err(input.error(
                "the kind of refusal comes first: invalid, not_found or precondition, \
                 as in `#[refusal(precondition, \"…\")]`",
            ));
        }
        let kind: Ident = input.parse()?;
        if !KINDS.iter().any(|(word, _)| kind == word) {
            let kinds = KINDS.map(|(word, _)| word);
            let message = format!(
                "`{kind}` is not a kind of refusal; it is invalid, not_found or precondition{}",
                attributes::did_you_mean(&kind.to_string(), &kinds)
            );
            return Err(Error::new_spanned(&kind, message));
        }
        if !input.peek(Token![,]) || !input.peek2(LitStr) {
            let message = format!(
                "a refusal says in words what stands in the way: `#[refusal({kind}, \"…\")]`"
            );
            return Err(Error::new_spanned(&kind, message));
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
    let mut errors: Option<Error> = None;
    for variant in &data.variants {
        let words = match words(variant) {
            Ok(words) => words,
            Err(error) => {
                match &mut errors {
                    Some(errors) => errors.combine(error),
                    None => errors = Some(error),
                }
                continue;
            }
        };
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
    if let Some(errors) = errors {
        return Err(errors);
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
    let words: Words = attr.parse_args()?;
    check_names(variant, &words.message)?;
    Ok(words)
}

/// Checks that what a message names are fields; constants may be named too.
fn check_names(variant: &Variant, message: &LitStr) -> Result<()> {
    let text = message.value();
    // Doubled braces stand for themselves.
    let text = text.replace("{{", "").replace("}}", "");
    for part in text.split('{').skip(1) {
        let name = part.split(['}', ':']).next().unwrap_or_default().trim();
        let mut fields = variant.fields.iter().enumerate();
        let is_field = fields.any(|(index, field)| match &field.ident {
            Some(ident) => ident == name,
            None => name == format!("_{index}"),
        });
        if is_field || name.starts_with(|c: char| c.is_ascii_uppercase()) {
            continue;
        }
        let fields = match &variant.fields {
            Fields::Unnamed(_) => "the first is `_0`, the next `_1`".to_string(),
            fields => attributes::list_fields(fields),
        };
        return Err(Error::new_spanned(
            message,
            format!("`{}` has no field `{name}`; {fields}", variant.ident),
        ));
    }
    Ok(())
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
