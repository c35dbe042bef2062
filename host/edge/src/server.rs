//! One listening address and the threads that serve it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use actix_web::{
    App, HttpServer,
    dev::{ServerHandle, Service},
    middleware::{Condition, DefaultHeaders, from_fn},
    rt::net::TcpSocket,
    web::{FormConfig, PayloadConfig},
};

use crate::{
    BODY_BYTES_MAX, HEAD_TIMEOUT, Site, admission::Door, clients::Clients, priority_by_method,
};

/// How many connections may wait to be accepted, as they do while a process restarts.
///
/// 1,024: actix-web's own default. The system may allow fewer (`net.core.somaxconn`); beyond it a
/// client's system tries again by itself, a second later.
const BACKLOG_CONNECTIONS: u32 = 1024;

/// How long a connection that was accepted may take to reach the thread that serves it.
const SETTLE: Duration = Duration::from_millis(50);

/// How long requests in flight may take to finish once the server stops.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why an address cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Another program listens there.
    #[error(
        "port {} of {} is in use by another program; stop it, or choose another with --http \
         ADDRESS or --admin ADDRESS",
        address.port(),
        address.ip()
    )]
    InUse {
        /// The address wanted.
        address: SocketAddr,
    },
    /// What was handed over to listen with cannot be used.
    #[error("the listening socket that was handed over cannot be used")]
    Listener {
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Unusable {
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Listens on an address. Inside an actix system.
///
/// What is returned may be handed to several servers, in this process or others: each connection
/// is taken by one of them.
///
/// # Errors
/// When the address is taken or cannot be listened on.
pub fn listen(address: SocketAddr) -> Result<TcpListener, EdgeError> {
    let bound = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        // A port that was just in use by a program that has ended can be had at once.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG_CONNECTIONS)?.into_std()
    };
    bound().map_err(|source| refused(address, source))
}

/// A running HTTP server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
    clients: Arc<Clients>,
}

impl Server {
    /// Listens and serves, on `workers` threads. Inside an actix system.
    ///
    /// # Errors
    /// When the address is taken or cannot be listened on.
    pub fn start(address: SocketAddr, workers: usize, site: Site) -> Result<Self, EdgeError> {
        Self::serve(listen(address)?, workers, site)
    }

    /// Serves what connects to a listener, on `workers` threads. Inside an actix system.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn serve(listener: TcpListener, workers: usize, site: Site) -> Result<Self, EdgeError> {
        let unusable = |source| EdgeError::Listener { source };
        let address = listener.local_addr().map_err(unusable)?;
        let clients = Arc::<Clients>::default();
        let (asked, connected) = (clients.clone(), clients.clone());
        let app = move || {
            let (routes, clients) = (site.routes.clone(), asked.clone());
            let door = Door::new(site.priorities.unwrap_or(priority_by_method));
            let passed = from_fn(move |request, next| door.clone().pass(request, next));
            App::new()
                .wrap(Condition::new(site.priorities.is_some(), passed))
                .wrap(DefaultHeaders::new().add(("X-Content-Type-Options", "nosniff")))
                .wrap_fn(move |request, service| {
                    let (clients, answer) = (clients.clone(), service.call(request));
                    async move {
                        let mut answer = answer.await?;
                        clients.part(answer.response_mut().head_mut());
                        Ok(answer)
                    }
                })
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .app_data(FormConfig::default().limit(BODY_BYTES_MAX))
                .configure(move |config| routes(config))
        };
        let running = HttpServer::new(app)
            .workers(workers)
            .disable_signals()
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(HEAD_TIMEOUT)
            .shutdown_timeout(DRAIN_MAX.as_secs())
            .on_connect(move |_, of_connection| {
                of_connection.insert(connected.count());
            })
            .listen(listener)
            .map_err(unusable)?
            .run();
        let handle = running.handle();
        actix_web::rt::spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(%address, %error, "HTTP server failed");
            }
        });
        Ok(Self {
            address,
            handle,
            clients,
        })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leaves clients to whoever else serves this address: accepts no more connections, and lets
    /// each there is make one more request, with whose answer it is closed. Waits until all are
    /// gone, but for at most `within`.
    ///
    /// A client that made no request in that time finds its idle connection closed by
    /// [`stop`](Self::stop), as it does after [`HEAD_TIMEOUT`] without a request at any other time.
    pub async fn leave(&self, within: Duration) {
        self.clients.leave();
        self.handle.pause().await;
        // Connections that were accepted just now are on their way to a worker.
        actix_web::rt::time::sleep(SETTLE.min(within)).await;
        // At the end of the time, the remaining ones are closed.
        _ = actix_web::rt::time::timeout(within, self.clients.gone()).await;
    }

    /// Accepts no more, lets what is in flight finish for up to five seconds, and stops.
    pub async fn stop(&self) {
        self.handle.stop(true).await;
    }
}

fn refused(address: SocketAddr, source: io::Error) -> EdgeError {
    match source.kind() {
        io::ErrorKind::AddrInUse => EdgeError::InUse { address },
        _ => EdgeError::Unusable { address, source },
    }
}
