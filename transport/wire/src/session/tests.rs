//! What may be said when, one rule per test.

use super::*;
use crate::{Body, Head, Limits, MessageSchema, PROTOCOL_VERSION, Reply, Request};

type Events<C> = Result<Option<Event<C>>, Violation>;

fn hello(process: &str, modules: &[&str]) -> Hello {
    Hello {
        application: "boutique".into(),
        process: process.into(),
        incarnation: 1,
        replica: 0,
        replicas: 1,
        partitions: Vec::new(),
        modules: modules.iter().map(|&name| name.to_owned()).collect(),
        messages: [("cart.AddItem", 1), ("cart.GetCart", 2)]
            .map(|(name, fingerprint)| MessageSchema {
                name: name.into(),
                fingerprint,
            })
            .into(),
    }
}

fn certified(hello: &Hello) -> Certified {
    Certified {
        process: hello.process.clone(),
        modules: hello.modules.clone(),
    }
}

fn small() -> Limits {
    Limits {
        frame_bytes_max: 128,
        body_bytes_max: 1000,
        served_bytes_max: 1500,
        requests_in_flight_max: 3,
        streams_in_flight_max: 2,
        ..Limits::default()
    }
}

/// Two sessions that speak with each other, and what each has said and was not yet heard.
struct Pair {
    shop: Session<&'static str>,
    shop_says: Vec<u8>,
    orders: Session<()>,
    orders_says: Vec<u8>,
}

impl Pair {
    fn new(shop: Hello, orders: Hello) -> Self {
        let (shop_certified, orders_certified) = (certified(&shop), certified(&orders));
        let local = |hello| Arc::new(Local::new(hello, small()).unwrap());
        let (mut shop_says, mut orders_says) = (Vec::new(), Vec::new());
        let shop = Session::new(Role::Dialler, local(shop), orders_certified, &mut shop_says);
        let orders = Session::new(
            Role::Acceptor,
            local(orders),
            shop_certified,
            &mut orders_says,
        );
        Self {
            shop,
            shop_says,
            orders,
            orders_says,
        }
    }

    fn established() -> Self {
        let mut pair = Self::new(hello("shop", &["storefront"]), hello("orders", &["cart"]));
        assert_eq!(pair.orders_hears(), [Ok(Some(Event::Established))]);
        assert_eq!(pair.shop_hears(), [Ok(Some(Event::Established))]);
        pair
    }

    fn orders_hears(&mut self) -> Vec<Events<()>> {
        let frames = frames(&std::mem::take(&mut self.shop_says));
        frames
            .into_iter()
            .map(|it| self.orders.receive(it, &mut self.orders_says))
            .collect()
    }

    fn shop_hears(&mut self) -> Vec<Events<&'static str>> {
        let frames = frames(&std::mem::take(&mut self.orders_says));
        frames
            .into_iter()
            .map(|it| self.shop.receive(it, &mut self.shop_says))
            .collect()
    }

    fn ask(&mut self, body: &[u8], call: &'static str) -> Result<Sent, (&'static str, AskError)> {
        let ask = Ask {
            head: head(),
            baggage: b"tag",
            body,
        };
        self.shop.ask(ask, call, &mut self.shop_says)
    }

    fn ask_stream(&mut self, call: &'static str) -> Result<Sent, (&'static str, AskError)> {
        let ask = Ask {
            head: Head {
                wants_stream: true,
                ..head()
            },
            baggage: b"",
            body: b"",
        };
        self.shop.ask(ask, call, &mut self.shop_says)
    }

    /// A stream that was asked for and announced, and its announcement heard.
    fn streaming(call: &'static str) -> (Self, BulkHeader) {
        let mut pair = Self::established();
        let sent = pair.ask_stream(call).unwrap();
        pair.orders_hears();
        let header = pair.orders.begin_stream(sent.id, &mut pair.orders_says);
        assert_eq!(pair.shop_hears(), [Ok(None)]);
        (pair, header.unwrap())
    }

    fn reply(&mut self, id: u64, body: &[u8]) -> Replied {
        self.orders.reply(id, body, &mut self.orders_says)
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut decoder = crate::Decoder::new(small());
    std::iter::from_fn(|| decoder.decode(&mut bytes).unwrap()).collect()
}

fn head() -> Head {
    Head {
        deadline_ms: 50,
        target: 1,
        message_id: 7,
        ..Head::default()
    }
}

fn served(id: u64, body: &[u8]) -> Served {
    Served {
        id,
        head: head(),
        baggage: b"tag".to_vec(),
        body: body.to_vec(),
    }
}

fn request(id: u64) -> Request {
    let body = Body::Inline(Vec::new());
    Request {
        id,
        head: head(),
        baggage: Vec::new(),
        body,
    }
}

fn violates(outcome: Events<()>) -> Violation {
    outcome.unwrap_err()
}

#[test]
fn replies_find_their_calls_in_any_order() {
    let mut pair = Pair::established();
    let first = pair.ask(b"1", "first").unwrap();
    let second = pair.ask(b"2", "second").unwrap();
    let heard = pair.orders_hears();
    let expected = [served(first.id, b"1"), served(second.id, b"2")];
    assert_eq!(heard, expected.map(|it| Ok(Some(Event::Request(it)))));
    assert_eq!(pair.reply(second.id, b"two"), Replied::Inline);
    assert_eq!(pair.reply(first.id, b"one"), Replied::Inline);
    let heard = pair.shop_hears();
    assert_eq!(
        heard[0],
        Ok(Some(Event::Reply {
            call: "second",
            body: b"two".into()
        }))
    );
    assert_eq!(
        heard[1],
        Ok(Some(Event::Reply {
            call: "first",
            body: b"one".into()
        }))
    );
    assert_eq!(
        (pair.shop.asked_in_flight(), pair.orders.served_in_flight()),
        (0, 0)
    );
}

#[test]
fn indices_are_those_of_the_receiver() {
    let mut orders = hello("orders", &["cart"]);
    orders.messages.reverse();
    let mut pair = Pair::new(hello("shop", &[]), orders);
    pair.orders_hears();
    pair.shop_hears();
    assert_eq!(pair.shop.target("cart.AddItem"), Some(1));
    assert_eq!(pair.orders.target("cart.AddItem"), Some(0));
    assert_eq!(pair.shop.target("cart.Unknown"), None);
}

#[track_caller]
fn check_refused(shop: Hello, orders: Hello, expected: &str) {
    let mut pair = Pair::new(shop, orders);
    let reason = expected.to_owned();
    let refusing = Event::Refusing {
        reason: reason.clone(),
    };
    assert_eq!(pair.orders_hears(), [Ok(Some(refusing))]);
    assert_eq!(pair.shop_hears(), [Ok(Some(Event::Refused { reason }))]);
    assert_eq!(
        pair.ask(b"", "late"),
        Err(("late", AskError::NotEstablished))
    );
}

#[test]
fn messages_defined_differently_are_refused_by_name() {
    let mut shop = hello("shop", &[]);
    shop.messages[0].fingerprint = 9;
    check_refused(
        shop.clone(),
        hello("orders", &[]),
        "cart.AddItem is defined differently by orders and shop; run one version of both",
    );
    shop.messages[1].fingerprint = 9;
    check_refused(
        shop,
        hello("orders", &[]),
        "cart.AddItem, cart.GetCart are defined differently by orders and shop; run one version \
         of both",
    );
}

#[test]
fn partitions_counted_differently_are_refused_by_name() {
    let mut shop = hello("shop", &[]);
    shop.partitions = vec![("cart".into(), 4)];
    check_refused(
        shop.clone(),
        hello("orders", &[]),
        "module cart has 1 partitions for process orders and 4 for process shop; give both the \
         same configuration",
    );
    let mut orders = hello("orders", &[]);
    orders.partitions = vec![("cart".into(), 4)];
    let mut pair = Pair::new(shop, orders);
    assert_eq!(pair.orders_hears(), [Ok(Some(Event::Established))]);
}

#[test]
fn messages_only_one_side_knows_are_no_mismatch() {
    let mut shop = hello("shop", &[]);
    shop.messages[0] = MessageSchema {
        name: "ad.GetAds".into(),
        fingerprint: 9,
    };
    let mut pair = Pair::new(shop, hello("orders", &[]));
    assert_eq!(pair.orders_hears(), [Ok(Some(Event::Established))]);
}

#[test]
fn another_application_is_refused() {
    let shop = Hello {
        application: "bank".into(),
        ..hello("shop", &[])
    };
    check_refused(
        shop,
        hello("orders", &[]),
        "process shop belongs to application bank, process orders to application boutique",
    );
}

#[test]
fn a_hello_that_says_more_than_the_certificate_is_refused() {
    let shop = hello("shop", &["storefront", "payment"]);
    let mut pair = Pair::new(shop, hello("orders", &[]));
    pair.orders.certified.modules.pop();
    let reason = "process shop says it hosts [payment, storefront], its certificate says \
                  [storefront]";
    let refusing = Event::Refusing {
        reason: reason.into(),
    };
    assert_eq!(pair.orders_hears(), [Ok(Some(refusing))]);

    let mut pair = Pair::new(hello("shop", &[]), hello("orders", &[]));
    pair.orders.certified.process = "payment".into();
    let reason = "process shop has a certificate for process payment";
    assert_eq!(
        pair.orders_hears(),
        [Ok(Some(Event::Refusing {
            reason: reason.into()
        }))]
    );
}

#[test]
fn the_dialler_refuses_too() {
    let mut pair = Pair::new(hello("shop", &[]), hello("orders", &[]));
    pair.shop.certified.process = "payment".into();
    assert_eq!(pair.orders_hears(), [Ok(Some(Event::Established))]);
    let reason = "process orders has a certificate for process payment".to_owned();
    let refusing = Event::Refusing {
        reason: reason.clone(),
    };
    assert_eq!(pair.shop_hears(), [Ok(Some(refusing))]);
    assert_eq!(pair.orders_hears(), [Ok(Some(Event::Refused { reason }))]);
}

#[test]
fn another_protocol_version_is_refused_whatever_else_it_says() {
    let mut pair = Pair::new(hello("shop", &[]), hello("orders", &[]));
    let newer = Frame::ForeignHello {
        protocol_version: PROTOCOL_VERSION + 1,
    };
    let mut bytes = Vec::new();
    encode(&newer, &mut bytes);
    assert_eq!(frames(&bytes), std::slice::from_ref(&newer));
    let Ok(Some(Event::Refusing { reason })) = pair.orders.receive(newer, &mut Vec::new()) else {
        panic!("expected a refusal");
    };
    let expected =
        "process shop speaks protocol version 3, process orders version 2; run one version of both";
    assert_eq!(reason, expected);
}

#[test]
fn nothing_may_come_before_the_hello_nor_a_second_one_after_it() {
    let mut pair = Pair::new(hello("shop", &["storefront"]), hello("orders", &[]));
    let early = pair
        .orders
        .receive(Frame::Request(request(1)), &mut Vec::new());
    assert_eq!(violates(early), Violation::BeforeHello);
    let mut pair = Pair::established();
    let again = pair
        .orders
        .receive(Frame::Hello(hello("shop", &[])), &mut Vec::new());
    assert_eq!(violates(again), Violation::SecondHello);
}

#[test]
fn only_the_dialler_asks_and_only_the_acceptor_answers() {
    let mut pair = Pair::established();
    let asked = pair
        .shop
        .receive(Frame::Request(request(1)), &mut Vec::new());
    assert!(
        matches!(asked, Err(Violation::WrongRole { .. })),
        "{asked:?}"
    );
    let reply = Reply {
        id: 1,
        body: Body::Inline(Vec::new()),
    };
    let answered = pair.orders.receive(Frame::Reply(reply), &mut Vec::new());
    assert!(
        matches!(answered, Err(Violation::WrongRole { .. })),
        "{answered:?}"
    );
    let ask = Ask {
        head: Head::default(),
        baggage: b"",
        body: b"",
    };
    let outcome = pair.orders.ask(ask, (), &mut Vec::new());
    assert_eq!(outcome, Err(((), AskError::WrongRole)));
}

#[test]
fn a_module_or_message_outside_the_hellos_is_a_violation() {
    let mut pair = Pair::established();
    let spoofed = Request {
        head: Head {
            caller: 1,
            ..head()
        },
        ..request(1)
    };
    let outcome = pair
        .orders
        .receive(Frame::Request(spoofed), &mut Vec::new());
    assert_eq!(violates(outcome), Violation::UnknownCaller { index: 1 });
    let unknown = Request {
        head: Head {
            target: 2,
            ..head()
        },
        ..request(1)
    };
    let outcome = pair
        .orders
        .receive(Frame::Request(unknown), &mut Vec::new());
    assert_eq!(violates(outcome), Violation::UnknownTarget { index: 2 });
}

#[test]
fn a_request_id_is_never_used_again() {
    let mut pair = Pair::established();
    pair.orders
        .receive(Frame::Request(request(5)), &mut Vec::new())
        .unwrap();
    for id in [5, 4] {
        let outcome = pair
            .orders
            .receive(Frame::Request(request(id)), &mut Vec::new());
        assert_eq!(
            violates(outcome),
            Violation::RequestIdNotNew { id, last: 5 }
        );
    }
}

#[test]
fn an_answer_without_a_request_is_a_violation() {
    let mut pair = Pair::established();
    let sent = pair.ask(b"", "call").unwrap();
    pair.orders_hears();
    pair.reply(sent.id, b"");
    pair.shop_hears().remove(0).unwrap();
    for id in [sent.id, 99] {
        let reply = Reply {
            id,
            body: Body::Inline(Vec::new()),
        };
        let outcome = pair.shop.receive(Frame::Reply(reply), &mut Vec::new());
        assert_eq!(outcome, Err(Violation::RequestNotOpen { id }));
        let fail = Frame::Fail {
            id,
            failure: Failure::Late,
        };
        let outcome = pair.shop.receive(fail, &mut Vec::new());
        assert_eq!(outcome, Err(Violation::RequestNotOpen { id }));
    }
}

#[test]
fn a_cancelled_request_is_answered_once_and_heard_by_nobody() {
    let mut pair = Pair::established();
    let sent = pair.ask(b"", "call").unwrap();
    pair.orders_hears();
    assert_eq!(pair.shop.cancel(sent.id, &mut pair.shop_says), Some("call"));
    assert_eq!(pair.shop.cancel(sent.id, &mut pair.shop_says), None);
    assert_eq!(
        pair.shop.asked_in_flight(),
        1,
        "until the peer has said that it is over"
    );
    assert_eq!(
        pair.orders_hears(),
        [Ok(Some(Event::Cancelled { id: sent.id }))]
    );
    assert_eq!(pair.reply(sent.id, b"too late"), Replied::Gone);
    assert_eq!(pair.shop_hears(), [Ok(None)]);
    assert_eq!(pair.shop.asked_in_flight(), 0);
}

#[test]
fn a_cancellation_that_crosses_the_reply_is_no_news() {
    let mut pair = Pair::established();
    let sent = pair.ask(b"", "call").unwrap();
    pair.orders_hears();
    pair.reply(sent.id, b"");
    pair.shop.cancel(sent.id, &mut pair.shop_says);
    assert_eq!(pair.shop_hears(), [Ok(None)]);
    assert_eq!(pair.orders_hears(), [Ok(None)]);
    let never = pair
        .orders
        .receive(Frame::Cancel { id: 99 }, &mut Vec::new());
    assert_eq!(violates(never), Violation::RequestNotOpen { id: 99 });
}

#[test]
fn requests_in_flight_are_bounded_on_both_sides() {
    let mut pair = Pair::established();
    for call in ["1", "2", "3"] {
        pair.ask(b"", call).unwrap();
    }
    assert!(!pair.shop.has_room());
    let error = AskError::TooManyInFlight { in_flight_max: 3 };
    assert_eq!(pair.ask(b"", "4"), Err(("4", error)));
    pair.orders_hears();
    // A peer with a higher limit of its own is told, not cut off.
    let outcome = pair
        .orders
        .receive(Frame::Request(request(4)), &mut pair.orders_says);
    assert_eq!(outcome, Ok(None));
    let failure = Failure::Overloaded { retry_after_ms: 10 };
    assert_eq!(frames(&pair.orders_says), [Frame::Fail { id: 4, failure }]);
}

#[test]
fn a_large_body_is_announced_and_then_taken_from_its_stream() {
    let mut pair = Pair::established();
    let sent = pair.ask(&[1; 500], "call").unwrap();
    let header = sent.bulk.unwrap();
    assert_eq!(
        header,
        BulkHeader {
            direction: Direction::Request,
            id: sent.id
        }
    );
    assert_eq!(
        pair.orders.bulk_opened(header),
        Ok(Bulk::Wait),
        "it overtook its announcement"
    );
    assert_eq!(pair.orders_hears(), [Ok(None)]);
    assert_eq!(
        pair.orders.bulk_opened(header),
        Ok(Bulk::Read { bytes: 500 })
    );
    assert_eq!(
        pair.orders.bulk_opened(header),
        Err(Violation::BodyTwice { id: sent.id })
    );
    let event = pair.orders.bulk_received(header, vec![1; 500]);
    assert_eq!(event, Ok(Some(Event::Request(served(sent.id, &[1; 500])))));

    let Replied::Bulk(header) = pair.reply(sent.id, &[2; 600]) else {
        panic!("expected bulk")
    };
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::Wait));
    assert_eq!(pair.shop_hears(), [Ok(None)]);
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::Read { bytes: 600 }));
    let event = pair.shop.bulk_received(header, vec![2; 600]);
    assert_eq!(
        event,
        Ok(Some(Event::Reply {
            call: "call",
            body: vec![2; 600]
        }))
    );
}

#[test]
fn a_body_that_is_not_as_long_as_announced_is_a_violation() {
    let mut pair = Pair::established();
    let sent = pair.ask(&[1; 500], "call").unwrap();
    pair.orders_hears();
    pair.orders.bulk_opened(sent.bulk.unwrap()).unwrap();
    let outcome = pair.orders.bulk_received(sent.bulk.unwrap(), vec![1; 499]);
    let expected = Violation::BodyLength {
        id: sent.id,
        announced: 500,
        bytes: 499,
    };
    assert_eq!(outcome, Err(expected));
}

#[test]
fn a_body_nobody_waits_for_any_more_is_discarded() {
    let mut pair = Pair::established();
    let sent = pair.ask(&[1; 500], "call").unwrap();
    pair.shop.cancel(sent.id, &mut pair.shop_says);
    pair.orders_hears();
    assert_eq!(
        pair.orders.bulk_opened(sent.bulk.unwrap()),
        Ok(Bulk::Discard)
    );

    let sent = pair.ask(b"", "call").unwrap();
    pair.orders_hears();
    let Replied::Bulk(header) = pair.reply(sent.id, &[2; 600]) else {
        panic!("expected bulk")
    };
    pair.shop_hears();
    assert_eq!(pair.shop.cancel(sent.id, &mut pair.shop_says), Some("call"));
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::Discard));
}

#[test]
fn a_reply_that_breaks_off_fails_its_call() {
    let mut pair = Pair::established();
    let sent = pair.ask(b"", "call").unwrap();
    pair.orders_hears();
    let Replied::Bulk(header) = pair.reply(sent.id, &[2; 600]) else {
        panic!("expected bulk")
    };
    pair.shop_hears();
    let event = pair.shop.bulk_broken(header);
    assert!(
        matches!(event, Some(Event::Failed { call: "call", .. })),
        "{event:?}"
    );
}

#[test]
fn bodies_over_the_limits_are_refused_before_they_are_read() {
    let mut pair = Pair::established();
    let error = AskError::TooLarge {
        bytes: 1001,
        bytes_max: 1000,
    };
    assert_eq!(pair.ask(&[0; 1001], "call"), Err(("call", error)));
    let announce = |id, bytes| {
        Frame::Request(Request {
            body: Body::Bulk { bytes },
            ..request(id)
        })
    };
    let too_large = pair
        .orders
        .receive(announce(1, u32::MAX), &mut pair.orders_says);
    assert_eq!(too_large, Ok(None));
    pair.orders
        .receive(announce(2, 1000), &mut pair.orders_says)
        .unwrap();
    pair.orders
        .receive(announce(3, 1000), &mut pair.orders_says)
        .unwrap();
    let failure = Failure::TooLarge {
        bytes: u32::MAX.into(),
        bytes_max: 1000,
    };
    let overloaded = Failure::Overloaded { retry_after_ms: 10 };
    let expected = [
        Frame::Fail { id: 1, failure },
        Frame::Fail {
            id: 3,
            failure: overloaded,
        },
    ];
    assert_eq!(frames(&pair.orders_says), expected);
}

#[test]
fn a_reply_over_the_limit_tells_its_caller() {
    let mut pair = Pair::established();
    let sent = pair.ask(b"", "call").unwrap();
    pair.orders_hears();
    assert_eq!(pair.reply(sent.id, &[0; 1001]), Replied::TooLarge);
    let failure = Failure::TooLarge {
        bytes: 1001,
        bytes_max: 1000,
    };
    assert_eq!(
        pair.shop_hears(),
        [Ok(Some(Event::Failed {
            call: "call",
            failure
        }))]
    );
}

#[test]
fn a_peer_that_goes_away_answers_what_it_has() {
    let mut pair = Pair::established();
    let sent = pair.ask(b"", "call").unwrap();
    pair.orders.go_away(&mut pair.orders_says);
    assert_eq!(pair.shop_hears(), [Ok(Some(Event::GoAway))]);
    assert_eq!(pair.ask(b"", "late"), Err(("late", AskError::GoingAway)));
    assert_eq!(
        pair.orders_hears().len(),
        1,
        "it was on its way, and is served"
    );
    pair.reply(sent.id, b"");
    assert_eq!(
        pair.shop_hears(),
        [Ok(Some(Event::Reply {
            call: "call",
            body: Vec::new()
        }))]
    );
}

#[test]
fn a_session_that_ends_gives_back_what_somebody_waits_for() {
    let mut pair = Pair::established();
    pair.ask(b"", "waits").unwrap();
    let gone = pair.ask(b"", "gone").unwrap();
    pair.shop.cancel(gone.id, &mut pair.shop_says);
    assert_eq!(pair.shop.into_waiting().collect::<Vec<_>>(), ["waits"]);
}

#[test]
fn a_stream_is_announced_read_and_over() {
    let (mut pair, header) = Pair::streaming("call");
    assert_eq!(header.direction, Direction::Items);
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::ReadItems));
    assert_eq!(pair.shop.asked_in_flight(), 1);
    assert_eq!(pair.orders.served_in_flight(), 1);
    assert_eq!(pair.shop.waiting().count(), 0, "its first items are there");
    pair.orders.stream_over(header.id);
    assert_eq!(pair.orders.served_in_flight(), 0);
    assert_eq!(pair.shop.items_over(header.id), Some("call"));
    assert_eq!(pair.shop.items_over(header.id), None);
    assert_eq!(pair.shop.asked_in_flight(), 0);
}

#[test]
fn a_stream_that_overtakes_its_announcement_waits_for_it() {
    let mut pair = Pair::established();
    let sent = pair.ask_stream("call").unwrap();
    pair.orders_hears();
    let header = pair.orders.begin_stream(sent.id, &mut pair.orders_says);
    let header = header.unwrap();
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::Wait));
    pair.shop_hears();
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::ReadItems));
}

#[test]
fn a_stream_begins_once_and_only_where_it_was_asked_for() {
    let (mut pair, header) = Pair::streaming("call");
    assert_eq!(pair.orders.begin_stream(header.id, &mut Vec::new()), None);
    pair.shop.bulk_opened(header).unwrap();
    let id = header.id;
    let twice = Err(Violation::BodyTwice { id });
    assert_eq!(pair.shop.bulk_opened(header), twice);
    let announced = pair.shop.receive(Frame::Streaming { id }, &mut Vec::new());
    assert_eq!(announced, Err(Violation::RequestNotOpen { id }));

    let mut pair = Pair::established();
    let id = pair.ask(b"", "plain").unwrap().id;
    pair.orders_hears();
    assert_eq!(pair.orders.begin_stream(id, &mut Vec::new()), None);
    let header = BulkHeader { id, ..header };
    let not_open = Violation::RequestNotOpen { id };
    assert_eq!(pair.shop.bulk_opened(header), Err(not_open.clone()));
    let announced = pair.shop.receive(Frame::Streaming { id }, &mut Vec::new());
    assert_eq!(announced, Err(not_open));
    let opened = pair.orders.bulk_opened(header);
    let frame = "a bulk stream";
    assert_eq!(opened, Err(Violation::WrongRole { frame }));
}

#[test]
fn a_request_for_a_stream_gets_no_reply() {
    let mut pair = Pair::established();
    let id = pair.ask_stream("call").unwrap().id;
    pair.orders_hears();
    assert_eq!(pair.reply(id, b"body"), Replied::Gone);
    assert_eq!(pair.shop_hears(), []);
    let body = Body::Inline(Vec::new());
    let reply = Frame::Reply(Reply { id, body });
    let replied = pair.shop.receive(reply, &mut Vec::new());
    assert_eq!(replied, Err(Violation::RequestNotOpen { id }));
}

#[test]
fn a_stream_that_cannot_begin_fails_as_any_request() {
    let mut pair = Pair::established();
    let id = pair.ask_stream("call").unwrap().id;
    pair.orders_hears();
    pair.orders.fail(id, &Failure::Late, &mut pair.orders_says);
    let failed = Event::Failed {
        call: "call",
        failure: Failure::Late,
    };
    assert_eq!(pair.shop_hears(), [Ok(Some(failed))]);
    assert_eq!(pair.shop.asked_in_flight(), 0);
}

#[test]
fn a_stream_cancelled_before_its_announcement_is_answered_once() {
    let mut pair = Pair::established();
    let id = pair.ask_stream("call").unwrap().id;
    pair.orders_hears();
    assert_eq!(pair.shop.cancel(id, &mut pair.shop_says), Some("call"));
    assert_eq!(pair.orders_hears(), [Ok(Some(Event::Cancelled { id }))]);
    assert_eq!(pair.orders.begin_stream(id, &mut pair.orders_says), None);
    assert_eq!(pair.shop_hears(), [Ok(None)]);
    assert_eq!(pair.shop.asked_in_flight(), 0);
}

#[test]
fn a_cancellation_that_crosses_the_announcement_ends_the_stream() {
    let mut pair = Pair::established();
    let id = pair.ask_stream("call").unwrap().id;
    pair.orders_hears();
    let header = pair.orders.begin_stream(id, &mut pair.orders_says);
    pair.shop.cancel(id, &mut pair.shop_says);
    assert_eq!(pair.orders_hears(), [Ok(Some(Event::Cancelled { id }))]);
    assert_eq!(
        pair.shop_hears(),
        [Ok(None)],
        "one answer, the announcement"
    );
    assert_eq!(pair.shop.bulk_opened(header.unwrap()), Ok(Bulk::Discard));
    assert_eq!(pair.shop.asked_in_flight(), 0);
    assert_eq!(pair.orders.served_in_flight(), 0);
}

#[test]
fn a_stream_given_up_after_its_announcement_is_discarded() {
    let (mut pair, header) = Pair::streaming("call");
    assert_eq!(
        pair.shop.cancel(header.id, &mut pair.shop_says),
        Some("call")
    );
    assert_eq!(
        pair.shop_says,
        [],
        "the lane has said all; the stream is stopped"
    );
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::Discard));
}

#[test]
fn no_more_streams_are_asked_or_served_than_the_limit() {
    let mut pair = Pair::established();
    let first = pair.ask_stream("1").unwrap();
    pair.ask_stream("2").unwrap();
    let full = AskError::TooManyStreams { streams_max: 2 };
    assert_eq!(pair.ask_stream("3"), Err(("3", full)));
    pair.orders_hears();

    // Once one is over, there is room for another, and for anything else all the time.
    pair.orders
        .fail(first.id, &Failure::Late, &mut pair.orders_says);
    pair.shop_hears();
    pair.ask_stream("4").unwrap();
    assert_eq!(pair.orders_hears().len(), 1);
    assert_eq!(pair.orders.served_in_flight(), 2);
    pair.ask(b"", "plain").unwrap();

    // A peer that does not keep the limit is told.
    let wants = |id| {
        let head = Head {
            wants_stream: true,
            ..head()
        };
        Frame::Request(Request {
            head,
            ..request(id)
        })
    };
    pair.orders
        .receive(wants(7), &mut pair.orders_says)
        .unwrap();
    let failure = Failure::Overloaded { retry_after_ms: 10 };
    assert_eq!(frames(&pair.orders_says), [Frame::Fail { id: 7, failure }]);
}

#[test]
fn a_peer_that_goes_away_finishes_its_streams() {
    let (mut pair, header) = Pair::streaming("call");
    pair.orders.go_away(&mut pair.orders_says);
    assert_eq!(pair.shop_hears(), [Ok(Some(Event::GoAway))]);
    assert_eq!(pair.ask_stream("late"), Err(("late", AskError::GoingAway)));
    assert_eq!(pair.shop.bulk_opened(header), Ok(Bulk::ReadItems));
    assert_eq!(pair.shop.into_waiting().collect::<Vec<_>>(), ["call"]);
}
