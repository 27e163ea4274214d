//! Job 2: launching agents in sealed sessions, and knowing which session a caller belongs to.
//!
//! Identity comes from the launch, never from inspection: a session has a host uid and a cgroup of
//! its own, made by the launcher, and [`state`] remembers whose they are. [`task`] talks to the
//! launcher and holds the sessions' lives; [`workload`] names services that were not launched here. This job must never run a program that it did not
//! measure, nor pass on an environment that it did not choose.
//!
//! ```text
//! program, project, terminal (descriptors) → measure, store → profile, environment → assemble
//!     → launcher → Prepared → (recorded) → begin → Running … Ended
//! ```
#![forbid(unsafe_code)]

pub mod assemble;
pub mod claim;
pub mod environment;
pub mod home;
pub mod life;
pub mod measure;
pub mod package;
pub mod peer;
pub mod policy;
pub mod profile;
mod shadow;
pub mod state;
pub mod store;
pub mod task;
pub mod workload;

pub use holdfast_launcher::control::{Ending, PassedSignal, Stopped};
pub use holdfast_launcher::message::{
    Access, Idmap, Limits, Names, Reached, Stdio, Told, Tree, Unkept, WindowSize,
};
pub use holdfast_launcher::shell::{ShellOrder, TermName};
pub use holdfast_launcher::{InvalidPlace, Place, ProgramName, UserName};
