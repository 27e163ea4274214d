//! The suite's own tools: a private software TPM per test, a proxy that counts and slows its commands, and guards for
//! the programs under test.
//!
//! It must never hold a part of the product, and never reach a TPM or a daemon that it did not start itself.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test harness: a broken precondition has to end the test, at the line where it broke"
)]

pub mod harness;
pub mod world;
