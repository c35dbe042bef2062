//! What the kernel promises, tried out through its public API: one file for each part of
//! docs/semantics.md, all on the small modules in `common`.
//!
//! One binary rather than one for each file, because two cores link it.

mod common;

mod bounds;
mod commits;
mod conduct;
mod disks;
mod events;
mod flows;
mod inbox;
mod isolation;
mod letters;
mod one_thread;
mod partitions;
mod ports;
mod replicas;
mod retention;
mod stores;
mod streams;
mod transactions;
