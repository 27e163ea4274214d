//! PINs and recovery codes as values: bounded, zeroized, never printed.
//!
//! They become authorization values here and nowhere else; nothing here stores or compares one.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use data_encoding::BASE32_NOPAD;
use tss_esapi::structures::Auth;
use zeroize::{Zeroize as _, Zeroizing};

use crate::error::{At as _, TpmError};

/// What a human types to approve. The TPM counts the wrong ones.
pub struct Pin(Zeroizing<String>);

/// A PIN that cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PIN has {} to {} characters", Pin::MIN, Pin::MAX)]
pub struct InvalidPin;

impl Pin {
    /// The fewest characters: with three guesses, a thief's chance at 4 random digits is 0.03 %.
    pub const MIN: usize = 4;
    /// The most characters.
    pub const MAX: usize = 64;

    /// Takes what was typed.
    ///
    /// # Errors
    /// [`InvalidPin`] if it is too short or too long.
    pub fn new(typed: Zeroizing<String>) -> Result<Self, InvalidPin> {
        if (Self::MIN..=Self::MAX).contains(&typed.chars().count()) {
            Ok(Self(typed))
        } else {
            Err(InvalidPin)
        }
    }

    pub(crate) fn auth(&self) -> Result<Auth, TpmError> {
        auth(b"holdfast-pin-v1", self.0.as_bytes())
    }
}

impl Clone for Pin {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// 160 random bits that unlock a PIN: shown once, kept by the human on paper.
pub struct RecoveryCode(Zeroizing<[u8; RecoveryCode::LENGTH]>);

/// A recovery code that cannot be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a recovery code is 32 letters and digits, in groups of 4")]
pub struct InvalidRecoveryCode;

impl RecoveryCode {
    /// Its length, in bytes. Nothing limits guesses at it, so it must be out of reach of guessing.
    pub const LENGTH: usize = 20;

    /// Draws a new one from the system's random numbers.
    ///
    /// # Errors
    /// [`TpmError::Unsupported`] if the system has none.
    pub fn generate() -> Result<Self, TpmError> {
        let mut bytes = Zeroizing::new([0; Self::LENGTH]);
        SystemRandom::new()
            .fill(bytes.as_mut_slice())
            .map_err(|_| TpmError::Unsupported {
                what: "the system gives no random numbers",
            })?;
        Ok(Self(bytes))
    }

    /// Reads what was typed: groups, spaces and case do not matter.
    ///
    /// # Errors
    /// [`InvalidRecoveryCode`] if it is anything else than 32 base32 characters.
    pub fn parse(typed: &str) -> Result<Self, InvalidRecoveryCode> {
        /// Twice what a code with separators has.
        const MAX_TYPED: usize = 80;
        if typed.len() > MAX_TYPED {
            return Err(InvalidRecoveryCode);
        }
        let text: Zeroizing<String> = Zeroizing::new(
            typed
                .chars()
                .filter(|character| !character.is_whitespace() && *character != '-')
                .map(|character| character.to_ascii_uppercase())
                .collect(),
        );
        let decoded = BASE32_NOPAD
            .decode(text.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| InvalidRecoveryCode)?;
        let bytes = <[u8; Self::LENGTH]>::try_from(decoded.as_slice());
        bytes
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .map_err(|_| InvalidRecoveryCode)
    }

    /// The code for the human, once: `ABCD-EFGH-…`.
    pub fn reveal(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(BASE32_NOPAD.encode(self.0.as_slice()));
        let mut grouped = Zeroizing::new(String::with_capacity(40));
        for (position, character) in text.chars().enumerate() {
            if position > 0 && position % 4 == 0 {
                grouped.push('-');
            }
            grouped.push(character);
        }
        grouped
    }

    pub(crate) fn auth(&self) -> Result<Auth, TpmError> {
        auth(b"holdfast-recovery-v1", self.0.as_slice())
    }
}

impl Clone for RecoveryCode {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(..)")
    }
}

/// How often a PIN was wrong in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinFailures {
    /// Failures since the last success or reset.
    pub count: u32,
    /// At this many, the right PIN is refused too.
    pub limit: u32,
}

impl PinFailures {
    /// How many wrong PINs lock.
    pub const LIMIT: u32 = 3;

    /// TPMS_NV_PIN_COUNTER_PARAMETERS (Part 2 §13.3).
    pub(crate) fn encode(self) -> [u8; 8] {
        (u64::from(self.count) << 32 | u64::from(self.limit)).to_be_bytes()
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let both = u64::from_be_bytes(bytes.try_into().ok()?);
        Some(Self {
            count: u32::try_from(both >> 32).ok()?,
            limit: u32::try_from(both & 0xffff_ffff).ok()?,
        })
    }
}

/// A secret as an authorization value: always 32 bytes, so that length and trailing zeros, which a TPM strips, do not matter.
fn auth(label: &[u8], secret: &[u8]) -> Result<Auth, TpmError> {
    let mut context = Context::new(&SHA256);
    context.update(label);
    context.update(secret);
    let mut bytes = context.finish().as_ref().to_vec();
    let auth = Auth::from_bytes(&bytes).at("TPM2B_AUTH");
    bytes.zeroize();
    auth
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_recovery_code_survives_paper_and_typing() {
        let code = RecoveryCode::generate().unwrap();
        let shown = code.reveal();
        assert_eq!(shown.len(), 39);
        let typed = shown.to_lowercase().replace('-', " ");
        assert_eq!(RecoveryCode::parse(&typed).unwrap().0, code.0);
    }

    #[test]
    fn half_a_recovery_code_is_none() {
        assert!(RecoveryCode::parse("ABCD-EFGH-ABCD-EFGH").is_err());
        assert!(RecoveryCode::parse(&"A".repeat(1000)).is_err());
    }

    #[test]
    fn a_pin_has_a_length() {
        for (typed, valid) in [("123", false), ("1234", true), (&*"x".repeat(65), false)] {
            let pin = Pin::new(Zeroizing::new(typed.to_owned()));
            assert_eq!(pin.is_ok(), valid, "{typed}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let pin = Pin::new(Zeroizing::new("4711".to_owned())).unwrap();
        assert!(!format!("{pin:?}").contains("4711"));
    }

    #[test]
    fn pin_counters_are_two_words() {
        let failures = PinFailures { count: 2, limit: 3 };
        assert_eq!(failures.encode(), [0, 0, 0, 2, 0, 0, 0, 3]);
        assert_eq!(PinFailures::parse(&failures.encode()), Some(failures));
        assert_eq!(PinFailures::parse(&[0; 7]), None);
    }
}
