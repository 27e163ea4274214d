//! Job 3, issue credentials: what a session may show of itself to others.
//!
//! Here is the SPIFFE Workload API for sealed sessions: one socket per session, whose listener is
//! the identity. [`Issuer`] makes a [`Session`], which keeps that session's SVIDs fresh;
//! [`SessionSocket`] serves them, and hands hook frames on. Signing and recording are handed in
//! ([`Authority`], [`Recorder`]), and so is the judgement of who may connect ([`PeerCheck`]).
//!
//! So that sessions start while the authority is away, a few names are signed ahead ([`spares`]).
//!
//! Long-lived secrets stay in the [`vault`]; a session is granted their use ([`grant`]) under leases
//! of the TPM, and the [`bridge`] puts them in where requests leave the host.
//!
//! This job must never hold a key of the trust domain, must never let an SVID leave before its
//! record is durable, and must never serve one session another's identity.
#![forbid(unsafe_code)]

mod audiences;
pub mod bridge;
mod bundle;
mod bundles;
pub mod decide;
pub mod grant;
mod jwk;
mod jwt;
mod material;
mod session_socket;
mod sources;
pub mod spares;
mod state;
mod task;
pub mod vault;
pub mod workload;

pub use audiences::{Audiences, InvalidAudiences};
pub use bundle::{Bundle, BundleError};
pub use bundles::Bundles;
pub use jwt::{JwtError, Validated};
pub use material::{JwtSvid, MaterialError, X509Svid};
pub use session_socket::{
    Admitted, Challenge, Denied, FrameHandler, FrameStream, Judge, MAX_CONNECTIONS, Party,
    PeerCheck, SenderUid, SessionListener, SessionSocket, SocketError, Whose,
};
pub use sources::{Authority, AuthorityError, RecordError, Recorder};
pub use state::{MAX_JWTS, MAX_SIGNING, Refusal};
pub use task::{Issuer, Session, SessionIdentity, TaskError};
