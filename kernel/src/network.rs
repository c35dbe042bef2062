//! Messages between processes, as the kernel sees them: encoded, sent by a [`Network`], served by
//! a node.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use modulith_contract::{Fault, Kind, Message, Outcome, Request, Stop};
use tokio::time::Instant;

use crate::{
    Carried, MessageName, Node, Partition, codec, faults, partition,
    port::{Asker, AskerFor, Meta},
    stream::only_fault,
};

/// Carries encoded requests to the processes that host other modules.
pub trait Network: Send + Sync + 'static {
    /// Sends a request and waits for the encoded outcome.
    ///
    /// # Errors
    /// The faults of the way: late, unreachable, overloaded, too large. Faults of the module
    /// asked are inside the outcome.
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Vec<u8>, Fault>>;

    /// Sends a stream query; the encoded items, in order, as fast as they are taken.
    ///
    /// Ends without an error after the last item and only then: an answer that was cut short ends
    /// with a fault of the way. [`Call::deadline`] is when the answer must have begun. Dropping
    /// the stream ends the making of items at the other end.
    ///
    /// Unless implemented, the only item is [`Fault::Unreachable`].
    fn stream(&self, call: Call) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
        only(Fault::Unreachable {
            module: call.module().to_string(),
            reason: "the network carries no streams".to_string(),
        })
    }
}

fn only(fault: Fault) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
    Box::pin(stream::once(async { Err(fault) }))
}

/// An encoded request, on its way out or in.
#[derive(Debug)]
pub struct Call {
    /// The module that asks.
    pub caller: Arc<str>,
    /// The module asked, and the request's name there, as `module.Message`.
    pub message: Arc<str>,
    /// Which partition of the module is asked, from 0.
    pub partition: u16,
    /// The command's id; 0 for a query.
    pub id: u128,
    /// What is carried along.
    pub carried: Carried,
    /// When the asker stops waiting.
    pub deadline: Instant,
    /// The request, encoded.
    pub body: Vec<u8>,
}

impl Call {
    /// The module asked.
    pub fn module(&self) -> &str {
        self.message
            .split_once('.')
            .map_or(&self.message, |(module, _)| module)
    }
}

/// The fault in an encoded outcome, if that is what it is. Of any other, two bytes are read.
pub fn fault_in(outcome: &[u8]) -> Option<Fault> {
    if !outcome.starts_with(&FAULT_BEGINS) {
        return None;
    }
    match codec::decode::<Result<(), Stop<()>>>(outcome) {
        Ok(Err(Stop::Fault(fault))) => Some(fault),
        _ => None,
    }
}

/// How every encoded fault begins: `Err`, then [`Stop::Fault`], each by its index.
const FAULT_BEGINS: [u8; 2] = [1, 1];

/// Asks a module, or one of its partitions, in another process.
pub(crate) struct RemoteAsker {
    caller: Arc<str>,
    partition: u16,
    network: Arc<dyn Network>,
    message: OnceLock<Arc<str>>,
}

impl RemoteAsker {
    pub(crate) fn new(caller: &'static str, partition: u16, network: Arc<dyn Network>) -> Self {
        Self {
            caller: caller.into(),
            partition,
            network,
            message: OnceLock::new(),
        }
    }
}

impl<R: Request> Asker<R> for RemoteAsker {
    fn ask(&self, request: R, meta: Meta) -> BoxFuture<'_, Outcome<R>> {
        Box::pin(async move {
            let body = codec::encode(&request).map_err(|e| faults::unencodable::<R>(&e))?;
            let message = self
                .message
                .get_or_init(|| MessageName::of::<R>().to_string().into())
                .clone();
            let Meta {
                id,
                deadline,
                carried,
                ..
            } = meta;
            let call = Call {
                caller: self.caller.clone(),
                message,
                partition: self.partition,
                id,
                carried,
                deadline,
                body,
            };
            let reply = self.network.call(call).await?;
            codec::decode::<Outcome<R>>(&reply).map_err(|e| faults::malformed::<R>(&e))?
        })
    }
}

/// Serves encoded requests of one name.
pub(crate) trait Entry: Send + Sync {
    fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Vec<u8>>;

    /// Serves a request that wants a stream: the encoded items.
    fn stream(self: Arc<Self>, call: Call) -> BoxStream<'static, Vec<u8>> {
        only_fault(Fault::Malformed {
            message: call.message.to_string(),
            reason: "it is answered by one reply".to_string(),
        })
    }
}

pub(crate) struct EntryFor<R: Request> {
    pub(crate) asker: AskerFor<R>,
    pub(crate) partition: Partition,
}

/// The request, if it is one for this partition: a peer that counts partitions or writes keys
/// otherwise would have the same key stored in two places.
pub(crate) fn read<M: Message>(body: &[u8], here: Partition) -> Result<M, Fault> {
    let request = codec::decode::<M>(body).map_err(|error| faults::malformed::<M>(&error))?;
    if here.is_divided()
        && let Some(owner) = partition::of_message(&request, here.count())
        && owner != here.index()
    {
        return Err(Fault::Malformed {
            message: MessageName::of::<M>().to_string(),
            reason: format!("its key belongs to partition {owner}, and it came to {here}"),
        });
    }
    Ok(request)
}

impl<R: Request> Entry for EntryFor<R> {
    fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Vec<u8>> {
        Box::pin(async move {
            let outcome: Outcome<R> = match read::<R>(&call.body, self.partition) {
                Ok(request) => {
                    self.asker
                        .ask(
                            request,
                            Meta {
                                id: call.id,
                                deadline: call.deadline,
                                carried: call.carried,
                                // Whoever sent it may not hear of the reply.
                                repeatable: R::KIND == Kind::Command,
                            },
                        )
                        .await
                }
                Err(fault) => Err(fault.into()),
            };
            codec::encode(&outcome).unwrap_or_else(|error| fault(faults::unencodable::<R>(&error)))
        })
    }
}

/// A fault as an encoded outcome. It reads the same whatever the request's types are: the codec
/// writes enum variants by index, and a fault holds no generic type.
pub(crate) fn fault(fault: Fault) -> Vec<u8> {
    let outcome: Result<(), Stop<()>> = Err(Stop::Fault(fault));
    codec::encode(&outcome).expect("a fault is a few short texts")
}

/// A network that leads back into the node it belongs to: every message is encoded and decoded
/// as if it went to another process.
#[derive(Default)]
pub(crate) struct Loopback {
    pub(crate) node: OnceLock<Weak<Node>>,
}

impl Network for Loopback {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Vec<u8>, Fault>> {
        let node = self.node.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let module = call.module().to_string();
            let node = node.ok_or_else(|| faults::stopped(&module, "its node is gone"))?;
            let left = call.deadline.saturating_duration_since(Instant::now());
            if left == Duration::ZERO {
                return Err(Fault::Late);
            }
            Ok(node.serve(call).await)
        })
    }

    fn stream(&self, call: Call) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
        match self.node.get().and_then(Weak::upgrade) {
            Some(_) if call.deadline <= Instant::now() => only(Fault::Late),
            Some(node) => Box::pin(node.serve_stream(call).map(Ok)),
            None => only(faults::stopped(call.module(), "its node is gone")),
        }
    }
}

#[cfg(test)]
mod tests {
    use modulith_contract::Never;

    use super::*;

    #[test]
    fn a_fault_is_found_in_an_outcome_of_any_type_and_nothing_else_is() {
        let late = Err::<String, _>(Stop::<Never>::Fault(Fault::Late));
        let encoded = codec::encode(&late).unwrap();
        assert_eq!(fault_in(&encoded), Some(Fault::Late));
        assert_eq!(fault_in(&fault(Fault::Late)), Some(Fault::Late));
        for other in [
            codec::encode(&Ok::<_, Stop<u8>>([1_u8, 1, 0])).unwrap(),
            codec::encode(&Err::<(), _>(Stop::Refused(1_u8))).unwrap(),
            vec![1, 1, 255, 255],
            vec![1],
            Vec::new(),
        ] {
            assert_eq!(fault_in(&other), None, "{other:?}");
        }
    }
}
