//! Whether a host's evidence proves what it must (DESIGN §8): pure, one named step after the other.
//!
//! It must never do I/O or read a clock, and it has no way to skip a step: what each step yields is
//! what the next one takes. The first refusal ends the judgement; what was judged until then is in
//! the [`Appraisal`].

mod appraiser;
mod banks;
mod continuity;
mod event_log;
mod freshness;
mod ima;
mod keys;
mod pcrs;
mod structure;
mod systemd_log;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use holdfast_proof::event_log::BootEvents;
use holdfast_proof::evidence::ChannelBinding;
use holdfast_proof::ima::Policy as Measurable;
use holdfast_proof::tpm::{PcrIndex, PcrValues};
use holdfast_protocol::evidence::{Appraisal, Check, Evidence};
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde::Deserialize;

use crate::csr::Csr;
use crate::reference::Boot;
use crate::registry::{Host, ImaState, NonceStanding, Observed};
use crate::rollout::Showing;
use appraiser::Appraiser;
pub use banks::{Required, UnquotedBanks};
pub(crate) use ima::wanted as ima_wanted;
use systemd_log::Logs;

/// What policy wants of every host's evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidencePolicy {
    /// The PCRs that a quote has to cover.
    pub required: Required,
    /// What becomes of a host that does not prove that all its active banks are quoted.
    pub unquoted_banks: UnquotedBanks,
    /// The PCRs whose change is a refusal; that of others is noted.
    pub blocking: BTreeSet<PcrIndex>,
    /// What becomes of values that have no reference.
    pub learning: Learning,
    /// What becomes of a change that does not block and that no event log explains.
    pub unexplained: Unexplained,
    /// Firmware versions that are refused.
    pub refused_firmware: BTreeSet<u64>,
    /// Whether a host has to show its firmware's event log.
    pub event_log: EventLogPolicy,
    /// Whether Secure Boot has to be on.
    pub secure_boot: SecureBootPolicy,
    /// What becomes of systemd's log.
    pub systemd_log: SystemdLogPolicy,
    /// What its kernel may have measured.
    pub ima: ImaPolicy,
}

/// What becomes of PCR values that have no reference yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Learning {
    /// They are the reference from then on.
    #[default]
    FirstBoot,
    /// They are proposed to an operator, and the host is refused until they are approved.
    Propose,
}

/// What becomes of a PCR's change that does not block, where the host's event log does not give the new value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unexplained {
    /// It is noted, as every other.
    #[default]
    Note,
    /// It is proposed to an operator, and the host is refused until it is approved.
    Ask,
}

/// Whether a host has to show its firmware's event log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventLogPolicy {
    /// A host without UEFI has none; one that is shown has to fit the quote.
    #[default]
    WhereThereIsOne,
    /// A host without one is refused.
    Require,
}

/// Whether Secure Boot has to be on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecureBootPolicy {
    /// That it is off is noted.
    #[default]
    Record,
    /// A host is refused unless its log and its quote show that it is on.
    Require,
}

/// What becomes of systemd's log of what it measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SystemdLogPolicy {
    /// None is asked for.
    Off,
    /// A host without one passes; one that is shown has to fit the quote.
    #[default]
    WhereThereIsOne,
    /// A host without one is refused, and so is a quoted PCR of systemd's that the logs do not give.
    Require,
}

/// What a host's measurement list means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ImaPolicy {
    /// Nothing: none is asked for.
    #[default]
    Off,
    /// It has to replay; what is neither listed nor signed is noted.
    Record(Arc<Measurable>),
    /// It has to be there and to replay, and what is neither listed nor signed is a refusal.
    Enforce(Arc<Measurable>),
}

impl EvidencePolicy {
    /// Names these rules: others have another digest. It reads every line of an allow list, and is for the start.
    pub fn digest(&self) -> Sha256Digest {
        let Self {
            required,
            unquoted_banks,
            blocking,
            learning,
            unexplained,
            refused_firmware,
            event_log,
            secure_boot,
            systemd_log,
            ima,
        } = self;
        let mut hashed = Hashed(Context::new(&SHA256));
        // Writing to a hash does not fail.
        let _ = write!(
            hashed,
            "required {required:?};unquoted {unquoted_banks:?};blocking {blocking:?};learning {learning:?};unexplained {unexplained:?};firmware {refused_firmware:x?};event log {event_log:?};\
             secure boot {secure_boot:?};systemd log {systemd_log:?};ima {ima:?};"
        );
        hashed.finish()
    }
}

/// Text that is hashed as it comes: an allow list has a hundred thousand lines.
struct Hashed(Context);

impl Hashed {
    fn finish(self) -> Sha256Digest {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        Sha256Digest::new(bytes)
    }
}

impl fmt::Write for Hashed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

/// What the evidence is judged against.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// The host that claims to send it.
    pub host: &'a Host,
    /// What the store said when the evidence's nonce was used up.
    pub nonce: NonceStanding,
    /// The connection that the evidence came on.
    pub channel: ChannelBinding,
    /// What policy wants.
    pub policy: &'a EvidencePolicy,
}

/// What evidence proved. It is made only by [`verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The request for the node key, which lives in the host's TPM.
    pub csr: Csr,
    /// What the TPM reported.
    pub observed: Observed,
    /// PCR values that had no reference yet.
    pub learned: PcrValues,
    /// The events of this boot, if it is the reference one and its events are not kept yet.
    pub events: Option<BootEvents>,
    /// Whether it shows an update that was accepted ahead of time.
    pub update: Update,
    /// How it stands to the rollout that its host is in.
    pub showing: Showing,
    /// How far its measurement list was replayed, where one is asked for.
    pub ima: Option<ImaState>,
}

/// The evidence does not prove what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("evidence refused: {check}")]
pub struct Refusal {
    /// The check that failed.
    pub check: Check,
    /// What was expected and seen, for the operator.
    pub detail: String,
    /// How far a measurement list was replayed that one attestation could not hold: to be kept all the same.
    pub ima: Option<ImaState>,
    /// The boot that all of the evidence proves and that is not the reference one: an operator may approve it.
    pub proposal: Option<Box<Boot>>,
}

/// Whether evidence shows an update that was accepted ahead of time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// It shows none.
    Unseen,
    /// It shows all of its values: the boot that has them, whose values these are, is the reference from now on.
    Seen(PcrValues),
}

/// Judges evidence.
///
/// # Errors
/// The appraisal tells every check that was made; [`Refusal`] repeats the one that failed.
pub fn verify(
    evidence: &Evidence,
    expectation: &Expectation<'_>,
    now: Timestamp,
) -> (Appraisal, Result<Verified, Refusal>) {
    let mut appraiser = Appraiser::default();
    let result = judge(evidence, expectation, now, &mut appraiser);
    (appraiser.finish(), result)
}

fn judge(
    evidence: &Evidence,
    expectation: &Expectation<'_>,
    now: Timestamp,
    appraiser: &mut Appraiser,
) -> Result<Verified, Refusal> {
    let Expectation {
        host,
        nonce,
        channel,
        policy,
    } = *expectation;
    freshness::registration(appraiser, host)?;
    let nonce = freshness::nonce(appraiser, &evidence.nonce, nonce)?;
    let parsed = structure::parse(appraiser, evidence)?;
    let ak = keys::attestation_key(appraiser, host)?;
    keys::signatures(appraiser, &ak, &parsed)?;
    let attested = structure::types(appraiser, &parsed)?;
    freshness::binding(appraiser, evidence, &parsed, &nonce, &channel)?;
    let required = banks::proven(appraiser, attested.banks, policy)?;
    pcrs::selection(appraiser, attested.quoted, &parsed.pcrs, &required)?;
    pcrs::digest(appraiser, attested.quoted, &parsed.pcrs, ak.hash())?;
    banks::blank(appraiser, &parsed.pcrs, &evidence.event_log)?;
    let records = systemd_log::read(appraiser, &evidence.systemd_log, policy.systemd_log)?;
    let log = event_log::replay(
        appraiser,
        &evidence.event_log,
        &parsed.pcrs,
        records.as_deref(),
        policy.event_log,
    )?;
    event_log::secure_boot(appraiser, log.as_ref(), &parsed.pcrs, policy.secure_boot)?;
    let (by_log, by_policy) = (log.as_ref(), policy.systemd_log);
    let systemd = systemd_log::replay(appraiser, records, by_log, &parsed.pcrs, by_policy)?;
    let replayed = ima::replay(appraiser, evidence, &parsed, policy, host.ima.as_ref())?;
    let ima = ima::policy(appraiser, replayed, &parsed, &policy.ima)?;
    let csr = keys::csr(appraiser, &evidence.csr)?;
    keys::node_key(appraiser, &parsed.node_key, attested.certified, &csr)?;
    let clock = freshness::clock(appraiser, &parsed, host.last.clock)?;
    let firmware = freshness::firmware(
        appraiser,
        &parsed,
        host.last.firmware,
        &policy.refused_firmware,
    )?;
    let audit_counter = freshness::audit_counter(appraiser, attested.counter, host)?;
    // Last, so that what is proposed to an operator is wrong in nothing else.
    let logs = Logs {
        event_log: &evidence.event_log,
        firmware: log.as_ref(),
        systemd: &systemd,
    };
    let held = pcrs::reference(appraiser, &parsed.pcrs, &logs, host, policy)?;
    Ok(Verified {
        csr,
        observed: Observed {
            at: now,
            clock,
            firmware,
            audit_counter,
        },
        learned: held.learned,
        events: held.events,
        update: held.update,
        showing: held.showing,
        ima,
    })
}
