//! The log, mirrored: what the attestor does not have yet is sent to it, and its cosignature is kept (DESIGN §11).
//!
//! It only reads the log. It must never hold up, refuse or change a record, and never take for acknowledged what the
//! attestor's key did not sign.

mod cosignature;
mod state;
mod task;

use std::error::Error;
use std::pin::Pin;

use holdfast_protocol::management::Mirror;
use holdfast_protocol::mirror::{Answer, Upload};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use cosignature::{Cosigner, NotCosigned};
pub use state::{Batch, Core, Effect, Input, Jitter, Marks, Next};
pub use task::{MirrorConfig, MirrorTask};

/// What is kept of the mirror between two runs of the broker. All of it can be learned anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Whom the attestor knows this host as; another attestor or enrollment begins anew.
    pub peer: String,
    /// The verifier key that the attestor's cosignatures were first made with.
    pub cosigner: String,
    /// The number of the newest checkpoint that it cosigned.
    pub checkpoint: i64,
    /// How many records that covers.
    pub size: u64,
    /// The checkpoint as a signed note, with the attestor's line in it: the receipt for every record below.
    pub note: String,
}

/// Whether there is an attestor to send to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uplink {
    /// No attestor knows this host.
    Stranger,
    /// Not now.
    Down {
        /// Why, for people.
        why: String,
    },
    /// There is.
    Up {
        /// Whom it knows this host as.
        peer: String,
        /// What changes whenever trying anew is worth it: the node SVID's serial number.
        credential: String,
    },
}

/// An answer under way.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Answer, SendFailed>> + Send + 'a>>;

/// The environment: the upload did not arrive, or its answer did not; it may have been taken all the same.
#[derive(Debug, thiserror::Error)]
#[error("the attestor could not be reached")]
pub struct SendFailed(#[source] pub Box<dyn Error + Send + Sync>);

/// The way to the attestor, and the place where its newest cosignature is kept.
pub trait Upstream: Send + Sync {
    /// Sends an upload as this host.
    fn send(&self, upload: Upload) -> Sending<'_>;

    /// Makes `kept` durable.
    ///
    /// # Errors
    /// The file system's own.
    fn keep(&self, kept: &Kept) -> std::io::Result<()>;
}

/// How much the attestor has, as it changes.
pub type Standing = watch::Receiver<Mirror>;
