//! systemd's log of what it measured: whether it goes on from the firmware's to the quoted PCRs.
//!
//! It is read after the quote and is not in the extraData: what binds it is that some records, from the first on, give the
//! quoted values of all PCRs that it names. What lies behind them counts for nothing. It must never give a value of a PCR
//! 0 to 7 but by its separator: those are the firmware's.

use std::collections::BTreeSet;
use std::fmt::Write;

use holdfast_proof::event_log::{BootEvents, Replayed as Firmware};
use holdfast_proof::ima;
use holdfast_proof::systemd_log::{self, Duty, OS_SEPARATOR, Record, Register};
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrValues};
use holdfast_protocol::evidence::Check;

use super::event_log::LAST_OF_FIRMWARE;
use super::{Appraiser, Refusal, SystemdLogPolicy};

/// The PCR that nothing before systemd extends (UAPI.7 Linux TPM PCR Registry): it is zero where the log begins.
const SYSTEM_IDENTITY: u8 = 15;

/// The PCRs that systemd's programs measure into, before and after the firmware's end (systemd
/// `docs/TPM2_PCR_MEASUREMENTS.md`), beside the firmware's own.
const SYSTEMD: [u8; 5] = [9, 11, 12, 13, SYSTEM_IDENTITY];

/// What systemd's log proves.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The records that count.
    records: Vec<Record>,
    /// The quoted values that they lead to.
    given: PcrValues,
}

/// What both logs say of a boot.
pub(super) struct Logs<'a> {
    /// The firmware's.
    pub(super) event_log: &'a [u8],
    /// Its replay, where there is one.
    pub(super) firmware: Option<&'a Firmware>,
    /// systemd's.
    pub(super) systemd: &'a Replayed,
}

impl Logs<'_> {
    /// Whether they give this value.
    pub(super) fn give(&self, index: PcrIndex, value: &Digest) -> bool {
        let by_firmware = by_firmware(self.firmware, index, value.alg());
        let given = self.systemd.given.value(value.alg(), index);
        given.or(by_firmware) == Some(value)
    }

    /// Their events in a bank, of some PCRs; `None` where neither log was shown.
    pub(super) fn events(&self, bank: HashAlg, pcrs: &BTreeSet<PcrIndex>) -> Option<BootEvents> {
        let firmware = BootEvents::of(self.event_log, bank, pcrs).ok().flatten();
        if firmware.is_none() && self.systemd.records.is_empty() {
            return None;
        }
        let firmware = firmware.unwrap_or_else(|| BootEvents::without_firmware(bank));
        Some(firmware.then(&self.systemd.records, pcrs))
    }
}

fn by_firmware(log: Option<&Firmware>, index: PcrIndex, bank: HashAlg) -> Option<&Digest> {
    log.and_then(|log| log.values.value(bank, index))
}

/// The records of the log; absent where none is asked for.
pub(super) fn read(
    appraiser: &mut Appraiser,
    log: &[u8],
    policy: SystemdLogPolicy,
) -> Result<Option<Vec<Record>>, Refusal> {
    if policy == SystemdLogPolicy::Off {
        return Ok(None);
    }
    match systemd_log::parse(log) {
        Ok(records) => Ok(Some(records)),
        Err(malformed) => Err(appraiser.refused(Check::SystemdLog, malformed)),
    }
}

/// The records lead to the quoted values of all PCRs that they name.
pub(super) fn replay(
    appraiser: &mut Appraiser,
    records: Option<Vec<Record>>,
    firmware: Option<&Firmware>,
    quoted: &PcrValues,
    policy: SystemdLogPolicy,
) -> Result<Replayed, Refusal> {
    let Some(records) = records else {
        return Ok(Replayed::default());
    };
    if records.is_empty() {
        let absent =
            "the host sent none: its systemd measures nothing, or its broker cannot read the log";
        if policy == SystemdLogPolicy::Require {
            return Err(appraiser.refused(Check::SystemdLog, absent));
        }
        appraiser.passed(Check::SystemdLog, absent);
        return Ok(Replayed::default());
    }
    if let Some(index) = foreign(&records) {
        let detail = format!(
            "it measures something else than one separator into pcr {}, which is the firmware's",
            index.get()
        );
        return Err(appraiser.refused(Check::SystemdLog, detail));
    }
    let registers = quoted
        .iter()
        .filter_map(|(index, value)| register(&records, firmware, index, value));
    let replayed = match systemd_log::replay(&records, registers.collect()) {
        Ok(replayed) => replayed,
        Err(no_prefix) => {
            let detail = format!("{no_prefix}: a record was changed, added or left out");
            return Err(appraiser.refused(Check::SystemdLog, detail));
        }
    };
    let systemd = Replayed {
        records: records.into_iter().take(replayed.records).collect(),
        given: values(&replayed.given),
    };
    if policy == SystemdLogPolicy::Require
        && let Some((index, bank)) = ungiven(&systemd, firmware, quoted)
    {
        let detail = format!(
            "the logs do not give the quoted pcr {} of {bank:?}, which is systemd's",
            index.get()
        );
        return Err(appraiser.refused(Check::SystemdLog, detail));
    }
    tell(appraiser, &replayed);
    Ok(systemd)
}

/// What of a log that fits is passed and what noted.
fn tell(appraiser: &mut Appraiser, replayed: &systemd_log::Replayed) {
    let systemd_log::Replayed {
        records,
        given,
        missed,
    } = replayed;
    if !given.is_empty() {
        let given = named(given);
        let detail = format!("its first {records} records give the quoted pcrs {given}");
        appraiser.passed(Check::SystemdLog, detail);
    }
    if !missed.is_empty() {
        let missed = named(missed);
        let detail =
            format!("without the firmware's log it does not give the quoted pcrs {missed}");
        appraiser.noted(Check::SystemdLog, detail);
    }
    if given.is_empty() && missed.is_empty() {
        appraiser.passed(Check::SystemdLog, "it names no quoted pcr");
    }
}

fn values(given: &[Register]) -> PcrValues {
    let mut values = PcrValues::new();
    for register in given {
        // Each PCR of a bank was quoted once.
        let _ = values.insert(register.pcr, register.quoted.clone());
    }
    values
}

/// A PCR of the firmware's into which a log measures anything but one separator.
fn foreign(records: &[Record]) -> Option<PcrIndex> {
    let mut separated = BTreeSet::new();
    records.iter().find_map(|record| {
        let index = record.pcr().filter(|pcr| pcr.get() <= LAST_OF_FIRMWARE)?;
        let separator = record.is_all(OS_SEPARATOR);
        (!separated.insert(index) || !separator).then_some(index)
    })
}

/// A quoted PCR that the log names, as it has to be replayed.
fn register(
    records: &[Record],
    firmware: Option<&Firmware>,
    index: PcrIndex,
    quoted: &Digest,
) -> Option<Register> {
    let bank = quoted.alg();
    let names = |record: &Record| record.pcr() == Some(index) && record.digest(bank).is_some();
    // PCR 10 is the measurement list's.
    if Some(index) == ima::pcr() || !records.iter().any(names) {
        return None;
    }
    let zero = Digest::new(bank, &vec![0; bank.digest_len()])?;
    let (start, duty) = match by_firmware(firmware, index, bank) {
        Some(start) => (start.clone(), Duty::Must),
        None if index.get() == SYSTEM_IDENTITY => (zero, Duty::Must),
        // Who has no firmware log may have firmware that measures.
        None => (zero, Duty::May),
    };
    Some(Register {
        pcr: index,
        start,
        quoted: quoted.clone(),
        duty,
    })
}

/// A quoted PCR of systemd's that neither log gives.
fn ungiven(
    systemd: &Replayed,
    firmware: Option<&Firmware>,
    quoted: &PcrValues,
) -> Option<(PcrIndex, HashAlg)> {
    let logs = Logs {
        event_log: &[],
        firmware,
        systemd,
    };
    let mut quoted = quoted.iter();
    let found =
        quoted.find(|(index, value)| SYSTEMD.contains(&index.get()) && !logs.give(*index, value));
    found.map(|(index, value)| (index, value.alg()))
}

fn named(registers: &[Register]) -> String {
    let indices: BTreeSet<u8> = registers
        .iter()
        .map(|register| register.pcr.get())
        .collect();
    let mut text = String::new();
    for index in indices {
        let separator = if text.is_empty() { "" } else { "," };
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{index}");
    }
    text
}
