//! The service by which hosts join, for anybody who asks.
//!
//! The challenge between the two moves lives in the store, is answered once, and holds no secret
//! but its hash.

use std::sync::Arc;
use std::time::Duration;

use holdfast_proof::credential::{CredentialError, make_credential};
use holdfast_proof::evidence::Nonce;
use holdfast_proof::hash::sha256;
use holdfast_protocol::Timestamp;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::id::HostId;
use holdfast_protocol::token::JoinToken;
use holdfast_protocol::wire::attestor::enrollment_server::Enrollment as Service;
use holdfast_protocol::wire::attestor::{BeginEnrollment, Challenge, Enrolled, FinishEnrollment};
use holdfast_protocol::wire::{MAX_STRUCTURE, WireError, bounded, signed};
use tonic::{Code, Request, Response, Status};
use zeroize::Zeroizing;

use super::answer::{connection, failed, refused};
use super::channel::Connection;
use super::{Shared, now};
use crate::ek_hashes::ListedEk;
use crate::enroll_host::{
    Admitted, JoinAnswer, JoinRefused, JoinRequest, PendingEnrollment, Reason, TokenStanding,
    admit, confirm,
};
use crate::random;
use crate::registry::{Judged, Outcome, TokenHash, Verdict, WaitingHost};
use crate::store::{Enrolling, EnrollmentId, Store, Waiting};

/// How long a host has to open the challenge: a slow TPM makes its keys meanwhile.
const CHALLENGE_TTL: Duration = Duration::from_secs(300);

/// How many certificates a host may send between its EK's and a root.
const MAX_INTERMEDIATES: usize = 8;

/// The service.
#[derive(Debug)]
pub(super) struct Enrollment<S>(pub(super) Arc<Shared<S>>);

#[tonic::async_trait]
impl<S: Store> Service for Enrollment<S> {
    async fn begin(
        &self,
        request: Request<BeginEnrollment>,
    ) -> Result<Response<Challenge>, Status> {
        let connection = connection(request.extensions())?;
        let mut message = request.into_inner();
        let token = Zeroizing::new(std::mem::take(&mut message.token));
        let join =
            join_request(message).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let now = now();
        let token = self.token_standing(&token, now).await?;
        let listed = self.listed(&join).await?;
        let policy = &self.0.settings.enrollment;
        let challenge = admit(&join, &token, listed.as_ref(), policy, now)
            .map_err(Declined::Refused)
            .and_then(|admitted| challenge(admitted, now));
        match challenge {
            Ok((pending, challenge)) => {
                let id = EnrollmentId(random::bytes().map_err(failed)?);
                self.0
                    .store
                    .begin_enrollment(id, &pending, now)
                    .await
                    .map_err(failed)?;
                Ok(Response::new(Challenge {
                    enrollment_id: id.0.to_vec(),
                    ..challenge
                }))
            }
            Err(Declined::Refused(refusal)) => {
                Err(self.decline(&join, refusal, connection, now).await)
            }
            Err(Declined::Failed(status)) => Err(status),
        }
    }

    async fn finish(
        &self,
        request: Request<FinishEnrollment>,
    ) -> Result<Response<Enrolled>, Status> {
        let connection = connection(request.extensions())?;
        let (id, answer) = join_answer(request.into_inner())
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let now = now();
        let Some(pending) = self
            .0
            .store
            .take_enrollment(id, now)
            .await
            .map_err(failed)?
        else {
            let refusal = JoinRefused::new(
                Reason::Challenge,
                "no such enrollment is unfinished: it is unknown, expired, or was answered before",
            );
            return Err(self.refuse("", &refusal, None, connection, now).await);
        };
        let (name, token) = (pending.name.to_string(), pending.token);
        let host = match confirm(pending, &answer, &connection.binding, now) {
            Ok(host) => host,
            Err(refusal) => return Err(self.refuse(&name, &refusal, None, connection, now).await),
        };
        let fresh = HostId::from_random(random::bytes().map_err(failed)?);
        let enrolling = self
            .0
            .store
            .enroll(&host, fresh, token, now)
            .await
            .map_err(failed)?;
        match enrolling {
            Enrolling::New(id) => self.enrolled(id, "accepted", &name, connection, now).await,
            Enrolling::Renewed(id) => self.enrolled(id, "renewed", &name, connection, now).await,
            Enrolling::Revoked(id) => {
                let refusal = JoinRefused::new(Reason::Revoked, "the ek is one of a revoked host");
                Err(self
                    .refuse(&name, &refusal, Some(id), connection, now)
                    .await)
            }
            Enrolling::TokenGone => {
                let refusal = JoinRefused::new(Reason::Token, "the token was used meanwhile");
                Err(self.refuse(&name, &refusal, None, connection, now).await)
            }
        }
    }
}

impl<S: Store> Enrollment<S> {
    async fn token_standing(&self, text: &str, now: Timestamp) -> Result<TokenStanding, Status> {
        if text.is_empty() {
            return Ok(TokenStanding::Absent);
        }
        let Ok(token) = text.parse::<JoinToken>() else {
            return Ok(TokenStanding::Unusable);
        };
        let ours = token.trust_domain == *self.0.authority.trust_domain()
            && token.authority == self.0.authority.fingerprint();
        if !ours {
            return Ok(TokenStanding::Unusable);
        }
        let hash = TokenHash(sha256(token.secret.expose()));
        let record = self.0.store.usable_token(hash, now).await.map_err(failed)?;
        Ok(record.map_or(TokenStanding::Unusable, TokenStanding::Usable))
    }

    async fn listed(&self, join: &JoinRequest) -> Result<Option<ListedEk>, Status> {
        match join.ek_fingerprint() {
            None => Ok(None),
            Some(ek) => self.0.store.listed_ek(ek).await.map_err(failed),
        }
    }

    /// Refuses a host, or has it wait for an operator.
    async fn decline(
        &self,
        join: &JoinRequest,
        refusal: JoinRefused,
        connection: Connection,
        now: Timestamp,
    ) -> Status {
        let name = join.name.to_string();
        let asked = join
            .ek_fingerprint()
            .filter(|_| refusal.reason == Reason::Pending);
        let Some(ek) = asked else {
            return self.refuse(&name, &refusal, None, connection, now).await;
        };
        let host = WaitingHost {
            ek,
            name: join.name.clone(),
            grade: join.grade,
            remote: connection.remote.ip(),
            why: refusal.detail.clone(),
            first_at: now,
            last_at: now,
        };
        match self.0.store.wait(&host).await {
            Err(error) => failed(error),
            Ok(Waiting::Revoked) => {
                let refusal = JoinRefused::new(Reason::Revoked, "the ek is one of a revoked host");
                self.refuse(&name, &refusal, None, connection, now).await
            }
            Ok(Waiting::Waits) => {
                let status = self.refuse(&name, &refusal, None, connection, now).await;
                if status.code() != Code::PermissionDenied {
                    return status;
                }
                let trust_domain = self.0.authority.trust_domain();
                let told = format!(
                    "enrollment waits: an operator of `{trust_domain}` has to approve `{name}`, ek {ek}; \
                     then enroll again"
                );
                refused(self.0.settings.explain, &told)
            }
        }
    }

    async fn enrolled(
        &self,
        id: HostId,
        how: &str,
        name: &str,
        connection: Connection,
        now: Timestamp,
    ) -> Result<Response<Enrolled>, Status> {
        tracing::info!(host = %id, name, remote = %connection.remote, how, "enrolled");
        self.0
            .store
            .record_verdict(&Verdict {
                at: now,
                host: Some(id),
                outcome: Outcome::Accepted,
                judged: Judged::Enrollment {
                    reason: how.to_owned(),
                    detail: format!("`{name}` from {}", connection.remote),
                },
            })
            .await
            .map_err(failed)?;
        Ok(Response::new(Enrolled {
            trust_domain: self.0.authority.trust_domain().to_string(),
            host_id: id.to_string(),
            x509_authorities: self
                .0
                .authority
                .x509_authorities()
                .iter()
                .map(|certificate| certificate.to_vec())
                .collect(),
        }))
    }

    /// Logs a refusal and gives what the host is told of it.
    async fn refuse(
        &self,
        name: &str,
        refusal: &JoinRefused,
        host: Option<HostId>,
        connection: Connection,
        now: Timestamp,
    ) -> Status {
        tracing::warn!(
            name,
            remote = %connection.remote,
            reason = %refusal.reason,
            detail = refusal.detail,
            "enrollment refused"
        );
        let recorded = self
            .0
            .store
            .record_verdict(&Verdict {
                at: now,
                host,
                outcome: Outcome::Refused,
                judged: Judged::Enrollment {
                    reason: refusal.reason.to_string(),
                    detail: format!("`{name}` from {}: {}", connection.remote, refusal.detail),
                },
            })
            .await;
        match recorded {
            Ok(()) => refused(self.0.settings.explain, refusal),
            Err(error) => failed(error),
        }
    }
}

/// No challenge was made.
enum Declined {
    /// The host is to blame.
    Refused(JoinRefused),
    /// We are.
    Failed(Status),
}

/// Makes the challenge that only the host's TPM can open.
fn challenge(
    admitted: Admitted,
    now: Timestamp,
) -> Result<(PendingEnrollment, Challenge), Declined> {
    let Admitted {
        ek,
        ak,
        name,
        grade,
        trust,
        token,
    } = admitted;
    let draw = || random::bytes().map_err(|error| Declined::Failed(failed(error)));
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(draw()?);
    let nonce = Nonce::new(draw()?);
    let made =
        make_credential(&ek, &ak.name(), secret.as_slice()).map_err(|error| match error {
            CredentialError::NotAStorageKey
            | CredentialError::UnsupportedKey
            | CredentialError::InvalidKey => {
                Declined::Refused(JoinRefused::new(Reason::EkAttributes, error))
            }
            CredentialError::SecretLength { .. } | CredentialError::Crypto => {
                tracing::error!(%error, "a challenge could not be made");
                Declined::Failed(Status::internal("the attestor failed"))
            }
        })?;
    let pending = PendingEnrollment {
        ek,
        ak,
        name,
        grade,
        trust,
        token,
        secret: sha256(secret.as_slice()),
        nonce,
        expires_at: now + CHALLENGE_TTL,
    };
    let challenge = Challenge {
        enrollment_id: Vec::new(),
        credential_blob: made.credential_blob,
        encrypted_secret: made.encrypted_secret,
        nonce: nonce.as_bytes().to_vec(),
    };
    Ok((pending, challenge))
}

fn join_request(message: BeginEnrollment) -> Result<JoinRequest, WireError> {
    let BeginEnrollment {
        ek_public,
        ek_certificate,
        ek_intermediates,
        ak_public,
        token: _,
        host_name,
        grade,
    } = message;
    let count = ek_intermediates.len();
    if count > MAX_INTERMEDIATES {
        return Err(WireError::TooLarge {
            field: "ek_intermediates",
            size: count,
            limit: MAX_INTERMEDIATES,
        });
    }
    Ok(JoinRequest {
        ek: bounded("ek_public", ek_public, MAX_STRUCTURE)?,
        ek_certificate: bounded("ek_certificate", ek_certificate, MAX_STRUCTURE)?,
        ek_intermediates: ek_intermediates
            .into_iter()
            .map(|certificate| bounded("ek_intermediates", certificate, MAX_STRUCTURE))
            .collect::<Result<_, _>>()?,
        ak: bounded("ak_public", ak_public, MAX_STRUCTURE)?,
        name: host_name
            .parse()
            .map_err(|_| WireError::Range("host_name"))?,
        grade: match grade.as_str() {
            "hardware" => Grade::Hardware,
            "simulated" => Grade::Simulated,
            "contained" => Grade::Contained,
            _ => return Err(WireError::Range("grade")),
        },
    })
}

fn join_answer(message: FinishEnrollment) -> Result<(EnrollmentId, JoinAnswer), WireError> {
    let FinishEnrollment {
        enrollment_id,
        secret,
        checkpoint_key,
        checkpoint_key_certified,
        audit_counter,
        audit_counter_certified,
    } = message;
    let id = <[u8; 16]>::try_from(enrollment_id).map_err(|_| WireError::Range("enrollment_id"))?;
    let answer = JoinAnswer {
        secret: bounded("secret", secret, 64)?,
        checkpoint_key: bounded("checkpoint_key", checkpoint_key, MAX_STRUCTURE)?,
        checkpoint_key_certified: signed("checkpoint_key_certified", checkpoint_key_certified)?,
        audit_counter: bounded("audit_counter", audit_counter, MAX_STRUCTURE)?,
        audit_counter_certified: signed("audit_counter_certified", audit_counter_certified)?,
    };
    Ok((EnrollmentId(id), answer))
}
