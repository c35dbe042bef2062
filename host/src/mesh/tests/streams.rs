//! Answers that are streams: which instance makes them, and how often they are begun.

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use modulith_mesh::{Injection, Mirror};
use modulith_quic::ServeStream;

use super::*;

/// Answers by streams, and counts them.
struct Streaming {
    make: Box<dyn Fn() -> ServeStream + Send + Sync>,
    count: Arc<AtomicUsize>,
}

impl Service for Streaming {
    fn serve(&self, _: Incoming) -> ServeFuture {
        Box::pin(async { reply("not by a stream") })
    }

    fn stream(&self, _: Incoming) -> Option<ServeStream> {
        self.count.fetch_add(1, SeqCst);
        Some((self.make)())
    }
}

fn streams(
    count: &Arc<AtomicUsize>,
    make: impl Fn() -> ServeStream + Send + Sync + 'static,
) -> Arc<dyn Service> {
    Arc::new(Streaming {
        make: Box::new(make),
        count: count.clone(),
    })
}

/// Three items, of which the text is one.
fn three(text: &'static str) -> impl Fn() -> ServeStream + Send + Sync {
    move || Box::pin(stream::iter([reply("a"), reply(text), reply("c")]))
}

/// An item, and then nothing for as long as anybody waits.
fn hangs() -> ServeStream {
    Box::pin(stream::iter([reply("a")]).chain(stream::pending()))
}

fn list(mesh: &Mesh) -> BoxStream<'static, Outcome> {
    mesh.stream(call(LIST))
}

async fn all(items: BoxStream<'static, Outcome>) -> Vec<Outcome> {
    let items = items.collect();
    tokio::time::timeout(PATIENCE, items).await.unwrap()
}

async fn first(items: &mut BoxStream<'static, Outcome>) -> Option<Outcome> {
    tokio::time::timeout(PATIENCE, items.next()).await.unwrap()
}

fn came(text: &str) -> Vec<Outcome> {
    vec![Ok(reply("a")), Ok(reply(text)), Ok(reply("c"))]
}

#[tokio::test]
async fn open_streams_are_calls_in_flight_and_spread_over_the_instances() {
    let mut world = World::new(2, vec![]);
    let [zero, one] = counts();
    world.start("money", "money.0", streams(&zero, hangs));
    world.start("money", "money.1", streams(&one, hangs));
    let mesh = world.mesh();
    let in_flight = || {
        let instances = traffic(&mesh, "money").instances;
        instances.iter().map(|it| it.in_flight).sum::<u32>()
    };
    let mut open = Vec::new();
    for number in 1..=16 {
        let mut items = list(&mesh);
        assert_eq!(first(&mut items).await, Some(Ok(reply("a"))));
        open.push(items);
        assert_eq!(in_flight(), number);
    }
    assert!(zero.load(SeqCst) > 0 && one.load(SeqCst) > 0);
    assert_eq!(zero.load(SeqCst) + one.load(SeqCst), 16);
    open.truncate(5);
    assert_eq!(in_flight(), 5);
    drop(open);
    assert_eq!(in_flight(), 0);
}

#[tokio::test]
async fn a_stream_that_does_not_begin_is_asked_of_another_instance() {
    let mut world = World::new(2, vec![]);
    let [zero, one] = counts();
    let stopped = || -> ServeStream {
        let (module, reason) = ("currency".to_string(), "it stops".to_string());
        let stopped = fault(Fault::Stopped { module, reason });
        Box::pin(stream::iter([stopped]))
    };
    world.start("money", "money.0", streams(&zero, stopped));
    world.start("money", "money.1", streams(&one, three("1")));
    let mesh = world.mesh();
    while zero.load(SeqCst) == 0 {
        assert_eq!(all(list(&mesh)).await, came("1"));
    }
    assert_eq!(traffic(&mesh, "money").retries, zero.load(SeqCst) as u64);
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_a_fault_and_is_not_begun_again() {
    let mut world = World::new(2, vec![]);
    let [zero, one] = counts();
    world.start("money", "money.0", streams(&zero, hangs));
    world.start("money", "money.1", streams(&one, hangs));
    let mesh = world.mesh();
    let mut items = list(&mesh);
    assert_eq!(first(&mut items).await, Some(Ok(reply("a"))));
    let asked = if zero.load(SeqCst) == 1 {
        "money.0"
    } else {
        "money.1"
    };
    world.kill(asked);
    let last = first(&mut items).await;
    assert!(
        matches!(last, Some(Err(Fault::Unreachable { .. }))),
        "{last:?}"
    );
    assert_eq!(first(&mut items).await, None);
    assert_eq!(zero.load(SeqCst) + one.load(SeqCst), 1);
    assert_eq!(traffic(&mesh, "money").retries, 0);
}

#[tokio::test]
async fn a_stream_goes_where_the_policy_says_and_is_neither_hedged_nor_copied() {
    let rules = Rules {
        split: Some(vec![
            ("money".to_string(), 1),
            ("money-next".to_string(), 0),
        ]),
        split_tag: Some(vec![("next".to_string(), "money-next".to_string())]),
        hedge_after: Some(Duration::from_millis(1)),
        mirror: Some(Mirror {
            process: "money-next".to_string(),
            percent: 100,
        }),
        ..Rules::default()
    };
    let mut world = World::new(2, vec![("currency", rules)]);
    let [now, next] = counts();
    let slow = || -> ServeStream {
        let begins = async {
            tokio::time::sleep(Duration::from_millis(30)).await;
            stream::iter([reply("a"), reply("now"), reply("c")])
        };
        Box::pin(stream::once(begins).flatten())
    };
    world.start("money", "money.0", streams(&now, slow));
    world.start("money", "money.1", streams(&now, slow));
    world.start("money-next", "money-next", streams(&next, three("next")));
    let mesh = world.mesh();
    for _ in 0..5 {
        assert_eq!(all(list(&mesh)).await, came("now"));
    }
    assert_eq!((now.load(SeqCst), next.load(SeqCst)), (5, 0));
    let tagged = Call {
        carried: Carried::default().tagged("next"),
        ..call(LIST)
    };
    assert_eq!(all(mesh.stream(tagged)).await, came("next"));
    assert_eq!((now.load(SeqCst), next.load(SeqCst)), (5, 1));
    let TrafficStatus {
        hedges, mirrored, ..
    } = traffic(&mesh, "money-next");
    assert_eq!((hedges, mirrored), (0, 0));
}

#[tokio::test]
async fn faults_are_put_into_the_beginning_of_a_stream() {
    let rules = Rules {
        fault: Some(Injection {
            abort_percent: 100,
            ..Injection::default()
        }),
        ..Rules::default()
    };
    let mut world = World::new(1, vec![(LIST, rules)]);
    let [count] = counts();
    world.start("money", "money", streams(&count, three("now")));
    let mesh = world.mesh();
    let items = all(list(&mesh)).await;
    let [Err(Fault::Unreachable { reason, .. })] = &items[..] else {
        panic!("expected an injected fault, found {items:?}");
    };
    assert_eq!(reason, "a fault injected on purpose");
    assert_eq!(count.load(SeqCst), 0);
    let TrafficStatus {
        retries,
        faults_injected,
        ..
    } = traffic(&mesh, "money");
    assert_eq!((retries, faults_injected), (0, 1));
}

#[tokio::test]
async fn a_timeout_is_the_time_within_which_the_first_item_has_to_come() {
    let rules = Rules {
        timeout: Some(Duration::from_millis(200)),
        ..Rules::default()
    };
    let mut world = World::new(1, vec![("currency", rules)]);
    let [count] = counts();
    let times = count.clone();
    // Never the first time; then at once, but the second item takes longer than that.
    let later = move || -> ServeStream {
        if times.load(SeqCst) == 1 {
            return Box::pin(stream::pending());
        }
        let second = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            reply("b")
        };
        Box::pin(stream::iter([reply("a")]).chain(stream::once(second)))
    };
    world.start("money", "money", streams(&count, later));
    let mesh = world.mesh();
    while count.load(SeqCst) == 0 {
        assert_eq!(all(list(&mesh)).await, [Err(Fault::Late)]);
    }
    let whole = async {
        loop {
            let items = all(list(&mesh)).await;
            if items != [Err(Fault::Late)] {
                return items;
            }
        }
    };
    let whole = tokio::time::timeout(PATIENCE, whole).await.unwrap();
    assert_eq!(whole, [Ok(reply("a")), Ok(reply("b"))]);
}
