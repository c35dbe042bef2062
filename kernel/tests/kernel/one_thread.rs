//! A node that runs wholly on the current thread, as simulations need it.

use std::{sync::Arc, time::Duration};

use modulith_kernel::{Environment, Node, NodeBuilder, Stop};
use tempfile::TempDir;

use crate::common::{
    alice,
    ledger::{GetBalance, Ledger, LedgerSettings},
    post,
    shelf::{ListHeard, Shelf, ShelfSettings},
};

fn start(folder: &TempDir) -> Arc<Node> {
    let mut node = NodeBuilder::new(Environment::real(folder.path()));
    node.one_thread()
        .host::<Ledger>(LedgerSettings::default())
        .host::<Shelf>(ShelfSettings::default());
    node.start().expect("a new folder can be started on")
}

#[test]
fn a_halted_node_on_one_thread_does_nothing_more_and_starts_again_on_what_it_stored() {
    let folder = TempDir::new().unwrap();
    actix::System::new().block_on(async {
        let node = start(&folder);
        assert_eq!(node.open_port().ask(post(5)).await, Ok(5));
        let halted = node.open_port();
        node.halt();
        let waited = halted.ask(post(1)).await;
        assert!(matches!(waited, Err(Stop::Fault(_))), "{waited:?}");

        let node = start(&folder);
        let port = node.open_port();
        let account = alice();
        assert_eq!(port.ask(GetBalance { account }).await, Ok(5));
        // Events are followed on the same thread.
        while port.ask(ListHeard {}).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(port.ask(ListHeard {}).await, Ok(vec![5]));
        node.stop().await;
    });
}
