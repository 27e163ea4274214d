//! What was read of a project before, so that only what changed is read again.
//!
//! A file is known by its identity, in which the time of its last change cannot be set. What changed within the
//! last moments before it was read is read again: a clock's tick may hold two changes.

use std::collections::HashMap;
use std::fmt::Write;

use holdfast_protocol::digest::Sha256Digest;
use holdfast_protocol::time::Timestamp;

use super::entry::Identity;
use super::escape::{escape, unescape};
use super::manifest::{parse_identity, write_identity};
use super::path::RelPath;

/// Coarser than the times of any file system.
const MOMENTS: i128 = 2_000_000_000;

/// What is known.
#[derive(Debug, Default)]
pub struct Cache {
    known: HashMap<RelPath, (Identity, Sha256Digest)>,
}

impl Cache {
    /// What the file held when it was last read, if it is still that file.
    pub fn find(&self, path: &RelPath, identity: &Identity) -> Option<Sha256Digest> {
        let (known, digest) = self.known.get(path)?;
        (known == identity).then_some(*digest)
    }

    /// Remembers what was read at `now`, if that will still be so.
    pub fn remember(
        &mut self,
        path: &RelPath,
        identity: &Identity,
        digest: Sha256Digest,
        now: Timestamp,
    ) {
        let now = i128::from(now.as_millis()) * 1_000_000;
        if identity.changed < now - MOMENTS {
            self.known.insert(path.clone(), (*identity, digest));
        }
    }

    /// As a file.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for (path, (identity, digest)) in &self.known {
            let (path, identity) = (escape(path.as_bytes()), write_identity(identity));
            let _ = writeln!(text, "{identity} {digest} {path}");
        }
        text
    }

    /// From a file; lines that are none are forgotten.
    pub fn decode(text: &str) -> Self {
        let line = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let [a, b, c, d, e, f, digest, path] = *words.as_slice() else {
                return None;
            };
            let path = RelPath::parse(&unescape(path)?)?;
            let identity = parse_identity([a, b, c, d, e, f])?;
            Some((path, (identity, digest.parse().ok()?)))
        };
        Self {
            known: text.lines().filter_map(line).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_cannot_have_changed_since_is_known() {
        let path = RelPath::parse(b"a b").unwrap();
        let digest = Sha256Digest::new([7; 32]);
        let identity = Identity {
            device: 1,
            inode: 2,
            mode: 0o100_644,
            size: 3,
            modified: 9_000_000_000,
            changed: 10_000_000_000,
        };
        let mut cache = Cache::default();
        cache.remember(&path, &identity, digest, Timestamp::from_secs(12));
        assert_eq!(cache.find(&path, &identity), None);
        cache.remember(&path, &identity, digest, Timestamp::from_millis(12_001));
        let cache = Cache::decode(&format!("nonsense\n{}", cache.encode()));
        assert_eq!(cache.find(&path, &identity), Some(digest));
        let later = Identity {
            changed: 10_000_000_001,
            ..identity
        };
        assert_eq!(cache.find(&path, &later), None);
    }
}
