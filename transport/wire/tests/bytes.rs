//! Frames and sessions against arbitrary bytes in arbitrary chunks.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::sync::Arc;

use modulith_wire::{
    Ask, BAGGAGE_BYTES_MAX, Body, BulkHeader, Certified, DecodeError, Decoder, Direction, Failure,
    Frame, Head, Hello, ItemDecoder, Limits, Local, MessageSchema, Part, Reply, Request, Role,
    Session, encode,
};
use proptest::{collection::vec, prelude::*};

fn name() -> impl Strategy<Value = String> {
    "[a-z]{1,20}"
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        vec(any::<u8>(), 0..300).prop_map(Body::Inline),
        any::<u32>().prop_map(|bytes| Body::Bulk { bytes }),
    ]
}

fn hello() -> impl Strategy<Value = Hello> {
    let message =
        (name(), any::<u64>()).prop_map(|(name, fingerprint)| MessageSchema { name, fingerprint });
    (
        name(),
        name(),
        any::<(u64, u16, u16)>(),
        vec(name(), 0..5),
        vec((name(), any::<u16>()), 0..5),
        vec(message, 0..5),
    )
        .prop_map(
            |(application, process, numbers, modules, partitions, messages)| Hello {
                application,
                process,
                incarnation: numbers.0,
                replica: numbers.1,
                replicas: numbers.2,
                modules,
                partitions,
                messages,
            },
        )
}

fn failure() -> impl Strategy<Value = Failure> {
    prop_oneof![
        any::<(u64, u64)>().prop_map(|(bytes, bytes_max)| Failure::TooLarge { bytes, bytes_max }),
        any::<u32>().prop_map(|retry_after_ms| Failure::Overloaded { retry_after_ms }),
        ".{0,40}".prop_map(|reason| Failure::Stopped { reason }),
        Just(Failure::Panicked),
        Just(Failure::Late),
        Just(Failure::Cancelled),
    ]
}

fn request() -> impl Strategy<Value = Request> {
    let head = (
        any::<u32>(),
        any::<u32>(),
        0..3u16,
        0..3u16,
        any::<u16>(),
        any::<u8>(),
        any::<u128>(),
        any::<bool>(),
    );
    let head = head.prop_map(
        |(deadline_ms, sent_ms, caller, target, partition, priority, message_id, wants_stream)| {
            Head {
                deadline_ms,
                sent_ms,
                caller,
                target,
                partition,
                priority,
                message_id,
                wants_stream,
            }
        },
    );
    let baggage = prop::collection::vec(any::<u8>(), 0..=BAGGAGE_BYTES_MAX);
    (0..8u64, head, baggage, body()).prop_map(|(id, head, baggage, body)| Request {
        id,
        head,
        baggage,
        body,
    })
}

fn frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        hello().prop_map(Frame::Hello),
        ".{0,40}".prop_map(|reason| Frame::Refuse { reason }),
        request().prop_map(Frame::Request),
        (0..8u64, body()).prop_map(|(id, body)| Frame::Reply(Reply { id, body })),
        (0..8u64, failure()).prop_map(|(id, failure)| Frame::Fail { id, failure }),
        (0..8u64).prop_map(|id| Frame::Streaming { id }),
        (0..8u64).prop_map(|id| Frame::Cancel { id }),
        Just(Frame::GoAway),
    ]
}

fn encoded(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        encode(frame, &mut bytes);
    }
    bytes
}

/// Decodes bytes cut into chunks of the given lengths, over and over.
fn decoded(mut bytes: &[u8], cuts: &[usize]) -> (Vec<Frame>, Option<DecodeError>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut frames = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while !bytes.is_empty() {
        let cut = cuts
            .next()
            .map_or(bytes.len(), |cut| (*cut).min(bytes.len()));
        let (mut chunk, rest) = bytes.split_at(cut);
        bytes = rest;
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Decodes a stream of items of at most 1,000 bytes, cut into chunks of the given lengths.
fn decoded_items(mut bytes: &[u8], cuts: &[usize]) -> (Vec<Part>, Option<DecodeError>) {
    let mut decoder = ItemDecoder::new(1000);
    let mut parts = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while !bytes.is_empty() {
        let cut = cuts
            .next()
            .map_or(bytes.len(), |cut| (*cut).min(bytes.len()));
        let (mut chunk, rest) = bytes.split_at(cut);
        bytes = rest;
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => break,
                Err(error) => return (parts, Some(error)),
            }
        }
    }
    (parts, None)
}

fn direction(number: u64) -> Direction {
    match number % 3 {
        0 => Direction::Request,
        1 => Direction::Reply,
        _ => Direction::Items,
    }
}

fn session(role: Role) -> Session<u32> {
    let hello = |process: &str| Hello {
        application: "a".into(),
        process: process.into(),
        incarnation: 0,
        replica: 0,
        replicas: 1,
        partitions: Vec::new(),
        modules: vec!["m".into()],
        messages: vec![MessageSchema {
            name: "m.M".into(),
            fingerprint: 1,
        }],
    };
    let local = Arc::new(Local::new(hello("us"), Limits::default()).unwrap());
    let certified = Certified {
        process: "them".into(),
        modules: vec!["m".into()],
    };
    let mut session = Session::new(role, local, certified, &mut Vec::new());
    session
        .receive(Frame::Hello(hello("them")), &mut Vec::new())
        .unwrap();
    session
}

proptest! {
    #[test]
    fn frames_come_back_wherever_the_chunks_end(
        frames in vec(frame(), 0..10),
        cuts in vec(1..50usize, 0..20),
    ) {
        let bytes = encoded(&frames);
        prop_assert_eq!(decoded(&bytes, &cuts), (frames, None));
    }

    #[test]
    fn arbitrary_bytes_decode_alike_wherever_the_chunks_end(
        frames in vec(frame(), 0..3),
        noise in vec(any::<u8>(), 0..200),
        cuts in vec(1..50usize, 1..20),
    ) {
        let bytes = [encoded(&frames), noise].concat();
        prop_assert_eq!(decoded(&bytes, &cuts), decoded(&bytes, &[]));
    }

    #[test]
    fn a_frame_cut_short_is_waited_for(frame in frame(), at in any::<prop::sample::Index>()) {
        let bytes = encoded(&[frame]);
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert_eq!(decoded(cut, &[]), (Vec::new(), None));
    }

    #[test]
    fn a_session_survives_any_frames_in_any_order(
        role in prop_oneof![Just(Role::Dialler), Just(Role::Acceptor)],
        steps in vec((frame(), 0..9u8, 0..8u64), 0..40),
    ) {
        let mut session = session(role);
        let mut out = Vec::new();
        for (frame, step, id) in steps {
            let direction = direction(id);
            let header = BulkHeader { direction, id };
            match step {
                0 => drop(session.cancel(id, &mut out)),
                1 => drop(session.reply(id, &[0; 100], &mut out)),
                2 => drop(session.bulk_opened(header)),
                3 => drop(session.bulk_received(header, vec![0; 10])),
                4 => {
                    let head = Head { wants_stream: id % 2 == 0, ..Head::default() };
                    let ask = Ask { head, baggage: b"", body: b"" };
                    let _ = session.ask(ask, 1, &mut out);
                }
                5 => drop(session.begin_stream(id, &mut out)),
                6 => session.stream_over(id),
                7 => drop(session.items_over(id)),
                _ => drop(session.receive(frame, &mut out)),
            }
        }
        // Whatever it said in return can be read.
        prop_assert_eq!(decoded(&out, &[]).1, None);
    }

    #[test]
    fn bulk_headers_come_back(id in any::<u64>()) {
        let direction = direction(id);
        let header = BulkHeader { direction, id };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        prop_assert_eq!(BulkHeader::decode(&bytes[..].try_into().unwrap()), Ok(header));
    }

    #[test]
    fn items_come_back_wherever_the_chunks_end(
        items in vec(vec(any::<u8>(), 0..300), 0..10),
        last in prop_oneof![Just(Part::End), failure().prop_map(Part::Failed)],
        cuts in vec(1..50usize, 0..20),
    ) {
        let mut parts: Vec<_> = items.into_iter().map(Part::Item).collect();
        parts.push(last);
        let mut bytes = Vec::new();
        parts.iter().for_each(|part| part.encode(&mut bytes));
        prop_assert_eq!(decoded_items(&bytes, &cuts), (parts, None));
    }

    #[test]
    fn arbitrary_bytes_are_the_same_items_wherever_the_chunks_end(
        items in vec(vec(any::<u8>(), 0..30), 0..3),
        noise in vec(any::<u8>(), 0..200),
        cuts in vec(1..50usize, 1..20),
    ) {
        let mut bytes = Vec::new();
        items.into_iter().for_each(|item| Part::Item(item).encode(&mut bytes));
        bytes.extend(noise);
        prop_assert_eq!(decoded_items(&bytes, &cuts), decoded_items(&bytes, &[]));
    }

    #[test]
    fn arbitrary_bytes_are_no_panic_as_a_bulk_header(bytes in any::<[u8; BulkHeader::BYTES]>()) {
        let _ = BulkHeader::decode(&bytes);
    }
}

#[test]
fn a_frame_that_announces_four_gigabytes_is_refused_at_once() {
    let bytes = [&u32::MAX.to_le_bytes()[..], &[3]].concat();
    let expected = DecodeError::TooLong {
        kind: 3,
        bytes: u32::MAX,
        bytes_max: 64 << 10,
    };
    assert_eq!(decoded(&bytes, &[]), (Vec::new(), Some(expected)));
}

#[test]
fn an_item_longer_than_the_limit_is_refused_at_once() {
    for bytes in [1002, u32::MAX] {
        let announced = [&bytes.to_le_bytes()[..], &[19]].concat();
        let expected = DecodeError::TooLong {
            kind: 19,
            bytes,
            bytes_max: 1001,
        };
        assert_eq!(decoded_items(&announced, &[]), (Vec::new(), Some(expected)));
    }
}

#[test]
fn a_stream_of_items_is_laid_out_as_documented() {
    let mut bytes = Vec::new();
    Part::Item(vec![0xaa, 0xbb]).encode(&mut bytes);
    Part::End.encode(&mut bytes);
    Part::Failed(Failure::Panicked).encode(&mut bytes);
    let expected = [
        3, 0, 0, 0, 19, 0xaa, 0xbb, 1, 0, 0, 0, 20, 2, 0, 0, 0, 21, 4,
    ];
    assert_eq!(bytes, expected);
    let (parts, error) = decoded_items(&bytes, &[]);
    assert_eq!(parts, [Part::Item(vec![0xaa, 0xbb]), Part::End]);
    assert_eq!(
        error,
        Some(DecodeError::Trailing),
        "nothing follows the end"
    );
}

#[test]
fn frames_that_cannot_be_are_errors() {
    let decode = |bytes: &[u8]| decoded(bytes, &[]).1;
    assert_eq!(
        decode(&[0, 0, 0, 0, 9]),
        Some(DecodeError::WrongLength { kind: 9, bytes: 0 })
    );
    assert_eq!(
        decode(&[2, 0, 0, 0, 9]),
        Some(DecodeError::WrongLength { kind: 9, bytes: 2 })
    );
    assert_eq!(
        decode(&[1, 0, 0, 0, 77]),
        Some(DecodeError::UnknownKind { kind: 77 })
    );
    assert_eq!(decode(&[2, 0, 0, 0, 2, 0xff]), Some(DecodeError::NotText));
}

#[test]
fn a_hello_is_laid_out_as_documented() {
    let hello = Hello {
        application: "a".into(),
        process: "p".into(),
        incarnation: 2,
        replica: 4,
        replicas: 5,
        modules: vec!["m".into()],
        partitions: vec![("d".into(), 6)],
        messages: vec![MessageSchema {
            name: "m.M".into(),
            fingerprint: 3,
        }],
    };
    #[rustfmt::skip]
    let expected = [
        43, 0, 0, 0, 1,
        2, 0,
        2, 0, 0, 0, 0, 0, 0, 0,
        1, b'a', 1, b'p',
        4, 0, 5, 0,
        1, 0, 1, b'm',
        1, 0, 1, b'd', 6, 0,
        1, 0, 3, b'm', b'.', b'M', 3, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(encoded(&[Frame::Hello(hello)]), expected);
}

#[test]
fn a_request_is_laid_out_as_documented() {
    let body = Body::Inline(vec![0xaa, 0xbb]);
    let request = Request {
        id: 1,
        head: Head {
            deadline_ms: 2,
            sent_ms: 3,
            caller: 4,
            target: 5,
            partition: 6,
            priority: 7,
            message_id: 8,
            wants_stream: false,
        },
        baggage: vec![0xcc],
        body,
    };
    #[rustfmt::skip]
    let expected = [
        44, 0, 0, 0, 3,
        1, 0, 0, 0, 0, 0, 0, 0,
        2, 0, 0, 0,
        3, 0, 0, 0,
        4, 0,
        5, 0,
        6, 0,
        7,
        1,
        8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0xaa, 0xbb,
        0xcc,
    ];
    assert_eq!(encoded(&[Frame::Request(request)]), expected);
}
