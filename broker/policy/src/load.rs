//! From sources to an [`Engine`](crate::Engine): parsed, validated strictly, checked to only narrow, and digested.
//!
//! A source that is wrong in any way stops the load; it must never be skipped.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use cedar_policy::{Effect, Policy, PolicyId, PolicySet, Schema, ValidationMode, Validator};
use holdfast_protocol::Sha256Digest;

use crate::request::{Slice, Slices};
use crate::rule::{Rule, RulePlace};

/// The largest source, in bytes.
pub const MAX_SOURCE: usize = 256 << 10;

/// The most rules that all sources together may have: Cedar's time grows with each.
pub const MAX_RULES: usize = 512;

/// The most mistakes that one [`LoadError::Invalid`] tells.
const MAX_REPORTED: usize = 3;

const SCHEMA: &str = include_str!("../schema.cedarschema");

/// One policy file.
#[derive(Clone, Debug)]
pub struct Source {
    /// What its rules are called by: `default` in `default/push-protected`.
    pub name: SourceName,
    /// The Cedar text.
    pub text: String,
}

/// The name of a policy file: 1 to 64 characters of `[a-z0-9._-]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceName(String);

/// The text cannot name a policy file.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a policy's name: 1 to 64 characters of [a-z0-9._-]")]
pub struct InvalidSourceName(String);

impl FromStr for SourceName {
    type Err = InvalidSourceName;

    fn from_str(text: &str) -> Result<Self, InvalidSourceName> {
        let valid = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSourceName(text.chars().take(64).collect()))
        }
    }
}

impl fmt::Display for SourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The policies cannot be loaded. The author of the named source is to blame, but for [`LoadError::Schema`], which is
/// ours.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The source is larger than [`MAX_SOURCE`].
    #[error("`{source_name}` is larger than {MAX_SOURCE} bytes")]
    TooLarge {
        /// Which.
        source_name: SourceName,
    },
    /// There are more than [`MAX_RULES`] rules.
    #[error("there are more than {MAX_RULES} rules")]
    TooMany,
    /// Two sources bear one name.
    #[error("two policy files are called `{0}`")]
    SameName(SourceName),
    /// The source is not Cedar.
    #[error("`{source_name}` is not valid Cedar: {detail}")]
    Syntax {
        /// Which.
        source_name: SourceName,
        /// Every mistake, with its place in the text.
        detail: String,
    },
    /// A rule's annotations or scope are wrong.
    #[error("rule `{rule}` of `{source_name}` is refused: {why}")]
    Rule {
        /// Which source.
        source_name: SourceName,
        /// Which rule.
        rule: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The rules do not fit the schema, under strict validation.
    #[error("the policies do not fit the schema: {0}")]
    Invalid(String),
    /// The built-in schema is broken.
    #[error("the built-in schema is broken: {0}")]
    Schema(String),
}

/// The policy that Holdfast comes with (DESIGN §10).
pub fn default_policy() -> Source {
    Source {
        name: SourceName("default".to_owned()),
        text: include_str!("../default.cedar").to_owned(),
    }
}

/// Everything that a load yields.
pub(crate) struct Loaded {
    pub(crate) schema: Schema,
    pub(crate) slices: Slices,
    pub(crate) rules: BTreeMap<PolicyId, Rule>,
    pub(crate) digest: Sha256Digest,
}

/// Loads `base`, and `narrowing` on top, which may hold `forbid` alone.
pub(crate) fn load(base: &Source, narrowing: &[Source]) -> Result<Loaded, LoadError> {
    let (schema, _warnings) =
        Schema::from_cedarschema_str(SCHEMA).map_err(|e| LoadError::Schema(e.to_string()))?;
    let mut policies = Vec::new();
    let mut rules = BTreeMap::new();
    let mut names: Vec<&SourceName> = Vec::new();
    for (layer, source) in std::iter::once(base).chain(narrowing).enumerate() {
        if names.contains(&&source.name) {
            return Err(LoadError::SameName(source.name.clone()));
        }
        names.push(&source.name);
        for (number, policy) in parse(source)?.into_iter().enumerate() {
            let place = RulePlace {
                in_source: number + 1,
                overall: rules.len(),
            };
            let rule = Rule::read(&source.name, place, &policy)?;
            let refused = |why| LoadError::Rule {
                source_name: source.name.clone(),
                rule: rule.because.rule.clone(),
                why,
            };
            if layer > 0 && policy.effect() == Effect::Permit {
                return Err(refused(
                    "a host's file can only narrow: it may hold `forbid` alone",
                ));
            }
            let policy = policy.new_id(PolicyId::new(&rule.because.rule));
            let id = policy.id().clone();
            if rules.contains_key(&id) {
                return Err(refused("another rule of this file has the same @id"));
            }
            rules.insert(id, rule);
            policies.push(policy);
            if rules.len() > MAX_RULES {
                return Err(LoadError::TooMany);
            }
        }
    }
    validate(&schema, &policies)?;
    Ok(Loaded {
        slices: slice(&schema, &policies)?,
        digest: digest_of(base, narrowing),
        schema,
        rules,
    })
}

/// A source's policies, in the order of the text.
fn parse(source: &Source) -> Result<Vec<Policy>, LoadError> {
    if source.text.len() > MAX_SOURCE {
        return Err(LoadError::TooLarge {
            source_name: source.name.clone(),
        });
    }
    let set = PolicySet::from_str(&source.text).map_err(|errors| LoadError::Syntax {
        source_name: source.name.clone(),
        detail: errors
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; "),
    })?;
    if set.num_of_templates() > 0 {
        return Err(LoadError::Syntax {
            source_name: source.name.clone(),
            detail: "templates are not supported".to_owned(),
        });
    }
    let mut policies: Vec<Policy> = set.policies().cloned().collect();
    // Cedar numbers what it parses `policy0`, `policy1`, …: that is the order of the text.
    policies.sort_by_key(|policy| {
        AsRef::<str>::as_ref(policy.id())
            .strip_prefix("policy")
            .and_then(|number| number.parse::<usize>().ok())
    });
    Ok(policies)
}

fn validate(schema: &Schema, policies: &[Policy]) -> Result<(), LoadError> {
    let set = PolicySet::from_policies(policies.iter().cloned())
        .map_err(|e| LoadError::Invalid(e.to_string()))?;
    let result = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict);
    if result.validation_passed() {
        Ok(())
    } else {
        // Cedar's order is a hash map's; one mistake can be reported once per kind of effect.
        let mut errors: Vec<String> = result
            .validation_errors()
            .map(ToString::to_string)
            .collect();
        errors.sort_unstable();
        errors.truncate(MAX_REPORTED);
        Err(LoadError::Invalid(errors.join("; ")))
    }
}

/// The rules that can matter to each question about each kind of effect: Cedar tries every rule that it is given.
fn slice(schema: &Schema, policies: &[Policy]) -> Result<Slices, LoadError> {
    let mut slices = Slices::new();
    for environment in schema.request_envs() {
        slices.insert(
            Slice::of(environment.action(), environment.resource()),
            PolicySet::new(),
        );
    }
    for policy in policies {
        for environment in policy.get_valid_request_envs(schema) {
            slices
                .entry(Slice::of(environment.action(), environment.resource()))
                .or_default()
                .add(policy.clone())
                .map_err(|e| LoadError::Invalid(e.to_string()))?;
        }
    }
    Ok(slices)
}

/// SHA-256 over schema and sources, each with its length, so that no two policies share a digest.
fn digest_of(base: &Source, narrowing: &[Source]) -> Sha256Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    part(b"holdfast-policy-v1");
    part(SCHEMA.as_bytes());
    for source in std::iter::once(base).chain(narrowing) {
        part(source.name.0.as_bytes());
        part(source.text.as_bytes());
    }
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Sha256Digest::new(bytes)
}
