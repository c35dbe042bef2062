//! The modules the tests run: a ledger that keeps balances, a shelf and a reader that listen to
//! it, a teller that asks it, a pad on which a test can write what it likes, and purses, a till
//! and an errand boy that can be divided.

mod gate;
pub(crate) mod ledger;
pub(crate) mod pad;
pub(crate) mod press;
pub(crate) mod purse;
pub(crate) mod reader;
pub(crate) mod script;
pub(crate) mod shelf;
pub(crate) mod teller;

use std::sync::Arc;

use futures_util::{FutureExt, future::BoxFuture};
use modulith_kernel::{Fault, Node, Outcome, Port, Request};
use modulith_testkit::World;

pub(crate) use gate::Gate;
use ledger::{Account, GetBalance, Hold, Post};

/// The account most tests use.
pub(crate) fn alice() -> Account {
    Account::new("alice").expect("a plain name is an id")
}

/// Another account.
pub(crate) fn bob() -> Account {
    Account::new("bob").expect("a plain name is an id")
}

/// Adds to Alice's account.
pub(crate) fn post(amount: i64) -> Post {
    Post {
        account: alice(),
        amount,
    }
}

/// The node of a world, to be held while waiting.
pub(crate) fn node(world: &World) -> Arc<Node> {
    world.node().clone()
}

/// What is in Alice's account.
pub(crate) async fn balance(world: &World) -> i64 {
    let account = alice();
    world
        .ask(GetBalance { account })
        .await
        .expect("a balance can be read")
}

/// Asks, and returns only the fault it must end in.
pub(crate) async fn fault<R: Request>(world: &World, request: R) -> Fault {
    fault_of::<R>(world.ask(request).await)
}

pub(crate) fn fault_of<R: Request>(outcome: Outcome<R>) -> Fault {
    match outcome {
        Err(modulith_kernel::Stop::Fault(fault)) => fault,
        other => panic!("expected a fault, found {other:?}"),
    }
}

/// Sends a request now: its first step is taken, the rest when it is awaited.
pub(crate) fn begin<R: Request>(port: &Port, request: R) -> BoxFuture<'_, Outcome<R>> {
    let mut asked = Box::pin(async move { port.ask(request).await });
    match asked.as_mut().now_or_never() {
        Some(outcome) => Box::pin(std::future::ready(outcome)),
        None => asked,
    }
}

/// Makes the ledger busy: its handler stands in the gate until the gate is opened.
pub(crate) fn hold<'a>(port: &'a Port, gate: &Arc<Gate>) -> BoxFuture<'a, Outcome<Hold>> {
    gate.close();
    let held = begin(port, Hold {});
    gate.wait_until_entered();
    held
}
