//! The suite: one binary, so that it is linked once. A scenario is a module; nothing else belongs here.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests: a broken expectation has to end the test, at the line where it broke"
)]

mod harness;

mod scenarios;

mod support;
