//! The module itself: what it declares, and how each message is handled.

use modulith_kernel::{
    Answer, Context, Declaration, Handle, Module, Outcome, Setup, SetupError, Tx,
};
use payment_contract::{Charge, ChargeRefusal, ChargeState, FindCharge, Refund};

use crate::{
    rules,
    store::{CHARGES, StoredCharge, Transaction},
};

/// Charges cards, and gives charges back.
#[derive(Debug)]
pub struct Payment;

impl Module for Payment {
    const NAME: &'static str = "payment";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<Charge>()
            .handles::<Refund>()
            .answers::<FindCharge>();
    }
}

/// A reference already charged returns its transaction before anything else of the message is
/// looked at: its amount may differ and its card may have expired meanwhile, and still there was
/// one charge and this is its number. A refused charge leaves the reference free for another card.
impl Handle<Charge> for Payment {
    fn handle(&self, command: Charge, tx: &mut Tx<'_>) -> Outcome<Charge> {
        let Charge {
            reference,
            amount,
            card,
        } = command;
        match tx.get(&CHARGES, &reference)? {
            Some(StoredCharge::Charged(transaction)) => return Ok(transaction.id),
            Some(StoredCharge::Refunded { .. }) => {
                return Err(ChargeRefusal::Refunded { reference }.into());
            }
            None => {}
        }
        let card = card.reveal().ok_or(ChargeRefusal::CardWithheld)?;
        rules::check(&amount, card, tx.now().year_and_month())?;
        let id = rules::transaction_id(tx.random_u128());
        let transaction = Transaction::new(id.clone(), &amount, card.number.last_four(), tx.now());
        tx.put(&CHARGES, &reference, &StoredCharge::Charged(transaction))?;
        Ok(id)
    }
}

impl Handle<Refund> for Payment {
    fn handle(&self, command: Refund, tx: &mut Tx<'_>) -> Outcome<Refund> {
        let transaction = match tx.get(&CHARGES, &command.reference)? {
            Some(StoredCharge::Refunded { .. }) => return Ok(()),
            Some(StoredCharge::Charged(transaction)) => Some(transaction),
            None => None,
        };
        let refunded = StoredCharge::Refunded {
            transaction,
            at: tx.now(),
        };
        Ok(tx.put(&CHARGES, &command.reference, &refunded)?)
    }
}

impl Answer<FindCharge> for Payment {
    async fn answer(&self, query: FindCharge, context: &Context) -> Outcome<FindCharge> {
        let stored = context.snapshot()?.get(&CHARGES, &query.reference)?;
        Ok(stored.map(ChargeState::try_from).transpose()?)
    }
}
