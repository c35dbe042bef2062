//! The module: takes a letter on, delivers it, then notes that it was sent.

use email_contract::SendConfirmation;
use lettre::message::Mailbox;
use modulith_kernel::{
    Conduct, Declaration, Fault, Flow, Module, Never, Outcome, Setup, SetupError, Stop, Tx,
};
use tokio::sync::Semaphore;

use crate::{EmailSettings, delivery::Delivery, letter, store};

/// How many letters are delivered at once; so also how many connections a mail server sees.
const DELIVERIES_MAX: usize = 8;

/// The email module.
pub struct Email {
    from: Mailbox,
    delivery: Delivery,
    deliveries: Semaphore,
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
            deliveries: Semaphore::new(DELIVERIES_MAX),
        })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.conducts::<SendConfirmation>();
    }
}

/// Whoever asks is told as soon as the letter is taken on; it is delivered however long that takes.
impl Conduct<SendConfirmation> for Email {
    async fn conduct(&self, command: SendConfirmation, flow: &Flow) -> Outcome<SendConfirmation> {
        let SendConfirmation { to, order } = command;
        let id = order.id.clone();
        let letter = letter::write(&self.from, &to, &order, flow.now())?;
        let claim = {
            let id = id.clone();
            move |tx: &mut Tx<'_>| Ok::<_, Stop<Never>>(store::take_on(tx, &id)?)
        };
        let is_first = infallible(flow.commit("claim", claim).await);
        flow.reply::<SendConfirmation>(()).await?;
        if !is_first {
            return Ok(());
        }
        let deliver = || async {
            // Never closed, so what is missing could only be the whole module.
            let _one_of_few = self.deliveries.acquire().await.map_err(|_| Fault::Late)?;
            self.delivery.deliver(&id, &letter).await
        };
        flow.run("deliver", deliver).await?;
        tracing::info!(order = %id, "confirmation sent");
        let note = move |tx: &mut Tx<'_>| Ok::<_, Stop<Never>>(store::note_sent(tx, &id)?);
        infallible(flow.commit("note sent", note).await);
        Ok(())
    }
}

fn infallible<T>(committed: Result<T, Never>) -> T {
    match committed {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
