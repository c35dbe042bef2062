//! What may be in a cart, how much of it, and what buying one leaves.
//!
//! Pure rules: carts are kept by `store`, messages handled by `module`.

use std::num::NonZeroU32;

use cart_contract::{AddItemRefusal, Cart, CartItem, CartSize};

/// How many different products fit in a cart.
///
/// An order asks for all its products and prices in one message each; fifty lines keep those to a
/// few kilobytes, and are more than any shopper of a shop with nine products needs.
pub(crate) const LINES_MAX: usize = 50;

/// How many of one product fit: with [`LINES_MAX`], far below what a [`CartSize`] can count.
pub(crate) const QUANTITY_MAX: u32 = 999;

/// Adds an item: a product already there gains in quantity and keeps its place.
///
/// A refusal leaves the cart as it was.
pub(crate) fn add(cart: &mut Cart, item: CartItem) -> Result<CartSize, AddItemRefusal> {
    let place = cart
        .items
        .iter()
        .position(|line| line.product == item.product);
    let already = place.map_or(0, |place| cart.items[place].quantity.get());
    let quantity = item
        .quantity
        .checked_add(already)
        .filter(|quantity| quantity.get() <= QUANTITY_MAX)
        .ok_or(AddItemRefusal::TooMany {
            quantity_max: QUANTITY_MAX,
        })?;
    match place {
        Some(place) => cart.items[place].quantity = quantity,
        None if cart.items.len() < LINES_MAX => cart.items.push(item),
        None => {
            return Err(AddItemRefusal::CartIsFull {
                lines_max: LINES_MAX as u32,
            });
        }
    }
    Ok(size(cart))
}

/// Empties the cart.
///
/// Returns whether anything was taken out. Only then does a new generation begin, so that a cart
/// emptied twice is of the same generation as one emptied once.
pub(crate) fn empty(cart: &mut Cart) -> bool {
    if cart.items.is_empty() {
        return false;
    }
    cart.items.clear();
    cart.generation += 1;
    true
}

/// Takes out what was bought from the cart's generation `bought_from`, and keeps what was added
/// since it was read. A new generation begins, so that it is taken out once.
///
/// Returns false, and changes nothing, when the cart is of another generation by now.
pub(crate) fn take_bought(cart: &mut Cart, bought_from: u64, bought: &[CartItem]) -> bool {
    if cart.generation != bought_from {
        return false;
    }
    cart.items = std::mem::take(&mut cart.items)
        .into_iter()
        .filter_map(|line| left_of(line, bought))
        .collect();
    cart.generation += 1;
    true
}

fn left_of(line: CartItem, bought: &[CartItem]) -> Option<CartItem> {
    let same = bought.iter().filter(|item| item.product == line.product);
    let taken = same.fold(0, |sum: u32, item| sum.saturating_add(item.quantity.get()));
    let left = NonZeroU32::new(line.quantity.get().saturating_sub(taken));
    left.map(|quantity| CartItem { quantity, ..line })
}

fn size(cart: &Cart) -> CartSize {
    CartSize {
        pieces: cart.items.iter().map(|line| line.quantity.get()).sum(),
    }
}

#[cfg(test)]
mod tests {
    use catalog_contract::ProductId;

    use super::*;

    #[test]
    fn a_product_added_again_gains_in_quantity_and_keeps_its_place() {
        let mut cart = Cart::default();
        add(&mut cart, item("MUG", 1)).unwrap();
        add(&mut cart, item("WATCH", 2)).unwrap();
        assert_eq!(add(&mut cart, item("MUG", 4)), Ok(CartSize { pieces: 7 }));
        assert_eq!(cart.items, [item("MUG", 5), item("WATCH", 2)]);
    }

    #[test]
    fn a_full_cart_refuses_another_line_but_not_more_of_one() {
        let mut cart = Cart::default();
        for number in 0..LINES_MAX {
            add(&mut cart, item(&format!("P{number}"), 1)).unwrap();
        }
        let before = cart.clone();
        let refusal = add(&mut cart, item("ONE-MORE", 1));
        assert_eq!(refusal, Err(AddItemRefusal::CartIsFull { lines_max: 50 }));
        assert_eq!(cart, before);
        assert_eq!(add(&mut cart, item("P7", 1)), Ok(CartSize { pieces: 51 }));
    }

    #[test]
    fn more_of_one_product_than_fits_is_refused() {
        let too_many = Err(AddItemRefusal::TooMany { quantity_max: 999 });
        let mut cart = Cart::default();
        assert_eq!(add(&mut cart, item("MUG", 1000)), too_many);
        assert_eq!(cart, Cart::default());
        assert_eq!(
            add(&mut cart, item("MUG", 999)),
            Ok(CartSize { pieces: 999 })
        );
        assert_eq!(add(&mut cart, item("MUG", 1)), too_many);
        assert_eq!(add(&mut cart, item("MUG", u32::MAX)), too_many);
        assert_eq!(cart.items, [item("MUG", 999)]);
    }

    #[test]
    fn the_largest_cart_can_be_counted() {
        let mut cart = Cart::default();
        for number in 0..LINES_MAX {
            add(&mut cart, item(&format!("P{number}"), QUANTITY_MAX)).unwrap();
        }
        assert_eq!(size(&cart), CartSize { pieces: 49_950 });
    }

    #[test]
    fn emptying_begins_a_new_generation_once() {
        let mut cart = Cart::default();
        add(&mut cart, item("MUG", 1)).unwrap();
        assert!(empty(&mut cart));
        assert!(!empty(&mut cart));
        assert_eq!(
            cart,
            Cart {
                items: Vec::new(),
                generation: 1
            }
        );
    }

    #[test]
    fn what_was_bought_is_taken_out_and_what_was_added_meanwhile_stays() {
        let mut cart = Cart {
            items: vec![item("MUG", 5), item("WATCH", 2), item("LAMP", 1)],
            generation: 3,
        };
        let bought = [item("WATCH", 2), item("MUG", 2)];
        assert!(take_bought(&mut cart, 3, &bought));
        let left = Cart {
            items: vec![item("MUG", 3), item("LAMP", 1)],
            generation: 4,
        };
        assert_eq!(cart, left);
        assert!(!take_bought(&mut cart, 3, &bought));
        assert_eq!(cart, left);
    }

    #[test]
    fn only_the_generation_that_was_bought_is_touched() {
        let mut cart = Cart {
            items: vec![item("MUG", 1)],
            generation: 3,
        };
        let before = cart.clone();
        for other in [2, 4] {
            assert!(!take_bought(&mut cart, other, &[item("MUG", 1)]));
        }
        assert_eq!(cart, before);
    }

    fn item(product: &str, quantity: u32) -> CartItem {
        CartItem {
            product: ProductId::new(product).unwrap(),
            quantity: NonZeroU32::new(quantity).unwrap(),
        }
    }
}
