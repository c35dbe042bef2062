//! Commands that may come again, and what they were told the first time.
//!
//! A command that comes from another process, from a flow or under an idempotency key has an id
//! that stays the same however often it is sent. Its outcome is kept under that id, in the commit
//! of its effect, and is all that the same command gets when it comes again. What came in one
//! piece from this very process cannot come again and is not kept.

use modulith_contract::{Fault, Outcome, Request, Stop};
use serde::{Deserialize, Serialize};

use crate::{MessageName, Options, Table, Tx, codec, expiry, faults};

/// The outcomes of commands that may come again, by the command's id. Removed by `expiry`.
pub(crate) const INBOX: Table<u128, Settled> = Table::new("modulith.inbox");

/// A command that was settled.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Settled {
    name: String,
    digest: u128,
    outcome: Vec<u8>,
}

/// What a command was told when it came before; none when it did not.
///
/// # Errors
/// [`Fault::KeyReused`] when what came under the id was not this command.
pub(crate) fn earlier<C: Request>(
    tx: &Tx<'_>,
    id: u128,
    digest: u128,
) -> Result<Option<Outcome<C>>, Fault> {
    let Some(settled) = tx.get(&INBOX, &id)? else {
        return Ok(None);
    };
    same::<C>(&settled.name, settled.digest, digest)?;
    outcome::<C>(&settled.outcome).map(Some)
}

/// Keeps what a command was told, in the commit of its effect.
pub(crate) fn settle<C: Request>(
    tx: &mut Tx<'_>,
    id: u128,
    digest: u128,
    outcome: &Outcome<C>,
    options: &Options,
) -> Result<(), Fault> {
    let settled = Settled {
        name: C::NAME.to_string(),
        digest,
        outcome: codec::encode_kept(outcome).map_err(|e| faults::unencodable::<C>(&e))?,
    };
    tx.put(&INBOX, &id, &settled)?;
    expiry::after(tx, options.replies_kept(), id, expiry::Kind::Reply)
}

/// Digests a command so that it is known again.
pub(crate) fn digest<C: Request>(command: &C) -> Result<u128, Fault> {
    let bytes = codec::encode_kept(command).map_err(|e| faults::unencodable::<C>(&e))?;
    Ok(codec::digest(&[&bytes]))
}

/// Checks that a command is the one that came before under its id.
pub(crate) fn same<C: Request>(name: &str, earlier: u128, now: u128) -> Result<(), Fault> {
    if name == C::NAME && earlier == now {
        return Ok(());
    }
    Err(Fault::KeyReused {
        message: MessageName::of::<C>().to_string(),
    })
}

/// Reads a kept outcome.
pub(crate) fn outcome<C: Request>(bytes: &[u8]) -> Result<Outcome<C>, Fault> {
    codec::decode::<Result<C::Reply, Stop<C::Refusal>>>(bytes)
        .map_err(|error| faults::malformed::<C>(&error))
}
