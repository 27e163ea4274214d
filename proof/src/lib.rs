//! Pure verification: what a TPM, a log or a certificate proves, decided from bytes alone.
//!
//! Attestor, broker, command line and interface all judge by this one crate. It must never do I/O, read a clock, or
//! link the TSS: whoever holds the bytes and this crate can repeat every judgement. (One exception is named where it
//! stands: [`credential`] draws randomness for a challenge.)
#![forbid(unsafe_code)]

pub mod audit;
pub mod counter;
pub mod credential;
pub mod ek_certificate;
pub mod event_log;
pub mod evidence;
pub mod hash;
pub mod ima;
pub mod merkle;
pub mod note;
pub mod policy;
pub mod receipt;
pub mod svid;
pub mod systemd_log;
pub mod tpm;
