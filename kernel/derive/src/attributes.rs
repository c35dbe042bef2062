//! What the derives share: finding their attribute, reading docs, refusing generics.

use syn::{Attribute, DeriveInput, Error, Expr, Lit, Meta, Result};

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

/// The name of `names` closest to a mistyped one, if any is close.
pub(crate) fn closest<'a>(typed: &str, names: &[&'a str]) -> Option<&'a str> {
    let alike = |name: &&&str| {
        let common = name
            .chars()
            .zip(typed.chars())
            .take_while(|(a, b)| a == b)
            .count();
        common >= 2 || name.contains(typed) || typed.contains(**name)
    };
    names.iter().find(alike).copied()
}
