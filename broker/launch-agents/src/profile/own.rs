//! A human's own profile: what it adds to one that comes with Holdfast, or the kind that it defines.
//!
//! Text from the human's folder, where any program of theirs writes, so it is parsed as hostile. It
//! must never take a refusal back, replace the arguments of a kind that Holdfast knows, nor carry a
//! secret in.

use holdfast_protocol::id::AgentKind;
use holdfast_protocol::run::MAX_PROFILE;
use serde::Deserialize;

use super::{Profile, THEIRS, Variable, is_below_home};
use crate::environment::VariableName;

/// The most entries of one list.
const MAX_ENTRIES: usize = 64;
/// The longest name or value, in bytes.
const MAX_TEXT: usize = 4096;
/// What Holdfast sets itself.
const RESERVED: &[&str] = &[
    "ALL_PROXY",
    "HOME",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LOGNAME",
    "NO_PROXY",
    "PATH",
    "SHELL",
    "USER",
];
/// As [`RESERVED`], by how the name starts.
const RESERVED_PREFIXES: &[&str] = &["GIT_CONFIG", "HOLDFAST_", "SPIFFE_"];
/// How the name of a variable ends that holds a secret.
const SECRET_ENDINGS: &[&str] = &[
    "AUTH",
    "CREDENTIAL",
    "CREDENTIALS",
    "KEY",
    "PASS",
    "PASSWD",
    "PASSWORD",
    "SECRET",
    "TOKEN",
];

/// A human's profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnProfileError {
    /// It is longer than [`MAX_PROFILE`].
    #[error("a profile has {MAX_PROFILE} bytes at the most")]
    TooLong,
    /// It is no profile.
    #[error("the profile is not valid")]
    Syntax(#[source] toml::de::Error),
    /// It says that it is of another kind than its file's name does.
    #[error("the profile's file is named `{file}`, and it says `{says}`")]
    Kind {
        /// The file's name.
        file: AgentKind,
        /// What stands in it.
        says: AgentKind,
    },
    /// A list or a text in it is too long.
    #[error("`{0}` is longer than a profile may have it")]
    Bound(&'static str),
    /// It would replace the arguments of a kind that Holdfast knows.
    #[error("`arguments` of `{0}` are Holdfast's own")]
    Arguments(AgentKind),
    /// A template says not once where the human's arguments go.
    #[error("`arguments` must contain `{THEIRS}` exactly once")]
    Template,
    /// It takes a program from a kind that Holdfast knows, with what that kind refuses.
    #[error("`{program}` is `{kind}`, and stays so; extend that kind")]
    Taken {
        /// The program.
        program: String,
        /// Whose it is.
        kind: AgentKind,
    },
    /// It would set what is set already.
    #[error("`{0}` is set by Holdfast")]
    Reserved(VariableName),
    /// It would carry a secret in.
    #[error("`{0}` would carry a secret into the session; keep that in your vault")]
    Secret(VariableName),
    /// A place is not a plain path below home.
    #[error("`{0}` is not a place below home")]
    Place(String),
    /// A host is not a name.
    #[error("`{0}` is not a host's name")]
    Host(String),
    /// Nothing comes with Holdfast that takes any program.
    #[error("there is no profile for any program")]
    NoBase,
}

/// The file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Own {
    kind: Option<AgentKind>,
    names: Vec<String>,
    arguments: Option<Vec<String>>,
    keep: Vec<VariableName>,
    set: Vec<Variable>,
    instructions: Vec<String>,
    tools: Vec<String>,
    hosts: Vec<String>,
}

/// The profile of `kind` for `program`, with what the human's own `text` adds.
///
/// # Errors
/// [`OwnProfileError`].
pub fn with_own(
    built_in: &[Profile],
    kind: &AgentKind,
    program: &str,
    text: &str,
) -> Result<Profile, OwnProfileError> {
    let own = read(kind, text)?;
    let known = built_in.iter().find(|profile| profile.kind == *kind);
    let owner = |name: &str| {
        let mut others = built_in.iter().filter(|other| other.kind != *kind);
        others.find(|other| other.names.iter().any(|own| own == name))
    };
    let names = own.names.iter().map(String::as_str);
    let taken = names
        .chain([program])
        .find_map(|name| owner(name).map(|owner| (name.to_owned(), owner.kind.clone())));
    if let Some((program, kind)) = taken {
        return Err(OwnProfileError::Taken { program, kind });
    }
    let mut profile = match (known, own.arguments) {
        (Some(_), Some(_)) => return Err(OwnProfileError::Arguments(kind.clone())),
        (Some(known), None) => known.clone(),
        (None, arguments) => {
            let any = built_in.iter().find(|profile| profile.names.is_empty());
            let mut profile = any.ok_or(OwnProfileError::NoBase)?.clone();
            profile.kind = kind.clone();
            if let Some(arguments) = arguments {
                if arguments.iter().filter(|a| *a == THEIRS).count() != 1 {
                    return Err(OwnProfileError::Template);
                }
                profile.arguments = arguments;
            }
            profile
        }
    };
    let set_already = |name: &VariableName| profile.set.iter().any(|set| set.name == *name);
    if let Some(variable) = own.set.iter().find(|variable| set_already(&variable.name)) {
        return Err(OwnProfileError::Reserved(variable.name.clone()));
    }
    profile.names.extend(own.names);
    profile.keep.extend(own.keep);
    profile.set.extend(own.set);
    profile.instructions.extend(own.instructions);
    profile.tools.extend(own.tools);
    profile.hosts.extend(own.hosts.iter().cloned());
    profile.own_hosts = own.hosts;
    Ok(profile)
}

/// Everything that can be said of the text by itself.
fn read(kind: &AgentKind, text: &str) -> Result<Own, OwnProfileError> {
    if text.len() > MAX_PROFILE {
        return Err(OwnProfileError::TooLong);
    }
    let own: Own = toml::from_str(text).map_err(OwnProfileError::Syntax)?;
    if let Some(says) = own.kind.clone().filter(|says| says != kind) {
        let file = kind.clone();
        return Err(OwnProfileError::Kind { file, says });
    }
    let arguments = own.arguments.as_deref().unwrap_or_default();
    bounded("names", own.names.iter().map(String::as_str))?;
    bounded("arguments", arguments.iter().map(String::as_str))?;
    bounded("keep", own.keep.iter().map(VariableName::as_str))?;
    bounded("set", own.set.iter().map(|set| set.value.as_str()))?;
    bounded("instructions", own.instructions.iter().map(String::as_str))?;
    bounded("tools", own.tools.iter().map(String::as_str))?;
    bounded("hosts", own.hosts.iter().map(String::as_str))?;
    let set = own.set.iter().map(|variable| &variable.name);
    for name in own.keep.iter().chain(set) {
        let upper = name.as_str().to_ascii_uppercase();
        let is = |ending: &&str| upper == **ending || upper.ends_with(&format!("_{ending}"));
        if RESERVED.contains(&upper.as_str())
            || RESERVED_PREFIXES
                .iter()
                .any(|start| upper.starts_with(start))
        {
            return Err(OwnProfileError::Reserved(name.clone()));
        }
        if SECRET_ENDINGS.iter().any(is) {
            return Err(OwnProfileError::Secret(name.clone()));
        }
    }
    let mut places = own.instructions.iter().chain(&own.tools);
    if let Some(place) = places.find(|place| !is_below_home(place)) {
        return Err(OwnProfileError::Place(place.clone()));
    }
    if let Some(host) = own.hosts.iter().find(|host| !is_host(host)) {
        return Err(OwnProfileError::Host(host.clone()));
    }
    Ok(own)
}

fn bounded<'a>(
    list: &'static str,
    entries: impl ExactSizeIterator<Item = &'a str>,
) -> Result<(), OwnProfileError> {
    let few = entries.len() <= MAX_ENTRIES;
    let mut entries = entries;
    if few && entries.all(|entry| entry.len() <= MAX_TEXT && !entry.contains('\0')) {
        Ok(())
    } else {
        Err(OwnProfileError::Bound(list))
    }
}

/// A name of at least two labels, so that no host of this machine or its network is meant.
pub(super) fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253
        && host.contains('.')
        && host.split('.').all(label)
        && last.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests;
