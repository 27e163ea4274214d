//! Other people's programs as peers: what swtpm and tpm2-tools make is verified here, what is made here they take.
//!
//! Needs swtpm and tpm2-tools; where they are missing a test says so and proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod audit;
mod credential;
mod statements;
mod swtpm;
