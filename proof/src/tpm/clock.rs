//! The TPM's clock and reset counters (Part 2 §10.11).
//!
//! The clock counts powered time only; nothing here may turn it into wall time.

use super::{MalformedStructure, Reader, Writer};

/// Whether the clock can be behind a value that the TPM reported earlier (Part 1 §36.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Safe {
    /// No larger clock value was ever reported.
    Yes,
    /// An unclean stop may have set the clock back.
    No,
}

/// TPMS_CLOCK_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockInfo {
    /// Powered time since the TPM was last cleared, in milliseconds.
    pub clock_ms: u64,
    /// TPM resets since the last clear.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether `clock_ms` can be behind an earlier report.
    pub safe: Safe,
}

impl ClockInfo {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MalformedStructure> {
        Ok(Self {
            clock_ms: reader.u64("clock")?,
            reset_count: reader.u32("resetCount")?,
            restart_count: reader.u32("restartCount")?,
            safe: match reader.u8("safe")? {
                0 => Safe::No,
                1 => Safe::Yes,
                other => return Err(reader.refuse("safe", other.into())),
            },
        })
    }

    pub(super) fn write(&self, writer: &mut Writer) {
        writer
            .u64(self.clock_ms)
            .u32(self.reset_count)
            .u32(self.restart_count)
            .u8(match self.safe {
                Safe::No => 0,
                Safe::Yes => 1,
            });
    }
}

/// TPMS_TIME_INFO, the answer of TPM2_ReadClock and the operand A of TPM2_PolicyCounterTimer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeInfo {
    /// Time since the TPM was last powered on, in milliseconds.
    pub time_ms: u64,
    /// Clock and counters.
    pub clock: ClockInfo,
}

impl TimeInfo {
    /// Parses a TPMS_TIME_INFO.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedStructure> {
        let mut reader = Reader::new("TPMS_TIME_INFO", bytes);
        let info = Self {
            time_ms: reader.u64("time")?,
            clock: ClockInfo::read(&mut reader)?,
        };
        reader.finish()?;
        Ok(info)
    }

    /// The TPMS_TIME_INFO.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.u64(self.time_ms);
        self.clock.write(&mut writer);
        writer.finish()
    }
}

/// A field of TPMS_TIME_INFO, named by its place in TPM2_PolicyCounterTimer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeField {
    /// `time`, 8 bytes.
    Time,
    /// `clock`, 8 bytes.
    Clock,
    /// `resetCount`, 4 bytes.
    ResetCount,
    /// `restartCount`, 4 bytes.
    RestartCount,
    /// `safe`, 1 byte.
    Safe,
}

impl TimeField {
    /// The offset of the field in a marshalled TPMS_TIME_INFO, in bytes.
    pub fn offset(self) -> u16 {
        match self {
            Self::Time => 0,
            Self::Clock => 8,
            Self::ResetCount => 16,
            Self::RestartCount => 20,
            Self::Safe => 24,
        }
    }
}
