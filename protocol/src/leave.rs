//! Whether this host may act at all: what every job that acts asks of the broker, each time.
//!
//! A contract without an implementation: the broker hands in what its attestor and its certificate say. It must never be
//! asked once and remembered.

use crate::decision::Reason;

/// Leave to act.
pub trait Leave: Send + Sync + 'static {
    /// Why this host may do nothing now, if it may not.
    fn withheld(&self) -> Option<Reason>;
}
