//! Whether the parts that count of a JSON or TOML file changed.
//!
//! What cannot be read as such counts as changed.

use serde_json::Value;

/// The format of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// TOML.
    Toml,
}

impl Format {
    /// As the file's name says.
    pub fn of(name: &[u8]) -> Option<Self> {
        if name.ends_with(b".json") {
            Some(Self::Json)
        } else if name.ends_with(b".toml") {
            Some(Self::Toml)
        } else {
            None
        }
    }

    fn parse(self, text: &[u8]) -> Option<Value> {
        match self {
            Self::Json => serde_json::from_slice(text).ok(),
            Self::Toml => toml::from_str(std::str::from_utf8(text).ok()?).ok(),
        }
    }
}

/// Whether one of `keys` is not as it was; a file that was not there had none of them.
pub fn changed(format: Format, keys: &[Vec<String>], before: Option<&[u8]>, after: &[u8]) -> bool {
    let before = match before {
        Some(before) => format.parse(before),
        None => Some(Value::Null),
    };
    let (Some(before), Some(after)) = (before, format.parse(after)) else {
        return true;
    };
    keys.iter().any(|key| at(&before, key) != at(&after, key))
}

fn at<'v>(value: &'v Value, key: &[String]) -> Option<&'v Value> {
    key.iter().try_fold(value, |value, part| value.get(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_counts_counts() {
        let keys = [
            vec!["scripts".to_owned()],
            vec!["a".to_owned(), "b".to_owned()],
        ];
        let changed = |before: Option<&str>, after: &str| {
            changed(
                Format::Json,
                &keys,
                before.map(str::as_bytes),
                after.as_bytes(),
            )
        };
        let plain = r#"{"version": 1, "scripts": {"test": "x"}, "a": {"c": 1}}"#;
        assert!(!changed(
            Some(plain),
            r#"{"a": {"c": 2}, "version": 2, "scripts": {"test": "x"}}"#
        ));
        assert!(changed(
            Some(plain),
            r#"{"version": 1, "scripts": {"test": "y"}, "a": {"c": 1}}"#
        ));
        assert!(changed(Some(plain), r#"{"version": 1, "a": {"b": 1}}"#));
        assert!(changed(Some(plain), "{"));
        assert!(changed(Some("{"), plain));
        assert!(changed(None, plain));
        assert!(!changed(None, r#"{"version": 1}"#));
    }

    #[test]
    fn a_format_is_known_by_the_name() {
        assert_eq!(Format::of(b"package.json"), Some(Format::Json));
        assert_eq!(Format::of(b"Cargo.toml"), Some(Format::Toml));
        assert_eq!(Format::of(b"Makefile"), None);
        let text = b"[lib]\nproc-macro = true\n";
        let key = [vec!["lib".to_owned(), "proc-macro".to_owned()]];
        assert!(super::changed(Format::Toml, &key, Some(b""), text));
        assert!(!super::changed(Format::Toml, &key, Some(text), text));
    }
}
