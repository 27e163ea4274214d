//! Sealed sessions on this very host: what a session may, what it may not, what may reach it.
//!
//! These tests make real sessions and so need root; without it they say so and do nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod attacks;
mod build;
mod calls;
mod crashes;
mod host;
mod human;
mod inside;
mod life;
mod limits;
mod network;
mod outside;
mod refusals;
mod rights;
mod running;
mod skip;
mod started;
