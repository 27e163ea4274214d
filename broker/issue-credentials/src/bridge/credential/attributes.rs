//! What git writes to a credential helper (git-credential(1), INPUT/OUTPUT FORMAT).
//!
//! Only what names the place is kept. It must never guess: what could be read in two ways is refused.

/// The longest text, in bytes.
const MAX: usize = 64 * 1024;

/// The place that git wants a credential for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `http`, `https` and so on.
    pub protocol: Option<&'a str>,
    /// The host, with its port where one is written.
    pub host: Option<&'a str>,
    /// The path without the slash that it begins with.
    pub path: Option<&'a str>,
}

/// The text is not what git writes; the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is too long.
    #[error("what git asks is longer than {MAX} bytes")]
    TooLong,
    /// A line is not `key=value`, or has a control character in it.
    #[error("what git asks has a line that is not an attribute")]
    Line,
    /// An attribute that may stand once stands twice.
    #[error("what git asks names its place twice")]
    Twice,
}

impl<'a> Attributes<'a> {
    /// Reads attributes up to the first empty line.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX {
            return Err(Malformed::TooLong);
        }
        let mut read = Self::default();
        for line in text.split('\n').take_while(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=').ok_or(Malformed::Line)?;
            if key.is_empty() || line.chars().any(char::is_control) {
                return Err(Malformed::Line);
            }
            let place = match key {
                "protocol" => &mut read.protocol,
                "host" => &mut read.host,
                "path" => &mut read.path,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(Malformed::Twice);
            }
        }
        Ok(read)
    }
}
