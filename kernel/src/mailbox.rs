//! The way into a module's actor, for those who must not know of actix.

use actix::{Addr, prelude::SendError};
use modulith_contract::{Fault, Refusal, Stop};
use tokio::{sync::oneshot, time::timeout_at};

use crate::{
    Tx,
    actor::{Job, ModuleActor},
    faults,
    port::Meta,
    work::{ChangeWork, Work},
};

pub(crate) struct Mailbox {
    /// What its faults name.
    name: String,
    actor: Addr<ModuleActor>,
}

impl Mailbox {
    pub(crate) fn new(name: String, actor: Addr<ModuleActor>) -> Self {
        Self { name, actor }
    }

    /// Puts work into the mailbox, or refuses it when the mailbox is full.
    pub(crate) fn push(&self, work: Box<dyn Work>) -> Result<(), Fault> {
        self.actor
            .try_send(Job::Work(work))
            .map_err(|error| match error {
                SendError::Full(_) => faults::overloaded(&self.name),
                SendError::Closed(_) => faults::stopped(&self.name, "it is shutting down"),
            })
    }

    /// Puts work into the mailbox, waiting for a place in a full one.
    pub(crate) async fn push_waiting(&self, work: Box<dyn Work>) -> Result<(), Fault> {
        let sent = self.actor.send(Job::Work(work)).await;
        sent.map_err(|_| faults::stopped(&self.name, "it is shutting down"))
    }

    /// Runs a change in a transaction of the module and waits until it is durable, however long
    /// that takes.
    pub(crate) async fn transact_waiting<T, R, F>(
        &self,
        meta: Meta,
        change: F,
    ) -> Result<T, Stop<R>>
    where
        T: Send + 'static,
        R: Refusal,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + 'static,
    {
        let (work, reply) = ChangeWork::new(meta, change);
        self.push_waiting(Box::new(work)).await?;
        reply.await.unwrap_or_else(|_| Err(self.stopped().into()))
    }

    /// Waits for the end of work that was pushed.
    pub(crate) async fn wait<T, R>(
        &self,
        reply: oneshot::Receiver<Result<T, Stop<R>>>,
        deadline: tokio::time::Instant,
    ) -> Result<T, Stop<R>> {
        match timeout_at(deadline, reply).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(self.stopped().into()),
            Err(_) => Err(Fault::Late.into()),
        }
    }

    fn stopped(&self) -> Fault {
        faults::stopped(&self.name, "it stopped before it replied")
    }

    /// Lets the actor finish what waits, and stops it.
    pub(crate) async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        // `send` waits for a place in a full mailbox; an actor already gone has nothing to finish.
        if self.actor.send(Job::Stop(done)).await.is_ok() {
            _ = stopped.await;
        }
    }
}
