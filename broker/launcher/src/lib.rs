//! The privileged part of job 2: it makes sealed sessions, and does nothing else.
//!
//! It runs as root, in one thread, without a network and without an async runtime. The broker
//! hands it descriptors over a seqpacket socket in one fixed message ([`message`]); it answers with
//! descriptors. It must never open a path that somebody named to it, never take anybody's word for
//! the human's uid (that comes from the credentials of the human's own connection), and never let
//! a session start half sealed: any step that fails ends the attempt.
//!
//! A session is a process in namespaces that *the initial user namespace* owns, whose own user
//! namespace therefore owns nothing; with a host uid of its own, or the human's where its trees cannot be
//! mapped; in a root-owned cgroup. See
//! [`message::Launch`] for what the broker may ask, `DESIGN.md` §9 for what a session sees.
//!
//! The same program makes sessions without root for a human who has none, where it is started for that: [`contained`]
//! has all that differs, and its walls keep an agent in and nobody out.
//!
//! The broker and its job 2 use [`message`], [`socket`], [`control`], [`inward`], [`shell`] and [`peer`]; all else is this
//! process's own.

mod accounts;
mod bpf;
mod cgroup;
mod child;
mod claims;
mod confine;
pub mod contained;
pub mod control;
mod describe;
mod failure;
mod init;
pub mod inward;
pub mod message;
mod network;
pub mod options;
pub mod peer;
mod place;
mod plan;
mod program;
mod seccomp;
pub mod serve;
pub mod shell;
pub mod socket;
mod spawn;
mod sys;
mod tree;
mod uids;
mod userns;
mod wire;
mod world;

pub use failure::{Refusal, Stage};
pub use place::{InvalidPlace, Place, ProgramName, UserName};
