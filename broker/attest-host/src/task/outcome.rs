//! What follows from an attestation: its SVID is adopted, or it is told why there is none.

use std::sync::Arc;

use holdfast_protocol::audit::What;
use holdfast_protocol::clock::Source;
use holdfast_protocol::management::{NodeState, NodeStatus};
use holdfast_protocol::words::with_causes;

use super::Job;
use crate::attest::{NodeSvid, pem};
use crate::clock::keep_floor;
use crate::error::AttestHostError;
use crate::registration::Registration;
use crate::standing::Begun;
use crate::state::Event;
use crate::time::{Stated, TimeError};

impl Job {
    /// Records an SVID, then lets everybody use it, unless an order came while it was made.
    pub(super) async fn adopt(
        &mut self,
        registration: &Registration,
        node: NodeSvid,
        stated: Option<Stated>,
        begun: Begun,
    ) -> Result<NodeStatus, AttestHostError> {
        if let Some(stated) = stated {
            self.take_time(stated).await?;
        }
        let NodeSvid {
            svid,
            chain,
            authorities,
            run_by,
            ..
        } = &node;
        self.record
            .record(What::HostAttested {
                spiffe_id: svid.spiffe_id.clone(),
                serial: svid.serial.clone(),
                not_after: svid.not_after,
            })
            .await?;
        let event = Event::Attested {
            not_before: svid.not_before,
            not_after: svid.not_after,
        };
        self.after(event);
        let authorities_pem = pem(authorities);
        if authorities_pem != registration.authorities_pem {
            let renewed = Registration {
                authorities_pem: authorities_pem.clone(),
                ..registration.clone()
            };
            renewed.store(&self.kept.enrollment)?;
            self.registration = Some(renewed);
        }
        let status = NodeStatus {
            attestor: registration.attestor.to_string(),
            run_by: *run_by,
            trust_domain: registration.trust_domain.clone(),
            spiffe_id: svid.spiffe_id.clone(),
            not_after: svid.not_after,
            renew_at: self.renewal.due(),
            chain_pem: pem(chain),
            authorities_pem,
        };
        let (not_after, serial) = (svid.not_after, svid.serial.clone());
        let state = NodeState::Attested(status.clone());
        let mut adopted = Ok(());
        self.node.send_modify(|published| {
            adopted = published.standing.attested(begun, not_after);
            if adopted.is_ok() {
                published.state = state;
                published.svid = Some(Arc::new(node));
            }
        });
        adopted?;
        tracing::info!(spiffe_id = %status.spiffe_id, serial, "attested");
        Ok(status)
    }

    /// Goes by the attestor's time from now on, where this host's clock says another. First of all: what is recorded next
    /// is to have the right time, and what is kept is to be judged by it.
    async fn take_time(&mut self, Stated { time, asked }: Stated) -> Result<(), AttestHostError> {
        self.clock.take(time, asked).map_err(TimeError::from)?;
        keep_floor(&self.kept.floor, self.clock.floor())?;
        let (before, now) = (self.source, self.clock.status());
        self.source = now.source;
        if now.source == Source::Attestor && before != Source::Attestor {
            tracing::warn!(
                system = now.system.as_secs(),
                attestor = now.now.as_secs(),
                "this host's clock is wrong; the broker goes by the attestor's"
            );
            self.record
                .record(What::TimeTaken {
                    system: now.system,
                    attestor: now.now,
                })
                .await?;
        }
        Ok(())
    }

    /// Tries again later, and takes the SVID away, if what the host had was not more than this.
    pub(super) async fn fail(&mut self, error: &AttestHostError) {
        self.after(Event::Failed);
        let why = with_causes(error);
        let recorded = self
            .record
            .record(What::HostNotAttested { why: why.clone() })
            .await;
        if let Err(error) = recorded {
            tracing::error!(%error, "a failed attestation is missing from the audit log");
        }
        self.node.send_if_modified(|node| {
            let hold = node.standing.hold(self.clock.now());
            // What the attestor has ordered says more than that it refused.
            let told = hold.filter(|hold| !hold.is_ordered());
            if told.is_some() {
                node.withhold(&why);
            }
            told.is_some()
        });
    }
}
