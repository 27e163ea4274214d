//! Lists of a real kernel, lists that were tampered with, and any list in any pieces.
#![allow(clippy::unwrap_used, reason = "tests")]

pub(crate) mod builder;
mod judged;
mod recorded;
mod replayed;
