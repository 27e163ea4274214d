//! Enrolling once: show the EK, open the challenge that only this TPM can, certify what the
//! attestor will hold this host to.

use holdfast_proof::evidence::{Nonce, enroll_binding};
use holdfast_protocol::clock::{Clock, Source};
use holdfast_protocol::id::TrustDomain;
use holdfast_protocol::token::JoinToken;
use holdfast_protocol::wire::attestor::enrollment_client::EnrollmentClient;
use holdfast_protocol::wire::attestor::{self as wire, BeginEnrollment, FinishEnrollment};
use holdfast_tpm::{Attestation, CounterRole, Provisioned};
use rustls::pki_types::CertificateDer;

use crate::attest::pem;
use crate::channel;
use crate::error::AttestHostError;
use crate::host::Host;
use crate::pin::{Period, Pin};
use crate::registration::Registration;
use crate::url::AttestorUrl;

/// Why the attestor is trusted, and what it is shown besides the EK.
#[derive(Debug)]
pub enum Trust {
    /// A one-time token, which pins the authority too.
    Token(JoinToken),
    /// The authorities; the EK has to speak for itself.
    Authorities(Vec<CertificateDer<'static>>),
}

impl Trust {
    fn pin(&self) -> Pin {
        match self {
            Self::Token(token) => Pin::Fingerprint {
                trust_domain: token.trust_domain.clone(),
                authority: token.authority,
            },
            Self::Authorities(certificates) => Pin::Authorities {
                trust_domain: None,
                certificates: certificates.clone(),
            },
        }
    }

    fn token(&self) -> String {
        match self {
            Self::Token(token) => token.reveal().to_string(),
            Self::Authorities(_) => String::new(),
        }
    }

    fn expects(&self, trust_domain: &TrustDomain) -> bool {
        match self {
            Self::Token(token) => token.trust_domain == *trust_domain,
            Self::Authorities(_) => true,
        }
    }
}

/// Enrolls this host.
pub(crate) async fn enroll(
    tpm: &Provisioned,
    host: &Host,
    url: &AttestorUrl,
    trust: &Trust,
    clock: &Clock,
) -> Result<Registration, AttestHostError> {
    let lost = clock.told().source == Source::Lost;
    let period = if lost {
        Period::Since(clock.floor())
    } else {
        Period::Current
    };
    let connection = channel::connect_within(url, &trust.pin(), None, clock, period).await?;
    let mut client = EnrollmentClient::new(connection.channel);

    let ek = tpm.ek().await?;
    let challenge = client
        .begin(BeginEnrollment {
            ek_public: ek.public.as_bytes().to_vec(),
            ek_certificate: ek.certificate.unwrap_or_default(),
            ek_intermediates: ek.chain,
            ak_public: tpm.state().attestation_key.as_bytes().to_vec(),
            token: trust.token(),
            host_name: host.name.clone(),
            grade: host.grade.to_string(),
        })
        .await?
        .into_inner();
    let nonce = nonce(&challenge.nonce)?;

    let secret = tpm
        .activate_credential(challenge.credential_blob, challenge.encrypted_secret)
        .await?;
    let binding = enroll_binding(&nonce, &connection.binding);
    let checkpoint_key = tpm.certify_checkpoint_key(binding).await?;
    let audit_counter = tpm.certify_counter(CounterRole::Audit, binding).await?;
    let state = tpm.state();
    let enrolled = client
        .finish(FinishEnrollment {
            enrollment_id: challenge.enrollment_id,
            secret: secret.to_vec(),
            checkpoint_key: state.checkpoint_key.public().as_bytes().to_vec(),
            checkpoint_key_certified: Some(signed(&checkpoint_key)),
            audit_counter: state.audit_counter.encode(),
            audit_counter_certified: Some(signed(&audit_counter)),
        })
        .await?
        .into_inner();

    let trust_domain: TrustDomain = enrolled.trust_domain.parse()?;
    if !trust.expects(&trust_domain) {
        return Err(AttestHostError::Answer("it names another trust domain"));
    }
    // Where nobody knows yet what time it is, a certificate that has ended may have answered. Only what vouched for it from
    // the beginning counts then, until it has signed something new: the first attestation.
    let authorities_pem = if lost {
        pem(&trust.pin().known(&connection.server))
    } else {
        pem(&enrolled.x509_authorities)
    };
    Ok(Registration {
        attestor: url.clone(),
        trust_domain,
        host: enrolled.host_id.parse()?,
        authorities_pem,
    })
}

/// What the AK signed, for the wire.
pub(crate) fn signed(attestation: &Attestation) -> wire::Signed {
    wire::Signed {
        attest: attestation.statement.as_bytes().to_vec(),
        signature: attestation.signature.encode(),
    }
}

/// The attestor's nonce.
pub(crate) fn nonce(bytes: &[u8]) -> Result<Nonce, AttestHostError> {
    <[u8; Nonce::LEN]>::try_from(bytes)
        .map(Nonce::new)
        .map_err(|_| AttestHostError::Answer("its nonce has not 32 bytes"))
}
