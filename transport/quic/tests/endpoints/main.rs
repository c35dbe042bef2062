//! Endpoints that speak with each other over loopback, each a process of its own as far as the
//! network can tell.

mod calls;
mod closing;
mod deadlines;
mod restart;
mod support;
mod trust;
