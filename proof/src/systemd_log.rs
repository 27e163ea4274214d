//! systemd's log of what it measured after the firmware: read, replayed on from the firmware's values.
//!
//! systemd appends to `/run/log/systemd/tpm2-measure.log` whatever it extends a PCR by: the phases of the boot (PCR 11),
//! machine-id, file systems and volume keys (PCR 15), its NvPCRs' names (PCR 9), and from version 261 on a separator (PCRs 0
//! to 7, 9, 12 to 14) (systemd `docs/TPM2_PCR_MEASUREMENTS.md`). Its EFI programs' measurements are in the firmware's log.
//!
//! A log is a host's word until some of its records, from the first on, give the quoted values; even then what a record says
//! counts only where it hashes to a digest that was replayed.

mod kind;
mod record;
mod replay;

#[cfg(test)]
mod tests;

pub use kind::Kind;
pub(crate) use kind::words;
pub use record::{Flaw, MAX_RECORD, MAX_RECORDS, MalformedLog, Measured, Record, Records, parse};
pub use replay::{Duty, NoPrefix, Register, Replayed, replay};

/// What systemd measures between firmware and system.
pub const OS_SEPARATOR: &str = "os-separator";
