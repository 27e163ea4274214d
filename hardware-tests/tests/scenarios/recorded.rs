//! Promise 4: nothing is done without a durable record, and records do not change unseen.

mod crashed;
mod database;
mod failing;
mod log;
mod tampered;
mod untouched;
