//! One rule's annotations, checked once: `@id`, `@reason`, `@tier`.
//!
//! It must never let a rule through that could not explain itself.

use cedar_policy::{ActionConstraint, Effect, Policy};
use holdfast_protocol::decision::Reason;
use holdfast_protocol::grade::Tier;

use crate::load::{LoadError, SourceName};
use crate::request::{CALL, CALL_WITH_APPROVAL};

/// What the engine says when a rule decided.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The rule's place in the whole policy: it breaks ties.
    pub(crate) position: usize,
    /// Its name and sentence.
    pub(crate) because: Reason,
    /// The proof that it wants, where it speaks of proof.
    pub(crate) tier: Option<Tier>,
}

/// Where a rule stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RulePlace {
    /// In its source, counted from 1, for error messages.
    pub(crate) in_source: usize,
    /// In the whole policy.
    pub(crate) overall: usize,
}

impl Rule {
    /// Reads a policy's annotations.
    pub(crate) fn read(
        source: &SourceName,
        place: RulePlace,
        policy: &Policy,
    ) -> Result<Self, LoadError> {
        let refused = |why: &'static str| LoadError::Rule {
            source_name: source.clone(),
            rule: policy
                .annotation("id")
                .map_or_else(|| format!("number {}", place.in_source), str::to_owned),
            why,
        };
        let id = policy
            .annotation("id")
            .filter(|id| valid_id(id))
            .ok_or_else(|| refused("it needs an @id of 1 to 64 characters of [a-z0-9-]"))?;
        let text = policy
            .annotation("reason")
            .filter(|text| valid_reason(text))
            .ok_or_else(|| {
                refused("it needs a @reason: one sentence of at most 200 characters, no period")
            })?;
        let tier = match policy.annotation("tier") {
            None => None,
            Some("R1") => Some(Tier::R1),
            Some("R2") => Some(Tier::R2),
            Some("R3") => Some(Tier::R3),
            Some(_) => return Err(refused("its @tier must be `R1`, `R2` or `R3`")),
        };
        match (policy.effect(), question(policy), tier) {
            (Effect::Permit, Some(Asked::Call), None)
            | (Effect::Permit, Some(Asked::CallWithApproval), Some(_))
            | (Effect::Forbid, Some(Asked::Call), _)
            | (Effect::Forbid, _, None) => {}
            (Effect::Permit, Some(Asked::Call), Some(_)) => {
                return Err(refused(
                    "a permit of `call` needs no proof, so it has no @tier",
                ));
            }
            (Effect::Permit, Some(Asked::CallWithApproval), None) => {
                return Err(refused("a permit of `callWithApproval` needs a @tier"));
            }
            (Effect::Permit, None, _) => {
                return Err(refused(
                    "a permit names exactly one question: `call` or `callWithApproval`",
                ));
            }
            (Effect::Forbid, None | Some(Asked::CallWithApproval), Some(_)) => {
                return Err(refused("only a forbid of `call` alone can ask for a @tier"));
            }
        }
        Ok(Self {
            position: place.overall,
            because: Reason::new(format!("{source}/{id}"), text),
            tier,
        })
    }
}

/// The two questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asked {
    /// May it happen?
    Call,
    /// May it happen once a human has consented?
    CallWithApproval,
}

/// The one question that a policy's scope names, if it names one.
fn question(policy: &Policy) -> Option<Asked> {
    match policy.action_constraint() {
        ActionConstraint::Eq(action) => match action.id().unescaped() {
            CALL => Some(Asked::Call),
            CALL_WITH_APPROVAL => Some(Asked::CallWithApproval),
            _ => None,
        },
        ActionConstraint::Any | ActionConstraint::In(_) => None,
    }
}

fn valid_id(id: &str) -> bool {
    (1..=64).contains(&id.len())
        && id
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

fn valid_reason(text: &str) -> bool {
    (1..=200).contains(&text.chars().count())
        && !text.chars().any(char::is_control)
        && !text.ends_with('.')
}
