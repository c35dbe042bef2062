//! Builds a Modulith application from its modules.
//!
//! An application's `main.rs` names its modules and hands over:
//!
//! ```no_run
//! # use modulith::{App, Declaration, Module, Setup, SetupError};
//! # struct Greeting;
//! # impl Module for Greeting {
//! #     const NAME: &'static str = "greeting";
//! #     type Settings = ();
//! #     fn new(_: &(), _: &Setup) -> Result<Self, SetupError> { Ok(Self) }
//! #     fn declare(_: &mut Declaration<Self>) {}
//! # }
//! fn main() -> std::process::ExitCode {
//!     App::new("hello").module::<Greeting>().main()
//! }
//! ```
//!
//! [`App::main`] reads the command line and the configuration, and then either runs modules in
//! this process (`process`) or starts a process for each group of them and watches over those
//! (`launcher`).

// What the derives of messages write needs this name, where tests have messages of their own.
#[cfg(test)]
extern crate modulith_kernel as modulith_contract;

mod app;
mod cli;
mod commands;
mod config;
mod directory;
mod graph;
mod launcher;
mod link;
mod logging;
mod mesh;
mod operate;
mod placement;
mod process;
mod run_folder;
mod signals;
mod status;
mod table;
mod verify;

pub use modulith_edge::Pages;
pub use modulith_kernel::{Declaration, Manifest, Module, Setup, SetupError};

pub use app::App;
