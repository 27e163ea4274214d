//! Attesting: one connection, one nonce, one atomic piece of evidence, one node SVID.

use std::collections::BTreeSet;

use holdfast_proof::evidence::evidence_binding;
use holdfast_proof::svid::Svid;
use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrSelection, PcrValues};
use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::evidence::ImaEnd;
use holdfast_protocol::management::RunBy;
use holdfast_protocol::wire::attestor::attestation_client::AttestationClient;
use holdfast_protocol::wire::attestor::{self as wire, BeginAttestation};
use holdfast_tpm::{KeyBlob, Provisioned, QuotedPcrs};
use rustls::pki_types::CertificateDer;

use crate::channel;
use crate::enroll::{nonce, signed};
use crate::error::AttestHostError;
use crate::host::Host;
use crate::ima;
use crate::node_key;
use crate::pin::{Period, PinnedAttestor};
use crate::registration::Registration;
use crate::systemd_log;
use crate::time::{self, Stated};

/// The most certificates that a chain or a bundle may have.
const MAX_CERTIFICATES: usize = 16;

/// A node SVID, and the key that it certifies.
#[derive(Clone, Debug)]
pub struct NodeSvid {
    /// What the leaf says.
    pub svid: Svid,
    /// The chain, DER, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The trust domain's authorities, DER.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Who runs the attestor, by its own word.
    pub run_by: RunBy,
    /// The node key, wrapped by this TPM.
    pub key: KeyBlob,
    /// What the PCRs were when they were quoted.
    pub(crate) quoted: PcrValues,
}

/// What came of an attestation.
pub(crate) struct Attested {
    pub(crate) svid: NodeSvid,
    /// What the attestor says about the time; `None` where it says nothing.
    pub(crate) stated: Option<Stated>,
    /// Whether it has seen the whole measurement list.
    pub(crate) end: ImaEnd,
}

/// Attests this host.
pub(crate) async fn attest(
    tpm: &Provisioned,
    host: &Host,
    registration: &Registration,
    clock: &Clock,
) -> Result<Attested, AttestHostError> {
    let (url, pin) = (&registration.attestor, registration.pin());
    // Whoever it is that answers has to prove the time before anything it says counts.
    let period = Period::Since(clock.floor());
    let connection = channel::connect_within(url, &pin, None, clock, period).await?;
    let mut client = AttestationClient::new(connection.channel);

    let challenge = client
        .begin(BeginAttestation {
            host_id: registration.host.to_string(),
        })
        .await?
        .into_inner();
    let nonce = nonce(&challenge.nonce)?;
    let pcrs = pcrs(&challenge)?;
    let event_log = host.event_log().map_err(AttestHostError::EventLog)?;

    let node_key = tpm.create_node_key().await?;
    // The TPM signs the request while this thread waits, so it waits where it may.
    let (node_key, csr) = tokio::task::spawn_blocking(move || {
        let csr = node_key::request(&node_key);
        (node_key, csr)
    })
    .await
    .map_err(|_| AttestHostError::Stopping)?;
    let csr = csr?;
    let binding = evidence_binding(&nonce, &connection.binding, &csr, &event_log);
    let evidence = tpm.evidence(&node_key, pcrs, binding).await?;
    let key = node_key.blob().clone();
    drop(node_key);
    let quote = signed(&evidence.quote);
    // Only now: the list has to cover what was quoted.
    let ima = match (challenge.ima, host.ima_list.clone()) {
        (Some(wanted), Some(file)) => {
            let first = ima::first(wanted, &quote.attest);
            let read = tokio::task::spawn_blocking(move || ima::read(&file, first));
            let list = read.await.map_err(|_| AttestHostError::Stopping)?;
            Some(list.map_err(AttestHostError::ImaList)?)
        }
        (None, _) | (_, None) => None,
    };
    let systemd_log = match host.systemd_log.clone().filter(|_| challenge.systemd_log) {
        Some(file) => {
            let quoted = evidence.pcr_values.clone();
            let read = tokio::task::spawn_blocking(move || systemd_log::read(&file, &quoted));
            let log = read.await.map_err(|_| AttestHostError::Stopping)?;
            log.map_err(AttestHostError::SystemdLog)?
        }
        None => Vec::new(),
    };
    let end = ima.as_ref().map_or(ImaEnd::Whole, |list| list.end);

    let asked = clock.reading();
    let answer = client
        .attest(wire::Evidence {
            host_id: registration.host.to_string(),
            nonce: challenge.nonce,
            quote: Some(quote),
            pcrs: evidence
                .pcr_values
                .iter()
                .map(|(index, value)| wire::PcrValue {
                    bank: u32::from(value.alg().id()),
                    index: u32::from(index.get()),
                    value: value.as_bytes().to_vec(),
                })
                .collect(),
            node_key: key.public().as_bytes().to_vec(),
            node_key_certified: Some(signed(&evidence.node_key)),
            csr,
            audit_counter_certified: Some(signed(&evidence.audit_counter)),
            event_log,
            ima: ima.map(Into::into),
            systemd_log,
            banks: evidence.banks.map(|proven| wire::ProvenBanks {
                banks: proven.banks.as_bytes().to_vec(),
                audited: Some(signed(&proven.audited)),
            }),
        })
        .await?
        .into_inner();
    let said = (answer.time != 0).then(|| Timestamp::from_millis(answer.time));
    let svid = accept(answer, registration, key, evidence.pcr_values)?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let answer = time::Answer {
        time: said,
        svid: &svid.svid,
        chain: &svid.chain,
        server: &connection.server,
        asked,
    };
    let stated = time::judge(&answer, &PinnedAttestor::new(pin, period, &provider), clock)?;
    Ok(Attested { svid, stated, end })
}

/// Believes an answer only if it certifies our key under our name.
fn accept(
    answer: wire::NodeSvid,
    registration: &Registration,
    key: KeyBlob,
    quoted: PcrValues,
) -> Result<NodeSvid, AttestHostError> {
    let wire::NodeSvid {
        chain,
        x509_authorities,
        self_attested,
        time: _,
    } = answer;
    if chain.len() > MAX_CERTIFICATES || x509_authorities.len() > MAX_CERTIFICATES {
        return Err(AttestHostError::Answer("it has too many certificates"));
    }
    if x509_authorities.is_empty() {
        return Err(AttestHostError::Answer("it names no authority"));
    }
    let leaf = chain
        .first()
        .ok_or(AttestHostError::Answer("it has no certificate"))?;
    let svid = Svid::parse(leaf)
        .map_err(|_| AttestHostError::Answer("its certificate is not an X.509-SVID"))?;
    if svid.spiffe_id != registration.spiffe_id() {
        return Err(AttestHostError::Answer(
            "its certificate names another host",
        ));
    }
    let ours = key.public().key().map(|key| key.to_spki_der());
    if ours.as_ref() != Some(&svid.public_key) {
        return Err(AttestHostError::Answer(
            "its certificate is for another key",
        ));
    }
    Ok(NodeSvid {
        svid,
        chain: chain.into_iter().map(CertificateDer::from).collect(),
        authorities: x509_authorities
            .into_iter()
            .map(CertificateDer::from)
            .collect(),
        run_by: if self_attested {
            RunBy::Owner
        } else {
            RunBy::Team
        },
        key,
        quoted,
    })
}

/// What the attestor wants to be quoted: PCRs of the banks that it names, or of every active one.
fn pcrs(challenge: &wire::AttestationChallenge) -> Result<QuotedPcrs, AttestHostError> {
    let named = selection(&challenge.required)?;
    let indices = indices(&challenge.in_active_banks)?;
    Ok(if indices.is_empty() {
        QuotedPcrs::Banks(named)
    } else {
        QuotedPcrs::Active {
            indices,
            unproven: named,
        }
    })
}

const NO_SUCH_PCR: AttestHostError = AttestHostError::Answer("it wants PCRs that do not exist");

fn indices(numbers: &[u32]) -> Result<BTreeSet<PcrIndex>, AttestHostError> {
    let index = |number: &u32| u8::try_from(*number).ok().and_then(PcrIndex::new);
    let found: Option<_> = numbers.iter().map(index).collect();
    found.ok_or(NO_SUCH_PCR)
}

fn selection(banks: &[wire::PcrBank]) -> Result<PcrSelection, AttestHostError> {
    let mut selection = PcrSelection::none();
    for bank in banks.iter().take(4) {
        let alg = u16::try_from(bank.algorithm)
            .ok()
            .and_then(HashAlg::from_id)
            .ok_or(NO_SUCH_PCR)?;
        selection = selection.with(alg, indices(&bank.indices)?);
    }
    if selection.is_empty() {
        return Err(AttestHostError::Answer("it wants no PCR at all"));
    }
    Ok(selection)
}

/// Certificates as PEM (RFC 7468).
pub(crate) fn pem<T: AsRef<[u8]>>(certificates: &[T]) -> String {
    certificates
        .iter()
        .map(|der| {
            let base64 = data_encoding::BASE64.encode(der.as_ref());
            let lines: Vec<&str> = base64
                .as_bytes()
                .chunks(64)
                .filter_map(|line| std::str::from_utf8(line).ok())
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        })
        .collect()
}
