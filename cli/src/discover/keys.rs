//! Keys that lie about: their names, their places, what kind they look like, and never a value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::assignments::{self, Assignment};
use super::words;

/// The most keys that are told of one place.
const MAX_KEYS: usize = 50;

/// Ends of names that only tell of a key.
const NOT_KEYS: [&str; 12] = [
    "tokens",
    "file",
    "path",
    "url",
    "uri",
    "expiry",
    "expires",
    "expiresat",
    "type",
    "id",
    "count",
    "name",
];

/// A key that an agent of this human can read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// What it is called where it lies.
    pub name: String,
    /// Where it lies.
    pub place: KeyPlace,
    /// What it looks like.
    pub kind: Option<&'static str>,
    /// Its length, in bytes.
    pub length: usize,
    /// The command that brings it in, where there is one.
    pub bring_in: Option<&'static str>,
}

/// Where a key lies.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPlace {
    /// The environment that this command was started in.
    Environment,
    /// A process's environment.
    Process(u32),
    /// A file.
    File(#[serde(serialize_with = "super::lossy::path")] PathBuf),
}

/// How a file of keys is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Assignments, a line each.
    Assignments,
    /// Machines and their passwords.
    Netrc,
    /// URLs with passwords.
    Urls,
    /// JSON.
    Json,
}

/// The keys in a file's text.
pub fn in_text(text: &str, form: Form, place: &KeyPlace) -> Vec<Key> {
    let keys = |found: &mut dyn Iterator<Item = Assignment<'_>>| {
        found
            .map(|found| key(found.name, found.value, place))
            .take(MAX_KEYS)
            .collect()
    };
    match form {
        Form::Assignments => keys(
            &mut assignments::assignments(text).filter(|found| is_key(found.name, found.value)),
        ),
        Form::Netrc => keys(&mut assignments::netrc(text)),
        Form::Urls => keys(&mut assignments::urls(text)),
        Form::Json => match serde_json::from_str(text) {
            Ok(value) => in_json(&value, place),
            Err(_) => Vec::new(),
        },
    }
}

/// The keys among variables: those that are called so, those that look so, and `known` ones.
pub fn in_environment<'a>(
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    known: &[&str],
    place: &KeyPlace,
) -> Vec<Key> {
    variables
        .filter(|(name, value)| !value.is_empty() && (known.contains(name) || is_key(name, value)))
        .take(MAX_KEYS)
        .map(|(name, value)| key(name, value, place))
        .collect()
}

fn in_json(value: &Value, place: &KeyPlace) -> Vec<Key> {
    let mut found = Vec::new();
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        if found.len() >= MAX_KEYS {
            break;
        }
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(value) if is_key(name, value) => {
                            found.push(key(name, value, place));
                        }
                        Value::Object(_) | Value::Array(_) => waiting.push(value),
                        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
                    }
                }
            }
            Value::Array(values) => waiting.extend(values),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found.truncate(MAX_KEYS);
    found
}

fn key(name: &str, value: &str, place: &KeyPlace) -> Key {
    Key {
        name: words::shown(name),
        place: place.clone(),
        kind: words::kind_of(value),
        length: value.len(),
        bring_in: None,
    }
}

/// Whether a value is a key, by its name or its looks.
fn is_key(name: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    if words::kind_of(value).is_some() && value.len() >= 16 {
        return true;
    }
    let name: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let called = [
        "apikey",
        "token",
        "secret",
        "password",
        "passwd",
        "accesskey",
        "privatekey",
    ];
    let ends = NOT_KEYS.iter().any(|end| name.ends_with(end));
    !ends && (name == "auth" || name == "key" || called.iter().any(|word| name.contains(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_name_or_its_looks() {
        for (name, value) in [
            ("ANTHROPIC_API_KEY", "x"),
            ("accessToken", "x"),
            ("_authToken", "x"),
            ("harmless", "ghp_0123456789abcdef"),
        ] {
            assert!(is_key(name, value), "{name}");
        }
        for (name, value) in [
            ("MAX_THINKING_TOKENS", "1000"),
            ("TOKEN_FILE", "/x"),
            ("token_type", "Bearer"),
            ("EDITOR", "vi"),
            ("API_KEY", ""),
        ] {
            assert!(!is_key(name, value), "{name}");
        }
    }
}
