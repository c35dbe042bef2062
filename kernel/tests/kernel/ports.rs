//! Default deny: a module asks what it declares, and nothing else.

use std::time::Duration;

use modulith_kernel::{Call, Carried, Fault, Never, Outcome, codec};
use modulith_testkit::World;
use tokio::time::Instant;

use crate::common::{
    alice, fault,
    ledger::{GetBalance, Ledger, LedgerSettings},
    post,
    teller::{AskDeclared, AskUndeclared, Teller, TellerSettings},
};

fn world() -> modulith_testkit::WorldBuilder {
    World::of::<Teller>(TellerSettings::default()).with::<Ledger>(LedgerSettings::default())
}

fn denied(message: &str) -> Fault {
    Fault::Denied {
        caller: "teller".to_string(),
        message: message.to_string(),
    }
}

#[test]
fn what_is_declared_is_asked() {
    world().run(async |world: &World| {
        world.ask(post(4)).await.unwrap();
        assert_eq!(world.ask(AskDeclared {}).await, Ok(4));
    });
}

#[test]
fn what_is_not_declared_is_denied() {
    world().run(async |world: &World| {
        assert_eq!(
            fault(world, AskUndeclared {}).await,
            denied("ledger.GetIncarnation")
        );
        assert_eq!(world.status("ledger").queries, 0);
    });
}

#[test]
fn a_modules_own_port_denies_it_just_the_same() {
    world().run(async |world: &World| {
        let port = world.node().port("teller").unwrap();
        let account = alice();
        assert_eq!(port.ask(GetBalance { account }).await, Ok(0));
        let asked = port.ask(AskDeclared {}).await;
        assert_eq!(
            asked.unwrap_err().into_fault(),
            denied("teller.AskDeclared")
        );
        assert!(world.node().port("nobody").is_none());
    });
}

#[test]
fn another_process_is_checked_against_the_declaration_of_who_it_says_it_is() {
    world().run(async |world: &World| {
        let call = |caller: &str, message: &str| Call {
            caller: caller.into(),
            message: message.into(),
            partition: 0,
            id: 0,
            carried: Carried::default(),
            deadline: Instant::now() + Duration::from_secs(2),
            body: codec::encode(&GetBalance { account: alice() }).unwrap(),
        };
        let serve = async |call| {
            let node = world.node().clone();
            let reply = node.serve(call).await;
            codec::decode::<Outcome<GetBalance>>(&reply).unwrap()
        };
        assert_eq!(serve(call("teller", "ledger.GetBalance")).await, Ok(0));
        for caller in ["shelf", ""] {
            assert_eq!(
                serve(call(caller, "ledger.GetBalance")).await.unwrap_err(),
                modulith_kernel::Stop::<Never>::Fault(Fault::Denied {
                    caller: caller.to_string(),
                    message: "ledger.GetBalance".to_string(),
                })
            );
        }
        assert_eq!(world.node().denied(), 2);
        let unknown = serve(call("teller", "ledger.GetNothing")).await;
        assert!(matches!(
            unknown.unwrap_err().into_fault(),
            Fault::Unreachable { .. }
        ));
        let malformed = Call {
            body: vec![255; 7],
            ..call("teller", "ledger.GetBalance")
        };
        assert!(matches!(
            serve(malformed).await.unwrap_err().into_fault(),
            Fault::Malformed { .. }
        ));
    });
}
