//! A session's doors as their users meet them: the socket with its Workload API, and the way out.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod bridge;
mod handed_on;
mod python_client;
mod session_socket;
mod spares;
mod support;
mod workload_api;
