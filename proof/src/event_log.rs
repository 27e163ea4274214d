//! The firmware's event log: read, replayed to PCR values, asked for the state of Secure Boot (TCG PC Client Platform
//! Firmware Profile 1.06 §10).
//!
//! A log is a host's word until its replay gives quoted PCR values, and even then the types of its events are the
//! host's word: a PCR holds digests alone. What an event says counts only where its data hash to a digest that was
//! replayed. Everything is borrowed: nothing here allocates by what the log says, whatever its size.

mod boot;
mod describe;
mod record;
mod replay;
mod secure_boot;

#[cfg(test)]
mod tests;

pub use boot::{BootEvent, BootEvents, MAX_EVENTS, Words};
pub use record::{Event, EventLog, EventType, MalformedLog};
pub use replay::{Replayed, replay};
pub use secure_boot::SecureBoot;
