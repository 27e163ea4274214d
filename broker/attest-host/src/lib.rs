//! Job 1: prove this host to its attestor, and keep the node SVID fresh.
//!
//! [`state`] says when, [`standing`] whether this host may act at all, [`task`] does it: over one TLS connection
//! ([`channel`], [`pin`]) it enrolls ([`enroll`]) and attests ([`attest`]) with keys that never leave the TPM
//! ([`node_key`]). What an attestation
//! says about the time is judged by [`time`]; [`clock`] reads the machine's. In between it listens to the attestor ([`watch`]) and looks at what may have changed ([`wake`], [`pcrs`]).
//! It must never hold a private key in memory, and never let evidence travel on a connection that it was not made for.
#![forbid(unsafe_code)]

mod attest;
mod channel;
mod clock;
pub mod durable;
mod enroll;
mod error;
mod handle;
mod host;
mod ima;
mod node;
mod node_key;
mod pcrs;
mod pin;
mod registration;
mod standing;
pub mod state;
mod systemd_log;
mod task;
mod time;
mod url;
mod wake;
mod watch;

pub use self::attest::NodeSvid;
pub use self::channel::{ChannelError, Connection, connect};
pub use self::clock::{FloorError, load_floor, read};
pub use self::enroll::Trust;
pub use self::error::AttestHostError;
pub use self::handle::{AttestHost, Kept};
pub use self::host::Host;
pub use self::node::Node;
pub use self::node_key::NodeIdentity;
pub use self::pin::Pin;
pub use self::registration::{Registration, RegistrationError};
pub use self::standing::Hold;
pub use self::task::HostTask;
pub use self::time::TimeError;
pub use self::url::{AttestorUrl, InvalidUrl};
