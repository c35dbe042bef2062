//! The boutique: names its modules; where each runs is the configuration's to say.

use std::process::ExitCode;

use modulith::App;

fn main() -> ExitCode {
    App::new("boutique")
        .pages::<storefront::Storefront>()
        .module::<catalog::Catalog>()
        .module::<currency::Currency>()
        .module::<cart::Cart>()
        .module::<recommendation::Recommendation>()
        .module::<ad::Ad>()
        .module::<checkout::Checkout>()
        .module::<payment::Payment>()
        .module::<shipping::Shipping>()
        .module::<email::Email>()
        // Each order is paid once, shipped once and confirmed once; what is not ordered is neither.
        .balance(&["orders", "charges", "shipments", "letters"])
        .main()
}
