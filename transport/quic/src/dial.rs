//! One attempt to reach a process: resolve, connect, verify, agree.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use modulith_wire::{Event, Local, Role, Session};
use quinn::Connection;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    Names, Side,
    close::{self, Code},
    counters::{Failed, Refusal},
    dialled::{Asked, Dialled},
    fingerprint::valid_until,
    lane::{Lane, LaneError},
    naming, network, probe,
    renewal::Renewal,
    security::Security,
    tls,
};

/// No connection is replaced sooner, however little is left of a certificate.
const LIFETIME_MIN: Duration = Duration::from_secs(1);

/// What every attempt needs.
pub(crate) struct Dialler {
    pub(crate) local: Arc<Local>,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) socket: quinn::Endpoint,
    pub(crate) client: quinn::ClientConfig,
    pub(crate) connect_timeout: Duration,
    pub(crate) security: Security,
    /// The settings of its socket.
    pub(crate) config: quinn::EndpointConfig,
}

impl Dialler {
    /// The same with a socket on the runtime of the current thread.
    pub(crate) fn on_this_thread(&self) -> io::Result<Self> {
        Ok(Self {
            local: Arc::clone(&self.local),
            names: Arc::clone(&self.names),
            socket: network::dialling(&self.config)?,
            client: self.client.clone(),
            connect_timeout: self.connect_timeout,
            security: self.security.clone(),
            config: self.config.clone(),
        })
    }

    /// Tries the addresses of a replica in turn. The error says what failed at each.
    pub(crate) async fn dial(
        &self,
        process: &Arc<str>,
        instance: &Arc<str>,
    ) -> Result<Dialled, String> {
        let addresses = self.resolve(process, instance).await?;
        if addresses.is_empty() {
            return Err(format!("process {instance} has no address"));
        }
        let mut reasons = Vec::new();
        for address in addresses {
            match self.dial_at(process, address).await {
                Ok(dialled) => return Ok(dialled),
                Err(reason) => reasons.push(format!("process {process} at {address}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }

    async fn resolve(
        &self,
        process: &Arc<str>,
        instance: &Arc<str>,
    ) -> Result<Vec<SocketAddr>, String> {
        let names = Arc::clone(&self.names);
        let (process, instance) = (Arc::clone(process), Arc::clone(instance));
        let resolve = move || names.resolve(&process, &instance);
        tokio::task::spawn_blocking(resolve)
            .await
            .map_err(|error| error.to_string())?
    }

    async fn dial_at(&self, process: &Arc<str>, address: SocketAddr) -> Result<Dialled, String> {
        let connect = timeout(self.connect_timeout, self.connect(process, address));
        let connected = tokio::select! {
            biased;
            connected = connect => connected.unwrap_or_else(|_| Err("no answer".to_owned().into())),
            () = probe::refused(address) => Err("connection refused".to_owned().into()),
        };
        connected.map_err(|failed| {
            if let Some(refusal) = failed.refusal {
                self.security.tally.refused(refusal);
            }
            failed.reason
        })
    }

    async fn connect(&self, process: &Arc<str>, address: SocketAddr) -> Result<Dialled, Failed> {
        let changes = self.security.trust.changes();
        let application = &self.local.hello().application;
        let name = naming::process(process, application).map_err(|error| error.to_string())?;
        let connection = self
            .socket
            .connect_with(self.client.clone(), address, &name)
            .map_err(|error| error.to_string())?
            .await
            .map_err(|error| self.explain(&name, Failed::from(&error)))?;
        let renewal = Renewal {
            after: self.lifetime(&connection),
            changes,
            is_outdated: self.security.leases.is_outdated(&connection),
        };
        let agreed = self.agree(process, &connection, renewal).await;
        match &agreed {
            Ok(_) => self.security.leases.hold(Side::Dialled, &connection),
            Err(failed) => close::close(&connection, Code::Refused, &failed.reason),
        }
        agreed
    }

    /// Adds who was expected, where that is not the name that was dialled.
    fn explain(&self, name: &str, mut failed: Failed) -> Failed {
        let expected = self.security.trust.peers.identity(name);
        if failed.refusal == Some(Refusal::WrongName) && expected.as_str() != name {
            failed.reason += &format!("; expected {}", expected.as_str());
        }
        failed
    }

    /// How long a connection may be used: as long as it may be, or for two thirds of what is left
    /// of either side's certificate, so that there is time for further attempts.
    fn lifetime(&self, connection: &Connection) -> Duration {
        let chain = tls::chain(connection).unwrap_or_default();
        let theirs = chain.first().and_then(|leaf| valid_until(leaf));
        let until = self
            .security
            .identity
            .valid_until()
            .min(theirs.unwrap_or(u64::MAX));
        let left = Duration::from_secs(until.saturating_sub(self.security.trust.now()));
        self.security
            .connection_age_max
            .min(left * 2 / 3)
            .max(LIFETIME_MIN)
    }

    /// Exchanges hellos.
    async fn agree(
        &self,
        process: &Arc<str>,
        connection: &Connection,
        renewal: Renewal,
    ) -> Result<Dialled, Failed> {
        let certified = tls::certified(connection, &self.security.trust)?;
        let lost = |error| close::sentence(&error);
        let (send, recv) = connection.open_bi().await.map_err(lost)?;
        let mut lane = Lane::new(send, recv, self.local.limits().clone());
        let mut session: Session<Asked> = Session::new(
            Role::Dialler,
            Arc::clone(&self.local),
            certified,
            &mut lane.out,
        );
        loop {
            let frame = poll_fn(|cx| {
                // Only reading tells whether it went well.
                let _ = lane.poll_flush(cx);
                lane.poll_frame(cx)
            });
            let frame = match frame.await {
                Ok(Some(frame)) => frame,
                Ok(None) => return Err("it ended the connection without a word".to_owned().into()),
                Err(error) => return Err(not_agreed(connection, &error)),
            };
            match session.receive(frame, &mut lane.out) {
                Ok(Some(Event::Established)) => {
                    debug!(address = %close::address(connection), "connected");
                    let process = Arc::clone(process);
                    let tally = Arc::clone(&self.security.tally);
                    let dialled =
                        Dialled::new(process, connection.clone(), lane, session, renewal, tally);
                    return Ok(dialled);
                }
                Ok(Some(Event::Refused { reason })) => {
                    return Err(format!("it refused: {reason}").into());
                }
                Ok(Some(Event::Refusing { reason })) => {
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

/// Why there was no agreement: the peer sent what is no frame, or something is in the way.
pub(crate) fn not_agreed(connection: &Connection, error: &LaneError) -> Failed {
    let reason = why_lost(connection, error);
    match error {
        LaneError::Decode(_) => Failed::refused(Refusal::Violation, reason),
        _ => reason.into(),
    }
}

/// Why a lane ended; the connection often knows better.
pub(crate) fn why_lost(connection: &Connection, error: &LaneError) -> String {
    match connection.close_reason() {
        Some(reason) => close::sentence(&reason),
        None => error.to_string(),
    }
}
