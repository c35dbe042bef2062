//! Writes every page with sample data as HTML files, so that they can be looked at.
//!
//! `cargo run -p storefront --example gallery -- /tmp/gallery`, then serve that folder, for
//! example with `python3 -m http.server --bind 127.0.0.1 --directory /tmp/gallery`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use maud::Markup;
use serde::Deserialize;
use storefront::page::{
    Ad, Cart, CheckoutForm, ErrorKind, ErrorPage, Field, Frame, Home, Line, Order, Product,
    ProductCard, cart, error, home, order, price, product,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args_os().nth(1).ok_or("usage: gallery FOLDER")?;
    let folder = PathBuf::from(folder);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shelf: Shelf = toml::from_str(&fs::read_to_string(
        manifest.join("../catalog/products.toml"),
    )?)?;
    copy(&manifest.join("static"), &folder.join("static"))?;

    let mut pages = vec![(
        "".to_owned(),
        home(
            &frame(5),
            &Home {
                products: shelf.cards(0, 9),
            },
        ),
    )];
    for (index, goods) in shelf.product.iter().enumerate() {
        pages.push((format!("product/{}", goods.id), shelf.page(index, goods)));
    }
    pages.extend([
        ("cart".to_owned(), cart(&frame(5), &shelf.cart())),
        (
            "cart/empty".to_owned(),
            cart(&frame(0), &shelf.empty_cart()),
        ),
        (
            "cart/invalid".to_owned(),
            cart(&frame(5), &shelf.invalid_cart()),
        ),
        (
            "cart/declined".to_owned(),
            cart(&frame(5), &shelf.declined_cart()),
        ),
        ("order".to_owned(), order(&frame(0), &shelf.order())),
    ]);
    pages.extend(failures().map(|kind| {
        let request_id = Some("01JD8ZK3T9-7f3a".to_owned());
        let path = format!("error/{}", kind.status());
        (path, error(&frame(0), &ErrorPage { kind, request_id }))
    }));

    for (path, page) in pages {
        write(&folder.join(&path), page)?;
        println!("/{path}");
    }
    Ok(())
}

/// What `products.toml` holds.
#[derive(Deserialize)]
struct Shelf {
    product: Vec<Goods>,
}

#[derive(Deserialize)]
struct Goods {
    id: String,
    name: String,
    description: String,
    price_usd: String,
    picture: String,
    categories: Vec<String>,
}

impl Shelf {
    fn cards(&self, start: usize, count: usize) -> Vec<ProductCard> {
        let from_start = self.product.iter().cycle().skip(start).take(count);
        let card = |goods: &Goods| ProductCard {
            id: goods.id.clone(),
            name: goods.name.clone(),
            picture: goods.picture.clone(),
            price: dollars(&goods.price_usd, 1),
        };
        from_start.map(card).collect()
    }

    fn page(&self, index: usize, goods: &Goods) -> Markup {
        let view = Product {
            id: goods.id.clone(),
            name: goods.name.clone(),
            description: goods.description.clone(),
            picture: goods.picture.clone(),
            price: dollars(&goods.price_usd, 1),
            categories: goods.categories.clone(),
            recommendations: self.cards(index + 2, 4),
            ad: Some(Ad {
                text: "A lit candle makes any supper a dinner. See the candle holder.".to_owned(),
                href: "/product/0PUK6V6EV0".to_owned(),
            }),
        };
        product(&frame(2), &view)
    }

    fn lines(&self) -> Vec<Line> {
        let chosen = [(0, 1), (6, 1), (8, 3)];
        let line = |(index, quantity): (usize, u32)| {
            let goods = &self.product[index];
            Line {
                product_id: goods.id.clone(),
                name: goods.name.clone(),
                picture: goods.picture.clone(),
                quantity,
                unit_price: dollars(&goods.price_usd, 1),
                line_price: dollars(&goods.price_usd, quantity),
            }
        };
        chosen.map(line).to_vec()
    }

    fn cart(&self) -> Cart {
        Cart {
            lines: self.lines(),
            shipping: "$8.99".to_owned(),
            total: "$74.44".to_owned(),
            recommendations: self.cards(2, 4),
            ..Cart::default()
        }
    }

    fn empty_cart(&self) -> Cart {
        Cart {
            lines: Vec::new(),
            ..self.cart()
        }
    }

    fn declined_cart(&self) -> Cart {
        let declined = Some("The card ending in 4242 expired in March 2024.".to_owned());
        Cart {
            declined,
            checkout: typed(),
            ..self.cart()
        }
    }

    fn invalid_cart(&self) -> Cart {
        let wrong = |value: &str, error: &str| Field {
            value: value.to_owned(),
            error: Some(error.to_owned()),
        };
        let number = "Please check the card number: a digit seems to be wrong.";
        let checkout = CheckoutForm {
            email: wrong(
                "ada.lovelace",
                "Please enter an e-mail address, such as ada@example.com.",
            ),
            zip_code: wrong("SW1Y", "Please enter the postcode in digits only."),
            credit_card_number_error: Some(number.to_owned()),
            credit_card_cvv_error: Some("Please enter the security code.".to_owned()),
            ..typed()
        };
        Cart {
            checkout,
            ..self.cart()
        }
    }

    fn order(&self) -> Order {
        Order {
            id: "5f1c9b1e-8a94-4d0e-9c53-2f6f0c1d7b42".to_owned(),
            tracking_id: "MB-4821-337105962".to_owned(),
            lines: self.lines(),
            shipping: "$8.99".to_owned(),
            total: "$74.44".to_owned(),
            email: Some("ada@example.com".to_owned()),
        }
    }
}

fn frame(cart_items: u32) -> Frame {
    let currencies = ["EUR", "USD", "JPY", "GBP", "TRY", "CAD"]
        .map(String::from)
        .to_vec();
    Frame {
        currency: "USD".to_owned(),
        currencies,
        cart_items,
    }
}

fn typed() -> CheckoutForm {
    let ok = |value: &str| Field {
        value: value.to_owned(),
        error: None,
    };
    CheckoutForm {
        email: ok("ada@example.com"),
        street_address: ok("12 St James's Square"),
        zip_code: ok("10115"),
        city: ok("London"),
        state: ok("Greater London"),
        country: ok("United Kingdom"),
        credit_card_expiration_month: ok("3"),
        credit_card_expiration_year: ok("2030"),
        ..CheckoutForm::default()
    }
}

fn failures() -> [ErrorKind; 4] {
    let reasons = vec!["Please choose a quantity from 1 to 10.".to_owned()];
    let what = "the checkout".to_owned();
    [
        ErrorKind::NotFound,
        ErrorKind::Invalid { reasons },
        ErrorKind::Internal,
        ErrorKind::Unavailable { what },
    ]
}

/// Sample arithmetic in cents; the shop has its own for money.
fn dollars(amount: &str, quantity: u32) -> String {
    let cents: i64 = amount
        .replace('.', "")
        .parse()
        .expect("products.toml holds plain prices");
    let cents = cents * i64::from(quantity);
    let nanos = i32::try_from(cents % 100).expect("less than a hundred") * 10_000_000;
    price("USD", cents / 100, nanos)
}

fn write(folder: &Path, page: Markup) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("index.html"), page.into_string())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
