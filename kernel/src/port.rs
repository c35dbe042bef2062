//! The port: how a module asks others, wherever they are.
//!
//! A port holds one route for each request its module declares, so what is not declared cannot be
//! sent. A route leads to the module itself when it lives in this process (a move of the message,
//! on the caller's thread) or to the network. Who asks cannot tell which.

use std::{
    any::{Any, TypeId},
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use modulith_contract::{Command, Fault, Kind, Message, Outcome, Query, Request, StreamQuery};
use tokio::time::{Instant, timeout_at};

use crate::{
    Answer, Carried, Conduct, Context, Environment, Handle, MessageName, codec, flow, inbox,
    instance::Instance,
    stream::{Items, StreamAsker, StreamAskerFor},
    work::CommandWork,
};

/// How long an asker waits for a reply, unless it says otherwise.
///
/// Counted from asking, so waiting in a mailbox is included. Two seconds: shorter than the
/// patience of a person at a browser, longer than any disk's bad moment.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(2);

/// What travels with a message.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// The id of a command; 0 for a query, which needs none.
    pub(crate) id: u128,
    pub(crate) deadline: Instant,
    pub(crate) carried: Carried,
    /// Whether it may be sent again under its id: from another process, from a flow, or under an
    /// idempotency key.
    pub(crate) repeatable: bool,
}

/// Beyond any process's life.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Meta {
    /// Of work that nobody waits for with a deadline.
    pub(crate) fn unhurried(id: u128) -> Self {
        Self {
            id,
            deadline: Instant::now() + FOREVER,
            carried: Carried::begun(),
            repeatable: false,
        }
    }

    pub(crate) fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// Asks requests on behalf of one module. Cheap to clone.
#[derive(Clone)]
pub struct Port {
    shared: Arc<Shared>,
    /// The latest moment for replies to anything asked through this clone.
    deadline: Option<Instant>,
    /// What commands asked through this clone are known by when they come again.
    idempotency_key: Option<Arc<str>>,
    /// What everything asked through this clone carries along.
    carried: Carried,
}

struct Shared {
    module: &'static str,
    environment: Environment,
    /// By the type of request. A module asks a handful, so a scan beats hashing.
    routes: Vec<(TypeId, Route)>,
}

impl Port {
    pub(crate) fn new(
        module: &'static str,
        environment: Environment,
        routes: Vec<(TypeId, Route)>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                module,
                environment,
                routes,
            }),
            deadline: None,
            idempotency_key: None,
            carried: Carried::default(),
        }
    }

    /// The module whose port it is.
    pub fn module(&self) -> &'static str {
        self.shared.module
    }

    /// The same port, on which everything asked must be answered within `limit` from now.
    pub fn within(&self, limit: Duration) -> Self {
        let limit = Instant::now() + limit;
        let deadline = self.deadline.map_or(limit, |own| own.min(limit));
        Self {
            deadline: Some(deadline),
            ..self.clone()
        }
    }

    /// The same port, on which a command takes effect once however often it is asked.
    ///
    /// The key is the caller's: the same for the same intent, such as one submission of a form,
    /// and different for every other. What a command with it came to is kept for the time that
    /// the module's `replies_kept_hours` says. It is this module's own: another one's key of the
    /// same text is another key, and so is the same for another kind of command.
    pub fn idempotent(&self, key: &str) -> Self {
        Self {
            idempotency_key: Some(key.into()),
            ..self.clone()
        }
    }

    /// The same port, on which everything asked carries this along, and so does whatever is asked
    /// to answer that.
    pub fn carrying(&self, carried: Carried) -> Self {
        Self {
            carried,
            ..self.clone()
        }
    }

    /// Asks, and waits for the reply at most [`REPLY_TIMEOUT`].
    ///
    /// # Errors
    /// The module's refusal, or a fault; [`Fault::Denied`] for a request not declared.
    pub async fn ask<R: Request>(&self, request: R) -> Outcome<R> {
        self.ask_within(request, REPLY_TIMEOUT).await
    }

    /// Asks, and waits for the reply at most `limit`.
    ///
    /// # Errors
    /// As [`Port::ask`].
    pub async fn ask_within<R: Request>(&self, request: R, limit: Duration) -> Outcome<R> {
        let limit = Instant::now() + limit;
        let deadline = self.deadline.map_or(limit, |own| own.min(limit));
        self.ask_until(request, deadline, self.carried.clone())
            .await
    }

    pub(crate) async fn ask_until<R: Request>(
        &self,
        request: R,
        deadline: Instant,
        carried: Carried,
    ) -> Outcome<R> {
        let route = self.route::<R>()?;
        let key = self.idempotency_key.as_deref();
        let meta = Meta {
            id: match (R::KIND, key) {
                (Kind::Command, Some(key)) => self.keyed::<R>(key),
                (Kind::Command, None) => self.shared.environment.random_u128(),
                _ => 0,
            },
            deadline,
            carried,
            repeatable: R::KIND == Kind::Command && key.is_some(),
        };
        route.asker::<R>().ask(request, meta).await
    }

    /// Asks for a stream of items, and waits for each at most [`REPLY_TIMEOUT`].
    ///
    /// The first error, such as [`Fault::Denied`] for a query not declared, is the last of the
    /// items.
    pub fn stream<Q: StreamQuery>(&self, query: Q) -> Items<Q> {
        self.stream_within(query, REPLY_TIMEOUT)
    }

    /// Asks for a stream of items, and waits for each at most `limit`.
    ///
    /// On a port that is [`Port::within`] a limit, what is left of that when the stream is asked
    /// for is the limit for each item.
    pub fn stream_within<Q: StreamQuery>(&self, query: Q, limit: Duration) -> Items<Q> {
        let now = Instant::now();
        let left = self.deadline.map(|own| own.saturating_duration_since(now));
        let limit = left.map_or(limit, |left| left.min(limit));
        self.stream_each(query, limit, self.carried.clone())
    }

    pub(crate) fn stream_each<Q: StreamQuery>(
        &self,
        query: Q,
        limit: Duration,
        carried: Carried,
    ) -> Items<Q> {
        if limit.is_zero() {
            return Items::fault(Fault::Late);
        }
        let route = match self.route::<Q>() {
            Ok(route) => route,
            Err(fault) => return Items::fault(fault),
        };
        let meta = Meta {
            id: 0,
            deadline: Instant::now() + limit.min(FOREVER),
            carried,
            repeatable: false,
        };
        Items::new(route.stream_asker::<Q>().stream(query, meta, limit), limit)
    }

    /// The id of a command under this module's idempotency key.
    fn keyed<R: Request>(&self, key: &str) -> u128 {
        let parts = [self.shared.module, R::MODULE, R::NAME, key];
        codec::digest(&parts.map(str::as_bytes))
    }

    fn route<R: Message>(&self) -> Result<&Route, Fault> {
        let wanted = TypeId::of::<R>();
        let route = self.shared.routes.iter().find(|(id, _)| *id == wanted);
        route.map(|(_, route)| route).ok_or_else(|| Fault::Denied {
            caller: self.shared.module.to_string(),
            message: MessageName::of::<R>().to_string(),
        })
    }

    /// Asks under an id that stays the same however often this is asked.
    pub(crate) async fn ask_again<R: Request>(
        &self,
        request: R,
        id: u128,
        deadline: Instant,
    ) -> Outcome<R> {
        let repeatable = R::KIND == Kind::Command;
        let meta = Meta {
            id: if repeatable { id } else { 0 },
            deadline,
            carried: Carried::begun(),
            repeatable,
        };
        self.route::<R>()?.asker::<R>().ask(request, meta).await
    }

    /// 128 random bits from the node's environment.
    pub fn random_u128(&self) -> u128 {
        self.shared.environment.random_u128()
    }

    /// The time of day in the node's environment.
    pub fn now(&self) -> modulith_contract::Timestamp {
        self.shared.environment.clock.now()
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("module", &self.shared.module)
            .finish_non_exhaustive()
    }
}

/// Takes a request to its module and brings the outcome back.
pub(crate) trait Asker<R: Request>: Send + Sync {
    fn ask(&self, request: R, meta: Meta) -> BoxFuture<'_, Outcome<R>>;
}

pub(crate) type AskerFor<R> = Arc<dyn Asker<R>>;

/// An asker whose request type is known only to those who made it and those who use it.
#[derive(Clone)]
pub(crate) struct Route(Arc<dyn Any + Send + Sync>);

impl Route {
    pub(crate) fn to<R: Request>(asker: AskerFor<R>) -> Self {
        Self(Arc::new(asker))
    }

    fn asker<R: Request>(&self) -> &dyn Asker<R> {
        &**self.typed::<R>()
    }

    /// Where it leads, to be part of another route.
    pub(crate) fn shared<R: Request>(&self) -> AskerFor<R> {
        self.typed::<R>().clone()
    }

    fn typed<R: Request>(&self) -> &AskerFor<R> {
        let asker = self.0.downcast_ref::<AskerFor<R>>();
        asker.expect("a route is filed under the type of its request")
    }

    pub(crate) fn to_stream<Q: StreamQuery>(asker: StreamAskerFor<Q>) -> Self {
        Self(Arc::new(asker))
    }

    fn stream_asker<Q: StreamQuery>(&self) -> &dyn StreamAsker<Q> {
        &**self.typed_stream::<Q>()
    }

    /// As [`Route::shared`], of a route to a stream.
    pub(crate) fn shared_stream<Q: StreamQuery>(&self) -> StreamAskerFor<Q> {
        self.typed_stream::<Q>().clone()
    }

    fn typed_stream<Q: StreamQuery>(&self) -> &StreamAskerFor<Q> {
        let asker = self.0.downcast_ref::<StreamAskerFor<Q>>();
        asker.expect("a route is filed under the type of its query")
    }
}

/// Answers in place: on the caller's thread, without a mailbox.
pub(crate) struct AnswerAsker<M: crate::Module>(Arc<Instance<M>>);

impl<M: crate::Module> AnswerAsker<M> {
    pub(crate) fn new(instance: Arc<Instance<M>>) -> Self {
        Self(instance)
    }
}

impl<M: Answer<Q>, Q: Query> Asker<Q> for AnswerAsker<M> {
    fn ask(&self, query: Q, meta: Meta) -> BoxFuture<'_, Outcome<Q>> {
        let home = &self.0.home;
        Box::pin(async move {
            home.counters.queries.fetch_add(1, Relaxed);
            let module = self.0.held();
            let context = Context::new(home.clone(), meta.clone());
            // Inside the guard, because an answer may panic before it is a future.
            let answer = async { module.answer(query, &context).await };
            home.count(guarded(home, meta, answer).await)
        })
    }
}

/// Runs a flow on the module's own thread, beside its mailbox.
pub(crate) struct ConductAsker<M: crate::Module>(Arc<Instance<M>>);

impl<M: crate::Module> ConductAsker<M> {
    pub(crate) fn new(instance: Arc<Instance<M>>) -> Self {
        Self(instance)
    }
}

impl<M: Conduct<C>, C: Command> Asker<C> for ConductAsker<M> {
    /// Once begun, a flow runs to its end whether or not the asker waits for it.
    fn ask(&self, command: C, meta: Meta) -> BoxFuture<'_, Outcome<C>> {
        let home = &self.0.home;
        Box::pin(async move {
            let begun = home.accepting().and_then(|()| {
                if meta.is_late() {
                    return Err(Fault::Late);
                }
                flow::begin(&self.0, command, &meta)
            });
            let mut reply = match begun {
                Ok(reply) => reply,
                Err(fault) => return home.count(Err(fault.into())),
            };
            let _counted = home.conducting();
            let told = timeout_at(meta.deadline, reply.wait_for(Option::is_some)).await;
            let outcome = match told {
                Ok(Ok(told)) => {
                    let bytes = told.clone().expect("it was waited for until it is some");
                    inbox::outcome::<C>(&bytes).unwrap_or_else(|fault| Err(fault.into()))
                }
                Ok(Err(_)) => {
                    let reason = "its process is shutting down";
                    Err(crate::faults::stopped(home.name(), reason).into())
                }
                Err(_) => Err(Fault::Late.into()),
            };
            home.count(outcome)
        })
    }
}

/// Puts a command into the module's mailbox and waits for its commit.
pub(crate) struct CommandAsker<M: crate::Module>(Arc<Instance<M>>);

impl<M: crate::Module> CommandAsker<M> {
    pub(crate) fn new(instance: Arc<Instance<M>>) -> Self {
        Self(instance)
    }
}

impl<M: Handle<C>, C: Command> Asker<C> for CommandAsker<M> {
    fn ask(&self, command: C, meta: Meta) -> BoxFuture<'_, Outcome<C>> {
        let home = &self.0.home;
        Box::pin(async move {
            let deadline = meta.deadline;
            // Only what may come again has to be known again.
            let digest = match meta.repeatable.then(|| inbox::digest(&command)).transpose() {
                Ok(digest) => digest,
                Err(fault) => return home.count(Err(fault.into())),
            };
            let pushed = home.accepting().and_then(|()| {
                home.join_line(meta.carried.priority)?;
                let (work, reply) = CommandWork::new(self.0.clone(), command, digest, meta);
                let mailbox = home.mailbox()?;
                mailbox.push(Box::new(work))?;
                Ok((mailbox, reply))
            });
            match pushed {
                Ok((mailbox, reply)) => home.count(mailbox.wait(reply, deadline).await),
                Err(fault) => home.count(Err(fault.into())),
            }
        })
    }
}

/// Runs an answer within its deadline; a panic in it becomes a fault.
async fn guarded<T, R>(
    home: &crate::home::Home,
    meta: Meta,
    answer: impl Future<Output = Result<T, modulith_contract::Stop<R>>>,
) -> Result<T, modulith_contract::Stop<R>> {
    home.accepting()?;
    if meta.is_late() {
        return Err(Fault::Late.into());
    }
    let mut answer = pin!(AssertUnwindSafe(answer).catch_unwind());
    // Most answers are there at once, and need no timer.
    let ended = match poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await {
        Poll::Ready(ended) => Ok(ended),
        Poll::Pending => timeout_at(meta.deadline, answer).await,
    };
    match ended {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(panicked(home).into()),
        Err(_) => Err(Fault::Late.into()),
    }
}

pub(crate) fn panicked(home: &crate::home::Home) -> Fault {
    home.counters.panics.fetch_add(1, Relaxed);
    tracing::error!(module = home.name(), "handler panicked");
    Fault::Panicked {
        module: home.name().to_string(),
    }
}
