//! Promise 4: nothing is done without a durable record, and records do not change unseen.

mod crashed;
pub(super) mod database;
mod failing;
pub(super) mod log;
mod tampered;
mod untouched;
