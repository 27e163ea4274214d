//! Which host a request is from, and whether it may still ask.
//!
//! The connection says who it is; the store, anew for each request, whether it is still one of ours.

use std::net::SocketAddr;

use holdfast_protocol::Timestamp;
use tonic::{Extensions, Status};

use super::Shared;
use super::answer::{connection, failed, refused};
use super::peer::{NodePeer, Peer};
use crate::registry::{Host, Standing};
use crate::store::Store;

/// A host that may ask.
#[derive(Debug)]
pub(super) struct Caller {
    /// By its connection.
    pub(super) peer: NodePeer,
    /// By the registry.
    pub(super) host: Host,
}

/// The host at the other end and where it is, if its SVID is still good. Whether it may ask is not said.
pub(super) fn node(
    extensions: &Extensions,
    now: Timestamp,
) -> Result<(NodePeer, SocketAddr), Status> {
    let connection = connection(extensions)?;
    let Peer::Host(peer) = connection.peer else {
        return Err(Status::unauthenticated(
            "this service wants a client certificate: the host's node SVID",
        ));
    };
    if now >= peer.not_after {
        return Err(Status::unauthenticated(
            "the node SVID of this connection has ended; attest and connect anew",
        ));
    }
    Ok((peer, connection.remote))
}

impl<S: Store> Shared<S> {
    /// The host that calls, if its SVID is still good and nobody revoked it since.
    pub(super) async fn caller(
        &self,
        extensions: &Extensions,
        now: Timestamp,
    ) -> Result<Caller, Status> {
        let (peer, remote) = node(extensions, now)?;
        let host = self.store.host(peer.id).await.map_err(failed)?;
        match host {
            Some(host) if host.standing == Standing::Active => Ok(Caller { peer, host }),
            Some(_) | None => {
                tracing::warn!(
                    host = %peer.id,
                    %remote,
                    "a host that is banned, revoked or unknown asked for something"
                );
                Err(refused(
                    self.settings.explain,
                    &"host refused: registration",
                ))
            }
        }
    }
}
