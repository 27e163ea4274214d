//! The attestor as the signer of sessions' SVIDs, asked over mTLS with the node key.
//!
//! One connection, made when it is first needed and made anew after it broke or the node SVID
//! changed. It must never hold a signing key, nor ask for a name outside this host's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_attest_host::{AttestHost, Connection, Node, Pin, connect};
use holdfast_issue_credentials::spares::{Footing, NodeCertificate};
use holdfast_issue_credentials::{Audiences, Authority, AuthorityError, Bundle, Bundles};
use holdfast_protocol::bundles;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::id::SpiffeId;
use holdfast_protocol::management::NodeState;
use holdfast_protocol::wire::attestor::host_client::HostClient;
use holdfast_protocol::wire::attestor::{
    FetchBundleRequest, SignJwtSvidRequest, SignX509SvidRequest, SignX509SvidsRequest,
};
use holdfast_protocol::words::with_causes;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use zeroize::Zeroizing;

/// How soon the bundles are asked for again that could not be fetched.
const AGAIN: Duration = Duration::from_secs(10);

/// What contained sessions are named below: no trust domain, by RFC 2606, so that no name is mistaken for an identity.
const NOBODYS: &str = "contained.invalid";

/// The attestor behind this host's node SVID.
pub struct NodeAuthority {
    attest_host: AttestHost,
    clock: Clock,
    node: watch::Sender<Option<NodeCertificate>>,
    bundles: watch::Sender<Arc<Bundles>>,
    open: Mutex<Option<Open>>,
}

/// A connection, and the node SVID that it was made with.
struct Open {
    serial: String,
    client: HostClient<Channel>,
}

impl NodeAuthority {
    /// An authority that asks once there is a node SVID.
    pub fn new(attest_host: AttestHost, clock: Clock) -> Self {
        Self {
            attest_host,
            clock,
            node: watch::Sender::new(None),
            bundles: watch::Sender::new(Arc::new(Bundles::unknown())),
            open: Mutex::new(None),
        }
    }

    /// The node SVID under which names are signed, while there is one.
    pub fn certificate(&self) -> watch::Receiver<Option<NodeCertificate>> {
        self.node.subscribe()
    }

    /// Fetches the bundles whenever the node SVID changes, or the attestor says that they have, and again if they were not to
    /// be had, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut node = self.attest_host.node();
        node.mark_changed();
        let mut wanted = Duration::MAX;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                changed = node.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(wanted) => {}
            }
            wanted = Duration::MAX;
            let certificate = certificate(&node.borrow_and_update());
            let bare = certificate.is_none();
            self.node.send_replace(certificate);
            if bare {
                continue;
            }
            if let Err(error) = self.refresh().await {
                tracing::warn!(
                    error = with_causes(&error),
                    "the bundles could not be fetched; they stay as they were"
                );
                // Whoever is refused is told anew with the next node SVID.
                if let AuthorityError::Unreachable(_) = error {
                    wanted = AGAIN;
                }
            }
        }
    }

    async fn refresh(&self) -> Result<(), AuthorityError> {
        let answer = self
            .client()
            .await?
            .fetch_bundle(FetchBundleRequest {})
            .await;
        let answer = bundles::Bundles::try_from(self.settle(answer).await?)
            .map_err(|error| AuthorityError::Unreachable(Box::new(error)))?;
        let own = Bundle::read(&answer.own.x509_authorities, &answer.own.jwks)
            .map_err(|error| AuthorityError::Unreachable(Box::new(error)))?;
        let mut federated = BTreeMap::new();
        for (name, bundle) in answer.federated {
            match Bundle::read(&bundle.x509_authorities, &bundle.jwks) {
                Ok(bundle) => {
                    federated.insert(name, bundle);
                }
                // Another trust domain's fault must not cost us our own.
                Err(error) => tracing::warn!(
                    trust_domain = %name,
                    error = with_causes(&error),
                    "the bundle of another trust domain is not used"
                ),
            }
        }
        self.bundles
            .send_replace(Arc::new(Bundles::new(own, federated)));
        Ok(())
    }

    /// The connection, made with the node SVID that is current now.
    async fn client(&self) -> Result<HostClient<Channel>, AuthorityError> {
        let mut open = self.open.lock().await;
        let node = self.attest_host.node().borrow().clone();
        if let NodeState::Contained { .. } = node.state {
            return Err(AuthorityError::Nobody);
        }
        let (NodeState::Attested(status), Some(svid), Some(identity)) =
            (node.state, node.svid, self.attest_host.identity())
        else {
            return Err(unreachable("this host is not attested"));
        };
        if let Some(open) = open.as_ref()
            && open.serial == svid.svid.serial
        {
            return Ok(open.client.clone());
        }
        let url = status
            .attestor
            .parse()
            .map_err(|error| AuthorityError::Unreachable(Box::new(error)))?;
        let pin = Pin::Authorities {
            trust_domain: Some(status.trust_domain),
            certificates: svid.authorities.clone(),
        };
        let Connection { channel, .. } = connect(&url, &pin, Some(Arc::new(identity)), &self.clock)
            .await
            .map_err(|error| AuthorityError::Unreachable(Box::new(error)))?;
        let client = HostClient::new(channel).max_decoding_message_size(bundles::MAX_MESSAGE);
        *open = Some(Open {
            serial: svid.svid.serial.clone(),
            client: client.clone(),
        });
        Ok(client)
    }

    /// An answer; a connection that failed is not used again.
    async fn settle<T>(
        &self,
        answer: Result<tonic::Response<T>, tonic::Status>,
    ) -> Result<T, AuthorityError> {
        match answer {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status)
                if matches!(
                    status.code(),
                    tonic::Code::PermissionDenied
                        | tonic::Code::InvalidArgument
                        // An attestor of before; the connection is as good as it was.
                        | tonic::Code::Unimplemented
                ) =>
            {
                Err(AuthorityError::Refused(status.message().to_owned()))
            }
            Err(status) => {
                *self.open.lock().await = None;
                Err(AuthorityError::Unreachable(Box::new(status)))
            }
        }
    }
}

#[tonic::async_trait]
impl Authority for NodeAuthority {
    async fn sign_x509(&self, id: &SpiffeId, csr: &[u8]) -> Result<Vec<Vec<u8>>, AuthorityError> {
        let request = SignX509SvidRequest {
            spiffe_id: id.to_string(),
            csr: csr.to_vec(),
        };
        let answer = self.client().await?.sign_x509_svid(request).await;
        Ok(self.settle(answer).await?.chain)
    }

    async fn sign_several_x509(
        &self,
        requests: &[(SpiffeId, Vec<u8>)],
    ) -> Result<Vec<Vec<Vec<u8>>>, AuthorityError> {
        let requests = requests.iter().map(|(id, csr)| SignX509SvidRequest {
            spiffe_id: id.to_string(),
            csr: csr.clone(),
        });
        let request = SignX509SvidsRequest {
            requests: requests.collect(),
        };
        let answer = self.client().await?.sign_x509_svids(request).await;
        let svids = self.settle(answer).await?.svids;
        Ok(svids.into_iter().map(|svid| svid.chain).collect())
    }

    async fn sign_jwt(
        &self,
        id: &SpiffeId,
        audiences: &Audiences,
    ) -> Result<Zeroizing<String>, AuthorityError> {
        let request = SignJwtSvidRequest {
            spiffe_id: id.to_string(),
            audience: audiences.as_slice().to_vec(),
        };
        let answer = self.client().await?.sign_jwt_svid(request).await;
        Ok(Zeroizing::new(self.settle(answer).await?.token))
    }

    fn bundles(&self) -> watch::Receiver<Arc<Bundles>> {
        self.bundles.subscribe()
    }
}

/// Where the host stands, by its name and by how often it was stopped.
pub fn footing(node: &Node) -> Option<Footing> {
    let status = match &node.state {
        NodeState::Attested(status) => status,
        NodeState::Contained { host } => {
            return Some(Footing {
                trust_domain: NOBODYS.parse().ok()?,
                host: *host,
                stops: node.stops(),
            });
        }
        NodeState::NotEnrolled | NodeState::NotAttested { .. } => return None,
    };
    Some(Footing {
        trust_domain: status.spiffe_id.trust_domain().clone(),
        host: status.spiffe_id.host_id()?,
        stops: node.stops(),
    })
}

fn certificate(node: &Node) -> Option<NodeCertificate> {
    Some(NodeCertificate {
        footing: footing(node)?,
        serial: node.svid.as_ref()?.svid.serial.clone(),
    })
}

fn unreachable(why: &'static str) -> AuthorityError {
    AuthorityError::Unreachable(why.into())
}
