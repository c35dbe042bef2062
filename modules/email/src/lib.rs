//! Email: the letter that confirms an order.
//!
//! In reading order: `rules` writes the letter's text, `letter` puts it into an envelope (RFC
//! 5322), `delivery` takes it to a folder or to a mail server as `settings` say, `store` notes what
//! was taken on and sent, and `module` does it all in turn.

mod delivery;
mod letter;
mod module;
mod rules;
mod settings;
mod store;

pub use module::Email;
pub use settings::EmailSettings;
