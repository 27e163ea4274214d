//! The time of evidence: this nonce, this connection, not before what was seen.
//!
//! The TPM's counters are compared with what was accepted last, never with a wall clock.

use std::collections::BTreeSet;

use holdfast_proof::evidence::{ChannelBinding, Nonce, evidence_binding};
use holdfast_proof::tpm::{ClockInfo, NvCertified, Safe};
use holdfast_protocol::evidence::{Check, Evidence};

use super::continuity::Continuity;
use super::structure::Parsed;
use super::{Appraiser, Refusal};
use crate::registry::{Host, NonceStanding, Standing};
use crate::rfc3339;

/// The host may still get identities.
pub(super) fn registration(appraiser: &mut Appraiser, host: &Host) -> Result<(), Refusal> {
    match &host.standing {
        Standing::Active => {
            appraiser.passed(Check::Registration, "enrolled and not revoked");
            Ok(())
        }
        Standing::Banned { at, why } => Err(appraiser.refused(
            Check::Registration,
            format!("banned {}: {why}", rfc3339(*at)),
        )),
        Standing::Revoked { at, why } => Err(appraiser.refused(
            Check::Registration,
            format!("revoked {}: {why}", rfc3339(*at)),
        )),
    }
}

/// The nonce was ours, for this host, and is used up now.
pub(super) fn nonce(
    appraiser: &mut Appraiser,
    bytes: &[u8],
    standing: NonceStanding,
) -> Result<Nonce, Refusal> {
    let Ok(nonce) = <[u8; Nonce::LEN]>::try_from(bytes) else {
        return Err(appraiser.refused(
            Check::Nonce,
            format!("a nonce has {} bytes, not {}", Nonce::LEN, bytes.len()),
        ));
    };
    match standing {
        NonceStanding::Fresh => {
            appraiser.passed(Check::Nonce, "given to this host and now used up");
            Ok(Nonce::new(nonce))
        }
        NonceStanding::Unknown => Err(appraiser.refused(
            Check::Nonce,
            "never given to this host, expired, or used before",
        )),
    }
}

/// Each structure carries the same extraData: of this nonce, connection, CSR and event log.
pub(super) fn binding(
    appraiser: &mut Appraiser,
    evidence: &Evidence,
    parsed: &Parsed,
    nonce: &Nonce,
    channel: &ChannelBinding,
) -> Result<(), Refusal> {
    let expected = evidence_binding(nonce, channel, &evidence.csr, &evidence.event_log);
    for (name, unverified) in parsed.signed() {
        let found = unverified.attest.extra_data();
        if found != expected.as_bytes() {
            return Err(appraiser.refused(
                Check::Binding,
                format!(
                    "the {name} carries {}, not {expected} of this nonce, connection, csr and \
                     event log",
                    data_encoding::HEXLOWER.encode(found)
                ),
            ));
        }
    }
    appraiser.passed(
        Check::Binding,
        "nonce, connection, csr and event log are in every structure",
    );
    Ok(())
}

/// Reset counters and clock have not gone back. Gives the latest of the structures'.
pub(super) fn clock(
    appraiser: &mut Appraiser,
    parsed: &Parsed,
    last: ClockInfo,
) -> Result<ClockInfo, Refusal> {
    let signed = parsed.signed().into_iter();
    let clocks: Vec<ClockInfo> = signed.map(|(_, signed)| signed.attest.clock()).collect();
    let first = parsed.quote.attest.clock();
    let epoch = |clock: &ClockInfo| (clock.reset_count, clock.restart_count);
    if clocks.iter().any(|clock| epoch(clock) != epoch(&first)) {
        return Err(appraiser.refused(
            Check::Clock,
            "the structures are of different TPM resets or restarts",
        ));
    }
    let times = || clocks.iter().map(|clock| clock.clock_ms);
    let earliest = times().min().unwrap_or(first.clock_ms);
    let latest = ClockInfo {
        clock_ms: times().max().unwrap_or(first.clock_ms),
        safe: if clocks.iter().all(|clock| clock.safe == Safe::Yes) {
            Safe::Yes
        } else {
            Safe::No
        },
        ..first
    };
    let seen = format!(
        "reset {}, restart {}, clock {earliest} ms",
        first.reset_count, first.restart_count
    );
    let before = format!(
        "after reset {}, restart {}, clock {} ms",
        last.reset_count, last.restart_count, last.clock_ms
    );
    let continuity = Continuity::between(last, latest, earliest);
    let detail = format!("{continuity}: {seen} {before}");
    match continuity {
        Continuity::RanOn | Continuity::Resumed | Continuity::Rebooted => {
            appraiser.passed(Check::Clock, detail);
        }
        Continuity::UncleanStop { .. } => appraiser.noted(Check::Clock, detail),
        Continuity::WentBack { .. } => return Err(appraiser.refused(Check::Clock, detail)),
    }
    Ok(latest)
}

/// The firmware is one, and not a refused one; a change is noted.
pub(super) fn firmware(
    appraiser: &mut Appraiser,
    parsed: &Parsed,
    last: u64,
    refused: &BTreeSet<u64>,
) -> Result<u64, Refusal> {
    let version = parsed.quote.attest.firmware_version();
    let same = parsed
        .signed()
        .iter()
        .all(|(_, signed)| signed.attest.firmware_version() == version);
    if !same {
        return Err(appraiser.refused(Check::Firmware, "the structures are of different firmware"));
    }
    if refused.contains(&version) {
        return Err(appraiser.refused(
            Check::Firmware,
            format!("version {version:#018x} is refused by policy"),
        ));
    }
    if version == last {
        appraiser.passed(Check::Firmware, format!("version {version:#018x}"));
    } else {
        appraiser.noted(
            Check::Firmware,
            format!("version {version:#018x}, was {last:#018x}"),
        );
    }
    Ok(version)
}

/// The audit counter is the enrolled one and has not gone back.
pub(super) fn audit_counter(
    appraiser: &mut Appraiser,
    counter: &NvCertified,
    host: &Host,
) -> Result<u64, Refusal> {
    let enrolled = host.enrolled.audit_counter.name();
    if counter.index_name != enrolled {
        return Err(appraiser.refused(
            Check::AuditCounter,
            format!(
                "certified is {}, enrolled is {enrolled}",
                counter.index_name
            ),
        ));
    }
    let Some(value) = counter.counter_value() else {
        return Err(appraiser.refused(
            Check::AuditCounter,
            "what is certified is not the whole of a counter",
        ));
    };
    let last = host.last.audit_counter;
    if value < last {
        return Err(appraiser.refused(
            Check::AuditCounter,
            format!("the value is {value}, before it was {last}"),
        ));
    }
    appraiser.passed(
        Check::AuditCounter,
        format!("the value is {value}, before it was {last}"),
    );
    Ok(value)
}
