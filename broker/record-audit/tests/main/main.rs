//! The log on a real disk: what it keeps, what it exports, what it survives, and what it finds out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod crash;
mod export;
mod log;
mod support;
mod tamper;
