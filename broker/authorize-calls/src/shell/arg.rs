//! One argument, as far as the text tells it.
//!
//! It must never pretend to know what the shell alone will know.

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    /// All of it is known. Wildcards stand for themselves.
    Whole(String),
    /// It begins so; the rest only the shell will know.
    Prefix(String),
}

impl Arg {
    /// Nothing is known.
    pub(super) fn unknown() -> Self {
        Self::Prefix(String::new())
    }

    /// The text, if all of it is known.
    pub(super) fn whole(&self) -> Option<&str> {
        match self {
            Self::Whole(text) => Some(text),
            Self::Prefix(_) => None,
        }
    }

    /// What is known of its beginning.
    pub(super) fn known(&self) -> &str {
        match self {
            Self::Whole(text) | Self::Prefix(text) => text,
        }
    }

    /// The argument without `prefix`, if it begins so.
    pub(super) fn strip(&self, prefix: &str) -> Option<Self> {
        match self {
            Self::Whole(text) => text.strip_prefix(prefix).map(|t| Self::Whole(t.to_owned())),
            Self::Prefix(text) => text
                .strip_prefix(prefix)
                .map(|t| Self::Prefix(t.to_owned())),
        }
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Whole(text.to_owned())
    }
}
