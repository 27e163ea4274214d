//! The words that every part of Holdfast shares: identifiers, evidence, tool calls, decisions,
//! receipts, audit events, and the messages that carry them.
//!
//! Types only: this crate must never do I/O, read a clock, draw randomness, or hash. Bytes from
//! outside become these types once, at the edge ([`frame`], [`wire`]); inside, no protobuf type and
//! no bare string stands for a thing.
#![forbid(unsafe_code)]

pub mod approval;
pub mod audit;
pub mod beyond;
pub mod bounds;
pub mod bundles;
pub mod call;
pub mod clock;
pub mod contained;
pub mod decision;
pub mod digest;
pub mod evidence;
pub mod frame;
pub mod grade;
pub mod hook;
pub mod id;
pub mod leave;
pub mod management;
pub mod measured;
pub mod mirror;
pub mod orders;
pub mod receipt;
pub mod record;
pub mod run;
pub mod secret;
pub mod session;
pub mod sub;
pub mod time;
pub mod token;
pub mod triggers;
pub mod url;
pub mod vault;
pub mod widening;
pub mod wire;
pub mod words;

pub use digest::Sha256Digest;
pub use time::Timestamp;
