//! What the template data of a listed file are, so that their hash is made once and not for every host that ran it.
//!
//! It only ever spares hashing: data that differ in one byte from those of a listed file are hashed as they come.

use super::template;
use crate::tpm::{Digest, HashAlg};

/// The template whose data these are.
pub(super) const TEMPLATE: &[u8] = b"ima-ng";

/// `sha256:` and its zero, behind their length and that of the digest.
const PREFIX: &[u8; 12] = b"\x28\0\0\0sha256:\0";

/// The hashes over the template data of a listed file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hashes {
    sha1: [u8; 20],
    sha256: [u8; 32],
}

impl Hashes {
    /// Of a file with this digest; none of one that has another than SHA-256, which is not looked for.
    pub(super) fn over(digest: &Digest, path: &[u8]) -> Option<Self> {
        if digest.alg() != HashAlg::Sha256 {
            return None;
        }
        let length = u32::try_from(path.len() + 1).ok()?;
        let parts = [PREFIX, digest.as_bytes(), &length.to_le_bytes(), path, &[0]];
        let data = parts.concat();
        Some(Self {
            sha1: HashAlg::Sha1.digest(&data).as_bytes().try_into().ok()?,
            sha256: HashAlg::Sha256.digest(&data).as_bytes().try_into().ok()?,
        })
    }

    /// That of an algorithm, if it was made.
    pub(super) fn of(&self, alg: HashAlg) -> Option<&[u8]> {
        match alg {
            HashAlg::Sha1 => Some(&self.sha1),
            HashAlg::Sha256 => Some(&self.sha256),
            HashAlg::Sha384 | HashAlg::Sha512 => None,
        }
    }
}

/// The SHA-256 and the path of template data, if they are of that form and have nothing else.
pub(super) fn read(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = data.strip_prefix(PREFIX)?;
    let (digest, rest) = rest.split_at_checked(HashAlg::Sha256.digest_len())?;
    let (path, behind) = template::sized(rest)?;
    let path = path.strip_suffix(&[0])?;
    behind.is_empty().then_some((digest, path))
}
