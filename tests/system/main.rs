//! The boutique as a whole: every scenario in every placement, on the real binary.
//!
//! A scenario is a function that gets a running shop. `scenarios!` makes three tests of it: all
//! modules in one process, the same with every message encoded, and every module in a process of
//! its own. What concerns the command line alone is in `command_line`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod browsing;
mod buying;
mod certificates;
mod changing;
mod command_line;
mod failing;
mod operating;
mod restarting;
mod shopper;
mod traffic;

use std::path::Path;

use modulith_testkit::{Deployment, Placement};

const BOUTIQUE: &str = env!("CARGO_BIN_EXE_boutique");

/// A file of the boutique's configurations.
fn config(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(name)
}

fn one_process() -> Placement {
    Placement::OneProcess
}

fn encoded() -> Placement {
    Placement::Encoded
}

fn apart() -> Placement {
    Placement::File(config("every-module-apart.toml"))
}

fn start(placement: Placement) -> Deployment {
    Deployment::start(BOUTIQUE, placement)
}

/// Makes a test of each scenario in each of these placements.
macro_rules! scenarios {
    (everywhere $scenarios:tt) => {
        scenarios!(one_process $scenarios);
        scenarios!(encoded $scenarios);
        scenarios!(apart $scenarios);
    };
    ($placement:ident { $($file:ident :: $scenario:ident,)* }) => {
        mod $placement {
            $(
                #[test]
                fn $scenario() {
                    crate::$file::$scenario(crate::start(crate::$placement()));
                }
            )*
        }
    };
}

scenarios! { everywhere {
    browsing::every_page_a_shopper_can_reach_is_there,
    browsing::prices_follow_the_chosen_currency,
    browsing::what_does_not_exist_is_a_friendly_404,
    browsing::forms_that_do_not_hold_are_422_and_change_nothing,
    browsing::a_shopper_is_led_back_to_our_own_pages_only,
    buying::an_item_added_twice_gains_in_quantity,
    buying::an_emptied_cart_is_empty,
    buying::an_order_is_confirmed_shipped_and_paid_and_the_cart_emptied,
    buying::a_declined_card_says_why_and_keeps_the_cart,
    buying::a_form_with_mistakes_keeps_what_was_typed_but_never_the_card,
    buying::an_order_is_shown_again_to_the_shopper_who_placed_it_alone,
    buying::two_shoppers_have_nothing_in_common,
    buying::a_checkout_sent_twice_at_once_is_one_order,
    buying::a_form_sent_twice_at_once_or_again_is_one_order_shown_every_time,
    buying::logging_out_forgets_the_shopper,
    restarting::carts_and_orders_survive_a_stop,
    restarting::carts_and_orders_survive_a_kill,
    restarting::a_killed_process_comes_back_with_what_it_stored,
    failing::a_letter_that_cannot_be_sent_fails_no_order_and_is_sent_when_it_can_be,
    failing::a_country_we_do_not_deliver_to_is_refused_and_the_charge_given_back,
} }

mod operated {
    // What is encoded makes no difference to operators.
    scenarios!(one_process {
        operating::the_audit_holds_while_the_shop_runs_and_at_rest,
        operating::an_order_that_is_in_one_store_and_not_in_another_is_told,
        operating::orders_are_taken_from_whoever_has_the_token_alone,
    });
    scenarios!(apart {
        operating::the_audit_holds_while_the_shop_runs_and_at_rest,
        operating::an_order_that_is_in_one_store_and_not_in_another_is_told,
        operating::orders_are_taken_from_whoever_has_the_token_alone,
    });
}

mod changed {
    // There is something to be restarted alone only where processes are apart.
    scenarios!(apart {
        changing::everything_is_restarted_one_by_one_and_no_request_fails,
        changing::a_process_without_stores_is_scaled_and_no_request_fails,
        changing::a_process_with_stores_is_scaled_and_no_request_fails,
        changing::an_instance_that_is_killed_comes_back_in_its_place,
        changing::an_order_that_would_end_badly_leaves_everything_as_it_is,
        changing::orders_that_cannot_be_carried_out_are_refused_with_the_reason,
    });

    use crate::{changing, config, start};

    #[test]
    fn a_front_with_stores_is_restarted_and_no_request_fails() {
        let placement = super::Placement::File(config("checkout-apart.toml"));
        changing::a_front_with_stores_is_restarted_and_no_request_fails(start(placement));
    }

    #[test]
    fn a_process_with_everything_has_instances_that_share_its_address() {
        let (_folder, placement) = changing::everything_twice();
        changing::a_process_with_everything_has_instances_that_share_its_address(start(placement));
    }
}

// Modules that are divided: what shoppers and operators see is the same.
mod divided {
    use modulith_testkit::{Deployment, Placement};

    use crate::{BOUTIQUE, apart, buying, changing, one_process, operating, restarting};

    const DIVIDED: &str = "[module.cart]\npartitions = 4\n[module.checkout]\npartitions = 2\n\
                           [module.payment]\npartitions = 3\n";

    fn start(placement: Placement) -> Deployment {
        Deployment::start_set(BOUTIQUE, placement, DIVIDED)
    }

    #[test]
    fn an_order_is_confirmed_shipped_and_paid_and_the_cart_emptied() {
        for placement in [one_process(), apart()] {
            let shop = start(placement);
            buying::an_order_is_confirmed_shipped_and_paid_and_the_cart_emptied(shop);
        }
    }

    #[test]
    fn an_order_is_shown_again_to_the_shopper_who_placed_it_alone() {
        let shop = start(one_process());
        buying::an_order_is_shown_again_to_the_shopper_who_placed_it_alone(shop);
    }

    #[test]
    fn a_form_sent_twice_at_once_or_again_is_one_order_shown_every_time() {
        let shop = start(apart());
        buying::a_form_sent_twice_at_once_or_again_is_one_order_shown_every_time(shop);
    }

    #[test]
    fn carts_and_orders_survive_a_kill() {
        restarting::carts_and_orders_survive_a_kill(start(apart()));
    }

    #[test]
    fn partitions_move_with_the_number_of_instances_and_no_request_fails() {
        changing::partitions_move_with_the_number_of_instances_and_no_request_fails(start(apart()));
    }

    #[test]
    fn tools_know_the_partitions_and_the_books_balance_over_all_of_them() {
        for placement in [one_process(), apart()] {
            operating::tools_know_the_partitions_of_a_divided_shop(start(placement));
        }
    }
}

// What needs one module's process to hang while the others go on: in one process no module hangs
// alone.
mod apart_alone {
    use crate::{apart, failing, start};

    #[test]
    fn a_page_goes_without_ads_and_recommendations_that_hang() {
        failing::a_page_goes_without_ads_and_recommendations_that_hang(start(apart()));
    }

    #[test]
    fn an_order_whose_payment_or_checkout_is_killed_is_one_order_or_none() {
        failing::an_order_whose_payment_or_checkout_is_killed_is_one_order_or_none(start(apart()));
    }

    #[test]
    fn a_page_whose_module_hangs_is_a_503_in_time() {
        failing::a_page_whose_module_hangs_is_a_503_in_time(start(apart()));
    }
}
