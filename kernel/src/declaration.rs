//! What a module declares, typed for the kernel and as plain data for everyone else.

use std::{any::TypeId, sync::Arc};

use modulith_contract::{
    Command, Event, Fault, Fingerprint, Kind, Message, Query, Request, StreamQuery,
};

use crate::{
    Answer, AnswerStream, Conduct, Handle, Listen, Module, Partition, Tx, codec,
    divided::{self, Absent},
    faults,
    flow::{self, Resume},
    instance::Instance,
    log::{self, PartitionOf, Print, Published},
    network::{Entry, EntryFor, Network, RemoteAsker},
    partition,
    port::{AnswerAsker, AskerFor, CommandAsker, ConductAsker, Route},
    stream::{AnswerStreamAsker, RemoteStreamAsker, StreamAskerFor, StreamEntryFor},
};

/// Collects what a module of type `M` declares; see [`Module::declare`].
pub struct Declaration<M: Module> {
    pub(crate) served: Vec<Served<M>>,
    pub(crate) published: Vec<Published>,
    pub(crate) listened: Vec<Listened<M>>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) conducted: Vec<Conducted<M>>,
    pub(crate) manifest: Manifest,
}

/// A request the module serves, and how to reach its handler.
pub(crate) struct Served<M: Module> {
    pub(crate) type_id: TypeId,
    pub(crate) name: &'static str,
    pub(crate) make: Box<MakeServed<M>>,
    pub(crate) join: Join,
    /// A route to a partition that this process does not host.
    pub(crate) absent: fn(Partition) -> Route,
}

type MakeServed<M> = dyn Fn(Arc<Instance<M>>) -> (Route, Arc<dyn Entry>);

/// Makes one route of those to the partitions of a module.
pub(crate) type Join = fn(Vec<Route>) -> Route;

/// A command the module conducts, and how to go on with its flows.
pub(crate) struct Conducted<M: Module> {
    pub(crate) name: &'static str,
    pub(crate) resume: fn(Arc<Instance<M>>) -> Resume,
}

/// An event the module listens to, and how to apply it.
pub(crate) struct Listened<M: Module> {
    pub(crate) publisher: &'static str,
    pub(crate) name: &'static str,
    pub(crate) apply: fn(&M, &[u8], &mut Tx<'_>) -> Result<(), Fault>,
    pub(crate) print: Print,
    pub(crate) partition: PartitionOf,
    /// Whether it is for flows, which may wait for it in any partition.
    pub(crate) awaited: bool,
}

impl<M: Module> Listened<M> {
    /// Whether it is this event, of a publisher or of one of its partitions.
    pub(crate) fn is(&self, source: &str, name: &str) -> bool {
        self.publisher == partition::named(source).0 && self.name == name
    }
}

/// A request the module asks, and how to send it to another process.
pub(crate) struct Asked {
    pub(crate) type_id: TypeId,
    pub(crate) remote: fn(caller: &'static str, partition: u16, Arc<dyn Network>) -> Route,
    pub(crate) join: Join,
    pub(crate) module: &'static str,
}

/// A message by module and name. Printed as `module.Message`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageName {
    /// Its home module.
    pub module: &'static str,
    /// Its name there.
    pub name: &'static str,
}

impl MessageName {
    pub(crate) fn of<M: Message>() -> Self {
        Self {
            module: M::MODULE,
            name: M::NAME,
        }
    }
}

impl std::fmt::Display for MessageName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// A message as a manifest lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeclaredMessage {
    /// Its name.
    pub message: MessageName,
    /// Whether it is a command, a query, a stream query or an event.
    pub kind: Kind,
    /// What both ends of a connection must agree on.
    pub fingerprint: Fingerprint,
    /// Whether it has a key, by which it belongs to one partition of its module.
    pub keyed: bool,
    /// Whether it is a query that every partition is asked.
    pub fans_out: bool,
}

/// A module's declaration as plain data: what the graph, the checks and the cards are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The module.
    pub module: &'static str,
    /// Into how many partitions it is divided; 1 unless its options say otherwise.
    pub partitions: u16,
    /// Commands it handles or conducts.
    pub handles: Vec<DeclaredMessage>,
    /// Queries it answers, by a reply or by a stream.
    pub answers: Vec<DeclaredMessage>,
    /// Events it publishes.
    pub publishes: Vec<DeclaredMessage>,
    /// Events it listens to.
    pub listens: Vec<DeclaredMessage>,
    /// Requests it asks of others.
    pub asks: Vec<DeclaredMessage>,
}

impl Manifest {
    /// The manifest of a module.
    pub fn of<M: Module>() -> Self {
        Declaration::<M>::collect().manifest
    }

    /// Whether the module has a store: it handles commands, publishes or listens.
    pub fn is_stateful(&self) -> bool {
        !(self.handles.is_empty() && self.publishes.is_empty() && self.listens.is_empty())
    }

    /// Everything declared, in the order of the fields.
    pub fn messages(&self) -> impl Iterator<Item = &DeclaredMessage> {
        [
            &self.handles,
            &self.answers,
            &self.publishes,
            &self.listens,
            &self.asks,
        ]
        .into_iter()
        .flatten()
    }
}

impl<M: Module> Declaration<M> {
    pub(crate) fn collect() -> Self {
        let mut declaration = Self {
            served: Vec::new(),
            published: Vec::new(),
            listened: Vec::new(),
            asked: Vec::new(),
            conducted: Vec::new(),
            manifest: Manifest {
                module: M::NAME,
                partitions: 1,
                handles: Vec::new(),
                answers: Vec::new(),
                publishes: Vec::new(),
                listens: Vec::new(),
                asks: Vec::new(),
            },
        };
        M::declare(&mut declaration);
        declaration
    }

    /// Handles a command of its own contract.
    pub fn handles<C: Command>(&mut self) -> &mut Self
    where
        M: Handle<C>,
    {
        self.manifest.handles.push(asked::<C>());
        self.serves::<C>(|instance| Arc::new(CommandAsker::new(instance)))
    }

    /// Conducts a command of its own contract, as a flow.
    pub fn conducts<C: Command>(&mut self) -> &mut Self
    where
        M: Conduct<C>,
    {
        self.manifest.handles.push(asked::<C>());
        self.conducted.push(Conducted {
            name: C::NAME,
            resume: |instance| {
                Box::new(move |id, running| flow::resume::<M, C>(&instance, id, running))
            },
        });
        self.serves::<C>(|instance| Arc::new(ConductAsker::new(instance)))
    }

    /// Answers a query of its own contract.
    pub fn answers<Q: Query>(&mut self) -> &mut Self
    where
        M: Answer<Q>,
    {
        self.manifest.answers.push(asked::<Q>());
        self.serves::<Q>(|instance| Arc::new(AnswerAsker::new(instance)))
    }

    /// Answers a query of its own contract by a stream of items.
    pub fn streams<Q: StreamQuery>(&mut self) -> &mut Self
    where
        M: AnswerStream<Q>,
    {
        self.manifest.answers.push(declared::<Q>());
        self.served.push(Served {
            type_id: TypeId::of::<Q>(),
            name: Q::NAME,
            make: Box::new(|instance| {
                let partition = instance.home.partition;
                let asker: StreamAskerFor<Q> = Arc::new(AnswerStreamAsker::new(instance));
                let route = Route::to_stream::<Q>(asker.clone());
                (route, Arc::new(StreamEntryFor::<Q> { asker, partition }))
            }),
            join: divided::join_streams::<Q>,
            absent: |partition| Route::to_stream::<Q>(Arc::new(Absent { partition })),
        });
        self
    }

    /// Publishes an event of its own contract.
    pub fn publishes<E: Event>(&mut self) -> &mut Self {
        self.manifest.publishes.push(declared::<E>());
        self.published.push(Published {
            name: E::NAME,
            print: log::print::<E>,
            partition: log::partition::<E>,
        });
        self
    }

    /// Listens to another module's event.
    pub fn listens<E: Event>(&mut self) -> &mut Self
    where
        M: Listen<E>,
    {
        let listens = declared::<E>();
        if !self.manifest.listens.contains(&listens) {
            self.manifest.listens.push(listens);
        }
        self.listened.push(Listened {
            publisher: E::MODULE,
            name: E::NAME,
            apply: |module, body, tx| {
                let event = codec::decode(body).map_err(|e| faults::malformed::<E>(&e))?;
                <M as Listen<E>>::listen(module, event, tx)
            },
            print: log::print::<E>,
            partition: log::partition::<E>,
            awaited: false,
        });
        self
    }

    /// Awaits another module's event in its flows ([`Flow::expect`](crate::Flow::expect)).
    pub fn awaits<E: Event>(&mut self) -> &mut Self {
        let listens = declared::<E>();
        if !self.manifest.listens.contains(&listens) {
            self.manifest.listens.push(listens);
        }
        self.listened.push(Listened {
            publisher: E::MODULE,
            name: E::NAME,
            apply: |_, body, tx| {
                let event: E = codec::decode(body).map_err(|e| faults::malformed::<E>(&e))?;
                flow::arrived(&event, body, tx)
            },
            print: log::print::<E>,
            partition: log::partition::<E>,
            awaited: true,
        });
        self
    }

    /// Asks a request of another module.
    pub fn asks<R: Request>(&mut self) -> &mut Self {
        self.manifest.asks.push(asked::<R>());
        self.asked.push(Asked {
            type_id: TypeId::of::<R>(),
            remote: |caller, partition, network| {
                Route::to::<R>(Arc::new(RemoteAsker::new(caller, partition, network)))
            },
            join: divided::join::<R>,
            module: R::MODULE,
        });
        self
    }

    /// Asks another module for a stream of items.
    pub fn asks_stream<Q: StreamQuery>(&mut self) -> &mut Self {
        self.manifest.asks.push(declared::<Q>());
        self.asked.push(Asked {
            type_id: TypeId::of::<Q>(),
            remote: |caller, partition, network| {
                let asker = RemoteStreamAsker::new(caller, partition, network);
                Route::to_stream::<Q>(Arc::new(asker))
            },
            join: divided::join_streams::<Q>,
            module: Q::MODULE,
        });
        self
    }

    fn serves<R: Request>(&mut self, asker: fn(Arc<Instance<M>>) -> AskerFor<R>) -> &mut Self {
        self.served.push(Served {
            type_id: TypeId::of::<R>(),
            name: R::NAME,
            make: Box::new(move |instance| {
                let partition = instance.home.partition;
                let asker = asker(instance);
                (
                    Route::to::<R>(asker.clone()),
                    Arc::new(EntryFor::<R> { asker, partition }),
                )
            }),
            join: divided::join::<R>,
            absent: |partition| Route::to::<R>(Arc::new(Absent { partition })),
        });
        self
    }
}

fn declared<M: Message>() -> DeclaredMessage {
    DeclaredMessage {
        message: MessageName::of::<M>(),
        kind: M::KIND,
        fingerprint: M::fingerprint(),
        keyed: M::KEYED,
        fans_out: false,
    }
}

fn asked<R: Request>() -> DeclaredMessage {
    DeclaredMessage {
        fans_out: R::fan_out().is_some(),
        ..declared::<R>()
    }
}
