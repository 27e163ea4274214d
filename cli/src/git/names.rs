//! Names of git's own, as they stand in files that an agent wrote: object ids, refs, lists of refs.
//!
//! Pure. What is not exactly a name is no name; nothing here is ever handed to git unparsed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest ref that is taken, in bytes.
pub const MAX_NAME: usize = 512;

/// An object's id, SHA-1 or SHA-256, in lowercase hex.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Oid(String);

impl Oid {
    /// Parses exactly 40 or 64 hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fits = matches!(text.len(), 40 | 64) && text.bytes().all(hex);
        // All zeros is how git says that there is no object.
        (fits && text.bytes().any(|byte| byte != b'0')).then(|| Self(text.to_owned()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Enough of it for people.
    pub fn short(&self) -> &str {
        self.0.get(..10).unwrap_or(&self.0)
    }
}

/// A full ref's name, as git-check-ref-format(1) allows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(String);

impl RefName {
    /// Parses a name that begins with `refs/` and has at least one part after it.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("refs/")?;
        let whole = text.len() <= MAX_NAME
            && !text.contains("..")
            && !text.contains("@{")
            && !text.ends_with('.')
            && text.bytes().all(allowed)
            && rest.split('/').all(|part| {
                !part.is_empty()
                    && !part.starts_with('.')
                    && !part
                        .get(part.len().saturating_sub(5)..)
                        .is_some_and(|end| end.eq_ignore_ascii_case(".lock"))
            });
        whole.then(|| Self(text.to_owned()))
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As people say it: without `refs/heads/` and the like.
    pub fn short(&self) -> &str {
        ["refs/heads/", "refs/tags/", "refs/remotes/", "refs/"]
            .iter()
            .find_map(|before| self.0.strip_prefix(before))
            .unwrap_or(&self.0)
    }

    /// What stands after `refs/`.
    pub fn inner(&self) -> &str {
        self.0.strip_prefix("refs/").unwrap_or(&self.0)
    }
}

fn allowed(byte: u8) -> bool {
    !byte.is_ascii_control()
        && !matches!(byte, b' ' | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\')
}

macro_rules! text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = &'static str;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text).ok_or("not a name of git's")
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

text!(Oid, RefName);

/// What a file below `refs/`, or `HEAD`, holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// An object.
    Object(Oid),
    /// Another ref.
    Symbolic(RefName),
}

/// The content of `HEAD` or of a loose ref (gitrepository-layout(5)).
pub fn value(content: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(content).ok()?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    match line.strip_prefix("ref: ") {
        Some(name) => RefName::parse(name).map(Value::Symbolic),
        None => Oid::parse(line).map(Value::Object),
    }
}

/// The refs of a `packed-refs` file, and how many lines of it were none.
pub fn packed(content: &[u8]) -> (Vec<(RefName, Oid)>, usize) {
    let mut found = Vec::new();
    let mut odd = 0;
    for line in content.split(|byte| *byte == b'\n') {
        if line.is_empty() || line.starts_with(b"#") || line.starts_with(b"^") {
            continue;
        }
        let parsed = std::str::from_utf8(line).ok().and_then(|line| {
            let (oid, name) = line.split_once(' ')?;
            Some((RefName::parse(name)?, Oid::parse(oid)?))
        });
        match parsed {
            Some(pair) => found.push(pair),
            None => odd += 1,
        }
    }
    (found, odd)
}

/// One line of a ref's log: what it pointed at from then on, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The new value.
    pub oid: Oid,
    /// Why, in one printable line.
    pub why: String,
}

/// The entries of a file below `logs/`, oldest first; lines that are none are left out.
pub fn log(content: &[u8]) -> Vec<Logged> {
    content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let line = String::from_utf8_lossy(line);
            let (facts, why) = line.split_once('\t').unwrap_or((&line, ""));
            let oid = Oid::parse(facts.split(' ').nth(1)?)?;
            let why = why.chars().filter(|c| !c.is_control()).take(200).collect();
            Some(Logged { oid, why })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";

    #[test]
    fn what_is_not_exactly_a_name_is_none() {
        for good in ["refs/heads/main", "refs/stash", "refs/tags/v1.0-rc@1"] {
            assert_eq!(RefName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "main",
            "refs/",
            "refs",
            "refs//x",
            "refs/heads/",
            "refs/heads/..",
            "refs/a..b",
            "refs/heads/.x",
            "refs/heads/x.lock",
            "refs/heads/x.LOCK",
            "refs/a b",
            "refs/a\nb",
            "refs/a~1",
            "refs/@{1}",
            "refs/x.",
            "refs/../HEAD",
            "refs/a\\b",
            "refs/a:b",
            "/refs/a",
        ] {
            assert!(RefName::parse(bad).is_none(), "{bad:?}");
        }
        for bad in [
            "",
            "11",
            "g111111111111111111111111111111111111111",
            &"0".repeat(40),
        ] {
            assert!(Oid::parse(bad).is_none(), "{bad:?}");
        }
        assert!(Oid::parse(&ONE.replace('1', "A")).is_none());
    }

    #[test]
    fn refs_are_read_as_git_writes_them() {
        let one = Oid::parse(ONE).unwrap();
        assert_eq!(
            value(format!("{ONE}\n").as_bytes()),
            Some(Value::Object(one.clone()))
        );
        let main = RefName::parse("refs/heads/main").unwrap();
        assert_eq!(
            value(b"ref: refs/heads/main\n"),
            Some(Value::Symbolic(main.clone()))
        );
        assert_eq!(value(b"ref: ../../config\n"), None);
        let text = format!("# pack-refs with: peeled\n{ONE} refs/heads/main\n^{ONE}\nnonsense\n");
        assert_eq!(packed(text.as_bytes()), (vec![(main, one.clone())], 1));
        let text = format!(
            "{} {ONE} A <a@b> 1 +0000\tOn main: \x1b[31mx\n",
            "0".repeat(40)
        );
        let why = "On main: [31mx".to_owned();
        assert_eq!(log(text.as_bytes()), [Logged { oid: one, why }]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Git takes every name that we take.
        #[test]
        fn git_takes_what_we_take(rest in "[a-z./@{~^:*?\\\\ \\[-]{1,12}") {
            let name = format!("refs/{rest}");
            if RefName::parse(&name).is_some() {
                let checked = Command::new("git").args(["check-ref-format", &name]).status().unwrap();
                prop_assert!(checked.success(), "{}", name);
            }
        }

        #[test]
        fn nothing_makes_it_stumble(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = value(&bytes);
            let _ = packed(&bytes);
            let _ = log(&bytes);
        }
    }
}
