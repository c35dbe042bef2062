//! Starting one partition of a module: its store, its actor, its thread, and what it does on its
//! own.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use modulith_contract::Fault;

use crate::{
    Declaration, Environment, Module, Options, Partition, Setup,
    actor::ModuleActor,
    audit::KeepLedger,
    dead::{Letters, LettersOf},
    declaration::{Asked, Join},
    expiry,
    feed::{FeedEntry, Source, feed_message},
    flow::{self, Resume},
    follow::{Subscription, follow},
    home::Home,
    instance::Instance,
    log::Published,
    mailbox::Mailbox,
    network::Entry,
    port::Route,
    retention,
    store::{EVENTS, Store},
    thread::Thread,
};

use super::NodeError;

/// What modules are started on.
pub(super) struct Ground {
    pub(super) environment: Environment,
    pub(super) threads: fn() -> Thread,
    /// Into how many partitions each module of the application is divided.
    pub(super) partitions: BTreeMap<&'static str, u16>,
}

/// A started partition of a module, before it is wired to others.
pub(super) struct Hosted {
    pub(super) home: Arc<Home>,
    pub(super) routes: Vec<Way>,
    /// What it serves to other processes, as `module.Message`.
    pub(super) entries: Vec<(String, Arc<dyn Entry>)>,
    pub(super) asked: Vec<Asked>,
    resumes: BTreeMap<&'static str, Resume>,
    pub(super) follows: Vec<Follow>,
    pub(super) tools: Arc<Tools>,
}

/// The way to what it serves, from within this process.
pub(super) struct Way {
    pub(super) type_id: TypeId,
    pub(super) route: Route,
    pub(super) join: Join,
    pub(super) absent: fn(Partition) -> Route,
}

/// What people look at a module with.
pub(crate) struct Tools {
    pub(crate) letters: Arc<dyn Letters>,
    pub(crate) published: Vec<Published>,
    pub(crate) ledger: KeepLedger,
    pub(crate) subscriptions: Vec<Arc<Subscription>>,
}

/// A subscription that waits to be told where to read.
pub(super) struct Follow {
    pub(super) subscription: Arc<Subscription>,
    begin: Box<dyn FnOnce(Arc<dyn Source>) -> BoxFuture<'static, ()>>,
}

impl Hosted {
    /// Starts what a module does on its own: following others' events, going on with its flows,
    /// and removing what has expired.
    pub(super) fn run(self, sources: Vec<Arc<dyn Source>>) -> Result<(), Fault> {
        let home = self.home;
        let Some(thread) = home.thread() else {
            return Ok(());
        };
        let swept = home.clone();
        thread.spawn(move || expiry::keep(swept));
        for (id, running) in flow::unfinished(&home)? {
            match self.resumes.get(&*running.about.name) {
                Some(resume) => resume(id, running),
                None => flow::orphan(&home, id, &running),
            }
        }
        home.resumes.store(Some(Arc::new(self.resumes)));
        for (follow, source) in self.follows.into_iter().zip(sources) {
            let followed = (follow.begin)(source);
            thread.spawn(move || followed);
        }
        if !home.manifest.publishes.is_empty() {
            let home = home.clone();
            thread.spawn(move || retention::keep(home));
        }
        Ok(())
    }
}

/// Makes a module and, if it is stateful, opens its store and starts its actor on its thread.
pub(super) fn start<M: Module>(
    ground: &Ground,
    partition: Partition,
    settings: M::Settings,
    options: Options,
) -> Result<Hosted, NodeError> {
    let declaration = Declaration::<M>::collect();
    let environment = &ground.environment;
    let stateful = declaration.manifest.is_stateful();
    let (store, head) = if stateful {
        open::<M>(environment, partition, &options)?
    } else {
        (None, 0)
    };
    let publishes = !declaration.manifest.publishes.is_empty();
    let home = Home::new(
        declaration.manifest,
        partition,
        &declaration.published,
        options,
        environment.clone(),
        store,
        head,
    );
    let setup = Setup {
        folder: environment.data.join(home.name()),
    };
    let instance =
        Instance::<M>::new(home.clone(), settings, setup).map_err(|source| NodeError::Setup {
            module: M::NAME,
            source,
        })?;
    let instance = Arc::new(instance);
    if stateful {
        let thread = (ground.threads)();
        let renewed = instance.clone();
        let renew = Box::new(move || renewed.renew());
        let actor = ModuleActor::start_on(&thread, home.clone(), renew);
        home.open_mailbox(Mailbox::new(home.name().to_string(), actor));
        home.live_on(thread);
    }
    let mut routes = Vec::new();
    let mut entries = Vec::new();
    for served in declaration.served {
        let (route, entry) = (served.make)(instance.clone());
        routes.push(Way {
            type_id: served.type_id,
            route,
            join: served.join,
            absent: served.absent,
        });
        entries.push((format!("{}.{}", M::NAME, served.name), entry));
    }
    if publishes {
        entries.push((feed_message(M::NAME), Arc::new(FeedEntry(home.clone()))));
    }
    let listened = Arc::new(declaration.listened);
    let publishers: BTreeSet<_> = listened.iter().map(|event| event.publisher).collect();
    let sources = publishers.into_iter().flat_map(|publisher| {
        let count = ground.partitions.get(publisher).copied().unwrap_or(1);
        Partition::all(count).map(move |partition| Subscription::to(publisher, partition))
    });
    let follows: Vec<_> = sources
        .map(|subscription| {
            let (instance, followed) = (instance.clone(), subscription.clone());
            let listened = listened.clone();
            Follow {
                subscription,
                begin: Box::new(move |source| {
                    Box::pin(follow(instance, followed, listened, source))
                }),
            }
        })
        .collect();
    let conducted = declaration.conducted.into_iter();
    let resumes = conducted
        .map(|one| (one.name, (one.resume)(instance.clone())))
        .collect();
    let subscriptions = follows.iter().map(|follow| follow.subscription.clone());
    let tools = Tools {
        letters: Arc::new(LettersOf {
            instance: instance.clone(),
            listened: listened.clone(),
        }),
        published: declaration.published,
        ledger: M::ledger,
        subscriptions: subscriptions.collect(),
    };
    Ok(Hosted {
        home,
        routes,
        entries,
        asked: declaration.asked,
        resumes,
        follows,
        tools: Arc::new(tools),
    })
}

/// Opens a store. Gives the number of its last event with it.
fn open<M: Module>(
    environment: &Environment,
    partition: Partition,
    options: &Options,
) -> Result<(Option<Store>, u64), NodeError> {
    let store = Store::open(
        M::NAME,
        partition,
        M::STORE_VERSION,
        M::migrate,
        environment.clone(),
        options.durability,
    )?;
    let last = store.snapshot()?.last(&EVENTS)?;
    Ok((Some(store), last.map_or(0, |(number, _)| number)))
}

/// Ends the threads of modules that were started.
pub(super) fn end_all(hosted: &[Hosted]) {
    let threads = hosted.iter().filter_map(|one| one.home.thread());
    threads.for_each(Thread::end);
}
