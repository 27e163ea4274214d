//! The envelope of a note: its text, an empty line, and signature lines (C2SP signed-note).
//!
//! Unknown signature lines are kept and never an error: a note may be signed by keys that we do not know.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use super::Origin;

const SEPARATOR: &str = "\n\n";
const DASH: &str = "\u{2014} ";

/// A note and its signatures, none of them verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// The first four bytes of a hash over a key: a hint at which key signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub [u8; 4]);

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key.
    pub name: Origin,
    /// Its id.
    pub key_id: KeyId,
    /// The signature, in the form of the key's type.
    pub signature: Vec<u8>,
}

/// The text is not a signed note. Whoever wrote it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedNote {
    /// Above one of the limits.
    #[error(
        "a note has at most {} bytes and {} signatures",
        SignedNote::MAX_BYTES,
        SignedNote::MAX_SIGNATURES
    )]
    TooLong,
    /// The text is empty, does not end with a line feed, or has a control character.
    #[error("the text of the note is malformed")]
    Text,
    /// No empty line stands between text and signatures.
    #[error("the note has no signatures")]
    Unsigned,
    /// A signature line.
    #[error("signature line {0} is malformed")]
    Signature(usize),
}

impl SignedNote {
    /// The longest note, in bytes.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// The most signature lines.
    pub const MAX_SIGNATURES: usize = 32;

    /// A note of this `text` with these `signatures`.
    pub fn new(text: String, signatures: Vec<SignatureLine>) -> Result<Self, MalformedNote> {
        if signatures.len() > Self::MAX_SIGNATURES {
            return Err(MalformedNote::TooLong);
        }
        if signatures.is_empty() {
            return Err(MalformedNote::Unsigned);
        }
        // A text with an empty line at its end would split elsewhere when it is parsed.
        let printable = text.chars().all(|c| c == '\n' || !c.is_control());
        if !printable || !text.ends_with('\n') || text.ends_with(SEPARATOR) || text == "\n" {
            return Err(MalformedNote::Text);
        }
        let note = Self { text, signatures };
        if note.to_string().len() > Self::MAX_BYTES {
            return Err(MalformedNote::TooLong);
        }
        Ok(note)
    }

    /// Parses a note.
    pub fn parse(note: &str) -> Result<Self, MalformedNote> {
        if note.len() > Self::MAX_BYTES {
            return Err(MalformedNote::TooLong);
        }
        let (before, after) = note.rsplit_once(SEPARATOR).ok_or(MalformedNote::Unsigned)?;
        let lines = after.strip_suffix('\n').ok_or(MalformedNote::Unsigned)?;
        let mut signatures = Vec::new();
        for (number, line) in lines.split('\n').enumerate() {
            if number >= Self::MAX_SIGNATURES {
                return Err(MalformedNote::TooLong);
            }
            let line = parse_line(line).ok_or(MalformedNote::Signature(number))?;
            signatures.push(line);
        }
        Self::new(format!("{before}\n"), signatures)
    }

    /// What the signatures cover: the text with its last line feed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// The note with one more signature, such as a mirror's cosignature.
    pub fn with_signature(mut self, line: SignatureLine) -> Result<Self, MalformedNote> {
        self.signatures.push(line);
        Self::new(self.text, self.signatures)
    }
}

impl fmt::Display for SignedNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}

impl FromStr for SignedNote {
    type Err = MalformedNote;

    fn from_str(note: &str) -> Result<Self, MalformedNote> {
        Self::parse(note)
    }
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.key_id.0.to_vec();
        bytes.extend_from_slice(&self.signature);
        write!(f, "{DASH}{} {}", self.name, BASE64.encode(&bytes))
    }
}

fn parse_line(line: &str) -> Option<SignatureLine> {
    let (name, encoded) = line.strip_prefix(DASH)?.split_once(' ')?;
    let bytes = BASE64.decode(encoded.as_bytes()).ok()?;
    // `decode` also takes padding within the text, which would give one line several spellings.
    if BASE64.encode(&bytes) != encoded {
        return None;
    }
    let (key_id, signature) = bytes.split_first_chunk()?;
    if signature.is_empty() {
        return None;
    }
    Some(SignatureLine {
        name: Origin::new(name).ok()?,
        key_id: KeyId(*key_id),
        signature: signature.to_vec(),
    })
}
