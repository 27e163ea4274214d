//! 256-bit keys, and AES-256-GCM under them.
//!
//! This module must never draw a nonce by itself: whoever seals knows why it does not repeat.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

use super::file::{Boxed, NONCE};

/// 256 secret bits; zeroized when dropped, never printed.
pub struct Key(Zeroizing<[u8; 32]>);

/// The cryptographic library refused what cannot be refused: us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptographic library failed")]
pub struct CryptoError;

impl From<Unspecified> for CryptoError {
    fn from(Unspecified: Unspecified) -> Self {
        Self
    }
}

impl Key {
    /// Takes over a key.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The key, for whoever seals it.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Puts `plain` into a box that opens only under `context`. A nonce must never come twice under one key.
    pub(super) fn seal(
        &self,
        nonce: [u8; NONCE],
        context: &[u8],
        plain: &[u8],
    ) -> Result<Boxed, CryptoError> {
        let tag = AES_256_GCM.tag_len();
        // Room for all from the start: a vector that grows leaves the plain text behind.
        let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + tag));
        text.extend_from_slice(plain);
        self.cipher()?.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut *text,
        )?;
        Boxed::new([nonce.as_slice(), &text].concat()).ok_or(CryptoError)
    }

    /// What is in a box, if this is its key and `context` its context.
    pub(super) fn open(&self, boxed: &Boxed, context: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = boxed.parts()?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self
            .cipher()
            .ok()?
            .open_in_place(nonce, Aad::from(context), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }

    /// As [`Key::open`], for text.
    pub(super) fn open_text(&self, boxed: &Boxed, context: &[u8]) -> Option<Zeroizing<String>> {
        let mut bytes = self.open(boxed, context)?;
        // Taken, so that no copy is left behind. What was sealed as text is text.
        String::from_utf8(std::mem::take(&mut *bytes))
            .ok()
            .map(Zeroizing::new)
    }

    fn cipher(&self) -> Result<LessSafeKey, CryptoError> {
        let key = UnboundKey::new(&AES_256_GCM, self.0.as_slice())?;
        Ok(LessSafeKey::new(key))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Parts of a context, one after the other, each behind its length, so that none can reach into the next.
pub(super) fn context(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        // A part is a name, a use or a number: never near 2⁶⁴ bytes.
        bytes.extend((part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_box_opens_with_its_key_under_its_context_alone() {
        let key = Key::new(Zeroizing::new([7; 32]));
        let boxed = key.seal([1; NONCE], b"here", b"secret").unwrap();
        assert_eq!(*key.open(&boxed, b"here").unwrap(), b"secret");
        assert!(key.open(&boxed, b"there").is_none());
        let other = Key::new(Zeroizing::new([8; 32]));
        assert!(other.open(&boxed, b"here").is_none());
        let nothing = key.seal([2; NONCE], b"", b"").unwrap();
        assert!(key.open(&nothing, b"").unwrap().is_empty());
    }

    #[test]
    fn parts_do_not_flow_together() {
        assert_ne!(context(&[b"ab", b"c"]), context(&[b"a", b"bc"]));
        assert_ne!(context(&[b"", b"a"]), context(&[b"a", b""]));
    }
}
