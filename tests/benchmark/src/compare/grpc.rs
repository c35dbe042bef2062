//! tonic as a contender, with TLS and without: gRPC as its users have it, with messages written
//! by hand where a build script would write them.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use prost::Message;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::transport::{
    Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig,
    server::TcpIncoming,
};
use tonic::{Request, Response, Status, body::Body};
use tonic_prost::ProstCodec;

use super::echo::repeat;
use super::identity::{Leaf, Pem, SERVER_NAME};
use super::ours::same;
use crate::error::Error;
use crate::load::Contender;
use crate::usage::Processes;

const WHO: &str = "tonic";

/// Where the one method is.
const PATH: &str = "/compare.Echo/Repeat";

/// The request and the reply.
#[derive(Clone, PartialEq, Message)]
struct Text {
    #[prost(string, tag = "1")]
    text: String,
}

/// The service, as generated code would have it.
#[derive(Clone)]
struct Echo;

impl Service<http::Request<Body>> for Echo {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != PATH {
                return Ok(Status::unimplemented("there is one method").into_http());
            }
            let mut grpc = tonic::server::Grpc::new(ProstCodec::default());
            Ok(grpc.unary(Repeat, request).await)
        })
    }
}

/// The method.
struct Repeat;

impl tonic::server::UnaryService<Text> for Repeat {
    type Response = Text;
    type Future = BoxFuture<Response<Text>, Status>;

    fn call(&mut self, request: Request<Text>) -> Self::Future {
        let text = repeat(request.into_inner().text);
        Box::pin(async move { Ok(Response::new(Text { text })) })
    }
}

/// Serves until it is dropped, and says where once it listens.
pub(crate) async fn serve(
    folder: &Path,
    is_encrypted: bool,
    listening: impl FnOnce(SocketAddr) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut server = Server::builder();
    if is_encrypted {
        let pem = Pem::read(folder, Leaf::Server)?;
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(pem.certificate, pem.key))
            .client_ca_root(Certificate::from_pem(pem.authority));
        server = server
            .tls_config(tls)
            .map_err(Error::of(WHO, "use its certificates"))?;
    }
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())
        .map_err(Error::io("listen"))?
        .with_nodelay(Some(true));
    listening(incoming.local_addr().map_err(Error::io("listen"))?)?;
    let served = server.serve_with_incoming(Echo, incoming).await;
    served.map_err(Error::of(WHO, "serve"))
}

/// Asks over one or several connections, each caller over one.
#[derive(Clone)]
pub(crate) struct Asks {
    endpoint: Endpoint,
    connections: u16,
    open: Arc<tokio::sync::Mutex<Vec<Channel>>>,
    text: Arc<str>,
    processes: Processes,
}

impl Asks {
    pub(crate) fn new(
        folder: &Path,
        server: SocketAddr,
        is_encrypted: bool,
        connections: u16,
        bytes: usize,
        processes: Processes,
    ) -> Result<Self, Error> {
        let scheme = if is_encrypted { "https" } else { "http" };
        let failed = || Error::of(WHO, "make a client");
        let url = format!("{scheme}://{server}");
        let mut endpoint = Endpoint::from_shared(url).map_err(failed())?;
        if is_encrypted {
            let pem = Pem::read(folder, Leaf::Client)?;
            let tls = ClientTlsConfig::new()
                .domain_name(SERVER_NAME)
                .identity(Identity::from_pem(pem.certificate, pem.key))
                .ca_certificate(Certificate::from_pem(pem.authority));
            endpoint = endpoint.tls_config(tls).map_err(failed())?;
        }
        Ok(Self {
            endpoint,
            connections,
            open: Arc::default(),
            text: "x".repeat(bytes).into(),
            processes,
        })
    }

    /// The connection of a caller. The first callers of a window open new ones: those of the
    /// window before ended with its runtime.
    async fn channel(&self, number: u16) -> Result<Channel, Error> {
        let mut open = self.open.lock().await;
        if number == 0 {
            open.clear();
        }
        if number < self.connections {
            let channel = self.endpoint.connect().await;
            open.push(channel.map_err(Error::of(WHO, "connect"))?);
        }
        Ok(open[usize::from(number % self.connections)].clone())
    }
}

/// One caller's client.
pub(crate) struct Caller {
    grpc: tonic::client::Grpc<Channel>,
    text: Arc<str>,
}

impl Contender for Asks {
    type Caller = Caller;

    async fn caller(&self, number: u16) -> Result<Caller, Error> {
        Ok(Caller {
            grpc: tonic::client::Grpc::new(self.channel(number).await?),
            text: self.text.clone(),
        })
    }

    async fn once(caller: &mut Caller) -> Result<(), Error> {
        let ready = caller.grpc.ready().await;
        ready.map_err(Error::of(WHO, "connect"))?;
        let request = Request::new(Text {
            text: caller.text.as_ref().to_owned(),
        });
        let path = http::uri::PathAndQuery::from_static(PATH);
        let codec = ProstCodec::<Text, Text>::default();
        let reply = caller.grpc.unary(request, path, codec).await;
        let reply = reply.map_err(Error::of(WHO, "answer"))?.into_inner();
        same(WHO, &reply.text, &caller.text)
    }

    fn processes(&self) -> Processes {
        self.processes.clone()
    }
}
