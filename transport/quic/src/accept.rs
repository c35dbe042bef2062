//! Takes connections from peers: verify, agree, then serve.

use std::{future::poll_fn, sync::Arc, time::Duration};

use modulith_wire::{Event, Local, Role, Session};
use quinn::{Connection, Incoming};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::{
    Peer, Service, Side,
    accepted::Accepted,
    close::{self, Code},
    counters::{Failed, Refusal},
    dial::not_agreed,
    lane::Lane,
    registry::Registry,
    security::Security,
    tls,
};

/// How many peers may be connected at once. Each process of an application opens one.
const CONNECTIONS_MAX: usize = 1024;
/// How long a refusal may take to arrive before the connection is closed regardless.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What every connection needs.
pub(crate) struct Acceptor {
    pub(crate) local: Arc<Local>,
    pub(crate) service: Arc<dyn Service>,
    pub(crate) registry: Arc<Registry>,
    /// The names of this side's messages, in the order of the hello.
    pub(crate) messages: Arc<[Arc<str>]>,
    /// How long a peer may take to connect and introduce itself.
    pub(crate) connect_timeout: Duration,
    pub(crate) security: Security,
}

/// Accepts until the socket is closed.
pub(crate) async fn run(socket: quinn::Endpoint, acceptor: Arc<Acceptor>) {
    while let Some(incoming) = socket.accept().await {
        if acceptor.registry.is_draining() {
            incoming.refuse();
        } else if acceptor.registry.connections() >= CONNECTIONS_MAX {
            warn!(
                connections = CONNECTIONS_MAX,
                "connection refused, there are too many"
            );
            incoming.refuse();
        } else {
            tokio::spawn(Arc::clone(&acceptor).serve(incoming));
        }
    }
}

impl Acceptor {
    async fn serve(self: Arc<Self>, incoming: Incoming) {
        let address = incoming.remote_address();
        let agreed = match timeout(self.connect_timeout, self.agree(incoming)).await {
            Ok(agreed) => agreed,
            Err(_) => {
                let reason = "it did not introduce itself in time";
                Err(Failed::refused(Refusal::Other, reason))
            }
        };
        match agreed {
            Ok(accepted) => {
                info!(process = %accepted.peer().process, %address, "process connected");
                let ended = accepted.run().await;
                debug!(%address, ?ended, "connection of process ended");
            }
            Err(Failed { refusal, reason }) => {
                if let Some(refusal) = refusal {
                    self.security.tally.refused(refusal);
                }
                warn!(%address, reason, "connection refused");
            }
        }
    }

    /// Verifies the peer and exchanges hellos.
    async fn agree(&self, incoming: Incoming) -> Result<Accepted, Failed> {
        let connection = incoming
            .accept()
            .map_err(|error| Failed::from(&error))?
            .await
            .map_err(|error| Failed::from(&error))?;
        let agreed = self.greet(&connection).await;
        match &agreed {
            Ok(_) => self.security.leases.hold(Side::Accepted, &connection),
            Err(failed) => close::close(&connection, Code::Refused, &failed.reason),
        }
        agreed
    }

    async fn greet(&self, connection: &Connection) -> Result<Accepted, Failed> {
        let certified = tls::certified(connection, &self.security.trust)?;
        let (send, recv) = connection
            .accept_bi()
            .await
            .map_err(|error| Failed::from(&error))?;
        let mut lane = Lane::new(send, recv, self.local.limits().clone());
        let local = Arc::clone(&self.local);
        let peer = Arc::new(Peer {
            process: certified.process.as_str().into(),
            modules: Vec::new(),
        });
        let mut session = Session::new(Role::Acceptor, local, certified, &mut lane.out);
        loop {
            let frame = match poll_fn(|cx| lane.poll_frame(cx)).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err("it ended the connection without a word".to_owned().into()),
                Err(error) => return Err(not_agreed(connection, &error)),
            };
            match session.receive(frame, &mut lane.out) {
                Ok(Some(Event::Established)) => {
                    let modules = session.peer().map_or(&[][..], |hello| &hello.modules);
                    let modules = modules.iter().map(|name| name.as_str().into()).collect();
                    let peer = Arc::new(Peer {
                        process: Arc::clone(&peer.process),
                        modules,
                    });
                    return Ok(Accepted::new(connection.clone(), lane, session, peer, self));
                }
                Ok(Some(Event::Refusing { reason })) => {
                    let _ = timeout(REFUSAL_TIMEOUT, deliver(&mut lane)).await;
                    return Err(Failed::refused(session.disagreement().into(), reason));
                }
                Ok(_) => {}
                Err(violation) => {
                    let reason = format!("it {violation}");
                    return Err(Failed::refused(Refusal::Violation, reason));
                }
            }
        }
    }
}

/// Sends what there is to be sent, and waits until the peer has it.
pub(crate) async fn deliver(lane: &mut Lane) {
    if poll_fn(|cx| lane.poll_flush(cx)).await.is_ok() {
        lane.finish();
        lane.delivered().await;
    }
}
