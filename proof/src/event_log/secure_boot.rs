//! Whether Secure Boot was on, by the variable that the firmware measures into PCR 7 (§3.3.4.8; UEFI_VARIABLE_DATA §10.2.6).
//!
//! Only a variable whose data hash to the measured digest is believed, and only as long as no other says otherwise.

use std::fmt;

use super::record::{Event, EventType};

/// EFI_GLOBAL_VARIABLE, as its bytes stand in the log.
const GLOBAL: [u8; 16] = [
    0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c,
];

/// The variable's name.
const NAME: &str = "SecureBoot";

/// The PCR that it is measured into.
const PCR: u8 = 7;

/// The state of Secure Boot when the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// Only signed boot loaders were started.
    Enabled,
    /// Any was.
    Disabled,
    /// The log does not say.
    Unknown,
    /// The log says both.
    Contradictory,
}

impl SecureBoot {
    /// What is known after another event.
    pub(super) fn and_then(self, said: Option<Self>) -> Self {
        match (self, said) {
            (known, None) => known,
            (Self::Unknown, Some(said)) => said,
            (known, Some(said)) if known == said => known,
            (_, Some(_)) => Self::Contradictory,
        }
    }
}

impl fmt::Display for SecureBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enabled => "on",
            Self::Disabled => "off",
            Self::Unknown => "not told by any log",
            Self::Contradictory => "on and off in one log",
        })
    }
}

/// What an event says of Secure Boot, if it is about that.
pub(super) fn said_by(event: &Event<'_>) -> Option<SecureBoot> {
    let measured = event.pcr.is_some_and(|pcr| pcr.get() == PCR);
    if !measured || event.kind != EventType::VariableDriverConfig {
        return None;
    }
    let (guid, rest) = event.data.split_first_chunk::<16>()?;
    let (name_length, rest) = rest.split_first_chunk::<8>()?;
    let (data_length, rest) = rest.split_first_chunk::<8>()?;
    // The length of the name is in characters, of the data in bytes.
    let name_length = usize::try_from(u64::from_le_bytes(*name_length)).ok()?;
    let data_length = usize::try_from(u64::from_le_bytes(*data_length)).ok()?;
    let (name, data) = rest.split_at_checked(name_length.checked_mul(2)?)?;
    let (characters, _) = name.as_chunks::<2>();
    let named = characters
        .iter()
        .map(|character| u16::from_le_bytes(*character))
        .eq(NAME.encode_utf16());
    if guid != &GLOBAL || !named || data.len() != data_length {
        return None;
    }
    Some(match data {
        [1] => SecureBoot::Enabled,
        _ => SecureBoot::Disabled,
    })
}
