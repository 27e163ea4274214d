//! An enrolled host and evidence that is good, for tests to spoil one thing of.

use std::collections::BTreeSet;

use holdfast_proof::evidence::{ChannelBinding, Nonce, evidence_binding};
use holdfast_proof::tpm::{ActiveBanks, PcrValues, Public};
use holdfast_protocol::Timestamp;
use holdfast_protocol::evidence::{Appraisal, Evidence, ImaList, PcrValue, ProvenBanks};
use holdfast_protocol::grade::Grade;
use holdfast_protocol::id::HostId;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};

use super::{SIGNING, SoftwareTpm, Statement, firmware, pcr, signing_public};
use crate::registry::{
    EkTrust, EnrolledHost, EventsKept, Host, NonceStanding, Observed, ReferencePcrs, Revision,
    Standing,
};
use crate::verify_host::{
    EventLogPolicy, EvidencePolicy, Expectation, ImaPolicy, Learning, Refusal, Required,
    SecureBootPolicy, SystemdLogPolicy, Unexplained, UnquotedBanks, Verified, verify,
};

/// An enrolled host, and what its evidence is judged by.
pub(crate) struct Scene {
    pub(crate) tpm: SoftwareTpm,
    pub(crate) host: Host,
    pub(crate) policy: EvidencePolicy,
    pub(crate) nonce: Nonce,
    pub(crate) standing: NonceStanding,
    pub(crate) channel: ChannelBinding,
    pub(crate) now: Timestamp,
}

/// Evidence before it is signed.
pub(crate) struct Parts {
    pub(crate) nonce: Vec<u8>,
    pub(crate) quote: Statement,
    pub(crate) pcrs: Vec<PcrValue>,
    pub(crate) node_key: Vec<u8>,
    pub(crate) node_key_certified: Statement,
    pub(crate) csr: Vec<u8>,
    pub(crate) audit_counter_certified: Statement,
    pub(crate) event_log: Vec<u8>,
    pub(crate) ima: Option<ImaList>,
    pub(crate) systemd_log: Vec<u8>,
    pub(crate) banks: Option<(Vec<u8>, Statement)>,
}

impl Scene {
    /// A host that was attested before, an hour ago.
    pub(crate) fn new() -> Self {
        let mut scene = Self::fresh();
        scene.host.reference = ReferencePcrs(scene.tpm.pcrs.clone());
        scene
    }

    /// A host that was enrolled an hour ago and not attested yet.
    pub(crate) fn fresh() -> Self {
        let tpm = SoftwareTpm::new();
        let now = Timestamp::from_secs(1_800_000_000);
        let enrolled = enrolled(&tpm, now - std::time::Duration::from_secs(3600));
        let host = Host {
            id: HostId::from_random([3; 16]),
            revision: Revision(1),
            last: enrolled.anchor,
            enrolled,
            standing: Standing::Active,
            group: None,
            reattest: None,
            reference: ReferencePcrs::default(),
            ahead: ReferencePcrs::default(),
            rollout: None,
            events: EventsKept::No,
            ima: None,
        };
        Self {
            tpm,
            host,
            policy: policy(),
            nonce: Nonce::new([1; 32]),
            standing: NonceStanding::Fresh,
            channel: ChannelBinding::new([2; 32]),
            now,
        }
    }

    /// Good evidence, with a fresh node key.
    pub(crate) fn parts(&self) -> Parts {
        let (node_key, csr) = node_key(SIGNING);
        self.parts_for(&node_key, csr)
    }

    /// Evidence for a node key.
    pub(crate) fn parts_for(&self, node_key: &Public, csr: Vec<u8>) -> Parts {
        Self::parts_of(
            &self.tpm,
            &self.policy,
            &self.nonce,
            &self.channel,
            node_key,
            csr,
        )
    }

    /// Evidence of a TPM for a nonce and a connection.
    pub(crate) fn parts_of(
        tpm: &SoftwareTpm,
        policy: &EvidencePolicy,
        nonce: &Nonce,
        channel: &ChannelBinding,
        node_key: &Public,
        csr: Vec<u8>,
    ) -> Parts {
        let event_log = firmware::event_log();
        let extra = evidence_binding(nonce, channel, &csr, &event_log);
        let extra = extra.as_bytes();
        let required = match &policy.required {
            Required::Active(indices) => ActiveBanks::parse(&tpm.banks).unwrap().selection(indices),
            Required::Banks(selection) => selection.clone(),
        };
        Parts {
            nonce: nonce.as_bytes().to_vec(),
            quote: tpm.quote(&required, extra),
            pcrs: supplied(&tpm.pcrs),
            node_key: node_key.as_bytes().to_vec(),
            node_key_certified: tpm.certify(node_key, extra),
            csr,
            audit_counter_certified: tpm.certify_counter(extra),
            event_log,
            ima: None,
            systemd_log: Vec::new(),
            banks: Some((tpm.banks.clone(), tpm.audit_banks(&tpm.banks, extra))),
        }
    }

    /// Signs the parts with the AK.
    pub(crate) fn sign(&self, parts: Parts) -> Evidence {
        Self::signed_by(&self.tpm, parts)
    }

    /// Signs the parts with a TPM's AK.
    pub(crate) fn signed_by(tpm: &SoftwareTpm, parts: Parts) -> Evidence {
        Evidence {
            nonce: parts.nonce,
            quote: tpm.sign(&parts.quote),
            pcrs: parts.pcrs,
            node_key: parts.node_key,
            node_key_certified: tpm.sign(&parts.node_key_certified),
            csr: parts.csr,
            audit_counter_certified: tpm.sign(&parts.audit_counter_certified),
            event_log: parts.event_log,
            ima: parts.ima,
            systemd_log: parts.systemd_log,
            banks: parts.banks.map(|(banks, audited)| ProvenBanks {
                banks,
                audited: tpm.sign(&audited),
            }),
        }
    }

    /// Judges evidence.
    pub(crate) fn verify(&self, evidence: &Evidence) -> (Appraisal, Result<Verified, Refusal>) {
        let expectation = Expectation {
            host: &self.host,
            nonce: self.standing,
            channel: self.channel,
            policy: &self.policy,
        };
        verify(evidence, &expectation, self.now)
    }
}

/// The default policy.
pub(crate) fn policy() -> EvidencePolicy {
    EvidencePolicy {
        required: Required::Active([0, 2, 4, 7, 9, 11].map(pcr).into()),
        unquoted_banks: UnquotedBanks::Refuse,
        blocking: BTreeSet::from([pcr(7)]),
        learning: Learning::FirstBoot,
        unexplained: Unexplained::Note,
        refused_firmware: BTreeSet::from([0xdead]),
        event_log: EventLogPolicy::WhereThereIsOne,
        secure_boot: SecureBootPolicy::Record,
        systemd_log: SystemdLogPolicy::WhereThereIsOne,
        ima: ImaPolicy::Off,
    }
}

/// What enrollment establishes about a TPM.
pub(crate) fn enrolled(tpm: &SoftwareTpm, at: Timestamp) -> EnrolledHost {
    EnrolledHost {
        name: "workstation".parse().unwrap(),
        grade: Grade::Simulated,
        trust: EkTrust::Token,
        ek: tpm.ek_public.clone(),
        ak: tpm.ak_public.clone(),
        checkpoint_key: tpm.checkpoint_key.clone(),
        audit_counter: tpm.audit_counter.clone(),
        anchor: Observed {
            at,
            clock: tpm.clock,
            firmware: tpm.firmware,
            audit_counter: tpm.audit_value,
        },
    }
}

/// A key with the given attributes, and a request by it.
pub(crate) fn node_key(attributes: u32) -> (Public, Vec<u8>) {
    let (key, csr) = key_with_request();
    (signing_public(attributes, key.der_bytes()), csr)
}

/// A key in software, and a request by it.
pub(crate) fn key_with_request() -> (KeyPair, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let csr = CertificateParams::default()
        .serialize_request(&key)
        .unwrap();
    (key, csr.der().to_vec())
}

/// PCR values as they travel.
pub(crate) fn supplied(values: &PcrValues) -> Vec<PcrValue> {
    values
        .iter()
        .map(|(index, value)| PcrValue {
            bank: value.alg().id(),
            index: u32::from(index.get()),
            value: value.as_bytes().to_vec(),
        })
        .collect()
}
