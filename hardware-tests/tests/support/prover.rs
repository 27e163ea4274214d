//! A host that speaks to a real attestor with evidence from a real TPM, and lets a test spoil it on the way.
//!
//! It must never make a structure that the TPM should make: a lie that no TPM was asked for proves nothing.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use holdfast_attest_host::{Connection, Pin, connect};
use holdfast_hardware_tests::harness::Swtpm;
use holdfast_hardware_tests::world::Attestor;
use holdfast_proof::event_log::EventLog;
use holdfast_proof::evidence::{ChannelBinding, Nonce, enroll_binding, evidence_binding};
use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrSelection, PublicKey};
use holdfast_protocol::token::JoinToken;
use holdfast_protocol::wire::attestor::attestation_client::AttestationClient;
use holdfast_protocol::wire::attestor::enrollment_client::EnrollmentClient;
use holdfast_protocol::wire::attestor::{
    BeginAttestation, BeginEnrollment, Evidence, FinishEnrollment, NodeSvid, PcrValue, ProvenBanks,
    Signed,
};
use holdfast_tpm::{Attestation, CounterRole, LoadedKey, QuotedPcrs};
use rcgen::{CertificateParams, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey};
use tonic::Status;
use tonic::transport::Channel;

use super::{Chip, clock, pcr};

/// A host that is enrolled.
pub struct Prover {
    pub chip: Chip,
    pub host: String,
    url: String,
    pin: Pin,
}

/// One connection to the attestor, and the question that it asked there.
pub struct Visit {
    client: AttestationClient<Channel>,
    pub draft: Draft,
}

/// All that evidence is made over; honest until a test changes it.
#[derive(Clone, Debug)]
pub struct Draft {
    pub nonce: [u8; 32],
    pub binding: ChannelBinding,
    pub pcrs: QuotedPcrs,
    pub event_log: Vec<u8>,
    pub systemd_log: Vec<u8>,
}

impl Prover {
    /// Enrolls the TPM with a fresh token.
    pub async fn enrolled(tpm: &Swtpm, attestor: &Attestor) -> Self {
        Self::enrolled_at(tpm.ports().command(), attestor).await
    }

    /// As [`Prover::enrolled`], for a TPM behind something.
    pub async fn enrolled_at(tpm: SocketAddr, attestor: &Attestor) -> Self {
        let chip = Chip::open(tpm, None).await;
        let token = attestor.token();
        let host = join(&chip, attestor, &token, "simulated").await.unwrap();
        Self {
            chip,
            host,
            url: attestor.url(),
            pin: pin(&token),
        }
    }

    pub async fn connect(&self) -> Connection {
        let url = self.url.parse().unwrap();
        connect(&url, &self.pin, None, &clock()).await.unwrap()
    }

    /// A new connection, with a nonce of its own.
    pub async fn visit(&self) -> Result<Visit, Status> {
        let connection = self.connect().await;
        let mut client = AttestationClient::new(connection.channel);
        let host_id = self.host.clone();
        let challenge = client.begin(BeginAttestation { host_id }).await?;
        let challenge = challenge.into_inner();
        let mut selection = PcrSelection::none();
        for bank in challenge.required {
            let alg = HashAlg::from_id(u16::try_from(bank.algorithm).unwrap()).unwrap();
            let indices = bank.indices.into_iter();
            selection = selection.with(alg, indices.map(|index| pcr(u8::try_from(index).unwrap())));
        }
        let index = |number: u32| pcr(u8::try_from(number).unwrap());
        let indices = challenge.in_active_banks.into_iter().map(index);
        let draft = Draft {
            nonce: challenge.nonce.try_into().unwrap(),
            binding: connection.binding,
            pcrs: match indices.collect::<BTreeSet<PcrIndex>>() {
                none if none.is_empty() => selection.into(),
                indices => QuotedPcrs::Active {
                    indices,
                    unproven: selection,
                },
            },
            event_log: Vec::new(),
            systemd_log: Vec::new(),
        };
        Ok(Visit { client, draft })
    }

    /// Honest evidence over a draft, for a fresh node key.
    pub async fn evidence(&self, draft: &Draft) -> Evidence {
        let key = self.chip.tpm.create_node_key().await.unwrap();
        let csr = request(&key);
        self.evidence_for(draft, &key, &key, csr).await
    }

    /// Evidence that shows one key, certifies another, and comes with any certificate request.
    pub async fn evidence_for(
        &self,
        draft: &Draft,
        shown: &LoadedKey,
        certified: &LoadedKey,
        csr: Vec<u8>,
    ) -> Evidence {
        let binding = draft.extra_data(&csr);
        let tpm = &self.chip.tpm;
        let made = tpm.evidence(certified, draft.pcrs.clone(), binding);
        let made = made.await.unwrap();
        Evidence {
            host_id: self.host.clone(),
            nonce: draft.nonce.to_vec(),
            quote: Some(signed(&made.quote)),
            pcrs: made
                .pcr_values
                .iter()
                .map(|(index, value)| PcrValue {
                    bank: u32::from(value.alg().id()),
                    index: u32::from(index.get()),
                    value: value.as_bytes().to_vec(),
                })
                .collect(),
            node_key: shown.public().as_bytes().to_vec(),
            node_key_certified: Some(signed(&made.node_key)),
            csr,
            audit_counter_certified: Some(signed(&made.audit_counter)),
            event_log: draft.event_log.clone(),
            ima: None,
            systemd_log: draft.systemd_log.clone(),
            banks: made.banks.map(|proven| ProvenBanks {
                banks: proven.banks.as_bytes().to_vec(),
                audited: Some(signed(&proven.audited)),
            }),
        }
    }

    /// The same host after something happened to its TPM that nobody may hold meanwhile.
    pub async fn after(self, tpm: &mut Swtpm, happens: impl FnOnce(&mut Swtpm)) -> Self {
        let kept = self.chip.close();
        happens(tpm);
        let chip = Chip::open(tpm.ports().command(), Some(kept)).await;
        Self { chip, ..self }
    }

    /// The whole of an honest attestation.
    pub async fn attest(&self) -> Result<NodeSvid, Status> {
        let mut visit = self.visit().await?;
        let evidence = self.evidence(&visit.draft).await;
        visit.show(evidence).await
    }
}

impl Visit {
    /// Shows evidence on this connection.
    pub async fn show(&mut self, evidence: Evidence) -> Result<NodeSvid, Status> {
        Ok(self.client.attest(evidence).await?.into_inner())
    }
}

impl Draft {
    /// What quote and certifications have to carry.
    pub fn extra_data(&self, csr: &[u8]) -> holdfast_protocol::Sha256Digest {
        evidence_binding(&Nonce::new(self.nonce), &self.binding, csr, &self.event_log)
    }
}

/// Enrolls a TPM by a token; the host's id.
pub async fn join(
    chip: &Chip,
    attestor: &Attestor,
    token: &str,
    grade: &str,
) -> Result<String, Status> {
    let url = attestor.url().parse().unwrap();
    let connection = connect(&url, &pin(token), None, &clock()).await.unwrap();
    let mut client = EnrollmentClient::new(connection.channel);
    let ek = chip.tpm.ek().await.unwrap();
    let state = chip.tpm.state();
    let begin = BeginEnrollment {
        ek_public: ek.public.as_bytes().to_vec(),
        ek_certificate: ek.certificate.unwrap_or_default(),
        ek_intermediates: ek.chain,
        ak_public: state.attestation_key.as_bytes().to_vec(),
        token: token.to_owned(),
        host_name: "prover".to_owned(),
        grade: grade.to_owned(),
    };
    let challenge = client.begin(begin).await?.into_inner();

    let (blob, encrypted) = (challenge.credential_blob, challenge.encrypted_secret);
    let secret = chip.tpm.activate_credential(blob, encrypted).await.unwrap();
    let nonce = Nonce::new(challenge.nonce.try_into().unwrap());
    let binding = enroll_binding(&nonce, &connection.binding);
    let key = chip.tpm.certify_checkpoint_key(binding).await.unwrap();
    let counter = chip.tpm.certify_counter(CounterRole::Audit, binding);
    let counter = counter.await.unwrap();
    let finish = FinishEnrollment {
        enrollment_id: challenge.enrollment_id,
        secret: secret.to_vec(),
        checkpoint_key: state.checkpoint_key.public().as_bytes().to_vec(),
        checkpoint_key_certified: Some(signed(&key)),
        audit_counter: state.audit_counter.encode(),
        audit_counter_certified: Some(signed(&counter)),
    };
    Ok(client.finish(finish).await?.into_inner().host_id)
}

/// A certificate request for a key in the TPM, signed by it.
pub fn request(key: &LoadedKey) -> Vec<u8> {
    let Some(PublicKey::Ecc(point)) = key.public().key() else {
        panic!("a node key is a point");
    };
    let point = point.to_sec1().to_vec();
    request_by(&InTpm { key, point })
}

/// A certificate request for any key, signed by it.
pub fn request_by(key: &impl SigningKey) -> Vec<u8> {
    let request = CertificateParams::default().serialize_request(key);
    request.unwrap().der().to_vec()
}

/// These PCRs of every active bank.
pub fn active(indices: &[u8]) -> QuotedPcrs {
    QuotedPcrs::Active {
        indices: indices.iter().map(|index| pcr(*index)).collect(),
        unproven: PcrSelection::none(),
    }
}

/// Extends a TPM as the firmware did that wrote a log: in each bank that the log has.
pub fn measure(tpm: &Swtpm, log: &[u8]) {
    let log = EventLog::parse(log).unwrap();
    let banks: Vec<HashAlg> = log.banks().collect();
    for event in log.events().map(Result::unwrap) {
        let Some(pcr) = event.pcr else { continue };
        let in_bank = |bank: &HashAlg| {
            let digest = data_encoding::HEXLOWER.encode(event.digest(*bank).unwrap());
            format!("{}={digest}", format!("{bank:?}").to_lowercase())
        };
        let digests: Vec<String> = banks.iter().map(in_bank).collect();
        let extension = format!("{}:{}", pcr.get(), digests.join(","));
        tpm.tools().run("pcrextend", [extension]);
    }
}

pub fn signed(made: &Attestation) -> Signed {
    Signed {
        attest: made.statement.as_bytes().to_vec(),
        signature: made.signature.encode(),
    }
}

fn pin(token: &str) -> Pin {
    let token: JoinToken = token.parse().unwrap();
    Pin::Fingerprint {
        trust_domain: token.trust_domain,
        authority: token.authority,
    }
}

struct InTpm<'a> {
    key: &'a LoadedKey,
    point: Vec<u8>,
}

impl PublicKeyData for InTpm<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for InTpm<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.key.sign_blocking(sha256(message)).unwrap().to_x509())
    }
}
