//! The port: how a module asks others, wherever they are.
//!
//! A port holds one route for each request its module declares, so what is not declared cannot be
//! sent. A route leads to the module itself when it lives in this process (a move of the message,
//! on the caller's thread) or to the network. Who asks cannot tell which.

use std::{
    any::{Any, TypeId},
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use modulith_contract::{Command, Fault, Kind, Outcome, Query, Request};
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use crate::{
    Answer, Conduct, Context, Environment, Handle, MessageName, instance::Instance,
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
}

impl Meta {
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
            shared: self.shared.clone(),
            deadline: Some(deadline),
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
        self.ask_until(request, self.deadline.map_or(limit, |own| own.min(limit)))
            .await
    }

    pub(crate) async fn ask_until<R: Request>(&self, request: R, deadline: Instant) -> Outcome<R> {
        let wanted = TypeId::of::<R>();
        let route = self.shared.routes.iter().find(|(id, _)| *id == wanted);
        let Some((_, route)) = route else {
            return Err(Fault::Denied {
                caller: self.shared.module.to_string(),
                message: MessageName::of::<R>().to_string(),
            }
            .into());
        };
        let id = if R::KIND == Kind::Command {
            self.shared.environment.random_u128()
        } else {
            0
        };
        route.asker::<R>().ask(request, Meta { id, deadline }).await
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
        let asker = self.0.downcast_ref::<AskerFor<R>>();
        &**asker.expect("a route is filed under the type of its request")
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

/// Conducts on the module's own thread, beside its mailbox.
pub(crate) struct ConductAsker<M: crate::Module>(Arc<Instance<M>>);

impl<M: crate::Module> ConductAsker<M> {
    pub(crate) fn new(instance: Arc<Instance<M>>) -> Self {
        Self(instance)
    }
}

impl<M: Conduct<C>, C: Command> Asker<C> for ConductAsker<M> {
    /// Once begun, a conducted command runs to its end even if the asker gives up: stopping
    /// half-way would leave steps taken and not undone. Each step keeps to the deadline.
    fn ask(&self, command: C, meta: Meta) -> BoxFuture<'_, Outcome<C>> {
        let instance = self.0.clone();
        Box::pin(async move {
            let deadline = meta.deadline;
            let home = instance.home.clone();
            if let Err(stopped) = home.accepting() {
                return home.count(Err(stopped.into()));
            }
            if meta.is_late() {
                return home.count(Err(Fault::Late.into()));
            }
            home.counters.commands.fetch_add(1, Relaxed);
            let (done, end) = oneshot::channel();
            let begun = home.conduct(async move {
                let module = instance.held();
                let context = Context::new(instance.home.clone(), meta);
                let conduct = async { module.conduct(command, &context).await };
                let outcome = AssertUnwindSafe(conduct)
                    .catch_unwind()
                    .await
                    .unwrap_or_else(|_| Err(panicked(&instance.home).into()));
                // The asker may have given up.
                _ = done.send(outcome);
            });
            if let Err(fault) = begun {
                return home.count(Err(fault.into()));
            }
            let outcome = match timeout_at(deadline, end).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => {
                    let reason = "its process is shutting down";
                    Err(crate::faults::stopped(home.module(), reason).into())
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
            let (work, reply) = CommandWork::new(self.0.clone(), command, meta);
            let pushed = home.accepting().and_then(|()| {
                let mailbox = home.mailbox()?;
                mailbox.push(Box::new(work))?;
                Ok(mailbox)
            });
            match pushed {
                Ok(mailbox) => home.count(mailbox.wait(reply, deadline).await),
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
    match timeout_at(meta.deadline, AssertUnwindSafe(answer).catch_unwind()).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(panicked(home).into()),
        Err(_) => Err(Fault::Late.into()),
    }
}

fn panicked(home: &crate::home::Home) -> Fault {
    home.counters.panics.fetch_add(1, Relaxed);
    tracing::error!(module = home.module(), "handler panicked");
    Fault::Panicked {
        module: home.module().to_string(),
    }
}
