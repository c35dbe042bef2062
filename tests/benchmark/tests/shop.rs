//! The program as it is run, against a stub shop on loopback that insists on cookies, redirects
//! and well-formed orders, and that can be told to fail.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::HashMap;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use actix_web::cookie::Cookie;
use actix_web::http::Method;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};

/// What the stub answers to a checkout.
type Checkout = fn() -> HttpResponse;

fn ship() -> HttpResponse {
    HttpResponse::Ok().body("<p>Tracking: <b>MQ-2281-7184512</b></p>")
}

#[derive(Clone)]
struct Stub {
    checkout: Checkout,
    served: Arc<Mutex<HashMap<String, u64>>>,
}

async fn answer(stub: web::Data<Stub>, request: HttpRequest, form: String) -> HttpResponse {
    let route = format!("{} {}", request.method(), request.path());
    let route = if route.starts_with("GET /product/") {
        "GET /product/".to_owned()
    } else {
        route
    };
    *stub
        .served
        .lock()
        .unwrap()
        .entry(route.clone())
        .or_default() += 1;
    if route == "GET /" {
        return HttpResponse::Ok()
            .cookie(Cookie::build("id", "7").path("/").finish())
            .finish();
    }
    if request.cookie("id").is_none() {
        return HttpResponse::BadRequest().finish();
    }
    let found = |path| {
        HttpResponse::Found()
            .insert_header(("Location", path))
            .finish()
    };
    match (route.as_str(), request.method()) {
        (_, &Method::GET) => HttpResponse::Ok().body("a page"),
        ("POST /setCurrency", _) if form.starts_with("currency_code=") => found("/"),
        ("POST /cart", _) if form.contains("&quantity=") => found("/cart"),
        ("POST /cart/checkout", _) if form.contains("4432+8015+6152+0454") => (stub.checkout)(),
        _ => HttpResponse::UnprocessableEntity().finish(),
    }
}

/// Shops for a second and returns what the program said and what the stub served.
fn shop(checkout: Checkout, more: &[&str]) -> (Output, HashMap<String, u64>) {
    let stub = Stub {
        checkout,
        served: Arc::default(),
    };
    let (served, (started, address)) = (stub.served.clone(), mpsc::channel());
    let server = thread::spawn(move || {
        rt::System::new().block_on(async move {
            let app = move || {
                App::new()
                    .app_data(web::Data::new(stub.clone()))
                    .default_service(web::to(answer))
            };
            let server = HttpServer::new(app).workers(1).disable_signals();
            let server = server.bind(("127.0.0.1", 0)).unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            started.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (address, handle) = address.recv().unwrap();
    let url = format!("http://{address}");
    let output = benchmark(
        &["shop", "--url", &url, "--shoppers", "8", "--seconds", "1"],
        more,
    );
    drop(handle.stop(false));
    server.join().unwrap();
    let served = served.lock().unwrap().clone();
    (output, served)
}

fn benchmark(arguments: &[&str], more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_benchmark"));
    command.args(arguments).args(more).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_healthy_shop_is_measured_without_failures_and_every_request_is_accounted_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let (output, served) = shop(ship, &["--seed", "1", "--json", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));

    let json = std::fs::read(file).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let count = |route: usize| json["routes"][route]["requests"].as_u64().unwrap();
    let [home, currency, product, add, cart, checkout] = std::array::from_fn(count);
    assert_eq!(json["failures"], 0);
    assert_eq!(json["orders"], checkout);
    assert!(checkout > 0 && product > add && add > checkout, "{json:#}");
    // The stub also saw the first look at the home page, and where the redirects led.
    assert_eq!(served["GET /"], 1 + home + currency);
    assert_eq!(served["GET /cart"], cart + add);
    assert_eq!(served["GET /product/"], product);
    assert!(text(&output.stdout).contains("POST /cart/checkout"));
    assert!(
        text(&output.stderr).contains("seed 1"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn declined_cards_are_no_failures() {
    let (output, _) = shop(|| HttpResponse::PaymentRequired().body("declined"), &[]);

    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stdout));
    let stdout = text(&output.stdout);
    assert!(
        stdout.contains("0 orders, ") && !stdout.contains(", 0 declined"),
        "{stdout}"
    );
}

#[test]
fn a_broken_checkout_is_told_and_exits_with_1() {
    let broken: [(Checkout, &str); 2] = [
        (
            || HttpResponse::InternalServerError().finish(),
            "status 500",
        ),
        (
            || HttpResponse::Ok().body("thank you"),
            "status 200 OK, but no tracking number",
        ),
    ];
    for (checkout, told) in broken {
        let (output, _) = shop(checkout, &["--think-ms", "1"]);

        let stdout = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{stdout}");
        assert!(
            stdout.contains(&format!("POST /cart/checkout: {told}")),
            "{stdout}"
        );
    }
}

#[test]
fn what_cannot_be_measured_is_one_line_and_exits_with_2() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    let output = benchmark(
        &["shop", "--url", &url, "--shoppers", "1", "--seconds", "1"],
        &[],
    );
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(
        stderr.starts_with(&format!("error: cannot reach {url}")),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1, "{stderr}");

    let (output, served) = shop(ship, &["--json", "/nowhere/report.json"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/nowhere/report.json"));
    assert_eq!(served.len(), 1, "nobody shopped: {served:?}");
}
