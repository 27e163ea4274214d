//! The engine: facts in, the most severe verdict out.
//!
//! Cedar skips a policy that fails to evaluate, so a failing `forbid` would not forbid; here any evaluation error is a
//! denial. It must never turn a question that it could not put into an allow.

use cedar_policy::{Authorizer, Decision, PolicyId, PolicySet, Response};
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::decision::{DeniedBy, Reason, Verdict};
use holdfast_protocol::grade::{Grade, Tier};

use crate::act::{Act, Asker};
use crate::load::{LoadError, Loaded, Source, load};
use crate::request::{Scene, Slice, Unaskable};
use crate::rule::{Asked, Rule};

/// A loaded, validated policy.
pub struct Engine {
    loaded: Loaded,
    grade: Grade,
    authorizer: Authorizer,
}

impl Engine {
    /// Loads `base` (the default, or a bundle whose signature was verified) and the host's own `narrowing` files.
    ///
    /// # Errors
    /// [`LoadError`] if any source is not valid, a rule lacks its annotations, or a narrowing file permits anything.
    pub fn load(grade: Grade, base: &Source, narrowing: &[Source]) -> Result<Self, LoadError> {
        Ok(Self {
            loaded: load(base, narrowing)?,
            grade,
            authorizer: Authorizer::new(),
        })
    }

    /// SHA-256 over the schema and every source: what receipts and records name this policy by.
    pub fn digest(&self) -> Sha256Digest {
        self.loaded.digest
    }

    /// The most severe verdict over `acts`: a denial, else the step-up with the highest tier, else an allow. No act at
    /// all is judged as [`Act::Nothing`].
    pub fn judge(&self, asker: &Asker, acts: &[Act]) -> Verdict {
        acts.iter()
            .map(|act| self.judge_one(asker, act))
            .reduce(|worst, next| {
                if severity(&next) > severity(&worst) {
                    next
                } else {
                    worst
                }
            })
            .unwrap_or_else(|| self.judge_one(asker, &Act::Nothing))
    }

    fn judge_one(&self, asker: &Asker, act: &Act) -> Verdict {
        let verdict = self
            .ask_both(asker, act)
            .unwrap_or_else(|error| Verdict::Deny {
                by: DeniedBy::PolicyError,
                because: error.because,
            });
        match verdict {
            Verdict::StepUp { tier, because } if tier > self.grade.cap() => Verdict::Deny {
                by: DeniedBy::Policy,
                because: Reason::new(
                    "grade/cap",
                    format!(
                        "{}, and that takes {tier:?}, which a {} installation cannot prove",
                        because.text, self.grade
                    ),
                ),
            },
            other @ (Verdict::Allow { .. } | Verdict::StepUp { .. } | Verdict::Deny { .. }) => {
                other
            }
        }
    }

    fn ask_both(&self, asker: &Asker, act: &Act) -> Result<Verdict, Failed> {
        let scene = Scene::new(&self.loaded.schema, self.grade, asker, act)?;
        let alone = self.ask(&scene, Asked::Call, act)?;
        if alone.decision == Decision::Allow {
            return Ok(Verdict::Allow {
                because: alone.first()?.because.clone(),
            });
        }
        let approved = self.ask(&scene, Asked::CallWithApproval, act)?;
        if approved.decision == Decision::Deny {
            let because = match approved.rules.first() {
                Some(rule) => rule.because.clone(),
                None => Reason::new("policy/no-rule", "no rule allows it"),
            };
            return Ok(Verdict::Deny {
                by: DeniedBy::Policy,
                because,
            });
        }
        // The forbids that took `call` away come first: at equal tiers they say best why a human is asked.
        let mut asking: Option<(Tier, &Rule)> = None;
        for rule in alone.rules.iter().chain(&approved.rules) {
            if let Some(tier) = rule.tier
                && asking.is_none_or(|(highest, _)| tier > highest)
            {
                asking = Some((tier, rule));
            }
        }
        let (tier, rule) = asking.ok_or_else(Failed::silent)?;
        Ok(Verdict::StepUp {
            tier,
            because: rule.because.clone(),
        })
    }

    fn ask(&self, scene: &Scene, asked: Asked, act: &Act) -> Result<Answer<'_>, Failed> {
        let nobody = PolicySet::new();
        let policies = self
            .loaded
            .slices
            .get(&Slice::about(asked, act))
            .unwrap_or(&nobody);
        let request = scene.request(&self.loaded.schema, asked)?;
        let response = self
            .authorizer
            .is_authorized(&request, policies, &scene.entities);
        self.read(&response)
    }

    fn read(&self, response: &Response) -> Result<Answer<'_>, Failed> {
        if let Some(error) = response.diagnostics().errors().next() {
            return Err(Failed {
                because: Reason::new(
                    AsRef::<str>::as_ref(policy_of(error)),
                    "a policy rule could not be evaluated, so nothing is allowed",
                ),
            });
        }
        let mut rules = response
            .diagnostics()
            .reason()
            .map(|id| self.loaded.rules.get(id).ok_or_else(Failed::silent))
            .collect::<Result<Vec<_>, _>>()?;
        rules.sort_by_key(|rule| rule.position);
        Ok(Answer {
            decision: response.decision(),
            rules,
        })
    }
}

/// Cedar's answer to one question, with the rules that determined it in their order.
struct Answer<'a> {
    decision: Decision,
    rules: Vec<&'a Rule>,
}

impl<'a> Answer<'a> {
    fn first(&self) -> Result<&'a Rule, Failed> {
        self.rules.first().copied().ok_or_else(Failed::silent)
    }
}

/// A question that could not be put or answered.
struct Failed {
    because: Reason,
}

impl Failed {
    /// Cedar decided without a rule that we know: ours to blame.
    fn silent() -> Self {
        Self {
            because: Reason::new("policy/error", "the policy decided without naming a rule"),
        }
    }
}

impl From<Unaskable> for Failed {
    fn from(error: Unaskable) -> Self {
        Self {
            because: Reason::new(
                "policy/error",
                format!("the policy could not be asked: {}", error.0),
            ),
        }
    }
}

fn policy_of(error: &cedar_policy::AuthorizationError) -> &PolicyId {
    match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.policy_id(),
    }
}

/// Orders verdicts: allow, then step-ups by tier, then denials.
fn severity(verdict: &Verdict) -> (u8, Option<Tier>) {
    match verdict {
        Verdict::Allow { .. } => (0, None),
        Verdict::StepUp { tier, .. } => (1, Some(*tier)),
        Verdict::Deny { .. } => (2, None),
    }
}

#[cfg(test)]
mod tests;
