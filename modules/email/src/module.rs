//! The module: writes a letter, delivers it, then notes that it was sent.

use email_contract::SendConfirmation;
use lettre::message::Mailbox;
use modulith_kernel::{Conduct, Context, Declaration, Module, Outcome, Setup, SetupError};

use crate::{EmailSettings, delivery::Delivery, lanes::Lanes, letter, store};

/// The email module.
pub struct Email {
    from: Mailbox,
    delivery: Delivery,
    lanes: Lanes,
}

impl Module for Email {
    const NAME: &'static str = "email";
    type Settings = EmailSettings;

    fn new(settings: &EmailSettings, setup: &Setup) -> Result<Self, SetupError> {
        let from = settings.sender()?;
        let delivery = settings.delivery(&from, setup)?;
        Ok(Self {
            from,
            delivery,
            lanes: Lanes::default(),
        })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.conducts::<SendConfirmation>();
    }
}

impl Conduct<SendConfirmation> for Email {
    async fn conduct(
        &self,
        command: SendConfirmation,
        context: &Context,
    ) -> Outcome<SendConfirmation> {
        let SendConfirmation { to, order } = command;
        let mut lane = self.lanes.enter(&order.id).await?;
        if store::is_sent(&context.snapshot()?, &order.id)? {
            return Ok(());
        }
        if lane.delivered.as_ref() != Some(&order.id) {
            let letter = letter::write(&self.from, &to, &order, context.now())?;
            self.delivery.deliver(&order.id, &letter).await?;
            lane.delivered = Some(order.id.clone());
            tracing::info!(order = %order.id, "confirmation sent");
        }
        context
            .commit(move |tx| Ok(store::note_sent(tx, &order.id)?))
            .await
    }
}
