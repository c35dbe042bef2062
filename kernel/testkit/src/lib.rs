//! Runs one scenario against modules in every placement.
//!
//! Two grounds to test on, with one question: does the scenario hold wherever the modules run?
//!
//! - [`World`]: modules in this process, asked through their contracts, once with messages moved
//!   and once with every message encoded and decoded; with a clock that stands still, seeded
//!   randomness and a disk that fails on demand. For a module alone, or with stand-ins.
//! - [`Deployment`]: the application's real binary, as one process, as one process that encodes
//!   everything, and with every module in a process of its own; with real kills and restarts.
//!   For scenarios of the whole system.

mod clock;
mod deployment;
mod disk;
mod world;

pub use clock::FakeClock;
pub use deployment::{Deployment, Placement, Process};
pub use disk::{Disk, DiskFault};
pub use world::{World, WorldBuilder, until};
