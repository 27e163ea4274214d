//! The values of the configuration that are more than text, numbers or paths.
//!
//! Each is parsed where the file is read, so that a mistake is shown with its line.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrSelection};
use serde::Deserialize;

use crate::enroll_host::Simulated;
use crate::verify_host::Required;

/// A value of the configuration is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// Not a duration.
    #[error("`{0}` is not a duration such as `15m`, `1h` or `1h 30m`")]
    Duration(String),
    /// Not a PCR selection.
    #[error(
        "`{0}` is not a selection of PCRs such as `active:0,2,4,7`, `sha256:0,2,4,7` or `sha1:0+sha256:7`"
    )]
    Pcrs(String),
    /// Not a firmware version.
    #[error("`{0}` is not a firmware version such as `0x0007000200030004`")]
    Firmware(String),
}

/// How long something lives, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Ttl(Duration);

impl Ttl {
    /// So many minutes.
    pub const fn from_minutes(minutes: u64) -> Self {
        Self(Duration::from_secs(minutes.saturating_mul(60)))
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }
}

impl FromStr for Ttl {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let refused = || InvalidValue::Duration(excerpt(text));
        let duration: jiff::SignedDuration = text.parse().map_err(|_| refused())?;
        let duration = Duration::try_from(duration).map_err(|_| refused())?;
        if duration.subsec_nanos() != 0 || duration.is_zero() {
            return Err(refused());
        }
        Ok(Self(duration))
    }
}

impl TryFrom<String> for Ttl {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

/// The PCRs that a quote has to cover.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RequiredPcrs(pub Required);

impl Default for RequiredPcrs {
    fn default() -> Self {
        let indices = [0, 2, 4, 7, 9, 11].into_iter().filter_map(PcrIndex::new);
        Self(Required::Active(indices.collect()))
    }
}

impl TryFrom<String> for RequiredPcrs {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        let refused = || InvalidValue::Pcrs(excerpt(&text));
        let numbers = |indices: &str| -> Result<BTreeSet<PcrIndex>, InvalidValue> {
            let index = |number: &str| number.trim().parse().ok().and_then(PcrIndex::new);
            let found: Option<_> = indices.split(',').map(index).collect();
            found.ok_or_else(refused)
        };
        if let Some(indices) = text.strip_prefix("active:") {
            return Ok(Self(Required::Active(numbers(indices)?)));
        }
        let mut selection = PcrSelection::none();
        for part in text.split('+') {
            let (bank, indices) = part.split_once(':').ok_or_else(refused)?;
            let bank = match bank {
                "sha1" => HashAlg::Sha1,
                "sha256" => HashAlg::Sha256,
                "sha384" => HashAlg::Sha384,
                "sha512" => HashAlg::Sha512,
                _ => return Err(refused()),
            };
            if selection.banks().any(|(taken, _)| taken == bank) {
                return Err(refused());
            }
            selection = selection.with(bank, numbers(indices)?);
        }
        Ok(Self(Required::Banks(selection)))
    }
}

/// The PCRs whose change is a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct BlockingPcrs(pub BTreeSet<PcrIndex>);

impl Default for BlockingPcrs {
    fn default() -> Self {
        Self(PcrIndex::new(7).into_iter().collect())
    }
}

/// A TPM's firmware version: 64 bits, whose meaning is the vendor's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct FirmwareVersion(pub u64);

impl TryFrom<String> for FirmwareVersion {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.strip_prefix("0x")
            .filter(|digits| digits.len() == 16)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| InvalidValue::Firmware(excerpt(&text)))
    }
}

/// What is asked of revocation lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrlMode {
    /// Nothing.
    #[default]
    Off,
    /// An issuer's lists count where it has some.
    WhereThereIsOne,
    /// Every issuer has to have one.
    Require,
}

/// Whether a refused host learns which check refused it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub enum Explain {
    /// It learns the reason code.
    #[default]
    Reason,
    /// It learns only that it is not accepted.
    Nothing,
}

impl From<bool> for Explain {
    fn from(explain: bool) -> Self {
        if explain { Self::Reason } else { Self::Nothing }
    }
}

/// Whether hosts with a simulated TPM may join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "bool")]
pub struct SimulatedTpms(pub Simulated);

impl From<bool> for SimulatedTpms {
    fn from(accept: bool) -> Self {
        Self(if accept {
            Simulated::Accept
        } else {
            Simulated::Refuse
        })
    }
}

impl Default for SimulatedTpms {
    fn default() -> Self {
        Self(Simulated::Refuse)
    }
}

/// A log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}
