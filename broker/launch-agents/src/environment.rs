//! The environment that an agent gets: chosen, never inherited.
//!
//! What the human's shell exports is full of secrets and of variables that turn a program into
//! another one. Only names on a list pass; a profile may lengthen the list, but never by a name
//! that changes what code runs. Pure.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::LazyLock;

use holdfast_protocol::run::toolchains::{TABLE, Toolchains};

/// Passed on from the human's environment if set there.
const PASSED: &[&str] = &[
    "CLICOLOR",
    "COLORFGBG",
    "COLORTERM",
    "FORCE_COLOR",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "LANG",
    "LANGUAGE",
    "NO_COLOR",
    "TERM",
    "TERM_PROGRAM",
    "TZ",
];
/// Passed on besides: the variables of tools.
static TOOLS: LazyLock<Vec<String>> = LazyLock::new(|| {
    // A part of the program: a test reads it. Without it tools are found at their usual places.
    let table: Option<Toolchains> = toml::from_str(TABLE).ok();
    let names = table.iter().flat_map(Toolchains::variables);
    names.map(str::to_owned).collect()
});
/// Passed on if the name starts so.
const PASSED_PREFIXES: &[&str] = &["LC_"];
/// Never passed, never set: each lets whoever sets it choose the code that runs.
const CODE: &[&str] = &[
    "BASH_ENV",
    "ENV",
    "GCONV_PATH",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PERL5LIB",
    "PERL5OPT",
    "PROMPT_COMMAND",
    "RUBYLIB",
    "RUBYOPT",
    "SHELLOPTS",
    "_JAVA_OPTIONS",
];
/// As [`CODE`], by how the name starts.
const CODE_PREFIXES: &[&str] = &[
    "BASH_FUNC_",
    "BUN_",
    "DYLD_",
    "GLIBC_TUNABLES",
    "LD_",
    "PYTHON",
];
/// The longest value that passes, in bytes.
const MAX_VALUE: usize = 4096;

/// A name that no profile may pass or set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVariable {
    /// Not a portable name.
    #[error("`{0}` is not a variable's name")]
    Name(String),
    /// It decides what code runs.
    #[error("`{0}` decides what code runs; an agent's environment cannot have it")]
    Code(String),
}

/// The name of a variable that an agent may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct VariableName(String);

impl TryFrom<String> for VariableName {
    type Error = InvalidVariable;

    fn try_from(name: String) -> Result<Self, InvalidVariable> {
        let portable = (1..=64).contains(&name.len())
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !portable {
            return Err(InvalidVariable::Name(name.chars().take(64).collect()));
        }
        let code = CODE.contains(&name.as_str())
            || CODE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if code {
            return Err(InvalidVariable::Code(name));
        }
        Ok(Self(name))
    }
}

impl VariableName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for VariableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent's whole environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(BTreeMap<VariableName, String>);

impl Environment {
    /// What passes of the human's environment: the list above, and what the profile keeps.
    pub fn passed<'a>(
        theirs: impl IntoIterator<Item = (&'a str, &'a str)>,
        kept: &[VariableName],
    ) -> Self {
        let passes = |name: &str| {
            PASSED.contains(&name)
                || TOOLS.iter().any(|tool| tool == name)
                || PASSED_PREFIXES
                    .iter()
                    .any(|prefix| name.starts_with(prefix))
                || kept.iter().any(|kept| kept.0 == name)
        };
        let mut ours = Self::default();
        for (name, value) in theirs {
            if passes(name)
                && value.len() <= MAX_VALUE
                && !value.contains('\0')
                && let Ok(name) = VariableName::try_from(name.to_owned())
            {
                ours.set(name, value);
            }
        }
        ours
    }

    /// Sets a variable, whatever it was before.
    pub fn set(&mut self, name: VariableName, value: impl Into<String>) {
        self.0.insert(name, value.into());
    }

    /// Each variable with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&VariableName, &str)> {
        self.0.iter().map(|(name, value)| (name, value.as_str()))
    }

    /// `NAME=value` for each; what holds a NUL byte is left out.
    pub fn to_strings(&self) -> Vec<CString> {
        self.0
            .iter()
            .filter_map(|(name, value)| CString::new(format!("{name}={value}")).ok())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn name(text: &str) -> Result<VariableName, InvalidVariable> {
        VariableName::try_from(text.to_owned())
    }

    #[test]
    fn only_what_is_listed_passes() {
        let theirs = [
            ("TERM", "xterm"),
            ("LC_ALL", "C.UTF-8"),
            ("ANTHROPIC_API_KEY", "secret"),
            ("SSH_AUTH_SOCK", "/run/x"),
            ("LD_PRELOAD", "/tmp/x.so"),
            ("MINE", "kept"),
            ("LANG", "a\0b"),
        ];
        let kept = [name("MINE").unwrap()];
        let ours = Environment::passed(theirs, &kept).to_strings();
        let ours: Vec<_> = ours.iter().map(|s| s.to_str().unwrap()).collect();
        assert_eq!(ours, ["LC_ALL=C.UTF-8", "MINE=kept", "TERM=xterm"]);
    }

    #[test]
    fn every_variable_of_a_tool_passes() {
        let table: Toolchains = toml::from_str(TABLE).unwrap();
        for variable in table.variables() {
            assert!(name(variable).is_ok(), "{variable}");
            let ours = Environment::passed([(variable, "/x")], &[]);
            assert_eq!(ours.iter().count(), 1, "{variable}");
        }
    }

    #[test]
    fn what_chooses_code_has_no_name_here() {
        for bad in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "BUN_BE_BUN",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "BASH_ENV",
        ] {
            assert!(matches!(name(bad), Err(InvalidVariable::Code(_))), "{bad}");
        }
        for bad in ["", "1A", "A=B", "A B", "Ä"] {
            assert!(matches!(name(bad), Err(InvalidVariable::Name(_))), "{bad}");
        }
        assert!(name("PATH").is_ok());
    }
}
