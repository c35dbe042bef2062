//! tarpc as a contender: over TCP, without TLS, with bincode; one connection, its defaults.

use std::future::ready;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tarpc::server::{BaseChannel, Channel};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::{client, context, serde_transport};

use super::echo::repeat;
use super::ours::same;
use crate::error::Error;
use crate::load::Contender;
use crate::usage::Processes;

const WHO: &str = "tarpc";

/// How long a caller waits for a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many requests may wait in the client: enough for all callers.
const WAITING_MAX: usize = 4096;

#[tarpc::service]
pub(crate) trait Echo {
    /// The same text back.
    async fn repeat(text: String) -> String;
}

#[derive(Clone)]
struct Server;

impl Echo for Server {
    async fn repeat(self, _: context::Context, text: String) -> String {
        repeat(text)
    }
}

/// Serves until it is dropped, and says where once it listens.
pub(crate) async fn serve(
    listening: impl FnOnce(SocketAddr) -> Result<(), Error>,
) -> Result<(), Error> {
    let incoming = serde_transport::tcp::listen((Ipv4Addr::LOCALHOST, 0), Bincode::default).await;
    let mut incoming = incoming.map_err(Error::io("listen"))?;
    listening(incoming.local_addr())?;
    while let Some(transport) = incoming.next().await {
        let transport = transport.map_err(Error::io("accept"))?;
        set_nodelay(transport.get_ref())?;
        let requests = BaseChannel::with_defaults(transport).execute(Server.serve());
        tokio::spawn(requests.for_each(|handled| {
            tokio::spawn(handled);
            ready(())
        }));
    }
    Ok(())
}

fn set_nodelay(stream: &tokio::net::TcpStream) -> Result<(), Error> {
    stream
        .set_nodelay(true)
        .map_err(Error::io("send small packets at once"))
}

/// Asks over one connection.
#[derive(Clone)]
pub(crate) struct Asks {
    server: SocketAddr,
    open: Arc<tokio::sync::Mutex<Option<EchoClient>>>,
    text: Arc<str>,
    processes: Processes,
}

impl Asks {
    pub(crate) fn new(server: SocketAddr, bytes: usize, processes: Processes) -> Self {
        Self {
            server,
            open: Arc::default(),
            text: "x".repeat(bytes).into(),
            processes,
        }
    }

    async fn connect(&self) -> Result<EchoClient, Error> {
        let transport = serde_transport::tcp::connect(self.server, Bincode::default).await;
        let transport = transport.map_err(Error::io("connect to tarpc"))?;
        set_nodelay(transport.get_ref())?;
        let mut config = client::Config::default();
        config.pending_request_buffer = WAITING_MAX;
        config.max_in_flight_requests = WAITING_MAX;
        Ok(EchoClient::new(config, transport).spawn())
    }
}

impl Contender for Asks {
    type Caller = (EchoClient, Arc<str>);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        let mut open = self.open.lock().await;
        // The connection of the window before ended with its runtime.
        if number == 0 {
            *open = None;
        }
        let client = match &*open {
            Some(client) => client.clone(),
            None => open.insert(self.connect().await?).clone(),
        };
        Ok((client, self.text.clone()))
    }

    async fn once((client, text): &mut Self::Caller) -> Result<(), Error> {
        let mut context = context::current();
        context.deadline = Instant::now() + PATIENCE;
        let reply = client.repeat(context, text.as_ref().to_owned()).await;
        same(WHO, &reply.map_err(Error::of(WHO, "answer"))?, text)
    }

    fn processes(&self) -> Processes {
        self.processes.clone()
    }
}
