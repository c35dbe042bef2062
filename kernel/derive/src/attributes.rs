//! What the derives share: finding their attribute, reading docs, refusing generics.

use syn::{Attribute, DeriveInput, Error, Expr, Fields, Lit, Meta, Result};

/// The one attribute called `name`.
pub(crate) fn only<'a>(attrs: &'a [Attribute], name: &str) -> Result<Option<&'a Attribute>> {
    let mut found = attrs.iter().filter(|attr| attr.path().is_ident(name));
    let first = found.next();
    match found.next() {
        Some(second) => Err(Error::new_spanned(
            second,
            format!("`#[{name}(…)]` is given twice"),
        )),
        None => Ok(first),
    }
}

/// The doc comment, its lines joined by newlines.
pub(crate) fn docs(attrs: &[Attribute]) -> String {
    let line = |attr: &Attribute| match &attr.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(lit) => match &lit.lit {
                Lit::Str(text) => Some(text.value().trim().to_string()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    attrs
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
        .trim()
        .to_string()
}

/// Says which named fields there are.
pub(crate) fn list_fields(fields: &Fields) -> String {
    let names = fields.iter().filter_map(|field| field.ident.as_ref());
    let names: Vec<String> = names.map(ToString::to_string).collect();
    match names.as_slice() {
        [] => "it has no named fields".to_string(),
        [only] => format!("its only field is {only}"),
        _ => format!("its fields are {}", names.join(", ")),
    }
}

/// Refuses type parameters and lifetimes: what is sent has one shape.
pub(crate) fn no_generics(input: &DeriveInput) -> Result<()> {
    if input.generics.params.is_empty() {
        return Ok(());
    }
    Err(Error::new_spanned(
        &input.generics,
        format!(
            "`{}` is part of a contract and so has one shape: generics are not possible here",
            input.ident
        ),
    ))
}

/// `; did you mean …?` with the name closest to a mistyped one, or nothing when none is close.
///
/// Close is what begins alike: names are mistyped at their end or shortened.
pub(crate) fn did_you_mean(typed: &str, names: &[&str]) -> String {
    let common = |name: &str| {
        let pairs = name.chars().zip(typed.chars());
        pairs.take_while(|(a, b)| a == b).count()
    };
    let closest = names.iter().max_by_key(|name| common(name));
    match closest {
        Some(near) if common(near) >= 2 => format!("; did you mean `{near}`?"),
        _ => String::new(),
    }
}
