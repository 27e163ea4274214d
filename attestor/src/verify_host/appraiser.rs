//! Collects what each check found.
//!
//! A refusal can be made only through it, so that none goes unrecorded.

use std::fmt::Display;

use holdfast_protocol::evidence::{Appraisal, Check, Checked, Finding};

use super::Refusal;

/// The longest detail that is kept, in characters: much of it quotes the host.
const MAX_DETAIL: usize = 400;

/// The checks so far.
#[derive(Debug, Default)]
pub(super) struct Appraiser {
    appraisal: Appraisal,
}

impl Appraiser {
    /// A check that found what it should.
    pub(super) fn passed(&mut self, check: Check, detail: impl Display) {
        self.push(check, Finding::Passed, &detail);
    }

    /// A check that found something to be remembered.
    pub(super) fn noted(&mut self, check: Check, detail: impl Display) {
        self.push(check, Finding::Noted, &detail);
    }

    /// A check that failed.
    pub(super) fn refused(&mut self, check: Check, detail: impl Display) -> Refusal {
        let detail = self.push(check, Finding::Refused, &detail);
        Refusal {
            check,
            detail,
            ima: None,
            proposal: None,
        }
    }

    /// All of them.
    pub(super) fn finish(self) -> Appraisal {
        self.appraisal
    }

    fn push(&mut self, check: Check, finding: Finding, detail: &dyn Display) -> String {
        let detail: String = detail.to_string().chars().take(MAX_DETAIL).collect();
        self.appraisal.checks.push(Checked {
            check,
            finding,
            detail: detail.clone(),
        });
        detail
    }
}
