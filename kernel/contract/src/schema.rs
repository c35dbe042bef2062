//! The shape of a message, described as data, and the fingerprint made from it.
//!
//! Two processes agree on a message when their fingerprints are equal. The description also
//! carries the doc comments, so that other forms of the contract can be generated from it.

use std::{collections::BTreeMap, fmt};

/// Describes the shape of a value as it is encoded. Derived.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be part of a message: its shape is not known",
    label = "has no schema",
    note = "if it is your own type, add `#[derive(Schema)]` and serde's derives; if it is not, \
            wrap what it holds in one that is"
)]
pub trait Schema {
    /// The shape. Parts are given as functions, so that a shape may contain itself.
    fn shape() -> Shape;
}

/// How a value is laid out.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// True or false.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Unsigned, 16 bits.
    U16,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 128 bits.
    U128,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 double precision.
    F64,
    /// UTF-8 text.
    Text,
    /// A value or none.
    Option(fn() -> Shape),
    /// Any number of one shape.
    List(fn() -> Shape),
    /// Any number of key and value.
    Map(fn() -> Shape, fn() -> Shape),
    /// A fixed row of shapes.
    Tuple(&'static [fn() -> Shape]),
    /// A named type around one value, encoded as that value.
    Newtype {
        /// The type's name.
        name: &'static str,
        /// Its doc comment.
        docs: &'static str,
        /// What it wraps.
        inner: fn() -> Shape,
    },
    /// Named fields, encoded in order.
    Struct {
        /// The type's name.
        name: &'static str,
        /// The Rust module it is defined in; tells types of one name apart.
        module: &'static str,
        /// Its doc comment.
        docs: &'static str,
        /// Its fields, in order.
        fields: &'static [Field],
    },
    /// One of several variants, encoded as its index and then its fields.
    Enum {
        /// The type's name.
        name: &'static str,
        /// The Rust module it is defined in; tells types of one name apart.
        module: &'static str,
        /// Its doc comment.
        docs: &'static str,
        /// Its variants, in order.
        variants: &'static [Variant],
    },
}

/// One field of a struct or variant.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name; its index for a field without one.
    pub name: &'static str,
    /// Its doc comment.
    pub docs: &'static str,
    /// Its shape.
    pub shape: fn() -> Shape,
}

/// One variant of an enum.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// Its name.
    pub name: &'static str,
    /// Its doc comment.
    pub docs: &'static str,
    /// What it carries.
    pub fields: &'static [Field],
}

/// A 64-bit digest of a message's name, kind and shapes; docs do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Fingerprint {
    /// Digests a title and the shapes under it, each written out in full.
    ///
    /// FNV-1a, 64 bit: it guards against two builds that differ by mistake, not against forgery,
    /// which mutual TLS rules out.
    pub fn of(title: &str, shapes: &[fn() -> Shape]) -> Self {
        let mut text = String::from(title);
        for shape in shapes {
            text.push('|');
            spell(shape(), &mut text, &mut BTreeMap::new());
        }
        Self(fnv1a(FNV_OFFSET, text.as_bytes()))
    }
}

/// The named types being written out, by module and name, with their depth.
type Open = BTreeMap<(&'static str, &'static str), usize>;

/// Writes a shape out. A named type inside itself is written as a reference to where it began,
/// so that recursion ends.
fn spell(shape: Shape, out: &mut String, open: &mut Open) {
    match shape {
        Shape::Bool => out.push_str("bool"),
        Shape::U8 => out.push_str("u8"),
        Shape::U16 => out.push_str("u16"),
        Shape::U32 => out.push_str("u32"),
        Shape::U64 => out.push_str("u64"),
        Shape::U128 => out.push_str("u128"),
        Shape::I8 => out.push_str("i8"),
        Shape::I16 => out.push_str("i16"),
        Shape::I32 => out.push_str("i32"),
        Shape::I64 => out.push_str("i64"),
        Shape::F32 => out.push_str("f32"),
        Shape::F64 => out.push_str("f64"),
        Shape::Text => out.push_str("text"),
        Shape::Option(inner) => spell_list("option", &[inner], out, open),
        Shape::List(inner) => spell_list("list", &[inner], out, open),
        Shape::Map(key, value) => spell_list("map", &[key, value], out, open),
        Shape::Tuple(parts) => spell_list("tuple", parts, out, open),
        Shape::Newtype { name, inner, .. } => {
            out.push_str(name);
            spell_list("", &[inner], out, open);
        }
        Shape::Struct {
            name,
            module,
            fields,
            ..
        } => {
            within((module, name), out, open, |out, open| {
                spell_fields(fields, out, open);
            });
        }
        Shape::Enum {
            name,
            module,
            variants,
            ..
        } => {
            within((module, name), out, open, |out, open| {
                for variant in variants {
                    out.push_str(variant.name);
                    spell_fields(variant.fields, out, open);
                }
            });
        }
    }
}

fn within(
    id: (&'static str, &'static str),
    out: &mut String,
    open: &mut Open,
    body: impl FnOnce(&mut String, &mut Open),
) {
    out.push_str(id.1);
    if let Some(level) = open.get(&id) {
        out.push_str(&format!("^{level}"));
        return;
    }
    open.insert(id, open.len());
    out.push('[');
    body(out, open);
    out.push(']');
    open.remove(&id);
}

fn spell_fields(fields: &[Field], out: &mut String, open: &mut Open) {
    out.push('{');
    for field in fields {
        out.push_str(field.name);
        out.push(':');
        spell((field.shape)(), out, open);
        out.push(',');
    }
    out.push('}');
}

fn spell_list(word: &str, parts: &[fn() -> Shape], out: &mut String, open: &mut Open) {
    out.push_str(word);
    out.push('(');
    for part in parts {
        spell(part(), out, open);
        out.push(',');
    }
    out.push(')');
}

pub(crate) const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

pub(crate) fn fnv1a(state: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(state, |hash, &b| {
        (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    })
}

macro_rules! plain_shapes {
    ($($type:ty => $shape:ident),* $(,)?) => {$(
        impl Schema for $type {
            fn shape() -> Shape {
                Shape::$shape
            }
        }
    )*};
}
plain_shapes! {
    bool => Bool, u8 => U8, u16 => U16, u32 => U32, u64 => U64, u128 => U128,
    i8 => I8, i16 => I16, i32 => I32, i64 => I64, f32 => F32, f64 => F64, String => Text,
    std::num::NonZeroU32 => U32,
}

impl Schema for () {
    fn shape() -> Shape {
        Shape::Tuple(&[])
    }
}

impl<T: Schema> Schema for Option<T> {
    fn shape() -> Shape {
        Shape::Option(T::shape)
    }
}

impl<T: Schema> Schema for Vec<T> {
    fn shape() -> Shape {
        Shape::List(T::shape)
    }
}

impl<T: Schema> Schema for Box<T> {
    fn shape() -> Shape {
        T::shape()
    }
}

impl<K: Schema, V: Schema> Schema for BTreeMap<K, V> {
    fn shape() -> Shape {
        Shape::Map(K::shape, V::shape)
    }
}

impl<A: Schema, B: Schema> Schema for (A, B) {
    fn shape() -> Shape {
        Shape::Tuple(&[A::shape, B::shape])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    mod first {
        use modulith_contract::Schema;

        /// A point.
        #[derive(Schema)]
        #[expect(dead_code, reason = "only its shape is of interest")]
        pub(super) struct Point {
            x: i64,
            next: Option<Box<Point>>,
        }
    }

    mod second {
        use modulith_contract::Schema;

        /// The same point, documented otherwise.
        #[derive(Schema)]
        #[expect(dead_code, reason = "only its shape is of interest")]
        pub(super) struct Point {
            x: i64,
            next: Option<Box<Point>>,
        }
    }

    mod third {
        use modulith_contract::Schema;

        /// A point.
        #[derive(Schema)]
        #[expect(dead_code, reason = "only its shape is of interest")]
        pub(super) struct Point {
            x: i32,
            next: Option<Box<Point>>,
        }
    }

    #[test]
    fn a_fingerprint_follows_the_shape_and_not_the_words() {
        let of = |shape| Fingerprint::of("m.Point", &[shape]);
        assert_eq!(of(first::Point::shape), of(second::Point::shape));
        assert_ne!(of(first::Point::shape), of(third::Point::shape));
        assert_ne!(
            Fingerprint::of("a", &[first::Point::shape]),
            Fingerprint::of("b", &[first::Point::shape])
        );
    }

    #[test]
    fn a_shape_may_contain_itself() {
        let mut text = String::new();
        spell(first::Point::shape(), &mut text, &mut BTreeMap::new());
        assert_eq!(text, "Point[{x:i64,next:option(Point^0,),}]");
    }
}
