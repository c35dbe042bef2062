//! Actors within a process: actix, ractor and kameo, each asked as its documentation says.
//!
//! For a query the actor lives on the callers' own thread, the fastest place for it. For a command
//! it lives on a thread of its own, as a module with a store does.

use std::sync::Arc;
use std::thread;

use actix::{Actor as _, Addr, Handler};
use kameo::actor::Spawn as _;
use tokio::sync::oneshot;

use super::echo::{add, repeat};
use super::ours::same;
use crate::error::Error;
use crate::load::Contender;

/// How many messages wait for an actix or kameo actor at most: more than there are callers.
const MAILBOX_MESSAGES_MAX: usize = 4096;

/// An actor library: how one of its actors is started and asked.
pub(crate) trait Library: Send + Sync + 'static {
    /// The name in reports.
    const WHO: &'static str;
    /// Whether its actors live in an actix system.
    const ON_ACTIX: bool = false;
    /// The way to one actor.
    type Actor: Clone + Send + Sync + 'static;

    /// Starts an actor on this thread's runtime.
    fn start() -> impl Future<Output = Result<Self::Actor, Error>> + Send;

    /// Asks for the same text back.
    fn repeat(
        actor: &Self::Actor,
        text: String,
    ) -> impl Future<Output = Result<String, Error>> + Send;

    /// Asks to add to the sum.
    fn add(actor: &Self::Actor, amount: u64) -> impl Future<Output = Result<u64, Error>> + Send;
}

/// Asks an actor on the callers' thread for a text.
pub(crate) struct Queries<L: Library> {
    actor: Arc<tokio::sync::Mutex<Option<L::Actor>>>,
    text: Arc<str>,
}

impl<L: Library> Queries<L> {
    pub(crate) fn new(bytes: usize) -> Self {
        Self {
            actor: Arc::default(),
            text: "x".repeat(bytes).into(),
        }
    }
}

impl<L: Library> Clone for Queries<L> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
            text: self.text.clone(),
        }
    }
}

impl<L: Library> Contender for Queries<L> {
    type Caller = (L::Actor, Arc<str>);

    const ON_ACTIX: bool = L::ON_ACTIX;

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        let mut actor = self.actor.lock().await;
        // The actor of the window before ended with its runtime.
        if number == 0 {
            *actor = None;
        }
        let actor = match &*actor {
            Some(actor) => actor.clone(),
            None => actor.insert(L::start().await?).clone(),
        };
        Ok((actor, self.text.clone()))
    }

    async fn once((actor, text): &mut Self::Caller) -> Result<(), Error> {
        let reply = L::repeat(actor, text.as_ref().to_owned()).await?;
        same(L::WHO, &reply, text)
    }
}

/// Asks an actor on another thread to add.
pub(crate) struct Commands<L: Library> {
    actor: L::Actor,
}

impl<L: Library> Commands<L> {
    /// Starts the actor on a thread that lasts as long as the process.
    pub(crate) async fn start() -> Result<Self, Error> {
        let (sender, started) = oneshot::channel();
        let live = move || {
            let begin = async {
                // Nobody waits for it once the run was interrupted.
                _ = sender.send(L::start().await);
                std::future::pending::<()>().await;
            };
            if L::ON_ACTIX {
                actix_rt::System::new().block_on(begin);
            } else if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
                runtime.block_on(begin);
            }
        };
        thread::Builder::new()
            .name(L::WHO.to_owned())
            .spawn(live)
            .map_err(Error::io("start a thread for an actor"))?;
        let actor = started
            .await
            .map_err(Error::of(L::WHO, "start an actor"))??;
        Ok(Self { actor })
    }
}

impl<L: Library> Clone for Commands<L> {
    fn clone(&self) -> Self {
        Self {
            actor: self.actor.clone(),
        }
    }
}

impl<L: Library> Contender for Commands<L> {
    type Caller = L::Actor;

    async fn caller(&self, _: u16) -> Result<L::Actor, Error> {
        Ok(self.actor.clone())
    }

    async fn once(actor: &mut L::Actor) -> Result<(), Error> {
        L::add(actor, 1).await.map(drop)
    }
}

/// The actor of every library: it keeps a sum.
#[derive(Default)]
pub(crate) struct Keeper {
    sum: u64,
}

struct Repeat(String);

struct Add(u64);

/// actix.
pub(crate) struct Actix;

impl actix::Actor for Keeper {
    type Context = actix::Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MESSAGES_MAX);
    }
}

impl actix::Message for Repeat {
    type Result = String;
}

impl actix::Message for Add {
    type Result = u64;
}

impl Handler<Repeat> for Keeper {
    type Result = String;

    fn handle(&mut self, message: Repeat, _: &mut Self::Context) -> String {
        repeat(message.0)
    }
}

impl Handler<Add> for Keeper {
    type Result = u64;

    fn handle(&mut self, message: Add, _: &mut Self::Context) -> u64 {
        self.sum = add(self.sum, message.0);
        self.sum
    }
}

impl Library for Actix {
    const WHO: &'static str = "actix";
    const ON_ACTIX: bool = true;
    type Actor = Addr<Keeper>;

    async fn start() -> Result<Addr<Keeper>, Error> {
        Ok(Keeper::default().start())
    }

    async fn repeat(actor: &Addr<Keeper>, text: String) -> Result<String, Error> {
        let reply = actor.send(Repeat(text)).await;
        reply.map_err(Error::of(Self::WHO, "answer"))
    }

    async fn add(actor: &Addr<Keeper>, amount: u64) -> Result<u64, Error> {
        let reply = actor.send(Add(amount)).await;
        reply.map_err(Error::of(Self::WHO, "answer"))
    }
}

/// ractor.
pub(crate) struct Ractor;

/// What a ractor actor is sent.
pub(crate) enum Asked {
    Repeat(String, ractor::RpcReplyPort<String>),
    Add(u64, ractor::RpcReplyPort<u64>),
}

/// The actor whose state is a [`Keeper`].
struct Keeping;

impl ractor::Actor for Keeping {
    type Msg = Asked;
    type State = Keeper;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<Asked>,
        (): (),
    ) -> Result<Keeper, ractor::ActorProcessingErr> {
        Ok(Keeper::default())
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<Asked>,
        message: Asked,
        state: &mut Keeper,
    ) -> Result<(), ractor::ActorProcessingErr> {
        // Whoever asked may be gone.
        match message {
            Asked::Repeat(text, reply) => _ = reply.send(repeat(text)),
            Asked::Add(amount, reply) => {
                state.sum = add(state.sum, amount);
                _ = reply.send(state.sum);
            }
        }
        Ok(())
    }
}

impl Ractor {
    async fn ask<T: Send + 'static>(
        actor: &ractor::ActorRef<Asked>,
        message: impl FnOnce(ractor::RpcReplyPort<T>) -> Asked + Send,
    ) -> Result<T, Error> {
        let reply = actor.call(message, None).await;
        match reply.map_err(|error| Error::of(Self::WHO, "answer")(error.to_string()))? {
            ractor::rpc::CallResult::Success(reply) => Ok(reply),
            _ => Err(Error::WrongReply(Self::WHO)),
        }
    }
}

impl Library for Ractor {
    const WHO: &'static str = "ractor";
    type Actor = ractor::ActorRef<Asked>;

    async fn start() -> Result<Self::Actor, Error> {
        let started = ractor::Actor::spawn(None, Keeping, ()).await;
        let (actor, _) = started.map_err(Error::of(Self::WHO, "start an actor"))?;
        Ok(actor)
    }

    async fn repeat(actor: &Self::Actor, text: String) -> Result<String, Error> {
        Self::ask(actor, |reply| Asked::Repeat(text, reply)).await
    }

    async fn add(actor: &Self::Actor, amount: u64) -> Result<u64, Error> {
        Self::ask(actor, |reply| Asked::Add(amount, reply)).await
    }
}

/// kameo.
pub(crate) struct Kameo;

/// The actor, which kameo wants to be its own state.
pub(crate) struct KameoKeeper(Keeper);

impl kameo::Actor for KameoKeeper {
    type Args = ();
    type Error = kameo::error::Infallible;

    async fn on_start((): (), _: kameo::actor::ActorRef<Self>) -> Result<Self, Self::Error> {
        Ok(Self(Keeper::default()))
    }
}

impl kameo::message::Message<Repeat> for KameoKeeper {
    type Reply = String;

    async fn handle(
        &mut self,
        message: Repeat,
        _: &mut kameo::message::Context<Self, String>,
    ) -> String {
        repeat(message.0)
    }
}

impl kameo::message::Message<Add> for KameoKeeper {
    type Reply = u64;

    async fn handle(&mut self, message: Add, _: &mut kameo::message::Context<Self, u64>) -> u64 {
        self.0.sum = add(self.0.sum, message.0);
        self.0.sum
    }
}

impl Library for Kameo {
    const WHO: &'static str = "kameo";
    type Actor = kameo::actor::ActorRef<KameoKeeper>;

    async fn start() -> Result<Self::Actor, Error> {
        let mailbox = kameo::mailbox::bounded(MAILBOX_MESSAGES_MAX);
        Ok(KameoKeeper::spawn_with_mailbox((), mailbox))
    }

    async fn repeat(actor: &Self::Actor, text: String) -> Result<String, Error> {
        let reply = actor.ask(Repeat(text)).await;
        reply.map_err(|error| Error::of(Self::WHO, "answer")(error.to_string()))
    }

    async fn add(actor: &Self::Actor, amount: u64) -> Result<u64, Error> {
        let reply = actor.ask(Add(amount)).await;
        reply.map_err(|error| Error::of(Self::WHO, "answer")(error.to_string()))
    }
}
