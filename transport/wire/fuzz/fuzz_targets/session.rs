//! Feeds arbitrary bytes, in arbitrary chunks, to both sides of a connection.
//!
//! The first byte chooses the role, whether the peer has introduced itself, or that the bytes are
//! a stream of items. Of what follows,
//! one byte says how long the next chunk is; between chunks the owner of the session acts, on the
//! request that the byte names. It must not panic, and what it says must be frames.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use modulith_wire::{
    Ask, BulkHeader, Certified, Decoder, Direction, Frame, Head, Hello, ItemDecoder, Limits, Local,
    MessageSchema, Role, Session,
};

fn hello(process: &str) -> Hello {
    Hello {
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
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, mut data)) = data.split_first() else {
        return;
    };
    let limits = Limits {
        requests_in_flight_max: 8,
        streams_in_flight_max: 3,
        ..Limits::default()
    };
    let Ok(local) = Local::new(hello("us"), limits.clone()) else {
        return;
    };
    let role = if choice & 1 == 0 {
        Role::Dialler
    } else {
        Role::Acceptor
    };
    let certified = Certified {
        process: "them".into(),
        modules: vec!["m".into()],
    };
    let mut out = Vec::new();
    let mut session = Session::<u8>::new(role, Arc::new(local), certified, &mut out);
    if choice & 4 != 0 {
        return items(data, limits.body_bytes_max);
    }
    if choice & 2 == 0 {
        let _ = session.receive(Frame::Hello(hello("them")), &mut out);
    }
    let mut decoder = Decoder::new(limits.clone());
    while let Some((&step, rest)) = data.split_first() {
        let (mut chunk, rest) = rest.split_at(usize::from(step).min(rest.len()));
        data = rest;
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(frame)) => {
                    if session.receive(frame, &mut out).is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
        act(&mut session, step, &mut out);
    }
    let mut said = &out[..];
    let mut decoder = Decoder::new(limits);
    while decoder
        .decode(&mut said)
        .expect("a session says frames")
        .is_some()
    {}
});

/// The same bytes as a stream of items: no panic, and no more items than bytes.
fn items(mut data: &[u8], item_bytes_max: u32) {
    let mut decoder = ItemDecoder::new(item_bytes_max);
    while let Some((&step, rest)) = data.split_first() {
        let (mut chunk, rest) = rest.split_at(usize::from(step).min(rest.len()));
        data = rest;
        loop {
            match decoder.decode(&mut chunk) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

fn act(session: &mut Session<u8>, step: u8, out: &mut Vec<u8>) {
    let id = u64::from(step % 8);
    let direction = match step % 3 {
        0 => Direction::Request,
        1 => Direction::Reply,
        _ => Direction::Items,
    };
    let header = BulkHeader { direction, id };
    match step / 8 % 9 {
        0 => {
            let ask = Ask {
                head: Head {
                    wants_stream: step & 1 == 0,
                    ..Head::default()
                },
                baggage: &[step; 3],
                body: &[0; 10],
            };
            let _ = session.ask(ask, step, out);
        }
        1 => drop(session.cancel(id, out)),
        2 => drop(session.reply(id, &[0; 20], out)),
        3 => drop(session.bulk_opened(header)),
        4 => drop(session.bulk_received(header, vec![0; 16])),
        5 => drop(session.begin_stream(id, out)),
        6 => session.stream_over(id),
        7 => drop(session.items_over(id)),
        _ => drop(session.bulk_broken(header)),
    }
}
