//! The node as others see it: its state in words, its SVID while it may be used, and whether it may act.
//!
//! It must never hold an SVID out to others that an order or the clock has taken away.

use std::sync::Arc;

use holdfast_protocol::id::HostId;
use holdfast_protocol::management::NodeState;
use holdfast_protocol::{Sha256Digest, Timestamp};

use crate::attest::NodeSvid;
use crate::registration::Registration;
use crate::standing::{Hold, Standing};

/// What others may know of the node: its state, and its SVID while it is current and may be used.
#[derive(Clone, Debug)]
pub struct Node {
    /// For people.
    pub state: NodeState,
    /// For connections to the attestor.
    pub svid: Option<Arc<NodeSvid>>,
    /// Names the bundles that the attestor gives, by its word; another value means that they have changed.
    pub bundles: Option<Sha256Digest>,
    pub(crate) standing: Standing,
    host: Option<(HostId, String)>,
}

impl Node {
    pub(crate) fn new(registration: Option<&Registration>) -> Self {
        let mut node = Self {
            state: NodeState::NotEnrolled,
            svid: None,
            bundles: None,
            standing: Standing::default(),
            host: None,
        };
        if let Some(registration) = registration {
            node.enrolled(registration);
        }
        node
    }

    /// Of a broker without root; `host` is what its sessions are named below.
    pub(crate) fn contained(host: HostId) -> Self {
        Self {
            state: NodeState::Contained { host },
            svid: None,
            bundles: None,
            standing: Standing::unasked(),
            host: None,
        }
    }

    pub(crate) fn enrolled(&mut self, registration: &Registration) {
        self.standing.forget();
        self.host = Some((registration.host, registration.attestor.to_string()));
        self.withhold("it has not attested since the broker started");
    }

    /// Why the host may do nothing at `now`, if it may not. Who acts asks each time: nobody announces the end of a
    /// certificate.
    pub fn hold(&self, now: Timestamp) -> Option<Hold> {
        self.standing.hold(now)
    }

    /// How often it was stopped, or enrolled anew, since the broker started: what was made before another count is over,
    /// though the host may act again.
    pub fn stops(&self) -> u64 {
        self.standing.stops()
    }

    /// When it may act no more if nothing happens.
    pub fn ends(&self) -> Option<Timestamp> {
        self.standing.ends()
    }

    /// Whether this attestor is the host's.
    pub(crate) fn is_with(&self, attestor: &str) -> bool {
        self.host.as_ref().is_some_and(|(_, own)| own == attestor)
    }

    /// Nobody may use the SVID any more.
    pub(crate) fn withhold(&mut self, why: &str) {
        self.svid = None;
        if let Some((host, _)) = &self.host {
            self.state = NodeState::NotAttested {
                host: *host,
                why: why.to_owned(),
            };
        }
    }
}
