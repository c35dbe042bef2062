//! A till that sells, and a shelf that hears of it.

use std::{path::Path, sync::Arc, time::Duration};

use modulith_kernel::{
    Command, Conduct, Declaration, Environment, Event, Fault, Flow, Handle, Ledger, Listen, Module,
    Node, NodeBuilder, Options, Outcome, Setup, SetupError, Snapshot, Table, Tx,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "till")]
pub(crate) struct Sell {
    pub(crate) sale: String,
}

/// Waits for an hour.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "till")]
pub(crate) struct Wait {}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "till")]
pub(crate) struct Sold {
    sale: String,
}

const SHELVED: Table<String, ()> = Table::new("shelved");

pub(crate) struct Till;

impl Till {
    pub(crate) const VERSION: u32 = <Self as Module>::STORE_VERSION;
}

impl Module for Till {
    const NAME: &'static str = "till";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<Sell>()
            .conducts::<Wait>()
            .publishes::<Sold>();
    }
}

impl Handle<Sell> for Till {
    fn handle(&self, Sell { sale }: Sell, tx: &mut Tx<'_>) -> Outcome<Sell> {
        Ok(tx.publish(&Sold { sale })?)
    }
}

impl Conduct<Wait> for Till {
    async fn conduct(&self, _: Wait, flow: &Flow) -> Outcome<Wait> {
        flow.sleep(Duration::from_secs(3600)).await;
        Ok(())
    }
}

pub(crate) struct Shelf;

impl Module for Shelf {
    const NAME: &'static str = "shelf";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.listens::<Sold>();
    }

    fn ledger(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
        let shelved = ledger.account("shelved");
        for (sale, ()) in snapshot.range(&SHELVED, .., usize::MAX)? {
            shelved.settled(sale, &[]);
        }
        for Sold { sale } in snapshot.parked_events()? {
            shelved.pending(sale);
        }
        Ok(())
    }
}

impl Listen<Sold> for Shelf {
    fn listen(&self, Sold { sale }: Sold, tx: &mut Tx<'_>) -> Result<(), Fault> {
        match sale.as_str() {
            "bad" => Err(Fault::Late),
            _ => tx.put(&SHELVED, &sale, &()),
        }
    }
}

/// Both of them on a folder.
pub(crate) fn node(folder: &Path, at_rest: bool) -> Arc<Node> {
    let mut node = NodeBuilder::new(Environment::real(folder));
    let parking = Options {
        event_attempts_max: 1,
        ..Options::default()
    };
    node.host::<Till>(()).host_with::<Shelf>((), parking);
    if at_rest {
        node.at_rest();
    }
    node.start().unwrap()
}
