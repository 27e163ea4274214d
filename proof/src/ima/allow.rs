//! The allow list: which digests a path may have.
//!
//! A text of lines, as `sha256sum` writes them or with the algorithm in front; kept in flat arrays, so that a hundred
//! thousand entries cost some ten megabytes, and a lookup two or three places in memory and no allocation.

use std::fmt;

use super::DigestKind;
use super::glob::PathPattern;
use super::known::{self, Hashes};
use super::list::Entry;
use super::template::{self, FileDigest};
use crate::tpm::{Digest, HashAlg};

/// The most bytes of digests and paths that a list holds.
const MAX_TEXT: usize = 1 << 30;

/// A line of an allow list that is not one. Whoever wrote it is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct InvalidLine {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
}

/// Digests and the paths that may have them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList {
    /// By digest; each names a place in `text`.
    listed: Vec<Listed>,
    /// The entries' digests and paths, one behind the other.
    text: Vec<u8>,
    patterns: Vec<(Digest, PathPattern)>,
    index: Index,
}

/// What is made of the entries, to find them quickly.
#[derive(Clone, Default, PartialEq, Eq)]
struct Index {
    /// How far a digest's first bytes are shifted to give their place in `starts`.
    shift: u32,
    /// Where the entries begin whose digests begin so; one more than there are beginnings.
    starts: Vec<u32>,
    /// For each entry the hashes over its template data.
    hashes: Vec<Hashes>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It says nothing that the entries do not.
        f.write_str("Index")
    }
}

/// One exact path with one digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    /// The digest's first bytes, so that a search stays in this array.
    head: u64,
    at: u32,
    path: u16,
    alg: HashAlg,
}

impl AllowList {
    /// Adds the lines of a text; call [`Self::finish`] after the last.
    ///
    /// A line is `ALGORITHM:HEX  PATH` or, as `sha256sum` and its like write it, `HEX  PATH` (`HEX *PATH` for binary),
    /// where the digest's length names its algorithm. `#` begins a comment. A path with a `*` in it is a pattern.
    ///
    /// # Errors
    /// [`InvalidLine`] for the first line that is none of these.
    pub fn add(&mut self, text: &str) -> Result<(), InvalidLine> {
        for (index, line) in text.lines().enumerate() {
            let line_number = index + 1;
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.add_line(line).map_err(|problem| InvalidLine {
                line: line_number,
                problem,
            })?;
        }
        Ok(())
    }

    fn add_line(&mut self, line: &str) -> Result<(), &'static str> {
        if line.starts_with('\\') {
            return Err("a path with escapes cannot be listed: give its pattern");
        }
        let (digest, path) = line
            .split_once(' ')
            .ok_or("`ALGORITHM:HEX  /PATH` was expected")?;
        let path = path.strip_prefix([' ', '*']).unwrap_or(path);
        let digest = digest_of(digest)?;
        let path = PathPattern::new(path).ok_or("its path is empty, or longer than 4096 bytes")?;
        if path.is_wild() {
            self.patterns.push((digest, path));
            return Ok(());
        }
        if self.text.len() > MAX_TEXT {
            return Err("the lists are larger than a gibibyte together");
        }
        let at = u32::try_from(self.text.len()).map_err(|_| "the lists are too large")?;
        let length = u16::try_from(path.as_bytes().len()).map_err(|_| "its path is too long")?;
        self.text.extend_from_slice(digest.as_bytes());
        self.text.extend_from_slice(path.as_bytes());
        self.listed.push(Listed {
            head: head(digest.as_bytes()),
            at,
            path: length,
            alg: digest.alg(),
        });
        Ok(())
    }

    /// Brings what was added into order; a lookup before that finds nothing reliably.
    pub fn finish(&mut self) {
        self.listed.sort_unstable_by_key(|listed| listed.head);
        self.listed.shrink_to_fit();
        self.text.shrink_to_fit();
        self.index = self.indexed();
    }

    /// About as many beginnings as entries, so that few entries share one.
    fn indexed(&self) -> Index {
        let bits = self.listed.len().max(2).next_power_of_two().ilog2();
        let shift = u64::BITS - bits;
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for beginning in 0..=1_u64 << bits {
            let from = self
                .listed
                .partition_point(|listed| listed.head >> shift < beginning);
            // Their text has less than 2^32 bytes, so they are fewer.
            starts.push(u32::try_from(from).unwrap_or(u32::MAX));
        }
        let hashes = self.listed.iter().map(|listed| {
            let entry = self
                .entry(listed)
                .and_then(|(digest, path)| Hashes::over(&Digest::new(listed.alg, digest)?, path));
            entry.unwrap_or_default()
        });
        Index {
            shift,
            starts,
            hashes: hashes.collect(),
        }
    }

    /// How many lines it has.
    pub fn len(&self) -> usize {
        self.listed.len() + self.patterns.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `path` may have `digest`. The path is searched for only when it may not: a digest decides.
    pub(super) fn allows(&self, path: &[u8], digest: &FileDigest<'_>) -> bool {
        let Some(alg) = digest.known() else {
            return false;
        };
        if digest.kind != DigestKind::Content {
            return false;
        }
        self.find(alg, digest.bytes, path).is_some()
            || self.patterns.iter().any(|(allowed, pattern)| {
                allowed.alg() == alg && allowed.as_bytes() == digest.bytes && pattern.matches(path)
            })
    }

    /// The hashes over an entry's template data, where these are what a listed file has, byte for byte.
    pub(super) fn hashes(&self, entry: &Entry<'_>) -> Option<&Hashes> {
        if self.listed.is_empty() {
            return None;
        }
        let (digest, path) = known::read(entry.data()?)?;
        let found = self.find(HashAlg::Sha256, digest, path)?;
        self.index.hashes.get(found)
    }

    /// The number of the entry that has this digest and this path.
    fn find(&self, alg: HashAlg, digest: &[u8], path: &[u8]) -> Option<usize> {
        let head = head(digest);
        let beginning = usize::try_from(head >> self.index.shift).ok()?;
        let from = *self.index.starts.get(beginning)? as usize;
        let to = *self.index.starts.get(beginning + 1)? as usize;
        let same = self.listed.get(from..to)?.iter();
        (from..).zip(same).find_map(|(number, listed)| {
            let alike = listed.head == head && listed.alg == alg;
            (alike && self.entry(listed) == Some((digest, path))).then_some(number)
        })
    }

    /// Whether `path` is listed at all: looks at every entry, and is for the words of a finding.
    pub(super) fn lists(&self, path: &[u8]) -> bool {
        let exact = self
            .listed
            .iter()
            .any(|listed| self.entry(listed).is_some_and(|(_, known)| known == path));
        exact || self.patterns.iter().any(|(_, known)| known.matches(path))
    }

    fn entry(&self, listed: &Listed) -> Option<(&[u8], &[u8])> {
        let digest = listed.alg.digest_len();
        let from = listed.at as usize;
        self.text
            .get(from..from + digest + usize::from(listed.path))?
            .split_at_checked(digest)
    }
}

fn head(digest: &[u8]) -> u64 {
    digest
        .first_chunk::<8>()
        .map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

fn digest_of(text: &str) -> Result<Digest, &'static str> {
    let (named, hex) = match text.split_once(':') {
        Some((name, hex)) => (
            Some(template::alg(name).ok_or("the algorithm is not sha1, sha256, sha384 or sha512")?),
            hex,
        ),
        None => (None, text),
    };
    let bytes = data_encoding::HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .map_err(|_| "its digest is not hexadecimal")?;
    let by_length = match bytes.len() {
        20 => HashAlg::Sha1,
        32 => HashAlg::Sha256,
        48 => HashAlg::Sha384,
        64 => HashAlg::Sha512,
        _ => return Err("its digest has the length of no algorithm"),
    };
    if named.is_some_and(|named| named != by_length) {
        return Err("its digest has another length than its algorithm");
    }
    Digest::new(by_length, &bytes).ok_or("its digest has the length of no algorithm")
}
