//! JOB 5: the audit log. Append, checkpoint, verify, export, mirror.
//!
//! An event becomes an OCSF record, a record becomes a leaf of an RFC 6962 tree, and the TPM signs and counts what the tree
//! was. Nothing is acknowledged before it is durable; if it cannot be made durable, the log is broken and every later event
//! is refused until it is opened again. This crate must never reach for a TPM itself, rewrite a record, or go on after a
//! failed write.

pub mod export;
pub mod mirror;
pub mod ocsf;
pub mod signer;
pub mod state;
pub mod store;
mod task;
pub mod verify;

pub use signer::{Answer, CheckpointCounter, CheckpointSigner, TpmFailed};
pub use state::DuePolicy;
pub use store::{LastStop, StoreError};
pub use task::{AuditConfig, AuditError, AuditLog, AuditTask, Counting, Opened, Recorded};
pub use verify::{Finding, LogAnchor, Verification, verify_folder};
