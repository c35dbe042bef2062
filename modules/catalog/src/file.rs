//! Reads a file of products, exactly as written or not at all.
//!
//! Every error names the file, the line, what was found there and what was expected.

use std::collections::HashMap;

use catalog_contract::{Product, ProductId};
use currency_contract::{CurrencyCode, Money};
use serde::Deserialize;
use toml::Spanned;

/// The longest file of products, in bytes.
///
/// All of it travels in one reply to `ListProducts`, whose limit is 16 MiB; an eighth of that
/// leaves room for whatever encoding an edge chooses.
pub(crate) const FILE_BYTES_MAX: usize = 2 << 20;

/// Why a file of products cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    #[error("{file}:{line}: {message}")]
    Toml {
        file: String,
        line: usize,
        message: String,
    },
    #[error("{file}:{line}: {key} is {found:?}, expected {expected}")]
    Value {
        file: String,
        line: usize,
        key: &'static str,
        found: String,
        expected: &'static str,
    },
    #[error(
        "{file}:{line}: id {id} was given on line {first} already, expected one product per id"
    )]
    Duplicate {
        file: String,
        line: usize,
        id: ProductId,
        first: usize,
    },
    #[error("{file}: found no [[product]], expected at least one")]
    Empty { file: String },
    #[error("{file}: found {bytes} bytes, expected at most {FILE_BYTES_MAX}")]
    TooLarge { file: String, bytes: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shelf {
    #[serde(default)]
    product: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Spanned<String>,
    name: Spanned<String>,
    description: String,
    price_usd: Spanned<String>,
    picture: Spanned<String>,
    categories: Vec<Spanned<String>>,
}

/// Reads the products out of `text`, in their order; `file` is its name in errors.
pub(crate) fn read(file: &str, text: &str) -> Result<Vec<Product>, FileError> {
    if text.len() > FILE_BYTES_MAX {
        return Err(FileError::TooLarge {
            file: file.to_string(),
            bytes: text.len(),
        });
    }
    let source = Source { file, text };
    let shelf: Shelf = toml::from_str(text).map_err(|error| source.toml(&error))?;
    if shelf.product.is_empty() {
        return Err(FileError::Empty {
            file: file.to_string(),
        });
    }
    let mut lines = HashMap::new();
    shelf
        .product
        .into_iter()
        .map(|entry| {
            let line = source.line(entry.id.span().start);
            let product = source.product(entry)?;
            match lines.insert(product.id.clone(), line) {
                None => Ok(product),
                Some(first) => {
                    let file = file.to_string();
                    Err(FileError::Duplicate {
                        file,
                        line,
                        id: product.id,
                        first,
                    })
                }
            }
        })
        .collect()
}

/// The text being read, to find lines in.
struct Source<'a> {
    file: &'a str,
    text: &'a str,
}

impl Source<'_> {
    fn product(&self, entry: Entry) -> Result<Product, FileError> {
        let id = self.check(
            "id",
            &entry.id,
            "1 to 64 letters, digits or any of - _ . :",
            |id| ProductId::new(id).ok(),
        )?;
        let price = self.check(
            "price_usd",
            &entry.price_usd,
            r#"dollars such as "19.99""#,
            dollars,
        )?;
        self.check("name", &entry.name, "a name", |name| {
            (!name.trim().is_empty()).then_some(())
        })?;
        self.check(
            "picture",
            &entry.picture,
            "a path that begins with /",
            |path| path.starts_with('/').then_some(()),
        )?;
        for category in &entry.categories {
            self.check("categories", category, "words in lower case", |word| {
                (!word.is_empty() && word.to_lowercase() == word).then_some(())
            })?;
        }
        Ok(Product {
            id,
            name: entry.name.into_inner(),
            description: entry.description,
            picture: entry.picture.into_inner(),
            price,
            categories: entry
                .categories
                .into_iter()
                .map(Spanned::into_inner)
                .collect(),
        })
    }

    fn check<T>(
        &self,
        key: &'static str,
        found: &Spanned<String>,
        expected: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, FileError> {
        parse(found.get_ref()).ok_or_else(|| FileError::Value {
            file: self.file.to_string(),
            line: self.line(found.span().start),
            key,
            found: found.get_ref().clone(),
            expected,
        })
    }

    fn toml(&self, error: &toml::de::Error) -> FileError {
        let start = error.span().map_or(0, |span| span.start);
        FileError::Toml {
            file: self.file.to_string(),
            line: self.line(start),
            message: error.message().replace('\n', ", "),
        }
    }

    /// The line, counted from one, that holds the byte at `offset`.
    fn line(&self, offset: usize) -> usize {
        1 + self
            .text
            .bytes()
            .take(offset)
            .filter(|&byte| byte == b'\n')
            .count()
    }
}

/// Reads digits with at most nine decimals, without ever being a float.
fn dollars(text: &str) -> Option<Money> {
    let (units, decimals) = match text.split_once('.') {
        Some((units, decimals)) => (units, decimals),
        None => (text, "0"),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(units) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let nanos = format!("{decimals:0<9}").parse().ok()?;
    Money::new(CurrencyCode::new("USD").ok()?, units.parse().ok()?, nanos).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one good product, in which `from` is replaced by `to`.
    fn with(from: &str, to: &str) -> String {
        let good = r#"
[[product]]
id = "MUG"
name = "Mug"
description = "Holds coffee."
price_usd = "8.99"
picture = "/static/img/MUG.svg"
categories = ["kitchen", "home"]
"#;
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    }

    #[track_caller]
    fn check_error(text: &str, expected: &str) {
        let error = read("products.toml", text).unwrap_err().to_string();
        assert_eq!(error, expected);
    }

    #[test]
    fn a_product_is_read_as_written() {
        let products = read("products.toml", &with("8.99", "8.99")).unwrap();
        assert_eq!(products.len(), 1);
        assert_eq!(products[0].id.as_str(), "MUG");
        assert_eq!(products[0].categories, ["kitchen", "home"]);
        assert_eq!(
            (products[0].price.units(), products[0].price.nanos()),
            (8, 990_000_000)
        );
    }

    #[test]
    fn prices_are_exact() {
        for (text, units, nanos) in [
            ("0", 0, 0),
            ("5", 5, 0),
            ("0.1", 0, 100_000_000),
            ("19.99", 19, 990_000_000),
            ("9007199254740993.000000001", 9_007_199_254_740_993, 1),
        ] {
            let price = dollars(text).unwrap();
            assert_eq!((price.units(), price.nanos()), (units, nanos), "{text}");
        }
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1,50",
            "1e3",
            "$5",
            " 5",
            "1.0000000001",
        ] {
            assert_eq!(dollars(text), None, "{text}");
        }
        assert_eq!(dollars("9223372036854775808"), None);
    }

    #[test]
    fn an_error_names_file_line_key_found_and_expected() {
        check_error(
            &with("8.99", "cheap"),
            r#"products.toml:6: price_usd is "cheap", expected dollars such as "19.99""#,
        );
        check_error(
            &with("\"MUG\"", "\"a mug\""),
            r#"products.toml:3: id is "a mug", expected 1 to 64 letters, digits or any of - _ . :"#,
        );
        check_error(
            &with("\"home\"", "\"Home\""),
            r#"products.toml:8: categories is "Home", expected words in lower case"#,
        );
        check_error(
            &with("/static", "static"),
            r#"products.toml:7: picture is "static/img/MUG.svg", expected a path that begins with /"#,
        );
        check_error(
            &with("\"Mug\"", "\" \""),
            r#"products.toml:4: name is " ", expected a name"#,
        );
    }

    #[test]
    fn a_missing_or_unknown_key_or_a_wrong_type_is_refused_with_its_line() {
        check_error(
            &with("name = \"Mug\"\n", ""),
            "products.toml:2: missing field `name`",
        );
        check_error(
            &with("name =", "nmae ="),
            "products.toml:4: unknown field `nmae`, expected one of `id`, `name`, `description`, \
             `price_usd`, `picture`, `categories`",
        );
        check_error(
            &with("\"8.99\"", "8.99"),
            "products.toml:6: invalid type: floating point `8.99`, expected a string",
        );
        let error = read("products.toml", &with("]]", "]"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("products.toml:2: "), "{error}");
    }

    #[test]
    fn an_id_given_twice_is_refused() {
        let twice = with("MUG", "MUG").repeat(2);
        check_error(
            &twice,
            "products.toml:11: id MUG was given on line 3 already, expected one product per id",
        );
    }

    #[test]
    fn a_file_without_products_or_with_too_many_is_refused() {
        check_error(
            "# Nothing.",
            "products.toml: found no [[product]], expected at least one",
        );
        let large = " ".repeat(FILE_BYTES_MAX + 1);
        check_error(
            &large,
            "products.toml: found 2097153 bytes, expected at most 2097152",
        );
    }
}
