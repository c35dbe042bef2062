//! What visitors ask for: the pages of `benchmark shop` in its shares, redirects included, as
//! requests that are made beforehand.

use std::collections::VecDeque;
use std::rc::Rc;

use fastrand::Rng;

use crate::http;
use crate::shop::{CURRENCIES, ORDER, PRODUCTS};

/// How many people visit: enough that no cart is everybody's.
const SHOPPERS: usize = 256;

/// How often each page is asked for. A visit of `benchmark shop` is 1 home page, 2 currencies, 13
/// products, 3 things put into the cart, 3 looks at it and an order; each currency leads to the
/// home page, each thing put into the cart leads there.
const SHARES: [(Kind, u32); 6] = [
    (Kind::Home, 3),
    (Kind::Currency, 2),
    (Kind::Product, 13),
    (Kind::Add, 3),
    (Kind::Cart, 6),
    (Kind::Order, 1),
];

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Home,
    Currency,
    Product,
    Add,
    Cart,
    Order,
}

impl Kind {
    /// Whether asking twice does no harm.
    pub(crate) fn is_safe(self) -> bool {
        matches!(self, Self::Home | Self::Product | Self::Cart)
    }

    /// Whether this is what was asked for, if only the word that a card was declined or a cart
    /// was empty.
    pub(crate) fn is_served_by(self, status: u16) -> bool {
        match self {
            Self::Home | Self::Product | Self::Cart => status == 200,
            Self::Currency | Self::Add => matches!(status, 302 | 422),
            Self::Order => matches!(status, 200 | 402 | 422),
        }
    }
}

/// One request of somebody.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    pub(crate) kind: Kind,
    pub(crate) request: Rc<[u8]>,
    shopper: usize,
}

/// Who visits, and what they have in their carts.
pub(crate) struct Mix {
    random: Rng,
    shoppers: Vec<Shopper>,
    /// Those with something in their carts, who may order; each once.
    filled: VecDeque<usize>,
}

/// Everything that one may ask for.
struct Shopper {
    home: Rc<[u8]>,
    cart: Rc<[u8]>,
    order: Rc<[u8]>,
    currencies: Vec<Rc<[u8]>>,
    products: Vec<Rc<[u8]>>,
    adds: Vec<Rc<[u8]>>,
    is_filled: bool,
}

impl Shopper {
    fn new(host: &str, random: &mut Rng) -> Self {
        let cookies = format!("shop_session-id={:032x}", random.u128(..));
        let get = |path: &str| http::get(host, path, &cookies).into();
        let post = |path: &str, form: &str| http::post(host, path, &cookies, form).into();
        let currency = |code| post("/setCurrency", &format!("currency_code={code}"));
        let add = |id| post("/cart", &format!("product_id={id}&quantity=1"));
        Self {
            home: get("/"),
            cart: get("/cart"),
            order: post("/cart/checkout", ORDER),
            currencies: CURRENCIES.into_iter().map(currency).collect(),
            products: PRODUCTS
                .into_iter()
                .map(|id| get(&format!("/product/{id}")))
                .collect(),
            adds: PRODUCTS.into_iter().map(add).collect(),
            is_filled: false,
        }
    }
}

impl Mix {
    pub(crate) fn new(host: &str, mut random: Rng) -> Self {
        let shoppers = (0..SHOPPERS).map(|_| Shopper::new(host, &mut random));
        Self {
            shoppers: shoppers.collect(),
            filled: VecDeque::new(),
            random,
        }
    }

    /// The next request. Only those order who have something in their carts; if nobody has,
    /// somebody puts something in.
    pub(crate) fn draw(&mut self) -> Errand {
        let kind = self.kind();
        let filled = (kind == Kind::Order).then(|| self.filled.pop_front());
        let (kind, shopper) = match filled {
            Some(Some(shopper)) => (Kind::Order, shopper),
            Some(None) => (Kind::Add, self.random.usize(..SHOPPERS)),
            None => (kind, self.random.usize(..SHOPPERS)),
        };
        let random = &mut self.random;
        let mut any = |requests: &[Rc<[u8]>]| requests[random.usize(..requests.len())].clone();
        let of = &mut self.shoppers[shopper];
        let request = match kind {
            Kind::Home => of.home.clone(),
            Kind::Cart => of.cart.clone(),
            Kind::Currency => any(&of.currencies),
            Kind::Product => any(&of.products),
            Kind::Add => any(&of.adds),
            Kind::Order => {
                of.is_filled = false;
                of.order.clone()
            }
        };
        Errand {
            kind,
            request,
            shopper,
        }
    }

    /// Notes what came of a request.
    pub(crate) fn answered(&mut self, errand: &Errand, status: u16) {
        let shopper = &mut self.shoppers[errand.shopper];
        if errand.kind == Kind::Add && status == 302 && !shopper.is_filled {
            shopper.is_filled = true;
            self.filled.push_back(errand.shopper);
        }
    }

    fn kind(&mut self) -> Kind {
        let all: u32 = SHARES.iter().map(|(_, share)| share).sum();
        let mut left = self.random.u32(..all);
        for (kind, share) in SHARES {
            if left < share {
                return kind;
            }
            left -= share;
        }
        unreachable!("the draw is below the sum of the shares")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_has_something_in_the_cart_orders_and_only_once() {
        let mut mix = Mix::new("shop", Rng::with_seed(7));
        let (mut filled, mut orders) = (0, 0);
        for _ in 0..10_000 {
            let errand = mix.draw();
            if errand.kind == Kind::Add {
                filled += 1;
                mix.answered(&errand, 302);
            }
            orders += u32::from(errand.kind == Kind::Order);
        }
        assert!(orders > 0 && orders <= filled, "{orders} of {filled}");
        let mut refused = Mix::new("shop", Rng::with_seed(7));
        for _ in 0..10_000 {
            let errand = refused.draw();
            assert_ne!(errand.kind, Kind::Order);
            refused.answered(&errand, 503);
        }
    }

    #[test]
    fn every_page_has_about_its_share() {
        let mut mix = Mix::new("shop", Rng::with_seed(3));
        let drawn = (0..28_000).filter(|_| mix.draw().kind == Kind::Product);
        let products = drawn.count();
        assert!((12_000..14_000).contains(&products), "{products}");
    }
}
