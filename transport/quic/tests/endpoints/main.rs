//! Endpoints that speak with each other over loopback, each a process of its own as far as the
//! network can tell.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod calls;
mod closing;
mod deadlines;
mod link;
mod pki;
mod restart;
mod streams;
mod support;
mod threads;
mod trust;
mod weather;
