//! The firmware's event log: whether it gives the quoted PCRs, and whether Secure Boot was on.
//!
//! Only a log whose replay was quoted is asked anything. It is compared for the PCRs 0 to 7 alone: boot loaders, kernels
//! and systemd go on with the others after the firmware. Of what came after, into PCRs 0 to 7 goes one text that is known,
//! systemd's separator, and only where systemd's log has it or is not asked for.

use std::collections::BTreeSet;

use holdfast_proof::event_log::{self, Replayed, SecureBoot};
use holdfast_proof::systemd_log::{OS_SEPARATOR, Record};
use holdfast_proof::tpm::{Digest, PcrIndex, PcrValues};
use holdfast_protocol::evidence::Check;

use super::{Appraiser, EventLogPolicy, Refusal, SecureBootPolicy};

/// The last PCR that firmware alone extends (TCG PC Client Platform Firmware Profile 1.06 §3.3.4).
pub(super) const LAST_OF_FIRMWARE: u8 = 7;

/// The log is there where it has to be, and gives the quoted values.
pub(super) fn replay(
    appraiser: &mut Appraiser,
    log: &[u8],
    quoted: &PcrValues,
    systemd: Option<&[Record]>,
    policy: EventLogPolicy,
) -> Result<Option<Replayed>, Refusal> {
    if log.is_empty() {
        let absent = "the host sent none: it has no uefi, or its broker cannot read the log";
        return match policy {
            EventLogPolicy::Require => Err(appraiser.refused(Check::EventLog, absent)),
            EventLogPolicy::WhereThereIsOne => {
                appraiser.passed(Check::EventLog, absent);
                Ok(None)
            }
        };
    }
    let replayed = match event_log::replay(log) {
        Ok(replayed) => replayed,
        Err(malformed) => return Err(appraiser.refused(Check::EventLog, malformed)),
    };
    let mut given = BTreeSet::new();
    let firmware = quoted
        .iter()
        .filter(|(index, _)| index.get() <= LAST_OF_FIRMWARE);
    for (index, value) in firmware {
        let bank = value.alg();
        let Some(left) = replayed.values.value(bank, index) else {
            return Err(appraiser.refused(
                Check::EventLog,
                format!(
                    "it has no digests of the quoted bank {bank:?}: nothing says what was measured there; turn the bank \
                     off in the firmware's setup"
                ),
            ));
        };
        let number = index.get();
        match Left::of(left, index, value, systemd) {
            Left::Quoted | Left::Separated => _ = given.insert(number),
            Left::Unshown => {
                return Err(appraiser.refused(
                    Check::EventLog,
                    format!(
                        "systemd measured its separator into the quoted pcr {number}, and the host shows no log of \
                         systemd's that says so"
                    ),
                ));
            }
            Left::Other => {
                return Err(appraiser.refused(
                    Check::EventLog,
                    format!(
                        "its {} events do not give the quoted pcr {number} of {bank:?}",
                        replayed.events
                    ),
                ));
            }
        }
    }
    let given: Vec<String> = given.iter().map(u8::to_string).collect();
    let given = given.join(",");
    appraiser.passed(
        Check::EventLog,
        format!(
            "its {} events give the quoted pcrs {given}",
            replayed.events
        ),
    );
    Ok(Some(replayed))
}

/// What a PCR of the firmware's has beside what the firmware left in it.
enum Left {
    /// Nothing.
    Quoted,
    /// systemd's separator, as systemd's log says where it is asked for.
    Separated,
    /// systemd's separator, and no log says so.
    Unshown,
    /// Something else.
    Other,
}

impl Left {
    fn of(firmware: &Digest, index: PcrIndex, quoted: &Digest, systemd: Option<&[Record]>) -> Self {
        let bank = quoted.alg();
        let separator = bank.digest(OS_SEPARATOR.as_bytes());
        let says = |record: &Record| {
            record.pcr() == Some(index) && record.digest(bank) == Some(&separator)
        };
        if firmware == quoted {
            Self::Quoted
        } else if firmware.extended_by(&separator) != *quoted {
            Self::Other
        } else if systemd.is_none_or(|records| records.iter().any(says)) {
            Self::Separated
        } else {
            Self::Unshown
        }
    }
}

/// Secure Boot was on, or policy lets that pass.
pub(super) fn secure_boot(
    appraiser: &mut Appraiser,
    replayed: Option<&Replayed>,
    quoted: &PcrValues,
    policy: SecureBootPolicy,
) -> Result<(), Refusal> {
    // Without PCR 7 in the quote nobody vouches for what the log says of it.
    let vouched = quoted
        .iter()
        .any(|(index, _)| index.get() == LAST_OF_FIRMWARE);
    let state = replayed
        .filter(|_| vouched)
        .map_or(SecureBoot::Unknown, |replayed| replayed.secure_boot);
    let said = format!("secure boot was {state}");
    match (state, policy) {
        (SecureBoot::Enabled, SecureBootPolicy::Record | SecureBootPolicy::Require) => {
            appraiser.passed(Check::SecureBoot, said);
        }
        (
            SecureBoot::Disabled | SecureBoot::Unknown | SecureBoot::Contradictory,
            SecureBootPolicy::Require,
        ) => return Err(appraiser.refused(Check::SecureBoot, said)),
        // A host without a log has nothing to say.
        (SecureBoot::Unknown, SecureBootPolicy::Record) if replayed.is_none() => {}
        (
            SecureBoot::Disabled | SecureBoot::Unknown | SecureBoot::Contradictory,
            SecureBootPolicy::Record,
        ) => appraiser.noted(Check::SecureBoot, said),
    }
    Ok(())
}
