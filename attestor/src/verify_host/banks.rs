//! Which PCR banks a TPM keeps, by its own word, and so what its quote has to cover.
//!
//! What firmware measured into one bank says nothing of another: whoever can choose which banks are looked at has them show
//! one that nobody measured into. So what the host says of its banks counts only where the TPM signed the same.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_proof::audit::banks_digest;
use holdfast_proof::tpm::{
    ActiveBanks, HashAlg, PcrIndex, PcrSelection, PcrValues, SessionAudited,
};
use holdfast_protocol::evidence::Check;
use serde::Deserialize;

use super::{Appraiser, EvidencePolicy, Refusal};

/// The last of the PCRs that only firmware and what it starts extend, and all of it does
/// (TCG PC Client Platform Firmware Profile 1.06 §3.3.4).
const LAST_OF_BOOT: u8 = 7;

/// The highest locality that a TPM may be started in, which then stands at the end of its PCR 0 (TPM profile §4.6.2).
const LAST_LOCALITY: u8 = 4;

/// The PCRs that a quote has to cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Required {
    /// These of every active bank, and no others.
    Active(BTreeSet<PcrIndex>),
    /// These and no others.
    Banks(PcrSelection),
}

/// What becomes of a host that does not prove that each of its active banks is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnquotedBanks {
    /// It is refused.
    Refuse,
    /// It is noted.
    Note,
}

impl Required {
    /// The PCRs, of whatever bank.
    pub fn indices(&self) -> BTreeSet<PcrIndex> {
        match self {
            Self::Active(indices) => indices.clone(),
            Self::Banks(selection) => selection.iter().map(|(_, index)| index).collect(),
        }
    }

    /// The same and one PCR more, of each bank.
    pub fn and(&self, index: Option<PcrIndex>) -> Self {
        match self {
            Self::Active(indices) => Self::Active(indices.iter().copied().chain(index).collect()),
            Self::Banks(selection) => {
                let banks: Vec<_> = selection.banks().map(|(bank, _)| bank).collect();
                let all = banks.into_iter();
                Self::Banks(all.fold(selection.clone(), |all, bank| all.with(bank, index)))
            }
        }
    }

    /// What a host quotes that cannot prove its banks.
    pub(crate) fn unproven(&self) -> PcrSelection {
        match self {
            Self::Active(indices) => PcrSelection::of(HashAlg::Sha256, indices.iter().copied()),
            Self::Banks(selection) => selection.clone(),
        }
    }

    fn of(&self, active: &ActiveBanks) -> PcrSelection {
        match self {
            Self::Active(indices) => active.selection(indices),
            Self::Banks(selection) => selection.clone(),
        }
    }
}

/// The TPM proves which banks are active, and none of them is left out that has to be quoted. Gives what has to be.
pub(super) fn proven(
    appraiser: &mut Appraiser,
    shown: Option<(&ActiveBanks, &SessionAudited)>,
    policy: &EvidencePolicy,
) -> Result<PcrSelection, Refusal> {
    let Some((active, audited)) = shown else {
        let unproven = "the evidence does not prove which pcr banks are active: update the host's broker, or set \
                        `unquoted-banks` to note where its TPM has no TPM2_GetSessionAuditDigest";
        lenient(appraiser, policy, unproven.to_owned())?;
        return Ok(policy.required.unproven());
    };
    // Whether other commands came in between does not matter: no command changes the banks before the next reset.
    let SessionAudited {
        exclusive: _,
        session_digest,
    } = audited;
    let expected = banks_digest(active);
    if session_digest.as_bytes() != expected.as_bytes() {
        let signed = data_encoding::HEXLOWER.encode(session_digest.as_bytes());
        return Err(appraiser.refused(
            Check::PcrBanks,
            format!("the TPM signed {signed}, to have told the banks that are shown is {expected}"),
        ));
    }
    let required = policy.required.of(active);
    // Banks that are named were looked at when the configuration was read.
    if let Required::Active(indices) = &policy.required
        && !has_strong(&required, indices)
    {
        return Err(appraiser.refused(
            Check::PcrBanks,
            format!(
                "no bank of sha-256 or stronger is active with every required pcr, but {}: turn one on in the \
                 firmware's setup",
                names(active.known(), active.unknown())
            ),
        ));
    }
    let quoted: BTreeSet<_> = required.banks().map(|(bank, _)| bank).collect();
    let left_out = active.known().filter(|bank| !quoted.contains(bank));
    let left_out = names(left_out, active.unknown());
    if left_out.is_empty() {
        let all = names(active.known(), active.unknown());
        appraiser.passed(
            Check::PcrBanks,
            format!("active by the TPM's own word, and each quoted: {all}"),
        );
    } else {
        let left_out =
            format!("active and not quoted, so that nobody judges what it has: {left_out}");
        lenient(appraiser, policy, left_out)?;
    }
    Ok(required)
}

/// Whether a bank of SHA-256 or stronger has every one of these PCRs.
fn has_strong(required: &PcrSelection, indices: &BTreeSet<PcrIndex>) -> bool {
    let mut strong = required.banks().filter(|(bank, _)| *bank != HashAlg::Sha1);
    strong.any(|(_, kept)| kept == indices)
}

fn lenient(
    appraiser: &mut Appraiser,
    policy: &EvidencePolicy,
    what: String,
) -> Result<(), Refusal> {
    match policy.unquoted_banks {
        UnquotedBanks::Refuse => Err(appraiser.refused(Check::PcrBanks, what)),
        UnquotedBanks::Note => {
            appraiser.noted(Check::PcrBanks, what);
            Ok(())
        }
    }
}

/// No quoted bank was left blank by a firmware that measured: everybody could extend it to what they like. A host without
/// such a firmware, as a simulated one is, has blank banks alone, and no log.
pub(super) fn blank(
    appraiser: &mut Appraiser,
    quoted: &PcrValues,
    log: &[u8],
) -> Result<(), Refusal> {
    let mut banks: BTreeMap<HashAlg, Measured> = BTreeMap::new();
    for (index, value) in quoted
        .iter()
        .filter(|(index, _)| index.get() <= LAST_OF_BOOT)
    {
        let measured = banks.entry(value.alg()).or_insert(Measured::Nothing);
        if !is_start(index, value.as_bytes()) {
            *measured = Measured::Something;
        }
    }
    let of = |wanted: Measured| {
        let found = banks
            .iter()
            .filter(move |(_, measured)| **measured == wanted);
        names(found.map(|(bank, _)| *bank), [].into_iter())
    };
    let (blank, extended) = (of(Measured::Nothing), of(Measured::Something));
    if blank.is_empty() {
        appraiser.passed(
            Check::BlankBank,
            "the firmware measured into every quoted bank",
        );
        return Ok(());
    }
    let instead = match (extended.is_empty(), log.is_empty()) {
        (true, true) => {
            appraiser.passed(
                Check::BlankBank,
                "all are blank: the host has no firmware that measures",
            );
            return Ok(());
        }
        (true, false) => "the host shows an event log".to_owned(),
        (false, _) => format!("it measured into {extended}"),
    };
    Err(appraiser.refused(
        Check::BlankBank,
        format!(
            "the firmware measured nothing into {blank}, while {instead}: anybody may extend a blank bank; turn it off in \
             the firmware's setup, or update the firmware"
        ),
    ))
}

/// Whether firmware extended any PCR of a bank.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measured {
    Nothing,
    Something,
}

/// Whether this is the value with which a PCR of the boot starts.
fn is_start(index: PcrIndex, value: &[u8]) -> bool {
    let Some((last, rest)) = value.split_last() else {
        return true;
    };
    let locality = if index.get() == 0 { LAST_LOCALITY } else { 0 };
    rest.iter().all(|byte| *byte == 0) && *last <= locality
}

fn names(known: impl Iterator<Item = HashAlg>, unknown: impl Iterator<Item = u16>) -> String {
    let known = known.map(|bank| format!("{bank:?}").to_lowercase());
    let all: Vec<_> = known
        .chain(unknown.map(|id| format!("{id:#06x}")))
        .collect();
    all.join(", ")
}
