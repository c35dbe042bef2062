//! Derives for contracts: `Command`, `Query`, `Event`, `Refusal`, `Id` and `Schema`.
//!
//! Each checks what it is given before it writes any code, so that a mistake is reported where it
//! was made and in the words of contracts. The code written names `::modulith_contract` by path:
//! a contract crate needs that dependency, and serde.

mod attributes;
mod id;
mod message;
mod refusal;
mod schema;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct a command: a request for a change of state.
///
/// `#[command(module = "cart", key = shopper, reply = CartSize, refusal = AddItemRefusal)]`:
/// `module` is required; `key` names the field that decides the partition; `reply` defaults to
/// `()` and `refusal` to `Never`. Needs serde's derives as well.
#[proc_macro_derive(Command, attributes(command))]
pub fn command(input: TokenStream) -> TokenStream {
    expand(input, |input| {
        message::expand(input, message::Kind::Command)
    })
}

/// Makes a struct a query: a question that changes nothing.
///
/// `#[query(module = "cart", key = shopper, reply = Cart, refusal = GetCartRefusal)]`, as for
/// [`Command`](macro@Command). With `stream = Product` instead of `reply` it is a stream query,
/// which is answered by a sequence of items. A query without a key, of a module that can be divided
/// into partitions, has `fan_out = all` or `fan_out = some` instead, and an `impl Gather`; a stream
/// query cannot fan out.
#[proc_macro_derive(Query, attributes(query))]
pub fn query(input: TokenStream) -> TokenStream {
    expand(input, |input| message::expand(input, message::Kind::Query))
}

/// Makes a struct an event: a fact, named in the past tense.
///
/// `#[event(module = "cart", key = shopper)]`; an event has neither reply nor refusal.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(input: TokenStream) -> TokenStream {
    expand(input, |input| message::expand(input, message::Kind::Event))
}

/// Makes an enum a refusal: the ways the business says no.
///
/// Each variant carries `#[refusal(kind, "message with {fields}")]`, where `kind` is `invalid`,
/// `not_found` or `precondition`. Implements `Display`, `Error`, `Schema` and `Refusal`.
#[proc_macro_derive(Refusal, attributes(refusal))]
pub fn refusal(input: TokenStream) -> TokenStream {
    expand(input, refusal::expand)
}

/// Makes a newtype around `String` an identifier.
///
/// Gives it `new` (which checks), `as_str`, `Display`, `FromStr`, serde, `Key` and `Schema`;
/// decoding checks too.
#[proc_macro_derive(Id)]
pub fn id(input: TokenStream) -> TokenStream {
    expand(input, id::expand)
}

/// Describes the shape of a struct or enum that is part of a message.
#[proc_macro_derive(Schema)]
pub fn schema(input: TokenStream) -> TokenStream {
    expand(input, |input| schema::expand(&input))
}

fn expand(
    input: TokenStream,
    by: impl FnOnce(DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    by(input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
