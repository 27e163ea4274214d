//! Questions and answers over the management socket.
//!
//! A question is shown to its own human and answered by that human alone; the proof is made and
//! judged elsewhere.

use std::time::Duration;

use holdfast_authorize_calls::card::{ApprovalCard, Waiting};
use holdfast_authorize_calls::state::{Answer, AnswerRefused};
use holdfast_authorize_calls::task::Authorizer;
use holdfast_protocol::approval::{HumanAnswer, PinOnX11, PinRecovery, Question, Surface, Waits};
use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::id::CallId;
use holdfast_protocol::management::{Failure, FailureKind};
use holdfast_protocol::record::Record;
use holdfast_protocol::secret::Secret;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::TpmError;

use crate::approvers::{ApproverError, Approvers};
use crate::config::ApprovalsConfig;

/// How long a window is kept waiting for news before it asks again; shorter than its own patience.
const LONGEST_WATCH: Duration = Duration::from_secs(25);

/// The questions that wait for `caller`.
pub fn list(authorizer: &Authorizer, rules: &ApprovalsConfig, caller: HumanUid) -> Vec<Question> {
    let cards = authorizer.pending().into_iter();
    cards
        .filter(|card| card.human == caller)
        .map(|card| question(card, rules, authorizer.clock()))
        .collect()
}

/// Takes the answer of `caller`.
pub async fn answer(
    authorizer: &Authorizer,
    approvers: &Approvers,
    caller: HumanUid,
    call: CallId,
    answer: &HumanAnswer,
    record: &dyn Record,
    rules: &ApprovalsConfig,
) -> Result<(), Failure> {
    let cards = authorizer.pending();
    let card = cards
        .iter()
        .find(|card| card.call == call && card.human == caller)
        .ok_or_else(|| refused(&AnswerRefused::NoQuestion))?;
    let answer = match answer {
        HumanAnswer::Deny => Answer::Deny,
        HumanAnswer::Click => Answer::Click,
        HumanAnswer::Pin { pin, surface } => {
            typed(record, rules, caller, call, *surface).await?;
            let proof = approvers.prove(caller, pin, &card.consent).await;
            Answer::Prove(proof.map_err(|error| not_proven(&error))?)
        }
    };
    authorizer
        .answer(call, answer)
        .await
        .map_err(|error| refused(&error))
}

/// Records where a PIN was typed, and refuses one that others could watch, unless this host allows it.
async fn typed(
    record: &dyn Record,
    rules: &ApprovalsConfig,
    human: HumanUid,
    call: CallId,
    surface: Surface,
) -> Result<(), Failure> {
    if surface == Surface::X11Window && rules.pin_on_x11 == PinOnX11::Refuse {
        return Err(Failure {
            kind: FailureKind::Failed,
            message: "on X11 every program can watch what is typed, so no PIN is taken there"
                .to_owned(),
            advice: "use `holdfast-approve` in a terminal, or declare `pin-on-x11 = \"allow\"` \
                     under [approvals] in holdfastd.toml; each use of it is recorded"
                .to_owned(),
        });
    }
    record
        .record(What::PinTyped {
            call,
            human,
            surface,
        })
        .await
        .map_err(|error| failure(&error, "see holdfastd's log"))
}

/// Waits until the questions for `caller` are other than `known`, or until a while has passed.
pub async fn changed(
    authorizer: &Authorizer,
    rules: &ApprovalsConfig,
    caller: HumanUid,
    known: &[CallId],
) -> Vec<Question> {
    let mut cards = authorizer.cards();
    let differs = cards.wait_for(|cards| {
        let own = cards.iter().filter(|card| card.human == caller);
        !own.map(|card| &card.call).eq(known.iter())
    });
    // Neither the end of the wait nor that of the job changes what there is to say.
    let _ = tokio::time::timeout(LONGEST_WATCH, differs).await;
    list(authorizer, rules, caller)
}

/// Makes an approval key for `caller`.
pub async fn enroll(
    approvers: &Approvers,
    caller: HumanUid,
    pin: &Secret,
) -> Result<Secret, Failure> {
    approvers
        .enroll(caller, pin)
        .await
        .map_err(|error| not_proven(&error))
}

/// Unlocks `caller`'s approval key, or gives it up.
pub async fn recover(
    approvers: &Approvers,
    caller: HumanUid,
    code: &Secret,
    act: PinRecovery,
) -> Result<(), Failure> {
    let recovered = approvers.recover(caller, code, act).await;
    recovered.map_err(|error| not_proven(&error))
}

fn question(card: ApprovalCard, rules: &ApprovalsConfig, clock: &Clock) -> Question {
    Question {
        call: card.call,
        session: card.session,
        agent: card.agent,
        human: card.human,
        headline: card.headline,
        effects: card.effects,
        tier: card.tier,
        why: card.why.text,
        quoted: card.quoted,
        directory: card.directory,
        digest: card.digest,
        position: card.position,
        waits: match card.waiting {
            // Whoever counts the seconds down sees the system's clock alone.
            Waiting::Until { deadline } => Waits::Until {
                deadline: clock.shown(deadline),
            },
            Waiting::Late { gone } => Waits::Late { gone },
        },
        pin_on_x11: rules.pin_on_x11,
    }
}

fn refused(error: &AnswerRefused) -> Failure {
    let advice = match error {
        AnswerRefused::NoQuestion => "`holdfast approvals` lists those that wait for you",
        AnswerRefused::TooLittle(_) | AnswerRefused::NoKey => {
            "`holdfast factors enroll` makes an approval key behind a PIN"
        }
        AnswerRefused::Unprovable(_) => "this grade of installation cannot approve it at all",
        AnswerRefused::Proof(_) | AnswerRefused::Stopped => "see holdfastd's log",
    };
    failure(error, advice)
}

fn not_proven(error: &ApproverError) -> Failure {
    let advice = match error {
        ApproverError::Pin(_) => "choose another",
        ApproverError::Enrolled => {
            "`holdfast approvals approve ID` uses it; `holdfast factors remove` gives it up, by its recovery code"
        }
        ApproverError::Code => "type the code that `holdfast factors enroll` printed",
        ApproverError::NotEnrolled => {
            "`holdfast factors enroll` makes an approval key behind a PIN"
        }
        ApproverError::Tpm(TpmError::PinWrong { .. }) => {
            "type it again; after three wrong ones only the recovery code helps (`holdfast factors unlock`)"
        }
        ApproverError::Tpm(TpmError::PinLocked { .. }) => {
            "`holdfast factors unlock`, with the code that `factors enroll` printed"
        }
        ApproverError::Full
        | ApproverError::Tpm(_)
        | ApproverError::NotRecorded(_)
        | ApproverError::Io(_)
        | ApproverError::Form => "see holdfastd's log",
    };
    failure(error, advice)
}

fn failure(error: &dyn std::error::Error, advice: &str) -> Failure {
    Failure {
        kind: FailureKind::Failed,
        message: with_causes(error),
        advice: advice.to_owned(),
    }
}
