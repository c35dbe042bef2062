//! A server that leaves its clients to another one at the same address.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use modulith_edge::{
    Server, Site,
    actix_web::{
        HttpResponse, rt,
        web::{self, ServiceConfig},
    },
    listen,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Far enough away to play no part.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server's only page: its name.
fn named(name: &'static str) -> Site {
    let routes = move |routes: &mut ServiceConfig| {
        let page = move || async move { HttpResponse::Ok().body(name) };
        routes.route("/", web::get().to(page));
    };
    Site {
        routes: Arc::new(routes),
        priorities: None,
    }
}

/// A client that keeps its connection.
struct Client(TcpStream);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    /// The whole answer, in lower case. A page is a few bytes, which come at once.
    async fn get(&mut self) -> String {
        let request = b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n";
        self.0.write_all(request).await.unwrap();
        let mut answer = String::new();
        while !answer.contains("page of ") {
            let mut some = [0; 1024];
            let read = self.0.read(&mut some).await.unwrap();
            assert_ne!(read, 0, "closed after {answer:?}");
            answer.push_str(&String::from_utf8_lossy(&some[..read]).to_lowercase());
        }
        answer
    }

    async fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]).await, Ok(0))
    }
}

#[test]
fn clients_make_one_more_request_and_go_to_the_one_that_stays() {
    rt::System::new().block_on(async {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let old = Server::serve(listener.try_clone().unwrap(), 1, named("page of old")).unwrap();
        let address = old.address();
        let mut busy = Client::connect(address).await;
        let answer = busy.get().await;
        assert!(answer.contains("page of old"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");

        let new = Server::serve(listener, 1, named("page of new")).unwrap();
        let old = Arc::new(old);
        let leaving = rt::spawn({
            let old = old.clone();
            async move { old.leave(PATIENCE).await }
        });
        // From some moment on, whoever connects gets to the one that stays.
        while !Client::connect(address).await.get().await.contains("new") {}
        let answer = busy.get().await;
        assert!(answer.contains("page of old"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(busy.is_closed().await);
        leaving.await.unwrap();
        old.stop().await;
        let answer = Client::connect(address).await.get().await;
        assert!(answer.contains("page of new"), "{answer}");
        new.stop().await;
    });
}

#[test]
fn connections_wait_while_nobody_serves_the_address() {
    rt::System::new().block_on(async {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let old = Server::serve(listener.try_clone().unwrap(), 1, named("page of old")).unwrap();
        let address = old.address();
        old.leave(Duration::ZERO).await;
        old.stop().await;
        let mut early = Client::connect(address).await;
        let new = Server::serve(listener, 1, named("page of new")).unwrap();
        assert!(early.get().await.contains("page of new"));
        new.stop().await;
    });
}

#[test]
fn a_client_that_asks_for_nothing_more_does_not_keep_the_server() {
    rt::System::new().block_on(async {
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let server = Server::serve(listener, 1, named("page of old")).unwrap();
        let mut idle = Client::connect(server.address()).await;
        idle.get().await;
        server.leave(Duration::from_millis(100)).await;
        server.stop().await;
        assert!(idle.is_closed().await);
    });
}
