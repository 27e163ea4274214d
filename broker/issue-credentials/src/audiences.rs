//! For whom a JWT-SVID is meant.
//!
//! A set, sorted, so that one request has one spelling and the cache one entry. This module must
//! never let an unbounded list through.

use std::fmt;

/// The most audiences that one JWT-SVID may have.
pub const MAX_AUDIENCES: usize = 8;

/// The longest list, all its audiences taken together, in bytes: room for a SPIFFE ID or two.
pub const MAX_AUDIENCE_BYTES: usize = 4096;

/// One or more audiences, sorted, without doubles (JWT-SVID §3.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audiences(Vec<String>);

/// A list that is no audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAudiences {
    /// There is none, or one of them is empty.
    #[error("audience must be specified")]
    Empty,
    /// There are too many, or they are too long.
    #[error("at most {MAX_AUDIENCES} audiences of {MAX_AUDIENCE_BYTES} bytes altogether")]
    TooLarge,
}

impl Audiences {
    /// Takes a caller's list.
    ///
    /// # Errors
    /// [`InvalidAudiences`] if it is empty or beyond its bounds.
    pub fn new(mut audiences: Vec<String>) -> Result<Self, InvalidAudiences> {
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(InvalidAudiences::Empty);
        }
        let bytes: usize = audiences.iter().map(String::len).sum();
        if audiences.len() > MAX_AUDIENCES || bytes > MAX_AUDIENCE_BYTES {
            return Err(InvalidAudiences::TooLarge);
        }
        audiences.sort_unstable();
        audiences.dedup();
        Ok(Self(audiences))
    }

    /// The audiences in their order.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// As the audit record names them: one as it is; several, or one that could be mistaken for
/// something else, as a JSON array.
impl fmt::Display for Audiences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [one] if one != "x509" && !one.starts_with('[') => f.write_str(one),
            many => f.write_str(&serde_json::Value::from(many).to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn audiences(list: &[&str]) -> Result<Audiences, InvalidAudiences> {
        Audiences::new(list.iter().map(|&text| text.to_owned()).collect())
    }

    #[test]
    fn order_and_doubles_do_not_matter() {
        assert_eq!(audiences(&["b", "a", "b"]), audiences(&["a", "b"]));
        assert_ne!(audiences(&["a"]), audiences(&["a", "b"]));
    }

    #[test]
    fn what_is_empty_or_too_large_is_refused() {
        assert_eq!(audiences(&[]), Err(InvalidAudiences::Empty));
        assert_eq!(audiences(&["a", ""]), Err(InvalidAudiences::Empty));
        assert_eq!(audiences(&["a"; 9]), Err(InvalidAudiences::TooLarge));
        let long = "a".repeat(MAX_AUDIENCE_BYTES);
        assert!(audiences(&[&long]).is_ok());
        assert_eq!(audiences(&[&long, "b"]), Err(InvalidAudiences::TooLarge));
    }

    #[test]
    fn no_two_lists_are_recorded_alike() {
        assert_eq!(audiences(&["a"]).unwrap().to_string(), "a");
        assert_eq!(audiences(&["b", "a"]).unwrap().to_string(), r#"["a","b"]"#);
        assert_eq!(audiences(&["x509"]).unwrap().to_string(), r#"["x509"]"#);
        assert_eq!(audiences(&["[]"]).unwrap().to_string(), r#"["[]"]"#);
    }
}
