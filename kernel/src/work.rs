//! One thing for a module's actor to do in a transaction, and whom to tell how it ended.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use modulith_contract::{Command, Fault, Outcome, Refusal, Stop};
use tokio::sync::oneshot;

use crate::{Handle, Tx, inbox, instance::Instance, port::Meta};

/// A transaction waiting for its turn in a batch.
pub(crate) trait Work: Send {
    /// The id of the message that caused it.
    fn cause(&self) -> u128;

    /// Does it. False leaves nothing behind.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;

    /// Tells whoever waits that it ended: durably, or by a fault.
    fn settle(self: Box<Self>, end: Result<(), Fault>);

    /// Whether a panic in it counts towards stopping the module. An event that is tried again
    /// and again must not stop everything else.
    fn counts(&self) -> bool {
        true
    }
}

/// A command on its way through [`Handle::handle`].
pub(crate) struct CommandWork<M: Handle<C>, C: Command> {
    instance: Arc<Instance<M>>,
    command: Option<C>,
    /// By which it is known again when it comes again; none when it cannot.
    digest: Option<u128>,
    meta: Meta,
    outcome: Option<Outcome<C>>,
    /// Taken when the outcome is told.
    reply: Option<oneshot::Sender<Outcome<C>>>,
}

impl<M: Handle<C>, C: Command> CommandWork<M, C> {
    pub(crate) fn new(
        instance: Arc<Instance<M>>,
        command: C,
        digest: Option<u128>,
        meta: Meta,
    ) -> (Self, oneshot::Receiver<Outcome<C>>) {
        let (reply, receiver) = oneshot::channel();
        let work = Self {
            instance,
            command: Some(command),
            digest,
            meta,
            outcome: None,
            reply: Some(reply),
        };
        (work, receiver)
    }

    /// The command, whose turn it is.
    fn take(&mut self) -> Option<C> {
        let command = self.command.take()?;
        self.instance.home.left_line();
        Some(command)
    }
}

impl<M: Handle<C>, C: Command> Drop for CommandWork<M, C> {
    /// It may never have had its turn.
    fn drop(&mut self) {
        self.take();
    }
}

impl<M: Handle<C>, C: Command> CommandWork<M, C> {
    fn handle(&self, command: C, tx: &mut Tx<'_>) -> Outcome<C> {
        self.instance.home.counters.commands.fetch_add(1, Relaxed);
        self.instance.current().handle(command, tx)
    }

    /// Handles a command unless it came before, and keeps what it came to: a refusal too, for
    /// the second time must not end otherwise than the first. A fault is no outcome.
    fn handle_once(
        &self,
        command: C,
        digest: u128,
        tx: &mut Tx<'_>,
    ) -> Result<(Outcome<C>, bool), Fault> {
        let id = self.meta.id;
        if let Some(earlier) = inbox::earlier::<C>(tx, id, digest)? {
            return Ok((earlier, false));
        }
        let outcome = self.handle(command, tx);
        match &outcome {
            Ok(_) => {}
            Err(Stop::Refused(_)) => tx.forget(),
            Err(Stop::Fault(_)) => return Ok((outcome, false)),
        }
        inbox::settle::<C>(tx, id, digest, &outcome, &self.instance.home.options)?;
        Ok((outcome, true))
    }
}

impl<M: Handle<C>, C: Command> Work for CommandWork<M, C> {
    fn cause(&self) -> u128 {
        self.meta.id
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(command) = self.take() else {
            return false;
        };
        // Nobody waits any more: drop it before it touches the store.
        if self.reply.as_ref().is_none_or(oneshot::Sender::is_closed) || self.meta.is_late() {
            self.outcome = Some(Err(Fault::Late.into()));
            return false;
        }
        let (outcome, keep) = match self.digest {
            None => {
                let outcome = self.handle(command, tx);
                let keep = outcome.is_ok();
                (outcome, keep)
            }
            Some(digest) => self
                .handle_once(command, digest, tx)
                .unwrap_or_else(|fault| (Err(fault.into()), false)),
        };
        self.outcome = Some(outcome);
        keep
    }

    fn settle(mut self: Box<Self>, end: Result<(), Fault>) {
        let outcome = match end {
            Ok(()) => self.outcome.take().expect("a settled command was run"),
            Err(fault) => Err(fault.into()),
        };
        if let Some(reply) = self.reply.take() {
            // The asker may have given up; the command has still taken effect.
            _ = reply.send(outcome);
        }
    }
}

/// A change that a flow or the kernel itself makes.
pub(crate) struct ChangeWork<F, T, R> {
    change: Option<F>,
    meta: Meta,
    outcome: Option<Result<T, Stop<R>>>,
    reply: oneshot::Sender<Result<T, Stop<R>>>,
}

impl<F, T, R> ChangeWork<F, T, R> {
    pub(crate) fn new(meta: Meta, change: F) -> (Self, oneshot::Receiver<Result<T, Stop<R>>>) {
        let (reply, receiver) = oneshot::channel();
        (
            Self {
                change: Some(change),
                meta,
                outcome: None,
                reply,
            },
            receiver,
        )
    }
}

impl<F, T, R> Work for ChangeWork<F, T, R>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, Stop<R>> + Send,
    T: Send,
    R: Refusal,
{
    fn cause(&self) -> u128 {
        self.meta.id
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(change) = self.change.take() else {
            return false;
        };
        let outcome = if self.meta.is_late() {
            Err(Fault::Late.into())
        } else {
            change(tx)
        };
        let keep = outcome.is_ok();
        self.outcome = Some(outcome);
        keep
    }

    fn settle(self: Box<Self>, end: Result<(), Fault>) {
        let outcome = match end {
            Ok(()) => self.outcome.expect("a settled change was run"),
            Err(fault) => Err(fault.into()),
        };
        _ = self.reply.send(outcome);
    }
}
