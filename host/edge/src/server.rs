//! One listening address and the threads that serve it.

use std::{io, net::SocketAddr, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::{Condition, DefaultHeaders, from_fn},
    web::{FormConfig, PayloadConfig},
};

use crate::{BODY_BYTES_MAX, HEAD_TIMEOUT, Site, admission::Door, priority_by_method};

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
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Unusable {
        /// The address wanted.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A running HTTP server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    handle: ServerHandle,
}

impl Server {
    /// Listens and serves, on `workers` threads. Inside an actix system.
    ///
    /// # Errors
    /// When the address is taken or cannot be listened on.
    pub fn start(listen: SocketAddr, workers: usize, site: Site) -> Result<Self, EdgeError> {
        let app = move || {
            let routes = site.routes.clone();
            let door = Door::new(site.priorities.unwrap_or(priority_by_method));
            let passed = from_fn(move |request, next| door.clone().pass(request, next));
            App::new()
                .wrap(Condition::new(site.priorities.is_some(), passed))
                .wrap(DefaultHeaders::new().add(("X-Content-Type-Options", "nosniff")))
                .app_data(PayloadConfig::new(BODY_BYTES_MAX))
                .app_data(FormConfig::default().limit(BODY_BYTES_MAX))
                .configure(move |config| routes(config))
        };
        let server = HttpServer::new(app)
            .workers(workers)
            .disable_signals()
            .client_request_timeout(HEAD_TIMEOUT)
            .keep_alive(HEAD_TIMEOUT)
            .shutdown_timeout(DRAIN_MAX.as_secs())
            .bind(listen)
            .map_err(|source| refused(listen, source))?;
        let address = server.addrs().first().copied().unwrap_or(listen);
        let running = server.run();
        let handle = running.handle();
        actix_web::rt::spawn(async move {
            if let Err(error) = running.await {
                tracing::error!(%address, %error, "HTTP server failed");
            }
        });
        Ok(Self { address, handle })
    }

    /// Where it listens, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
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
