//! The service that turns evidence into a node SVID, for anybody who asks.
//!
//! The nonce is used up before anything else is looked at, and acceptance, verdict and SVID are
//! durable in one transaction before the answer leaves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::evidence::Nonce;
use holdfast_protocol::evidence::{Appraisal, Check, Evidence};
use holdfast_protocol::id::HostId;
use holdfast_protocol::management::RunBy;
use holdfast_protocol::wire::attestor::attestation_server::Attestation as Service;
use holdfast_protocol::wire::attestor::{
    AttestationChallenge, BeginAttestation, Evidence as EvidenceMessage, NodeSvid, PcrBank,
};
use holdfast_protocol::{Timestamp, evidence};
use tonic::{Request, Response, Status};

use super::answer::{connection, failed, refused};
use super::channel::Connection;
use super::{Shared, now, rollout};
use crate::group::HostPolicy;
use crate::random;
use crate::registry::{
    Host, IssuedSvid, Judged, NonceStanding, Outcome, Standing, SvidKind, Verdict,
};
use crate::rfc3339;
use crate::store::{Acceptance, Store};
use crate::verify_host::{
    Expectation, Refusal, Required, SystemdLogPolicy, Verified, ima_wanted, verify,
};

/// How long a host has to answer: a slow TPM takes seconds, a person is not involved.
const NONCE_TTL: Duration = Duration::from_secs(120);

/// The service.
#[derive(Debug)]
pub(super) struct Attestation<S>(pub(super) Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Store> Service for Attestation<S> {
    async fn begin(
        &self,
        request: Request<BeginAttestation>,
    ) -> Result<Response<AttestationChallenge>, Status> {
        let Connection { remote, .. } = connection(request.extensions())?;
        let id = host_id(&request.get_ref().host_id)?;
        let host = self.registered(id, remote).await?;
        let now = now();
        let nonce = Nonce::new(random::bytes().map_err(failed)?);
        self.0
            .store
            .issue_nonce(&nonce, host.id, now, now + NONCE_TTL)
            .await
            .map_err(failed)?;
        let systemd_log = self.policy(&host, remote)?.evidence.systemd_log;
        let policy = &self.0.settings.policies.rest.evidence;
        let required = policy
            .required
            .unproven()
            .banks()
            .map(|(bank, indices)| PcrBank {
                algorithm: u32::from(bank.id()),
                indices: indices.iter().map(|index| u32::from(index.get())).collect(),
            })
            .collect();
        Ok(Response::new(AttestationChallenge {
            nonce: nonce.as_bytes().to_vec(),
            required,
            ima: ima_wanted(policy, host.ima.as_ref()),
            systemd_log: systemd_log != SystemdLogPolicy::Off,
            in_active_banks: match &policy.required {
                Required::Active(indices) => {
                    indices.iter().map(|index| u32::from(index.get())).collect()
                }
                Required::Banks(_) => Vec::new(),
            },
        }))
    }

    async fn attest(
        &self,
        request: Request<EvidenceMessage>,
    ) -> Result<Response<NodeSvid>, Status> {
        let connection = connection(request.extensions())?;
        let message = request.into_inner();
        let id = host_id(&message.host_id)?;
        let evidence = Evidence::try_from(message)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let now = now();
        let nonce = self.consume(&evidence, id, now).await?;
        let host = self.registered(id, connection.remote).await?;
        let host = rollout::before(&self.0.store, host, &evidence).await;
        let mut host = host.map_err(failed)?;
        let policy = self.policy(&host, connection.remote)?;
        // Where there is evidence of a value, the counter has been there, whether or not the host attested since.
        let mirrored = self.0.store.counted_up_to(&host).await.map_err(failed)?;
        host.last.audit_counter = host.last.audit_counter.max(mirrored.unwrap_or(0));
        let expectation = Expectation {
            host: &host,
            nonce,
            channel: connection.binding,
            policy: &policy.evidence,
        };
        match verify(&evidence, &expectation, now) {
            (appraisal, Ok(verified)) => {
                let ttl = policy.x509_ttl;
                self.accept(&host, appraisal, verified, ttl, now).await
            }
            (appraisal, Err(refusal)) => {
                self.refuse(&host, appraisal, &refusal, connection, now)
                    .await
            }
        }
    }
}

impl<S: Store> Attestation<S> {
    async fn consume(
        &self,
        evidence: &Evidence,
        host: HostId,
        now: Timestamp,
    ) -> Result<NonceStanding, Status> {
        match <[u8; Nonce::LEN]>::try_from(evidence.nonce.as_slice()) {
            Ok(nonce) => self
                .0
                .store
                .consume_nonce(&Nonce::new(nonce), host, now)
                .await
                .map_err(failed),
            Err(_) => Ok(NonceStanding::Unknown),
        }
    }

    /// The host, if it is one and may still get identities.
    async fn registered(&self, id: HostId, remote: SocketAddr) -> Result<Host, Status> {
        let host = self.0.store.host(id).await.map_err(failed)?;
        let detail = match host {
            Some(host) if host.standing == Standing::Active => return Ok(host),
            Some(Host {
                standing: Standing::Banned { .. },
                ..
            }) => "banned",
            Some(_) => "revoked",
            None => "not enrolled",
        };
        Err(self.not_registered(id, remote, detail))
    }

    /// What the host is held to.
    fn policy(&self, host: &Host, remote: SocketAddr) -> Result<&HostPolicy, Status> {
        let policy = self.0.settings.policies.of(host.group.as_ref());
        let unsaid = "of a group that the configuration has not";
        policy.ok_or_else(|| self.not_registered(host.id, remote, unsaid))
    }

    fn not_registered(&self, id: HostId, remote: SocketAddr, detail: &str) -> Status {
        let refusal = Refusal {
            check: Check::Registration,
            detail: detail.to_owned(),
            ima: None,
            proposal: None,
        };
        tracing::warn!(host = %id, %remote, reason = %refusal.check, detail, "attestation refused");
        refused(self.0.settings.explain, &refusal)
    }

    async fn accept(
        &self,
        host: &Host,
        appraisal: Appraisal,
        verified: Verified,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Response<NodeSvid>, Status> {
        let Verified {
            csr,
            observed,
            learned,
            events,
            update,
            showing,
            ima,
        } = verified;
        let signed = self
            .0
            .authority
            .sign_node(host.id, &csr, ttl, now)
            .map_err(failed)?;
        let noted = appraisal
            .checks
            .iter()
            .filter(|checked| checked.finding == evidence::Finding::Noted)
            .count();
        let acceptance = Acceptance {
            host: host.id,
            revision: host.revision,
            observed,
            learned,
            events,
            update,
            rollout: host.rollout.as_ref().map(|offer| (offer.rollout, showing)),
            ima,
            verdict: Verdict {
                at: now,
                host: Some(host.id),
                outcome: Outcome::Accepted,
                judged: Judged::Attestation { appraisal },
            },
            svid: IssuedSvid {
                host: host.id,
                spiffe_id: signed.svid.spiffe_id.clone(),
                kind: SvidKind::X509 {
                    serial: signed.svid.serial.clone(),
                },
                issued_at: now,
                expires_at: signed.svid.not_after,
            },
        };
        self.0.store.accept(&acceptance).await.map_err(failed)?;
        rollout::after(&self.0.store, host, showing).await;
        tracing::info!(
            host = %host.id,
            serial = signed.svid.serial,
            until = rfc3339(signed.svid.not_after),
            noted,
            "attested"
        );
        Ok(Response::new(NodeSvid {
            chain: signed.chain,
            x509_authorities: self
                .0
                .authority
                .x509_authorities()
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
            self_attested: self.0.settings.run_by == RunBy::Owner,
            // As late as can be: what a host believes ends early rather than late.
            time: super::now().as_millis(),
        }))
    }

    async fn refuse(
        &self,
        host: &Host,
        appraisal: Appraisal,
        refusal: &Refusal,
        connection: Connection,
        now: Timestamp,
    ) -> Result<Response<NodeSvid>, Status> {
        tracing::warn!(
            host = %host.id,
            remote = %connection.remote,
            reason = %refusal.check,
            detail = refusal.detail,
            "attestation refused"
        );
        rollout::refused(&self.0.store, host, &appraisal, refusal)
            .await
            .map_err(failed)?;
        let verdict = Verdict {
            at: now,
            host: Some(host.id),
            outcome: Outcome::Refused,
            judged: Judged::Attestation { appraisal },
        };
        let store = &self.0.store;
        match (&refusal.ima, &refusal.proposal) {
            (Some(ima), _) => {
                store
                    .refuse_ahead(host.id, host.revision, ima, &verdict)
                    .await
            }
            (None, Some(proposal)) => store.propose(host.id, proposal, &verdict).await,
            (None, None) => store.record_verdict(&verdict).await,
        }
        .map_err(failed)?;
        Err(refused(self.0.settings.explain, refusal))
    }
}

fn host_id(text: &str) -> Result<HostId, Status> {
    text.parse()
        .map_err(|_| Status::invalid_argument("`host_id` is not a host id"))
}
