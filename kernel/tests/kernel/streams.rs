//! Answers that are streams of items: their order, their end, their pace.

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use futures_util::{FutureExt, StreamExt};
use modulith_kernel::{
    Call, Carried, Fault, Items, Kind, Manifest, Never, Stop, StreamQuery, codec,
};
use modulith_testkit::{World, until};
use tokio::time::Instant;

use crate::common::{
    fault,
    press::{
        AskForInks, Bind, Binder, ListInks, Number, Press, PressSettings, Print, PrintRefusal, Then,
    },
};

type Next<Q> = Result<<Q as StreamQuery>::Item, Stop<<Q as StreamQuery>::Refusal>>;

const OUT_OF_PAPER: Stop<PrintRefusal> = Stop::Refused(PrintRefusal::OutOfPaper);

fn print(sheets: u32, then: Then) -> Print {
    Print { sheets, then }
}

fn world(settings: &PressSettings) -> modulith_testkit::WorldBuilder {
    World::of::<Press>(settings.clone()).with::<Binder>(())
}

async fn all<Q: StreamQuery>(items: Items<Q>) -> Vec<Next<Q>> {
    items.collect().await
}

/// The numbers of the sheets that came, and how it ended.
async fn printed(world: &World, what: Print) -> (Vec<u32>, Option<Stop<PrintRefusal>>) {
    let (mut numbers, mut end) = (Vec::new(), None);
    for next in all(world.port().stream(what)).await {
        assert_eq!(end, None, "nothing follows an error");
        match next {
            Ok(sheet) => numbers.push(sheet.number),
            Err(stop) => end = Some(stop),
        }
    }
    (numbers, end)
}

#[test]
fn ten_thousand_items_come_in_order_and_then_the_end() {
    world(&PressSettings::default()).run(async |world: &World| {
        let (numbers, end) = printed(world, print(10_000, Then::End)).await;
        assert!(numbers.into_iter().eq(0..10_000));
        assert_eq!(end, None);
        assert_eq!(printed(world, print(0, Then::End)).await, (vec![], None));
        assert_eq!(world.status("press").queries, 2);
    });
}

#[test]
fn a_module_takes_what_another_makes_and_passes_it_on() {
    world(&PressSettings::default()).run(async |world: &World| {
        let print = print(100, Then::End);
        let bound = world
            .ask(Bind {
                print: print.clone(),
            })
            .await;
        assert_eq!(bound, Ok((100, 4950)));
        let numbered = all(world.port().stream(Number { print })).await;
        assert!(numbered.into_iter().eq((0..100).map(|at| Ok(at * 2))));
    });
}

#[test]
fn a_refusal_ends_the_stream_and_nothing_follows() {
    world(&PressSettings::default()).run(async |world: &World| {
        for then in [Then::Refuse, Then::RefuseAndGoOn] {
            let came = printed(world, print(2, then)).await;
            assert_eq!(came, (vec![0, 1], Some(OUT_OF_PAPER)));
        }
        assert_eq!(world.status("press").refusals, 2);
        let print = print(1, Then::Refuse);
        let passed_on = all(world.port().stream(Number { print })).await;
        assert_eq!(passed_on, [Ok(0), Err(OUT_OF_PAPER)]);
    });
}

#[test]
fn a_panic_in_the_making_is_the_last_item() {
    world(&PressSettings::default()).run(async |world: &World| {
        let module = "press".to_string();
        let panicked = Stop::Fault(Fault::Panicked { module });
        let later = printed(world, print(2, Then::Panic)).await;
        assert_eq!(later, (vec![0, 1], Some(panicked.clone())));
        let at_once = printed(world, print(2, Then::PanicAtOnce)).await;
        assert_eq!(at_once, (vec![], Some(panicked)));
        let status = world.status("press");
        assert_eq!((status.panics, status.faults), (2, 2));
        assert_eq!(printed(world, print(1, Then::End)).await.0, [0]);
    });
}

#[test]
fn an_item_that_does_not_come_in_time_is_late() {
    let settings = PressSettings::default();
    world(&settings).run(async |world: &World| {
        let limit = Duration::from_millis(50);
        let stream = || world.port().stream_within(print(2, Then::Hang), limit);
        let came = all(stream()).await;
        assert_eq!(came.len(), 3);
        assert_eq!(came[2], Err(Stop::Fault(Fault::Late)));
        until(|| settings.printing.load(SeqCst) == 0).await;

        // Each item has the limit to itself, and the taker's own time does not count.
        let mut slowly = stream();
        for _ in 0..2 {
            tokio::time::sleep(limit * 2).await;
            assert!(slowly.next().await.unwrap().is_ok());
        }
        let within = world.port().within(limit).stream(print(0, Then::Hang));
        assert_eq!(all(within).await, [Err(Stop::Fault(Fault::Late))]);
        let never = world
            .port()
            .within(Duration::ZERO)
            .stream(print(1, Then::End));
        assert_eq!(all(never).await, [Err(Stop::Fault(Fault::Late))]);
    });
}

#[test]
fn nothing_is_made_before_it_is_taken_and_nothing_after_its_taker_left() {
    let settings = PressSettings::default();
    world(&settings).run(async |world: &World| {
        settings.made.store(0, SeqCst);
        let mut sheets = world.port().stream(print(1000, Then::End));
        assert_eq!(settings.made.load(SeqCst), 0);
        for taken in 1..=3 {
            sheets.next().await.unwrap().unwrap();
            assert_eq!(settings.made.load(SeqCst), taken, "taken and made");
        }
        assert_eq!(settings.printing.load(SeqCst), 1);
        drop(sheets);
        assert_eq!(settings.printing.load(SeqCst), 0);
        assert_eq!(settings.made.load(SeqCst), 3);
    });
}

#[test]
fn an_item_too_large_to_be_sent_is_a_fault_where_it_is_sent() {
    world(&PressSettings::default()).run(async |world: &World| {
        let node = world.node().clone();
        let items = node.serve_stream(call("binder", "press.Print", &print(1, Then::Poster)));
        let items: Vec<_> = items.map(|item| decoded::<Print>(&item)).collect().await;
        assert_eq!(items.len(), 2, "nothing follows");
        assert!(items[0].is_ok());
        let Err(Stop::Fault(Fault::TooLarge { bytes_max, .. })) = items[1] else {
            panic!("expected that it is too large, found {:?}", items[1]);
        };
        assert_eq!(bytes_max, codec::ENCODED_BYTES_MAX as u64);
    });
}

#[test]
fn what_is_not_declared_is_denied() {
    world(&PressSettings::default()).run(async |world: &World| {
        let denied = |caller: &str| Fault::Denied {
            caller: caller.to_string(),
            message: "press.ListInks".to_string(),
        };
        assert_eq!(fault(world, AskForInks {}).await, denied("binder"));
        let port = world.node().port("binder").unwrap();
        let asked = all(port.stream(ListInks {})).await;
        assert_eq!(asked, [Err(Stop::<Never>::Fault(denied("binder")))]);
        // What another process sends in the binder's name is checked here as well.
        let node = world.node().clone();
        let serve = async |call| {
            let items = node.serve_stream(call).collect::<Vec<_>>().await;
            assert_eq!(items.len(), 1);
            decoded::<ListInks>(&items[0]).unwrap_err().into_fault()
        };
        let inks = call("binder", "press.ListInks", &ListInks {});
        assert_eq!(serve(inks).await, denied("binder"));
        let unknown = serve(call("binder", "press.Fold", &ListInks {})).await;
        assert!(matches!(unknown, Fault::Unreachable { .. }), "{unknown:?}");
    });
}

#[test]
fn who_wants_a_reply_gets_no_stream_and_the_other_way_round() {
    world(&PressSettings::default()).run(async |world: &World| {
        let node = world.node().clone();
        let reply = node.serve(call("binder", "press.Print", &print(1, Then::End)));
        let reply = decoded::<Print>(&reply.await);
        let is_malformed =
            |next: &Next<Print>| matches!(next, Err(Stop::Fault(Fault::Malformed { .. })));
        assert!(is_malformed(&reply), "{reply:?}");
        let mut garbage = call("binder", "press.Print", &print(1, Then::End));
        garbage.body = vec![255; 7];
        let items = node.serve_stream(garbage).collect::<Vec<_>>().await;
        assert_eq!(items.len(), 1);
        let only = decoded::<Print>(&items[0]);
        assert!(is_malformed(&only), "{only:?}");
    });
}

#[test]
fn a_node_that_stops_ends_its_streams_with_a_fault() {
    world(&PressSettings::default()).run(async |world: &World| {
        let mut sheets = world.port().stream(print(1000, Then::End));
        sheets.next().await.unwrap().unwrap();
        world.node().halt();
        let Some(Err(Stop::Fault(Fault::Stopped { module, .. }))) = sheets.next().await else {
            panic!("expected that the module is stopped");
        };
        assert_eq!(module, "press");
        assert_eq!(sheets.next().await, None);
    });
}

#[test]
fn a_manifest_lists_streams_among_answers_and_asks() {
    let manifest = Manifest::of::<Binder>();
    let kinds = |messages: &[modulith_kernel::DeclaredMessage]| {
        let kinds = messages.iter().map(|it| (it.message.name, it.kind));
        kinds.collect::<Vec<_>>()
    };
    let expected = [
        ("Bind", Kind::Query),
        ("Number", Kind::StreamQuery),
        ("AskForInks", Kind::Query),
    ];
    assert_eq!(kinds(&manifest.answers), expected);
    assert_eq!(kinds(&manifest.asks), [("Print", Kind::StreamQuery)]);
    let alone = World::of::<Binder>(()).start_error().to_string();
    assert!(alone.contains("binder asks press.Print"), "{alone}");
}

#[test]
fn items_can_be_polled_where_there_is_nothing_to_wait_for() {
    world(&PressSettings::default()).run(async |world: &World| {
        let sheets = world.port().stream(print(3, Then::End));
        let taken = sheets.collect::<Vec<_>>().now_or_never();
        assert_eq!(taken.map(|sheets| sheets.len()), Some(3));
    });
}

fn call<Q: StreamQuery>(caller: &str, message: &str, query: &Q) -> Call {
    Call {
        caller: caller.into(),
        message: message.into(),
        partition: 0,
        id: 0,
        carried: Carried::default(),
        deadline: Instant::now() + Duration::from_secs(2),
        body: codec::encode(query).expect("a query of the tests is encoded"),
    }
}

fn decoded<Q: StreamQuery>(item: &[u8]) -> Next<Q> {
    codec::decode(item).expect("an item is encoded")
}
