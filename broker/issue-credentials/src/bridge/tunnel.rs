//! Tunnels (CONNECT, RFC 9110 §9.3.6): decided by where they lead, for their bytes are not looked at.
//!
//! It must never reach what [`super::target`] refuses, and never outlive its connection's task.

use std::sync::PoisonError;

use holdfast_protocol::call::{Channel, Effect, Manner};
use hyper::body::Incoming;
use hyper::upgrade::{self, OnUpgrade};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::TcpStream;
use tracing::debug;

use super::body::{Given, empty};
use super::calls::Running;
use super::connection::{TunnelSlot, Way};
use super::refusal::{Reason, Refusal};
use super::target::Target;
use crate::decide::Asked;

/// A tunnel whose far end stands.
pub(super) struct Tunnel {
    near: OnUpgrade,
    far: TcpStream,
    running: Running,
}

/// Opens a tunnel to where the request says, and leaves it in `slot` for the connection.
pub(super) async fn open(
    way: &Way,
    slot: &TunnelSlot,
    request: Request<Incoming>,
) -> Result<Response<Given>, Refusal> {
    let authority = request
        .uri()
        .authority()
        .ok_or_else(|| Refusal::new(Reason::BadRequest, "CONNECT wants `host:port`"))?;
    let target = Target::read(authority, None)?;
    let (far, running) = stand(way, &target).await?;
    let tunnel = Tunnel {
        near: upgrade::on(request),
        far,
        running,
    };
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
    Ok(Response::new(empty()))
}

/// Has a tunnel to `target` decided, and connects there.
pub(super) async fn stand(way: &Way, target: &Target) -> Result<(TcpStream, Running), Refusal> {
    if let Err(refusal) = target.judge_name(&way.upstream) {
        return Err(way.calls.refused(asked(target), refusal).await);
    }
    let mut running = way
        .calls
        .decide(asked(target))
        .await
        .map_err(|refusal| target.advise(refusal))?;
    running.sending();
    let far = target
        .connect(&way.upstream)
        .await
        .inspect_err(|refusal| running.failed(refusal))?;
    Ok((far, running))
}

/// Carries bytes both ways until both ends are done.
pub(super) async fn carry(
    near: &mut (impl AsyncRead + AsyncWrite + Unpin),
    far: &mut TcpStream,
    mut running: Running,
) {
    match copy_bidirectional(near, far).await {
        Ok((up, down)) => running.tunneled(up, down),
        Err(error) => {
            debug!(%error, "a tunnel broke off");
            running.cut();
        }
    }
}

fn asked(target: &Target) -> Asked {
    Asked {
        channel: Channel::Egress,
        tool: "connect",
        creates: vec![],
        arguments: json!({ "host": target.shown(), "given_by": target.flag() }),
        effects: vec![Effect::Reaches {
            host: target.shown(),
            manner: Manner::Send,
        }],
    }
}

impl Tunnel {
    /// Carries bytes both ways until both ends are done.
    pub(super) async fn run(self) {
        let Self {
            near,
            mut far,
            running,
        } = self;
        let near = match near.await {
            Ok(near) => near,
            Err(error) => {
                debug!(%error, "a connection did not become a tunnel");
                return;
            }
        };
        carry(&mut TokioIo::new(near), &mut far, running).await;
    }
}
