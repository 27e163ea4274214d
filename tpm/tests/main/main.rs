//! Against a software TPM of each test's own: what the TPM allows, and the code with which it refuses.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod approval;
mod attestation;
mod banks;
mod budget;
mod bus;
mod lease;
mod peer;
mod provisioning;
mod straight;
mod swtpm;
mod vault;
mod wire;
