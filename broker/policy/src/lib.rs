//! What may happen: Cedar policies over one effect at a time, and nothing else.
//!
//! Pure: sources in, verdicts out. It must never do I/O, read a clock, or look at the world itself: whoever asks hands
//! in the facts ([`Act`]), already judged. Whatever goes wrong in here is a denial.
#![forbid(unsafe_code)]

mod act;
mod engine;
mod load;
mod request;
mod rule;

pub use act::{Acquaintance, Act, Asker, BranchStanding, Grant, Place, RemoteStanding, Taint};
pub use engine::Engine;
pub use load::{LoadError, MAX_RULES, MAX_SOURCE, Source, SourceName, default_policy};
