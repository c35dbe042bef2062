//! The boutique's home page beside the least that the same web server can answer.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use actix_web::{App, HttpServer, web};

use super::child::Served;
use super::options::Options;
use super::report::Heat;
use super::turns::{self, Entrant, Field};
use super::wire;
use crate::boutique::{self, Boutique, NOT_BUILT, ONE_PROCESS};
use crate::error::Error;
use crate::http::{self, Connection};
use crate::load::Contender;
use crate::usage::Processes;

/// Over how many connections pages are asked for, one after the other on each.
const IN_FLIGHT: [u16; 2] = [1, 64];

/// Compares. Inside an actix system.
pub(crate) async fn compare(
    options: &Options,
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<Heat>, Error> {
    let Some(program) = boutique::program() else {
        eprintln!("{NOT_BUILT}");
        notes.push(NOT_BUILT.to_owned());
        return Ok(Vec::new());
    };
    let hello = Served::start("hello", folder, &[])?;
    let shop = Boutique::start(&program, &folder.join("home"), ONE_PROCESS).await?;
    let shop_pages = Pages::new(http::address(&shop.url)?, shop.processes());
    let hello_pages = Pages::new(wire::address(&hello)?, hello.processes());
    let fields = IN_FLIGHT.into_iter().map(|callers| Field {
        group: "shop-home".to_owned(),
        callers,
        chunk: 1,
        entrants: vec![
            Entrant::ours(shop_pages.clone()),
            Entrant::peer("actix-web", hello_pages.clone()),
        ],
    });
    turns::take(fields.collect(), options).await
}

/// Says hello until it is dropped, on as many threads as the boutique serves pages. Inside an
/// actix system.
pub(crate) async fn serve(
    listening: impl FnOnce(SocketAddr) -> Result<(), Error>,
) -> Result<(), Error> {
    let hello = || App::new().route("/", web::get().to(async || "Hello, world!"));
    let server = HttpServer::new(hello)
        .disable_signals()
        .workers(std::thread::available_parallelism().map_or(1, usize::from))
        .bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(Error::io("listen"))?;
    let address = server.addrs().first().copied();
    listening(address.ok_or(Error::NoAddress("actix-web"))?)?;
    server.run().await.map_err(Error::io("serve"))
}

/// Asks for the home page as a shopper who was there before.
#[derive(Clone)]
struct Pages {
    server: SocketAddr,
    request: Arc<[u8]>,
    processes: Processes,
}

impl Pages {
    fn new(server: SocketAddr, processes: Processes) -> Self {
        let request = http::get(&server.to_string(), "/", http::SHOPPER);
        Self {
            server,
            request: request.into(),
            processes,
        }
    }
}

impl Contender for Pages {
    type Caller = (Connection, Arc<[u8]>);

    async fn caller(&self, _: u16) -> Result<Self::Caller, Error> {
        let connection = Connection::open(self.server).await;
        Ok((
            connection.map_err(Error::io("connect"))?,
            self.request.clone(),
        ))
    }

    async fn once((connection, request): &mut Self::Caller) -> Result<(), Error> {
        let answer = connection.exchange(request).await;
        match answer.map_err(Error::io("get the page"))?.status {
            200 => Ok(()),
            _ => Err(Error::WrongReply("the home page")),
        }
    }

    fn processes(&self) -> Processes {
        self.processes.clone()
    }
}
