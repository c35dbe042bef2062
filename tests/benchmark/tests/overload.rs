//! The program as it is run, against a stub shop on loopback that serves some pages and refuses
//! others, for times too short to say anything about speed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, rt, web};
use serde_json::Value;

/// What was asked for and with which cookies, each once.
type Asked = Arc<Mutex<BTreeSet<String>>>;

/// Serves everything but carts, which it has no time for.
async fn answer(asked: web::Data<Asked>, request: HttpRequest) -> HttpResponse {
    let route = format!("{} {}", request.method(), request.path());
    asked.lock().unwrap().insert(route.clone());
    if request.cookie("shop_session-id").is_none() {
        return HttpResponse::BadRequest().finish();
    }
    match route.as_str() {
        "GET /cart" => HttpResponse::ServiceUnavailable().finish(),
        "POST /cart" | "POST /setCurrency" => HttpResponse::Found().finish(),
        _ => HttpResponse::Ok().body("a page"),
    }
}

fn overload(url: &str, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_benchmark"));
    command.args(["overload", "--quick", "--seconds", "0.2", "--url", url]);
    command.args(more).output().unwrap()
}

/// Overloads the stub, and returns what the program said and what the stub was asked for.
fn overload_stub(more: &[&str]) -> (Output, BTreeSet<String>) {
    let asked = Asked::default();
    let (seen, (started, address)) = (asked.clone(), mpsc::channel());
    let server = thread::spawn(move || {
        rt::System::new().block_on(async move {
            let app = move || {
                App::new()
                    .app_data(web::Data::new(asked.clone()))
                    .default_service(web::to(answer))
            };
            let server = HttpServer::new(app)
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            let address = server.addrs()[0];
            let server = server.run();
            started.send((address, server.handle())).unwrap();
            server.await.unwrap();
        });
    });
    let (address, handle) = address.recv().unwrap();
    let output = overload(&format!("http://{address}"), more);
    rt::System::new().block_on(handle.stop(false));
    server.join().unwrap();
    let seen = seen.lock().unwrap().clone();
    (output, seen)
}

#[test]
fn what_is_served_refused_and_turned_away_adds_up_to_what_was_offered() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("overload.json");
    let (output, asked) = overload_stub(&["--json", json.to_str().unwrap()]);

    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let report: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert!(report["peak"]["per_second"].as_f64().unwrap() > 0.0);
    let steps = report["steps"].as_array().unwrap();
    let times: Vec<_> = steps.iter().map(|step| step["times"].as_f64()).collect();
    assert_eq!(times, [0.5, 1.0, 1.5, 2.0, 3.0].map(Some));
    for step in steps {
        let number = |key: &str| step[key].as_f64().unwrap();
        let parts = ["goodput", "refused", "late", "failed", "without_connection"];
        let sum: f64 = parts.into_iter().map(number).sum();
        assert!((sum - number("offered")).abs() < 1e-6, "{step:#}");
        assert!(number("offered") > 0.0, "{step:#}");
    }
    // A fifth of the requests are for carts.
    assert!(
        steps
            .iter()
            .any(|step| step["refused"].as_f64().unwrap() > 0.0)
    );
    assert_eq!(report["target"], 0.8);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("Goodput at twice the peak: "), "{table}");
    for route in ["GET /", "GET /cart", "POST /cart", "POST /setCurrency"] {
        assert!(asked.contains(route), "{route}: {asked:?}");
    }
}

#[test]
fn a_shop_that_is_not_there_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let output = overload(&format!("http://{address}"), &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("error: the shop did not answer"), "{told}");
}
