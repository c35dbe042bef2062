//! A shopper at the shop's pages: she sends an order form until she knows what became of it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use super::{
    Shop,
    browser::{Browser, Page},
};

const PRODUCTS: [&str; 4] = ["OLJCESPC7Z", "66VCHSJNUP", "1YMWWN1N4O", "6E92ZMYYFZ"];

/// How often she sends one form before she asks for another: one that failed has failed for good.
const TRIES_MAX: u32 = 6;
const TRY_AGAIN: Duration = Duration::from_millis(300);

/// A form is known to have failed when it is answered so often, and at once, that it has: one that
/// is still being dealt with is answered at the end of the page's time.
const FAILED_ANSWERS: u32 = 3;
const AT_ONCE: Duration = Duration::from_secs(2);
/// Longer than an order takes whose steps wait for their longest pauses.
const ASK_AGAIN_MAX: Duration = Duration::from_secs(100);

const OK: u16 = 200;
const FOUND: u16 = 302;
const NOTHING_TO_BUY: u16 = 422;

pub(crate) struct Shopper {
    browser: Browser,
    rng: Rng,
    number: u64,
    pub(crate) forms: Vec<Form>,
}

/// An order form, and what she knows of it.
pub(crate) struct Form {
    /// Its address is its own, so that a letter tells which form it is for.
    pub(crate) email: String,
    pub(crate) key: String,
    /// What she was told last, if it was anything but an excuse.
    pub(crate) told: Told,
    /// How often it was sent, and how often answered with nothing or an excuse.
    pub(crate) sent: u32,
    pub(crate) excused: u32,
    /// What she was told that is at odds with what she was told before.
    pub(crate) contradictions: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Confirmed(Order),
    /// The status of the page that said no.
    Refused(u16),
    /// Nothing but an excuse, time and again, on a network that is well.
    Failed,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Order {
    pub(crate) number: String,
    pub(crate) tracking: String,
}

impl Shopper {
    pub(crate) fn new(number: u64, seed: u64, shop: &Shop) -> Self {
        Self {
            browser: Browser::new(shop),
            rng: Rng::with_seed(seed ^ ((number + 1) << 32)),
            number,
            forms: Vec::new(),
        }
    }

    /// Orders again and again.
    pub(crate) fn shop(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            let Some(mut form) = self.fill_a_cart() else {
                pause();
                continue;
            };
            while form.told == Told::Nothing
                && form.sent < TRIES_MAX
                && !is_over.load(Ordering::Relaxed)
            {
                if form.sent > 0 {
                    pause();
                }
                self.send(&mut form);
            }
            // A second click, a reload.
            if self.rng.u8(..3) == 0 {
                self.send(&mut form);
            }
            self.forms.push(form);
        }
    }

    /// How often nothing came when she asked for a page, or a page without what she asked for.
    pub(crate) fn faults(&self) -> u64 {
        self.browser.faults
    }

    /// Puts something into the cart and takes the form below it.
    fn fill_a_cart(&mut self) -> Option<Form> {
        let product = *self.rng.choice(&PRODUCTS)?;
        let added = [("product_id", product), ("quantity", "1")];
        let page = self.browser.post("/cart", &added)?;
        let cart = Some(page).filter(|page| page.status == FOUND);
        cart.and_then(|_| self.browser.get("/cart"))
            .and_then(|cart| cart.between("name=\"order_key\" value=\"", "\""))
            .map(|key| Form {
                email: format!("form-{}@shopper-{}.example", self.forms.len(), self.number),
                key,
                told: Told::Nothing,
                sent: 0,
                excused: 0,
                contradictions: Vec::new(),
            })
    }

    /// Sends a form, once more or for the first time.
    fn send(&mut self, form: &mut Form) {
        let fields = [
            ("order_key", form.key.as_str()),
            ("email", &form.email),
            ("street_address", "1600 Amphitheatre Parkway"),
            ("zip_code", "94043"),
            ("city", "Mountain View"),
            ("state", "CA"),
            ("country", "United States"),
            ("credit_card_number", "4432 8015 6152 0454"),
            ("credit_card_expiration_month", "1"),
            ("credit_card_expiration_year", "2039"),
            ("credit_card_cvv", "672"),
        ];
        let page = self.browser.post("/cart/checkout", &fields);
        form.answered(page);
    }

    /// On a network that is well: sends every form until it is known what became of it, and once
    /// more; and looks at every order's page.
    pub(crate) fn ask_again(&mut self) {
        let mut forms = std::mem::take(&mut self.forms);
        for form in &mut forms {
            self.find_out(form);
            self.send(form);
            self.look_at_order(form);
        }
        self.forms = forms;
    }

    fn find_out(&mut self, form: &mut Form) {
        let begun = Instant::now();
        let mut failed = 0;
        while form.told == Told::Nothing && begun.elapsed() < ASK_AGAIN_MAX {
            let sent = Instant::now();
            self.send(form);
            if sent.elapsed() < AT_ONCE {
                failed += 1;
            }
            if form.told == Told::Nothing && failed == FAILED_ANSWERS {
                form.told = Told::Failed;
            } else if form.told == Told::Nothing {
                pause();
            }
        }
    }

    fn look_at_order(&mut self, form: &mut Form) {
        let Told::Confirmed(order) = &form.told else {
            return;
        };
        let path = format!("/order/{}", order.number);
        // A shop that has too much to do says so, and contradicts nothing.
        let begun = Instant::now();
        let mut page = self.browser.get(&path);
        while page.as_ref().is_none_or(Page::is_fault) && begun.elapsed() < ASK_AGAIN_MAX {
            pause();
            page = self.browser.get(&path);
        }
        let seen = page.as_ref().and_then(Page::order);
        if seen.as_ref() != Some(order) {
            let status = page.map(|page| page.status);
            form.contradictions
                .push(format!("its page is {status:?} {seen:?}"));
        }
    }
}

impl Form {
    fn answered(&mut self, page: Option<Page>) {
        self.sent += 1;
        let told = match &page {
            None => Told::Nothing,
            Some(page) => match (page.status, page.order()) {
                (OK, Some(order)) => Told::Confirmed(order),
                _ if page.is_fault() => Told::Nothing,
                (status, _) => Told::Refused(status),
            },
        };
        match (&self.told, told) {
            (_, Told::Nothing) => self.excused += 1,
            (Told::Nothing, told) => self.told = told,
            (before, told) if *before == told => {}
            // A refusal comes with the cart; once that is empty, with a page that says so.
            (Told::Refused(_), Told::Refused(NOTHING_TO_BUY)) => {}
            (_, told) => self.contradictions.push(format!("then {told:?}")),
        }
    }
}

impl Page {
    fn order(&self) -> Option<Order> {
        Some(Order {
            number: self.fact("Confirmation number")?,
            tracking: self.fact("Tracking number")?,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a shopper has a thread of her own, which serves nobody"
)]
fn pause() {
    thread::sleep(TRY_AGAIN);
}
