//! The session's way out, by real sockets, real servers and the real git.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attacks;
mod git;
mod git_service;
mod model;
mod proxy;
mod servers;
mod world;
