//! Which kind of agent a program is: what its profile says that such programs are, or what the host's
//! own list says of its digest.
//!
//! Pure. A kind is in the session's name, so it must never be given on somebody's word alone: a word on
//! the command line can only ask for a kind that the program has anyway, or for the one that takes all.

use holdfast_protocol::Sha256Digest;
use holdfast_protocol::id::AgentKind;
use holdfast_protocol::measured::MeasuredPackage;

use crate::policy::Policy;
use crate::profile::Profile;

/// A program, as it was measured and asked for.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// What it was called.
    pub name: &'a str,
    /// SHA-256 of what is executed.
    pub program: Sha256Digest,
    /// What it interprets.
    pub package: Option<&'a MeasuredPackage>,
}

/// The kind that was asked for is not the program's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOfKind {
    /// There is no such kind.
    #[error("there is no profile for the kind `{0}`")]
    Unknown(AgentKind),
    /// The program is not what the profile says that this kind is.
    #[error("`{name}` is not {kind}: {expected}")]
    Other {
        /// What it was called.
        name: String,
        /// The kind that was asked for.
        kind: AgentKind,
        /// What such a program is.
        expected: String,
    },
    /// No profile takes what has no profile of its own.
    #[error("no profile takes `{0}`")]
    None(String),
}

impl Candidate<'_> {
    /// Whether it is what the profile says that programs of its kind are.
    fn is_of(&self, profile: &Profile) -> bool {
        let named = profile.names.iter().any(|name| name == self.name);
        match self.package {
            None => named,
            Some(package) => match &package.name {
                Some(name) => profile.packages.contains(name),
                // A script of no package, where the profile knows of none.
                None => named && profile.packages.is_empty(),
            },
        }
    }
}

/// The profile of the program's kind: the one that was asked for, if it is that, or its own.
///
/// # Errors
/// [`NotOfKind`].
pub fn claim<'p>(
    profiles: &'p [Profile],
    candidate: Candidate<'_>,
    asked: Option<&AgentKind>,
    policy: &Policy,
) -> Result<&'p Profile, NotOfKind> {
    let all = |profile: &&Profile| profile.takes_all();
    let of = |kind: &AgentKind| profiles.iter().find(|profile| profile.kind == *kind);
    let listed = |profile: &&Profile| policy.lists(&profile.kind, candidate);
    let own = |profile: &&Profile| candidate.is_of(profile);
    let Some(kind) = asked else {
        return profiles
            .iter()
            .find(listed)
            .or_else(|| profiles.iter().find(own))
            .or_else(|| profiles.iter().find(all))
            .ok_or_else(|| NotOfKind::None(candidate.name.to_owned()));
    };
    let profile = of(kind).ok_or_else(|| NotOfKind::Unknown(kind.clone()))?;
    if all(&profile) || listed(&profile) || own(&profile) {
        return Ok(profile);
    }
    Err(NotOfKind::Other {
        name: candidate.name.to_owned(),
        kind: kind.clone(),
        expected: expected(profile),
    })
}

fn expected(profile: &Profile) -> String {
    let list = |names: Vec<String>| names.join("` or `");
    let packages = profile.packages.iter().map(ToString::to_string).collect();
    match (profile.names.is_empty(), profile.packages.is_empty()) {
        (false, true) => format!("that is a program called `{}`", list(profile.names.clone())),
        (true, false) => format!("that is the command of the package `{}`", list(packages)),
        (_, _) => format!(
            "that is a native program called `{}`, or the command of the package `{}`",
            list(profile.names.clone()),
            list(packages)
        ),
    }
}

#[cfg(test)]
mod tests;
