//! Connections that no proxy was asked for: what they lead to is known from where they arrived.
//!
//! Decided, recorded and carried exactly as a tunnel to the same place is. It must never connect
//! before the decision, nor answer in a far end's name but where that is plain HTTP.

use std::sync::Arc;

use holdfast_protocol::widening::Reach;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tracing::debug;

use super::connection::Way;
use super::refusal::Refusal;
use super::target::Target;
use super::tunnel;

/// A port of the session's own loopback that leads to one place.
pub struct Door {
    /// Listens inside.
    pub listener: TcpListener,
    /// Where it leads.
    pub to: Reach,
}

/// Carries one connection to `target`, if that is let through.
pub(super) async fn carry(way: Arc<Way>, target: Target, mut near: TcpStream) {
    let _ = near.set_nodelay(true);
    match tunnel::stand(&way, &target).await {
        Ok((mut far, running)) => tunnel::carry(&mut near, &mut far, running).await,
        Err(refusal) => refuse(&target, refusal, near).await,
    }
}

/// Ends a connection that is not let through, in words where the other end can hear them.
async fn refuse(target: &Target, refusal: Refusal, mut near: TcpStream) {
    debug!(
        to = target.shown(),
        why = refusal.words(),
        "a connection is not let through"
    );
    if target.is_plain_http() {
        let _ = near.write_all(&refusal.into_bytes()).await;
        let _ = near.shutdown().await;
    } else {
        reset(&near);
    }
}

/// Has a connection end by a reset once it is dropped: nobody is to take an end in order for an answer.
pub(super) fn reset(near: &TcpStream) {
    let _ = near.set_zero_linger();
}
