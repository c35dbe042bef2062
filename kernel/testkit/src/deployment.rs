//! To come.
/// To come.
pub struct Deployment;
/// To come.
pub struct Placement;
/// To come.
pub struct Process;
