//! Dead letters: events whose handler failed too often, kept in the subscriber's store until
//! somebody has them handled after all, or drops them.

use std::{ops::ControlFlow, sync::Arc};

use futures_util::future::BoxFuture;
use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{
    Event, Module, Node, Record, Snapshot, Tx, codec,
    declaration::Listened,
    faults,
    follow::{EventWork, Turn, cursor_at},
    instance::Instance,
    log::LISTED_BYTES_MAX,
    partition,
    store::{CURSORS, Table},
};

/// How many dead letters are listed at most, the oldest first.
pub const DEAD_LETTERS_LISTED_MAX: usize = 1000;

/// How much of an error is kept, in characters.
const ERROR_CHARACTERS_MAX: usize = 500;

/// By publisher and number.
const DEAD: Table<(String, u64), Row> = Table::new("modulith.dead");

/// A dead letter in its store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) record: Record,
    error: String,
    attempts: u32,
    first_failed: Timestamp,
    last_failed: Timestamp,
}

/// An event whose handler failed too often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Who published it, with its partition where there are several: `checkout/1`.
    pub publisher: String,
    /// Its number in the publisher's log.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// When it was published.
    pub at: Timestamp,
    /// The id of the message that caused it, in hexadecimal digits.
    pub cause: String,
    /// The event, as JSON text.
    pub body: String,
    /// What its handler said the last time.
    pub error: String,
    /// How often it was tried: in the run that parked it, and since.
    pub attempts: u32,
    /// When the first of these tries failed.
    pub first_failed: Timestamp,
    /// When the last of them failed.
    pub last_failed: Timestamp,
}

/// Why a dead letter cannot be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// There is no such letter: it may have been dealt with meanwhile.
    #[error("module {module} has no dead letter {number} of {publisher}")]
    NotThere {
        /// The subscriber.
        module: String,
        /// The publisher.
        publisher: String,
        /// The number of the event.
        number: u64,
    },
    /// Its handler failed again; the letter stays.
    #[error("the handler failed again")]
    Failed(#[source] Fault),
    /// The module does not run here, or cannot commit.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What is known of an event that failed.
pub(crate) struct Failure {
    pub(crate) fault: Fault,
    pub(crate) attempts: u32,
    pub(crate) first_failed: Timestamp,
}

/// Puts an event among the dead letters and moves the subscription past it.
pub(crate) fn park(
    tx: &mut Tx<'_>,
    publisher: &str,
    previous: u64,
    number: u64,
    record: Record,
    failure: Failure,
) -> Result<(), Fault> {
    let mut cursor = cursor_at(tx, publisher, previous)?;
    let publisher = publisher.to_string();
    cursor.position = number;
    cursor.parked += 1;
    tx.put(&CURSORS, &publisher, &cursor)?;
    let row = Row {
        record,
        error: shortened(&failure.fault),
        attempts: failure.attempts,
        first_failed: failure.first_failed,
        last_failed: tx.now(),
    };
    tx.put(&DEAD, &(publisher, number), &row)
}

/// Takes a letter out, handled or dropped. False when there is none.
pub(crate) fn take(
    tx: &mut Tx<'_>,
    publisher: &str,
    number: u64,
    handled: bool,
) -> Result<bool, Fault> {
    let key = (publisher.to_string(), number);
    if tx.get(&DEAD, &key)?.is_none() {
        return Ok(false);
    }
    tx.remove(&DEAD, &key);
    let mut cursor = tx.get(&CURSORS, &key.0)?.unwrap_or_default();
    cursor.parked = cursor.parked.saturating_sub(1);
    if handled {
        cursor.applied += 1;
    } else {
        cursor.dropped += 1;
    }
    tx.put(&CURSORS, &key.0, &cursor)?;
    Ok(true)
}

/// The publisher and number of every dead letter.
pub(crate) fn keys(snapshot: &Snapshot) -> Result<Vec<(String, u64)>, Fault> {
    let mut keys = Vec::new();
    snapshot.keys(&DEAD, |key| keys.push(key))?;
    Ok(keys)
}

impl Snapshot {
    /// The events of a kind that are dead letters of this module: published, and not handled yet.
    /// For [`Module::ledger`], which enters what they are about as pending.
    ///
    /// # Errors
    /// [`Fault::Store`] when the disk fails, [`Fault::Malformed`] when an event cannot be read.
    pub fn parked_events<E: Event>(&self) -> Result<Vec<E>, Fault> {
        let rows = self.range(&DEAD, .., usize::MAX)?;
        let named = rows.iter().filter(|((source, _), row)| {
            partition::named(source).0 == E::MODULE && row.record.name == E::NAME
        });
        named
            .map(|(_, row)| {
                codec::decode(&row.record.body).map_err(|error| faults::malformed::<E>(&error))
            })
            .collect()
    }
}

fn shortened(fault: &Fault) -> String {
    fault
        .to_string()
        .chars()
        .take(ERROR_CHARACTERS_MAX)
        .collect()
}

/// The dead letters of one module, whatever its type.
pub(crate) trait Letters: Send + Sync {
    /// Hands a letter to its handler again.
    fn retry<'a>(
        &'a self,
        publisher: &'a str,
        number: u64,
    ) -> BoxFuture<'a, Result<(), DeadLetterError>>;

    /// A letter's event for people.
    fn print(&self, publisher: &str, record: &Record) -> String;
}

pub(crate) struct LettersOf<M: Module> {
    pub(crate) instance: Arc<Instance<M>>,
    pub(crate) listened: Arc<Vec<Listened<M>>>,
}

impl<M: Module> LettersOf<M> {
    async fn try_again(&self, publisher: &str, number: u64) -> Result<(), DeadLetterError> {
        let home = &self.instance.home;
        let key = (publisher.to_string(), number);
        let not_there = || not_there(home.name(), publisher, number);
        let row = home.store()?.snapshot()?.get(&DEAD, &key)?;
        let record = row.ok_or_else(not_there)?.record;
        let listens = |event: &&Listened<M>| event.is(publisher, &record.name);
        let Some(event) = self.listened.iter().find(listens) else {
            let message = format!("the event {publisher}.{}", record.name);
            let caller = home.name().to_string();
            return Err(DeadLetterError::Failed(Fault::Denied { caller, message }));
        };
        let mine = self.instance.home.partition;
        let owner = (event.partition)(&record.body, mine.count());
        let (done, end) = oneshot::channel();
        let work = EventWork {
            instance: self.instance.clone(),
            listened: self.listened.clone(),
            source: publisher.into(),
            turn: Turn::Again,
            others: 0,
            own: owner == mine.index(),
            number,
            record,
            handled: Err((Fault::Late, false)),
            done,
        };
        home.mailbox()?.push(Box::new(work))?;
        let failed = match end.await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => return Err(not_there()),
            Ok(Err(failed)) => failed,
            Err(_) => return Err(faults::stopped(home.name(), "it stopped").into()),
        };
        if !failed.of_handler {
            return Err(failed.fault.into());
        }
        let error = shortened(&failed.fault);
        let noted = home.transact(move |tx| {
            if let Some(mut row) = tx.get(&DEAD, &key)? {
                row.error = error;
                row.attempts = row.attempts.saturating_add(1);
                row.last_failed = tx.now();
                tx.put(&DEAD, &key, &row)?;
            }
            Ok(())
        });
        noted.await?;
        Err(DeadLetterError::Failed(failed.fault))
    }
}

impl<M: Module> Letters for LettersOf<M> {
    fn retry<'a>(
        &'a self,
        publisher: &'a str,
        number: u64,
    ) -> BoxFuture<'a, Result<(), DeadLetterError>> {
        Box::pin(self.try_again(publisher, number))
    }

    fn print(&self, publisher: &str, record: &Record) -> String {
        let listens = |event: &&Listened<M>| event.is(publisher, &record.name);
        let print = self.listened.iter().find(listens).map(|event| event.print);
        crate::log::printed(print, &record.body)
    }
}

fn letter(letters: &dyn Letters, publisher: String, number: u64, row: Row) -> DeadLetter {
    DeadLetter {
        body: letters.print(&publisher, &row.record),
        publisher,
        number,
        name: row.record.name,
        at: row.record.at,
        cause: format!("{:032x}", row.record.cause),
        error: row.error,
        attempts: row.attempts,
        first_failed: row.first_failed,
        last_failed: row.last_failed,
    }
}

fn not_there(module: &str, publisher: &str, number: u64) -> DeadLetterError {
    DeadLetterError::NotThere {
        module: module.to_string(),
        publisher: publisher.to_string(),
        number,
    }
}

impl Node {
    /// The dead letters of a module, by publisher and number: at most
    /// [`DEAD_LETTERS_LISTED_MAX`], and fewer when they are large. How many there are is in its
    /// status.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] when the module does not run in this node, [`Fault::Store`] when
    /// its disk fails.
    pub fn dead_letters(&self, module: &str) -> Result<Vec<DeadLetter>, Fault> {
        let (home, tools) = self.tools(module)?;
        let mut letters = Vec::new();
        let mut bytes_left = LISTED_BYTES_MAX;
        let snapshot = home.store()?.snapshot()?;
        snapshot.walk(&DEAD, .., |(publisher, number), row, bytes| {
            letters.push(letter(tools.letters.as_ref(), publisher, number, row));
            bytes_left = bytes_left.saturating_sub(bytes);
            if letters.len() == DEAD_LETTERS_LISTED_MAX || bytes_left == 0 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(letters)
    }

    /// One dead letter; none when there is no such letter.
    ///
    /// # Errors
    /// As [`Node::dead_letters`].
    pub fn dead_letter(
        &self,
        module: &str,
        publisher: &str,
        number: u64,
    ) -> Result<Option<DeadLetter>, Fault> {
        let (home, tools) = self.tools(module)?;
        let key = (publisher.to_string(), number);
        let row = home.store()?.snapshot()?.get(&DEAD, &key)?;
        Ok(row.map(|row| letter(tools.letters.as_ref(), key.0, number, row)))
    }

    /// Hands a dead letter to its handler again, in turn with the module's other messages. Its
    /// effect and its leaving the dead letters are one commit, so that it is handled once.
    ///
    /// It is handled out of order: events behind it were handled before.
    ///
    /// # Errors
    /// [`DeadLetterError`]; unless it is `NotThere`, the letter is still there.
    pub async fn retry_dead(
        &self,
        module: &str,
        publisher: &str,
        number: u64,
    ) -> Result<(), DeadLetterError> {
        let (_, tools) = self.tools(module)?;
        tools.letters.retry(publisher, number).await
    }

    /// Drops a dead letter: it is never handled. The status counts it as dropped.
    ///
    /// # Errors
    /// [`DeadLetterError`]; unless it is `NotThere`, the letter is still there.
    pub async fn drop_dead(
        &self,
        module: &str,
        publisher: &str,
        number: u64,
    ) -> Result<(), DeadLetterError> {
        let (home, _) = self.tools(module)?;
        let named = publisher.to_string();
        let taken = home.transact(move |tx| take(tx, &named, number, false));
        if taken.await? {
            Ok(())
        } else {
            Err(not_there(module, publisher, number))
        }
    }
}
