//! Questions and answers over the management socket.
//!
//! A question is shown to its own human and answered by that human alone; the proof is made and
//! judged elsewhere.

use holdfast_authorize_calls::card::{ApprovalCard, Waiting};
use holdfast_authorize_calls::state::{Answer, AnswerRefused};
use holdfast_authorize_calls::task::Authorizer;
use holdfast_protocol::approval::{HumanAnswer, Question, Waits};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::id::CallId;
use holdfast_protocol::management::{Failure, FailureKind};
use holdfast_protocol::secret::Secret;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::TpmError;

use crate::approvers::{ApproverError, Approvers};

/// The questions that wait for `caller`.
pub fn list(authorizer: &Authorizer, caller: HumanUid) -> Vec<Question> {
    let cards = authorizer.pending().into_iter();
    cards
        .filter(|card| card.human == caller)
        .map(question)
        .collect()
}

/// Takes the answer of `caller`.
pub async fn answer(
    authorizer: &Authorizer,
    approvers: &Approvers,
    caller: HumanUid,
    call: CallId,
    answer: &HumanAnswer,
) -> Result<(), Failure> {
    let cards = authorizer.pending();
    let card = cards
        .iter()
        .find(|card| card.call == call && card.human == caller)
        .ok_or_else(|| refused(&AnswerRefused::NoQuestion))?;
    let answer = match answer {
        HumanAnswer::Deny => Answer::Deny,
        HumanAnswer::Click => Answer::Click,
        HumanAnswer::Pin { pin } => {
            let proof = approvers.prove(caller, pin, &card.consent).await;
            Answer::Prove(proof.map_err(|error| not_proven(&error))?)
        }
    };
    authorizer
        .answer(call, answer)
        .await
        .map_err(|error| refused(&error))
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

fn question(card: ApprovalCard) -> Question {
    Question {
        call: card.call,
        session: card.session,
        agent: card.agent,
        human: card.human,
        headline: card.headline,
        effects: card.effects,
        tier: card.tier,
        why: card.why.text,
        digest: card.digest,
        position: card.position,
        waits: match card.waiting {
            Waiting::Until { deadline } => Waits::Until { deadline },
            Waiting::Late { gone } => Waits::Late { gone },
        },
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
        ApproverError::Enrolled => "`holdfast approvals approve ID` uses it",
        ApproverError::NotEnrolled => {
            "`holdfast factors enroll` makes an approval key behind a PIN"
        }
        ApproverError::Tpm(TpmError::PinWrong { .. }) => {
            "type it again; after three wrong ones only the recovery code helps"
        }
        ApproverError::Tpm(TpmError::PinLocked { .. }) => "only the recovery code unlocks it",
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
