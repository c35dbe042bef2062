//! Feeds arbitrary bytes, in arbitrary chunks, to both sides of a connection.
//!
//! The first byte chooses the role and whether the peer has introduced itself. Of what follows,
//! one byte says how long the next chunk is; between chunks the owner of the session acts, on the
//! request that the byte names. It must not panic, and what it says must be frames.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use modulith_wire::{
    Ask, BulkHeader, Certified, Decoder, Direction, Frame, Head, Hello, Limits, Local, MessageSchema,
    Role, Session,
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

fn act(session: &mut Session<u8>, step: u8, out: &mut Vec<u8>) {
    let id = u64::from(step % 8);
    let direction = if step & 1 == 0 {
        Direction::Request
    } else {
        Direction::Reply
    };
    let header = BulkHeader { direction, id };
    match step / 8 % 6 {
        0 => {
            let ask = Ask {
                head: Head::default(),
                baggage: &[step; 3],
                body: &[0; 10],
            };
            let _ = session.ask(ask, step, out);
        }
        1 => drop(session.cancel(id, out)),
        2 => drop(session.reply(id, &[0; 20], out)),
        3 => drop(session.bulk_opened(header)),
        4 => drop(session.bulk_received(header, vec![0; 16])),
        _ => drop(session.bulk_broken(header)),
    }
}
