//! What an order number looks like.

use checkout_contract::OrderId;

/// Crockford's base 32 (<https://www.crockford.com/base32.html>): no I, L, O or U, so that a
/// number read aloud or copied by hand is not mistaken.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

const GROUPS: usize = 4;
const GROUP_DIGITS: usize = 4;

/// An order number such as `7K3M-Q0WD-91XE-5BTC`.
///
/// It holds 80 of the random bits. The number is also the reference of the order's charge, and
/// two orders with one reference would be charged as one: 80 bits make that a matter of a
/// million million orders, and the number impossible to guess.
pub(crate) fn order_id(random: u128) -> OrderId {
    let mut rest = random;
    let mut digit = || {
        let digit = DIGITS[usize::try_from(rest % 32).expect("below 32")];
        rest /= 32;
        char::from(digit)
    };
    let groups: Vec<String> = (0..GROUPS)
        .map(|_| (0..GROUP_DIGITS).map(|_| digit()).collect())
        .collect();
    OrderId::new(groups.join("-")).expect("letters, digits and dashes are a plain id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_numbers_are_four_groups_of_four() {
        assert_eq!(order_id(0).as_str(), "0000-0000-0000-0000");
        assert_eq!(order_id(u128::MAX).as_str(), "ZZZZ-ZZZZ-ZZZZ-ZZZZ");
        assert_eq!(
            order_id(31 + (10 << 5) + (1 << 75)).as_str(),
            "ZA00-0000-0000-0001"
        );
    }
}
