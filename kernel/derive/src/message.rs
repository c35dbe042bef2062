//! `Command`, `Query` and `Event`: one form, of which an event has less.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Data, DeriveInput, Error, Fields, LitStr, Result, Type, meta::ParseNestedMeta, spanned::Spanned,
};

use crate::{attributes, schema};

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Command,
    Query,
    Event,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Query => "query",
            Self::Event => "event",
        }
    }

    fn with_article(self) -> &'static str {
        match self {
            Self::Command => "a command",
            Self::Query => "a query",
            Self::Event => "an event",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Command => &["module", "key", "reply", "refusal"],
            Self::Query => &["module", "key", "reply", "stream", "refusal", "fan_out"],
            Self::Event => &["module", "key"],
        }
    }
}

#[derive(Default)]
struct Options {
    module: Option<LitStr>,
    key: Option<Ident>,
    reply: Option<Type>,
    /// The items of the sequence by which a query is answered.
    stream: Option<Type>,
    refusal: Option<Type>,
    fan_out: Option<Ident>,
}

pub(crate) fn expand(input: DeriveInput, kind: Kind) -> Result<TokenStream> {
    attributes::no_generics(&input)?;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            &input.ident,
            format!(
                "{} is a struct; put what varies into a field",
                kind.with_article()
            ),
        ));
    };
    let options = options(&input, kind)?;
    let module = options
        .module
        .as_ref()
        .ok_or_else(|| missing_module(&input, kind))?;
    let ident = &input.ident;
    let name = ident.to_string();
    let write_key = write_key(&input, &data.fields, options.key.as_ref())?;
    let schema = schema::expand(&input)?;
    let (kind_name, title) = match (kind, &options.stream) {
        (Kind::Command, _) => ("Command", "command"),
        (Kind::Query, None) => ("Query", "query"),
        (Kind::Query, Some(_)) => ("StreamQuery", "stream query"),
        (Kind::Event, _) => ("Event", "event"),
    };
    let keyed = options.key.is_some();
    // The key is part of what both sides agree on: it decides the partition. Whether a query fans
    // out is not: that is how the asker asks, and what goes over the wire is the same.
    let key = options.key.as_ref();
    let key = key.map_or_else(String::new, |key| format!(" key {key}"));
    let title = format!("{title} {}.{name}{key}", module.value());
    let kind_name = Ident::new(kind_name, ident.span());
    let (traits, shapes) = traits(ident, &kind_name, kind, &options);
    Ok(quote! {
        #schema

        impl ::modulith_contract::Message for #ident {
            const MODULE: &'static str = #module;
            const NAME: &'static str = #name;
            const KIND: ::modulith_contract::Kind = ::modulith_contract::Kind::#kind_name;
            const KEYED: bool = #keyed;

            #write_key

            fn fingerprint() -> ::modulith_contract::Fingerprint {
                ::modulith_contract::Fingerprint::of(#title, &[#shapes])
            }
        }

        #traits
    })
}

/// What makes the message askable, if it is, and the shapes both sides must agree on.
fn traits(
    ident: &Ident,
    kind_name: &Ident,
    kind: Kind,
    options: &Options,
) -> (TokenStream, TokenStream) {
    let own = quote!(<#ident as ::modulith_contract::Schema>::shape);
    if kind == Kind::Event {
        return (quote!(impl ::modulith_contract::Event for #ident {}), own);
    }
    let refusal = match &options.refusal {
        Some(refusal) => quote!(#refusal),
        None => quote!(::modulith_contract::Never),
    };
    let (answer, traits) = if let Some(item) = &options.stream {
        let traits = quote! {
            impl ::modulith_contract::StreamQuery for #ident {
                type Item = #item;
                type Refusal = #refusal;
            }
        };
        (quote!(#item), traits)
    } else {
        let reply = match &options.reply {
            Some(reply) => quote!(#reply),
            None => quote!(()),
        };
        let fan_out = options.fan_out.as_ref().map(|rule| fan_out(ident, rule));
        let traits = quote! {
            impl ::modulith_contract::Request for #ident {
                type Reply = #reply;
                type Refusal = #refusal;
                #fan_out
            }

            impl ::modulith_contract::#kind_name for #ident {}
        };
        (reply, traits)
    };
    let shapes = quote! {
        #own,
        <#answer as ::modulith_contract::Schema>::shape,
        <#refusal as ::modulith_contract::Schema>::shape
    };
    (traits, shapes)
}

fn options(input: &DeriveInput, kind: Kind) -> Result<Options> {
    let attr =
        attributes::only(&input.attrs, kind.word())?.ok_or_else(|| missing_module(input, kind))?;
    let mut options = Options::default();
    attr.parse_nested_meta(|meta| option(&mut options, &meta, kind))?;
    if let (Some(_), Some(stream)) = (&options.reply, &options.stream) {
        return Err(Error::new_spanned(
            stream,
            "a query is answered by one `reply` or by a `stream` of items; choose one",
        ));
    }
    if let (Some(_), Some(rule)) = (&options.stream, &options.fan_out) {
        return Err(Error::new_spanned(
            rule,
            "a query that is answered by a `stream` is asked of one partition; it has a `key`, and \
             no `fan_out`",
        ));
    }
    if let (Some(_), Some(rule)) = (&options.key, &options.fan_out) {
        return Err(Error::new_spanned(
            rule,
            "a query with a key is asked of the one partition its key belongs to; give it either \
             a `key` or a `fan_out`",
        ));
    }
    Ok(options)
}

/// How a query is asked of all partitions, spanned so that a missing `Gather` is reported at its
/// name.
fn fan_out(ident: &Ident, rule: &Ident) -> TokenStream {
    let rule = Ident::new(if rule == "all" { "All" } else { "Some" }, rule.span());
    let of = quote_spanned! {
        ident.span()=> ::modulith_contract::derive_support::fan_out::<#ident>
    };
    quote! {
        fn fan_out() -> ::std::option::Option<::modulith_contract::FanOut<Self>> {
            ::std::option::Option::Some(#of(::modulith_contract::FanOutRule::#rule))
        }
    }
}

fn fan_out_rule(meta: &ParseNestedMeta<'_>) -> Result<Ident> {
    let rule: Ident = meta.value()?.parse()?;
    if rule == "all" || rule == "some" {
        return Ok(rule);
    }
    Err(Error::new_spanned(
        &rule,
        "`fan_out` is `all` (the fault of any partition fails the query) or `some` (those that \
         cannot be asked are missing from the reply)",
    ))
}

fn option(options: &mut Options, meta: &ParseNestedMeta<'_>, kind: Kind) -> Result<()> {
    let name = meta
        .path
        .get_ident()
        .map(ToString::to_string)
        .unwrap_or_default();
    if !kind.keys().contains(&name.as_str()) {
        return Err(meta.error(unknown_option(&name, kind)));
    }
    match name.as_str() {
        "module" => set(&mut options.module, module_name(meta)?, meta),
        "key" => set(&mut options.key, meta.value()?.parse()?, meta),
        "reply" => set(&mut options.reply, meta.value()?.parse()?, meta),
        "stream" => set(&mut options.stream, meta.value()?.parse()?, meta),
        "fan_out" => set(&mut options.fan_out, fan_out_rule(meta)?, meta),
        _ => set(&mut options.refusal, meta.value()?.parse()?, meta),
    }
}

fn set<T>(slot: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => {
            let name = meta.path.get_ident().map(ToString::to_string);
            Err(meta.error(format!("`{}` is given twice", name.unwrap_or_default())))
        }
    }
}

fn module_name(meta: &ParseNestedMeta<'_>) -> Result<LitStr> {
    let value = meta.value()?;
    if !value.peek(LitStr) {
        return Err(value.error("a module's name is given as text, as in `module = \"cart\"`"));
    }
    let name: LitStr = value.parse()?;
    let text = name.value();
    let fits = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if fits {
        return Ok(name);
    }
    Err(Error::new_spanned(
        &name,
        "a module's name is lower case: letters, digits and `_`, as in `module = \"cart\"`",
    ))
}

fn unknown_option(name: &str, kind: Kind) -> String {
    if kind == Kind::Command && name == "stream" {
        return "a command is answered by one `reply`; only a query has a `stream`".to_owned();
    }
    if kind == Kind::Command && name == "fan_out" {
        return "a command changes one partition, in one commit: it has a `key`, and no `fan_out`"
            .to_string();
    }
    if kind == Kind::Event && matches!(name, "reply" | "refusal") {
        return format!("an event is a fact: nobody replies to it, so it has no `{name}`");
    }
    format!(
        "{} has no `{name}`; it has {}{}",
        kind.with_article(),
        kind.keys().join(", "),
        attributes::did_you_mean(name, kind.keys())
    )
}

fn missing_module(input: &DeriveInput, kind: Kind) -> Error {
    Error::new_spanned(
        &input.ident,
        format!(
            "{} names its module: add `#[{}(module = \"…\")]`",
            kind.with_article(),
            kind.word()
        ),
    )
}

fn write_key(input: &DeriveInput, fields: &Fields, key: Option<&Ident>) -> Result<TokenStream> {
    let Some(key) = key else {
        return Ok(quote! {
            fn write_key(&self, _: &mut ::std::vec::Vec<u8>) -> bool {
                false
            }
        });
    };
    let Some(field) = fields
        .iter()
        .find(|field| field.ident.as_ref() == Some(key))
    else {
        let message = format!(
            "`{}` has no field `{key}` to be its key; {}",
            input.ident,
            attributes::list_fields(fields)
        );
        return Err(Error::new_spanned(key, message));
    };
    let ty = &field.ty;
    // Spanned, so that a field that cannot be a key is reported where it stands.
    let write = quote_spanned! { ty.span()=> <#ty as ::modulith_contract::Key>::write };
    Ok(quote! {
        fn write_key(&self, out: &mut ::std::vec::Vec<u8>) -> bool {
            #write(&self.#key, out);
            true
        }
    })
}
