//! Verdicts in one line each, for `host show`.

use holdfast_protocol::evidence::{Appraisal, Check, Checked, Finding};

use crate::registry::{Judged, Outcome, Verdict};

pub(super) fn told(verdict: &Verdict) -> String {
    let outcome = match verdict.outcome {
        Outcome::Accepted => "accepted",
        Outcome::Refused => "refused",
    };
    match &verdict.judged {
        Judged::Twins { detail } => format!("two brokers at once: {detail}"),
        Judged::Brake { rollout, detail } => {
            format!(
                "rollout {rollout} was stopped by what this host did after its update: {detail}"
            )
        }
        Judged::Enrollment { reason, detail } => {
            format!("enrollment {outcome}: {reason}: {detail}")
        }
        Judged::Attestation { appraisal } => match appraisal.refusal() {
            Some(refusal) => {
                let next = match (refusal.check, verdict.host) {
                    (Check::PcrReference | Check::ReferenceApproval, Some(host)) => {
                        format!("\n      what changed: host reference diff {host}")
                    }
                    _ => String::new(),
                };
                format!(
                    "attestation {outcome}: {}: {}{next}",
                    refusal.check, refusal.detail
                )
            }
            None => {
                // What happened to the machine since the attestation before.
                let clock = clock(appraisal).map_or_else(String::new, |clock| format!(": {clock}"));
                measured(appraisal).fold(format!("attestation {outcome}{clock}"), |text, note| {
                    format!("{text}\n      {}: {}", note.check, note.detail)
                })
            }
        },
    }
}

fn clock(appraisal: &Appraisal) -> Option<&str> {
    let checks = appraisal.checks.iter();
    let mut found = checks.filter(|checked| checked.check == Check::Clock);
    found.next().map(|checked| checked.detail.as_str())
}

/// What was noted of a host's boot and of what it measured later.
fn measured(appraisal: &Appraisal) -> impl Iterator<Item = &Checked> {
    appraisal.checks.iter().filter(|checked| {
        checked.finding == Finding::Noted
            && matches!(
                checked.check,
                Check::SecureBoot | Check::SystemdLog | Check::ImaReplay | Check::ImaPolicy
            )
    })
}
