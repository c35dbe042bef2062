//! One attempt to reach a process: resolve, connect, verify, agree.

use std::{future::poll_fn, io, net::SocketAddr, sync::Arc, time::Duration};

use modulith_wire::{Event, Local, Role, Session};
use quinn::Connection;
use tokio::time::timeout;
use tracing::debug;

use crate::{
    Names,
    close::{self, Code},
    dialled::{Asked, Dialled},
    lane::{Lane, LaneError},
    naming, network, probe, tls,
};

/// What every attempt needs.
pub(crate) struct Dialler {
    pub(crate) local: Arc<Local>,
    pub(crate) names: Arc<dyn Names>,
    pub(crate) socket: quinn::Endpoint,
    pub(crate) client: quinn::ClientConfig,
    pub(crate) connect_timeout: Duration,
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
        tokio::select! {
            biased;
            connected = connect => connected.unwrap_or_else(|_| Err("no answer".to_owned())),
            () = probe::refused(address) => Err("connection refused".to_owned()),
        }
    }

    async fn connect(&self, process: &Arc<str>, address: SocketAddr) -> Result<Dialled, String> {
        let application = &self.local.hello().application;
        let name = naming::process(process, application).map_err(|error| error.to_string())?;
        let connection = self
            .socket
            .connect_with(self.client.clone(), address, &name)
            .map_err(|error| error.to_string())?
            .await
            .map_err(|error| close::sentence(&error))?;
        let agreed = self.agree(process, &connection).await;
        if let Err(reason) = &agreed {
            close::close(&connection, Code::Refused, reason);
        }
        agreed
    }

    /// Exchanges hellos.
    async fn agree(&self, process: &Arc<str>, connection: &Connection) -> Result<Dialled, String> {
        let certified = tls::certified(connection, &self.local.hello().application)?;
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
                Ok(None) => return Err("it ended the connection without a word".to_owned()),
                Err(error) => return Err(why_lost(connection, &error)),
            };
            match session.receive(frame, &mut lane.out) {
                Ok(Some(Event::Established)) => {
                    debug!(address = %close::address(connection), "connected");
                    let process = Arc::clone(process);
                    return Ok(Dialled::new(process, connection.clone(), lane, session));
                }
                Ok(Some(Event::Refused { reason })) => return Err(format!("it refused: {reason}")),
                Ok(Some(Event::Refusing { reason })) => return Err(reason),
                Ok(_) => {}
                Err(violation) => return Err(format!("it {violation}")),
            }
        }
    }
}

/// Why a lane ended; the connection often knows better.
pub(crate) fn why_lost(connection: &Connection, error: &LaneError) -> String {
    match connection.close_reason() {
        Some(reason) => close::sentence(&reason),
        None => error.to_string(),
    }
}
