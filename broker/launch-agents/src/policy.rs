//! What this host lets be launched: anything, or what its owner listed by digest.
//!
//! Pure. The owner's word is on digests, never on names or paths: those are the human's to choose.

use holdfast_protocol::Sha256Digest;
use holdfast_protocol::id::AgentKind;
use serde::Deserialize;

use crate::claim::Candidate;

/// What may be launched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// How much.
    pub allow: Allow,
    /// The programs that the host's owner knows.
    pub programs: Vec<Listed>,
    /// What becomes of programs that would change the user on the host.
    pub privileged: Privileged,
    /// Whether sessions may run under their human's uid where they cannot have one of their own.
    pub shared_uid: SharedUid,
}

/// How much may be launched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// Any program; one that has no profile is of the kind that takes all.
    #[default]
    Any,
    /// Only programs of the list.
    Listed,
}

/// What becomes of setuid and setgid programs. None has that right in a session, whatever is said here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Privileged {
    /// They are refused: what they are for does not work inside.
    #[default]
    Refuse,
    /// They run as any other.
    Run,
}

/// Whether sessions may run under their human's uid, where a tree that they change cannot be mapped to
/// one of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedUid {
    /// They may: it is said, and recorded.
    #[default]
    Allow,
    /// There is no session then.
    Refuse,
}

/// A program of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its kind.
    pub kind: AgentKind,
    /// SHA-256 of what is executed, where it is pinned.
    #[serde(default, rename = "sha256")]
    pub program: Option<Sha256Digest>,
    /// The digest of the package that it interprets, where it is pinned.
    #[serde(default)]
    pub package: Option<Sha256Digest>,
}

/// The host's owner did not list the program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this host launches listed programs only; in `[launch] programs`, `{line}` would allow it")]
pub struct NotListed {
    /// The line that would allow it.
    pub line: String,
}

impl Listed {
    /// Whether it speaks of something.
    pub fn pins(&self) -> bool {
        self.program.is_some() || self.package.is_some()
    }

    fn is(&self, candidate: Candidate<'_>) -> bool {
        let package = candidate.package.map(|package| package.digest);
        self.pins()
            && self.program.is_none_or(|digest| digest == candidate.program)
            && self.package.is_none_or(|digest| Some(digest) == package)
            // An interpreter alone is any program: its listing allows no script.
            && (package.is_none() || self.package.is_some())
    }
}

impl Policy {
    /// Whether the list says that this program is of this kind.
    pub fn lists(&self, kind: &AgentKind, candidate: Candidate<'_>) -> bool {
        let mut programs = self.programs.iter();
        programs.any(|listed| listed.kind == *kind && listed.is(candidate))
    }

    /// Whether this program may be launched as this kind.
    ///
    /// # Errors
    /// [`NotListed`], with what its owner would have to write.
    pub fn permit(&self, kind: &AgentKind, candidate: Candidate<'_>) -> Result<(), NotListed> {
        match self.allow {
            Allow::Any => Ok(()),
            Allow::Listed if self.lists(kind, candidate) => Ok(()),
            Allow::Listed => Err(NotListed {
                line: line(kind, candidate),
            }),
        }
    }
}

fn line(kind: &AgentKind, candidate: Candidate<'_>) -> String {
    let program = candidate.program;
    match candidate.package {
        None => format!("{{ kind = \"{kind}\", sha256 = \"{program}\" }}"),
        Some(package) => format!(
            "{{ kind = \"{kind}\", sha256 = \"{program}\", package = \"{}\" }}",
            package.digest
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use holdfast_protocol::measured::MeasuredPackage;

    use super::*;

    fn digest(byte: u8) -> Sha256Digest {
        Sha256Digest::new([byte; 32])
    }

    #[test]
    fn the_line_that_a_refusal_names_allows_the_program_and_no_other() {
        let package = MeasuredPackage {
            digest: digest(2),
            script: "x.js".to_owned(),
            name: None,
        };
        let other = MeasuredPackage {
            digest: digest(3),
            ..package.clone()
        };
        let with = |program, package| Candidate {
            name: "x",
            program: digest(program),
            package,
        };
        let kind: AgentKind = "shell".parse().unwrap();
        for candidate in [with(1, None), with(1, Some(&package))] {
            let mut policy = Policy {
                allow: Allow::Listed,
                ..Policy::default()
            };
            let refused = policy.permit(&kind, candidate).unwrap_err();
            let text = format!("programs = [{}]", refused.line);
            let mut listed: std::collections::BTreeMap<String, Vec<Listed>> =
                toml::from_str(&text).unwrap();
            policy.programs = listed.remove("programs").unwrap();
            assert_eq!(policy.permit(&kind, candidate), Ok(()));
            let claude = "claude".parse().unwrap();
            assert!(policy.permit(&claude, candidate).is_err());
            assert!(policy.permit(&kind, with(3, candidate.package)).is_err());
            assert!(policy.permit(&kind, with(1, Some(&other))).is_err());
        }
    }

    #[test]
    fn a_listed_interpreter_is_no_leave_for_its_scripts() {
        let policy = Policy {
            allow: Allow::Listed,
            programs: vec![Listed {
                kind: "shell".parse().unwrap(),
                program: Some(digest(1)),
                package: None,
            }],
            ..Policy::default()
        };
        let package = MeasuredPackage {
            digest: digest(2),
            script: "x.js".to_owned(),
            name: None,
        };
        let script = Candidate {
            name: "x",
            program: digest(1),
            package: Some(&package),
        };
        assert!(policy.permit(&"shell".parse().unwrap(), script).is_err());
    }
}
