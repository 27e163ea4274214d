//! Answers to the management socket's questions.
//!
//! It asks the jobs and puts their errors into words for people; it must never decide anything
//! itself.

use std::sync::Arc;

use holdfast_attest_host::{AttestHost, AttestHostError, AttestorUrl, Trust};
use holdfast_authorize_calls::task::Authorizer;
use holdfast_issue_credentials::spares::Spares;
use holdfast_issue_credentials::vault::Vaults;
use holdfast_launch_agents::state::{Phase, Session};
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{
    AuditRecord, EnrollRequest, Failure, FailureKind, Presence, Request, Response, SessionAct,
    SessionStatus, SparesOf, Status,
};
use holdfast_protocol::record::Record;
use holdfast_protocol::sub::SubPath;
use holdfast_protocol::words::with_causes;
use holdfast_record_audit::AuditLog;
use holdfast_record_audit::mirror::Standing;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::watch;

use super::{approvals, secrets};
use crate::approvers::Approvers;
use crate::config::ApprovalsConfig;
use crate::sessions::{Counts, status};

/// What a listing may take of a frame: half, so that its JSON escapes fit too.
const LISTING: usize = holdfast_protocol::frame::MAX_FRAME / 2;

/// Whom to ask.
pub struct Answers {
    /// Job 1.
    pub attest_host: AttestHost,
    /// Job 5.
    pub audit: AuditLog,
    /// How much of the log the attestor has.
    pub mirror: Standing,
    /// Where what a human does is recorded first.
    pub record: Arc<dyn Record>,
    /// Job 2, where there is a launcher.
    pub sessions: Option<Sessions>,
    /// The names that were signed ahead.
    pub spares: Spares,
    /// Job 4.
    pub authorizer: Authorizer,
    /// The humans' approval keys.
    pub approvers: Approvers,
    /// The humans' secrets.
    pub vaults: Vaults,
    /// How humans approve.
    pub approvals: ApprovalsConfig,
    /// What kind of installation this is.
    pub grade: Grade,
    /// The TPM, in words.
    pub tpm: String,
    /// What time it is.
    pub clock: Clock,
    /// Whether humans' screens and logouts are seen, where there are sessions.
    pub presence: Option<watch::Receiver<Presence>>,
}

impl Answers {
    /// Answers one request of `caller`, who is known by the kernel's word.
    pub async fn answer(&self, request: Request, caller: HumanUid) -> Response {
        let answer = match request {
            Request::Status => Ok(self.status()),
            Request::Enroll(request) => self.enroll(request).await,
            Request::Attest => self.attest().await,
            Request::AuditTail { count } => self.tail(count).await,
            Request::AuditVerify => self.verify().await,
            Request::AuditRecords { from, count } => self.records(from, count).await,
            Request::AuditCheckpoint => self.checkpoint().await,
            Request::Sessions => self.list_sessions(),
            Request::EndSubAgent { session, sub } => self.end_sub(session, sub, caller).await,
            Request::ControlSession { session, act } => self.control(session, act, caller).await,
            Request::ControlSessions { act } => self.control_all(act, caller).await,
            Request::Approvals => Ok(Response::Approvals(approvals::list(
                &self.authorizer,
                &self.approvals,
                caller,
            ))),
            Request::AwaitApprovals { known } => Ok(Response::Approvals(
                approvals::changed(&self.authorizer, &self.approvals, caller, &known).await,
            )),
            Request::AnswerCall { call, answer } => approvals::answer(
                &self.authorizer,
                &self.approvers,
                caller,
                call,
                &answer,
                &*self.record,
                &self.approvals,
            )
            .await
            .map(|()| Response::Answered),
            Request::EnrollPin { pin } => approvals::enroll(&self.approvers, caller, &pin)
                .await
                .map(|recovery| Response::PinEnrolled { recovery }),
            Request::RecoverPin { code, act } => {
                approvals::recover(&self.approvers, caller, &code, act)
                    .await
                    .map(|()| Response::PinRecovered)
            }
            Request::Secrets => secrets::list(&self.vaults, caller),
            Request::MakeVault(how) => secrets::make(&self.vaults, caller, how).await,
            Request::OpenVault { share } => secrets::open(&self.vaults, caller, &share).await,
            Request::RecoverVault { code } => secrets::recover(&self.vaults, caller, &code).await,
            Request::KeepSecret {
                name,
                purpose,
                value,
            } => secrets::keep(&self.vaults, caller, (name, purpose), &value).await,
            Request::RemoveSecret { name } => secrets::remove(&self.vaults, caller, &name).await,
        };
        answer.unwrap_or_else(Response::Failed)
    }

    fn status(&self) -> Response {
        let node = self.attest_host.node().borrow().state.clone();
        Response::Status(Box::new(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            grade: self.grade,
            tpm: self.tpm.clone(),
            node,
            audit: self.audit.head(),
            mirror: self.mirror.borrow().clone(),
            clock: Some(self.clock.status()),
            spares: self.spares(),
            presence: self.presence.as_ref().map(|seen| seen.borrow().clone()),
        }))
    }

    /// None where nobody makes sessions.
    fn spares(&self) -> Vec<SparesOf> {
        let ready = self.sessions.as_ref().map(|_| self.spares.ready());
        let ready = ready.unwrap_or_default().into_iter();
        ready
            .map(|(kind, ready)| SparesOf { kind, ready })
            .collect()
    }

    fn list_sessions(&self) -> Result<Response, Failure> {
        let sessions = self.launched()?;
        let listed = sessions.list().into_iter();
        Ok(Response::Sessions(
            listed
                .map(|(session, state)| listing(sessions, session, state))
                .collect(),
        ))
    }

    /// Every session that lives and that it can be done to. One that will not is reported and does not keep
    /// the others.
    async fn control_all(&self, act: SessionAct, human: HumanUid) -> Result<Response, Failure> {
        let mut done = Vec::new();
        let mut failed = None;
        for (session, state) in self.launched()?.list() {
            let may = match (state.phase, act) {
                (Phase::Running(_), SessionAct::Pause | SessionAct::End)
                | (Phase::Frozen(_), SessionAct::Resume | SessionAct::End) => true,
                (Phase::Running(_), SessionAct::Resume)
                | (Phase::Frozen(_), SessionAct::Pause)
                | (Phase::Starting | Phase::Ended { .. }, _) => false,
            };
            if !may {
                continue;
            }
            match self.control(session, act, human).await {
                Ok(Response::Sessions(one)) => done.extend(one),
                Ok(_) => {}
                Err(failure) => failed = Some(failure),
            }
        }
        match failed {
            Some(failure) => Err(failure),
            None => Ok(Response::Sessions(done)),
        }
    }

    async fn control(
        &self,
        session: SessionId,
        act: SessionAct,
        human: HumanUid,
    ) -> Result<Response, Failure> {
        let sessions = self.launched()?;
        if act == SessionAct::Resume {
            self.may_act()?;
        }
        self.record
            .record(What::SessionControlled {
                session,
                human,
                act,
            })
            .await
            .map_err(|error| broken(&error))?;
        let done = match act {
            SessionAct::Pause => sessions.freeze(session).await,
            SessionAct::Resume => sessions.resume(session),
            SessionAct::End => sessions.end(session),
        };
        done.map_err(|error| Failure {
            kind: FailureKind::Failed,
            message: with_causes(&error),
            advice: "`holdfast sessions` lists those that live".to_owned(),
        })?;
        let listed = sessions.list().into_iter();
        Ok(Response::Sessions(
            listed
                .filter(|(id, _)| *id == session)
                .map(|(id, state)| listing(sessions, id, state))
                .collect(),
        ))
    }

    async fn end_sub(
        &self,
        session: SessionId,
        sub: SubPath,
        human: HumanUid,
    ) -> Result<Response, Failure> {
        let sessions = self.launched()?;
        self.record
            .record(What::SubAgentControlled {
                session,
                sub,
                human,
            })
            .await
            .map_err(|error| broken(&error))?;
        sessions.end_sub(session, sub).map_err(|error| Failure {
            kind: FailureKind::Failed,
            message: with_causes(&error),
            advice: "`holdfast sessions` lists those that live".to_owned(),
        })?;
        let listed = sessions.list().into_iter();
        let listed = listed.filter(|(id, _)| *id == session);
        Ok(Response::Sessions(
            listed
                .map(|(id, state)| listing(sessions, id, state))
                .collect(),
        ))
    }

    /// What was frozen with its host stays so as long as the host may do nothing.
    fn may_act(&self) -> Result<(), Failure> {
        match self.attest_host.node().borrow().hold(self.clock.now()) {
            None => Ok(()),
            Some(hold) => Err(Failure {
                kind: FailureKind::NotAttested,
                message: format!("no session may go on: {hold}"),
                advice: "`holdfast status` says how this host stands with its attestor".to_owned(),
            }),
        }
    }

    fn launched(&self) -> Result<&Sessions, Failure> {
        self.sessions.as_ref().ok_or_else(|| Failure {
            kind: FailureKind::Failed,
            message: "there is no launcher on this machine, so there are no sessions".to_owned(),
            advice: "start holdfast-launcher, then holdfastd".to_owned(),
        })
    }

    async fn enroll(&self, request: EnrollRequest) -> Result<Response, Failure> {
        let url: AttestorUrl = request
            .url
            .parse()
            .map_err(|error| usage(&error, "name the attestor as https://host:port"))?;
        let trust = trust(request.token, request.authorities_pem)?;
        let node = self
            .attest_host
            .enroll(url, trust)
            .await
            .map_err(|error| not_attested(&error))?;
        Ok(Response::Attested(node))
    }

    async fn attest(&self) -> Result<Response, Failure> {
        let node = self
            .attest_host
            .attest()
            .await
            .map_err(|error| not_attested(&error))?;
        Ok(Response::Attested(node))
    }

    async fn tail(&self, count: u32) -> Result<Response, Failure> {
        let records = self
            .audit
            .tail(count.into())
            .await
            .map_err(|error| broken(&error))?;
        // The newest count: what does not fit is left away at the old end.
        let mut fitting = fitting(records.into_iter().rev());
        fitting.reverse();
        Ok(Response::Records(fitting))
    }

    async fn records(&self, from: u64, count: u32) -> Result<Response, Failure> {
        let records = self
            .audit
            .records(from, count.into())
            .await
            .map_err(|error| broken(&error))?;
        Ok(Response::Records(fitting(records.into_iter())))
    }

    async fn verify(&self) -> Result<Response, Failure> {
        let report = self.audit.verify().await.map_err(|error| broken(&error))?;
        Ok(Response::Verified(report))
    }

    async fn checkpoint(&self) -> Result<Response, Failure> {
        let head = self
            .audit
            .checkpoint_now()
            .await
            .map_err(|error| broken(&error))?;
        Ok(Response::Checkpointed(head))
    }
}

fn listing(sessions: &Sessions, id: SessionId, state: Session) -> SessionStatus {
    let counts = Counts {
        processes: sessions.processes(id),
        usage: sessions.usage(id),
    };
    status(id, state, counts)
}

fn fitting(records: impl Iterator<Item = AuditRecord>) -> Vec<AuditRecord> {
    let mut room = LISTING;
    records
        .take_while(|record| {
            let taken = room.checked_sub(record.json.len());
            room = taken.unwrap_or(0);
            taken.is_some()
        })
        .collect()
}

fn trust(token: Option<String>, authorities: Option<String>) -> Result<Trust, Failure> {
    match (token, authorities) {
        (Some(token), None) => token
            .parse()
            .map(Trust::Token)
            .map_err(|error| usage(&error, "`holdfast-attestor token create` makes one")),
        (None, Some(pem)) => {
            let certificates: Result<Vec<_>, _> =
                CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            match certificates {
                Ok(certificates) if !certificates.is_empty() => {
                    Ok(Trust::Authorities(certificates))
                }
                Ok(_) | Err(_) => Err(Failure {
                    kind: FailureKind::Usage,
                    message: "the authority is not a PEM certificate".to_owned(),
                    advice: "`holdfast-attestor bundle show` prints it".to_owned(),
                }),
            }
        }
        (None, None) | (Some(_), Some(_)) => Err(Failure {
            kind: FailureKind::Usage,
            message: "either a token or an authority has to be given".to_owned(),
            advice: "see `holdfast enroll --help`".to_owned(),
        }),
    }
}

fn usage(error: &dyn std::error::Error, advice: &str) -> Failure {
    Failure {
        kind: FailureKind::Usage,
        message: error.to_string(),
        advice: advice.to_owned(),
    }
}

fn not_attested(error: &AttestHostError) -> Failure {
    let advice = match error {
        AttestHostError::Channel(error) if error.is_of_time() => {
            "compare this host's clock (`date`) and the attestor's with a third: by this host's clock the attestor's \
             certificate is not valid now"
        }
        AttestHostError::Channel(_) | AttestHostError::Unavailable(_) => {
            "see whether the attestor runs at that address and is the one that you mean"
        }
        AttestHostError::Refused(why) if why.ends_with("refused: token") => {
            "a token serves once, and not for long: have the attestor's operator make a new one \
             (`holdfast-attestor token create`)"
        }
        AttestHostError::Refused(why) if why.contains("enrollment waits:") => {
            "the operator sees this host by `holdfast-attestor host pending`, compares its EK's hash, and lets it in by \
             `host approve`; then enroll again"
        }
        AttestHostError::Refused(_) => {
            "the attestor's operator sees the reason in its log, and for a host that it knows with \
             `holdfast-attestor host show`"
        }
        AttestHostError::Contained => "install Holdfast as a system service to enroll this host",
        AttestHostError::NotEnrolled => "`holdfast enroll URL --token-file FILE`",
        AttestHostError::Time(_) => {
            "compare this host's clock and the attestor's with a third; `clock.json` in the state folder has the time that \
             counts as proved: see OPERATIONS.md"
        }
        AttestHostError::Tpm(_)
        | AttestHostError::Floor(_)
        | AttestHostError::EventLog(_)
        | AttestHostError::ImaList(_)
        | AttestHostError::SystemdLog(_)
        | AttestHostError::Registration(_)
        | AttestHostError::NotRecorded(_)
        | AttestHostError::Overtaken(_)
        | AttestHostError::Answer(_)
        | AttestHostError::Name(_)
        | AttestHostError::Request(_)
        | AttestHostError::Stopping => "`holdfast doctor` looks for the cause",
    };
    Failure {
        kind: FailureKind::NotAttested,
        message: with_causes(error),
        advice: advice.to_owned(),
    }
}

fn broken(error: &dyn std::error::Error) -> Failure {
    Failure {
        kind: FailureKind::Failed,
        message: with_causes(error),
        advice: "see holdfastd's log".to_owned(),
    }
}
