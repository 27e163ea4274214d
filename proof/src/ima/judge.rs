//! Whether what a host ran is what it may run.
//!
//! Only entries of a proven prefix belong here. What cannot be understood is never harmless: it is a finding.

use serde::{Deserialize, Serialize};

use super::boot::{self, Aggregate};
use super::known;
use super::list::{Entry, List, MalformedList};
use super::{AllowList, Known, Measured, PathPattern, SignatureRefused, SigningKeys};
use crate::tpm::PcrValues;

/// How many findings are kept in words; the others are only counted.
const KEPT: usize = 16;

/// The longest path that a finding shows, in bytes.
const SHOWN: usize = 256;

/// What may be measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Digests by path.
    pub allow: AllowList,
    /// Paths that are not judged. An excluded path says nothing about what is in it: whoever is root may name a file so.
    pub exclude: Vec<PathPattern>,
    /// Keys whose signature makes a file right without being listed.
    pub keys: SigningKeys,
}

/// Why an entry is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Justified {
    /// It is the `boot_aggregate`, and that of the quoted PCRs where these are quoted.
    BootAggregate,
    /// The allow list has its path and digest.
    Listed,
    /// A configured key signed its digest.
    Signed,
    /// Its path is excluded.
    Excluded,
}

/// Why an entry is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unjustified {
    /// Neither listed nor signed.
    #[error("not listed")]
    NotListed,
    /// Listed with other digests.
    #[error("listed with another digest")]
    OtherDigest,
    /// Signed, but not rightly.
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    /// Somebody had it open to write while it was measured.
    #[error("written while it was measured")]
    Violation,
    /// The kernel measured a buffer whose bytes are not those of its digest.
    #[error("its bytes are not those of its digest")]
    Buffer,
    /// Its template is not known.
    #[error("its template is not known")]
    Template,
    /// The boot that it was made in is not the quoted one.
    #[error("not the hash of the quoted pcrs 0 to 9")]
    BootAggregate,
}

/// One entry that is not right, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The entry's number since the boot.
    pub index: u64,
    /// Its path, printable.
    pub path: String,
    /// Its digest as `ALGORITHM:HEX`.
    pub digest: String,
    /// What is wrong with it.
    pub why: String,
}

/// What judging a list found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many entries were judged.
    pub judged: u64,
    /// How many were signed.
    pub signed: u64,
    /// How many were excluded.
    pub excluded: u64,
    /// How many of these the kernel could not vouch for. No PCR covers the path of such an entry: it is the host's word.
    pub violations: u64,
    /// How many were not right.
    pub unjustified: u64,
    /// The first of these.
    pub first: Vec<Finding>,
}

impl Policy {
    /// Judges the first `entries` of a list against the PCRs of its quote. Those that its replay knew, by this policy's own
    /// list, are not looked up again.
    ///
    /// # Errors
    /// [`MalformedList`] if an entry is not what its template says.
    pub fn judge(
        &self,
        list: List<'_>,
        entries: usize,
        known: &Known,
        quoted: &PcrValues,
    ) -> Result<Findings, MalformedList> {
        let mut findings = Findings::default();
        for (read, entry) in list.take(entries).enumerate() {
            let entry = entry?;
            findings.judged = findings.judged.saturating_add(1);
            // An entry of this template says nothing but a digest and a path. Other templates read the same data otherwise.
            if known.has(read) && entry.template() == known::TEMPLATE {
                continue;
            }
            let measured = entry.measured()?;
            let why = match self.entry(&entry, measured.as_ref(), quoted) {
                Ok(Justified::Signed) => {
                    findings.signed = findings.signed.saturating_add(1);
                    continue;
                }
                Ok(Justified::Excluded) => {
                    findings.excluded = findings.excluded.saturating_add(1);
                    let violations = u64::from(entry.is_violation());
                    findings.violations = findings.violations.saturating_add(violations);
                    continue;
                }
                Ok(Justified::BootAggregate | Justified::Listed) => continue,
                Err(why) => why,
            };
            findings.unjustified = findings.unjustified.saturating_add(1);
            if findings.first.len() < KEPT {
                findings
                    .first
                    .push(self.finding(&entry, measured.as_ref(), why));
            }
        }
        Ok(findings)
    }

    /// Judges one entry.
    ///
    /// # Errors
    /// [`Unjustified`] if it is not right.
    pub fn entry(
        &self,
        entry: &Entry<'_>,
        measured: Option<&Measured<'_>>,
        quoted: &PcrValues,
    ) -> Result<Justified, Unjustified> {
        let Some(measured) = measured else {
            return Err(Unjustified::Template);
        };
        let Measured {
            path,
            digest,
            signature,
            buffer,
        } = *measured;
        let honest = buffer.is_none_or(|buffer| {
            digest
                .known()
                .is_some_and(|alg| alg.digest(buffer).as_bytes() == digest.bytes)
        });
        if !entry.is_violation() && honest && self.allow.allows(path, &digest) {
            return Ok(Justified::Listed);
        }
        if self.exclude.iter().any(|pattern| pattern.matches(path)) {
            return Ok(Justified::Excluded);
        }
        if entry.is_violation() {
            return Err(Unjustified::Violation);
        }
        if !honest {
            return Err(Unjustified::Buffer);
        }
        if path == boot::PATH {
            return match boot::aggregate(&digest, quoted) {
                Aggregate::Same | Aggregate::NotQuoted => Ok(Justified::BootAggregate),
                Aggregate::Other => Err(Unjustified::BootAggregate),
            };
        }
        match signature {
            Some(signature) if !self.keys.is_empty() => {
                self.keys.verify(&digest, signature)?;
                Ok(Justified::Signed)
            }
            _ => Err(Unjustified::NotListed),
        }
    }

    fn finding(
        &self,
        entry: &Entry<'_>,
        measured: Option<&Measured<'_>>,
        why: Unjustified,
    ) -> Finding {
        let (path, digest) = match measured {
            Some(measured) => (
                measured.path,
                format!(
                    "{}:{}",
                    measured.digest.alg.escape_default(),
                    data_encoding::HEXLOWER.encode(measured.digest.bytes)
                ),
            ),
            None => (entry.template(), String::new()),
        };
        let why = if why == Unjustified::NotListed && self.allow.lists(path) {
            Unjustified::OtherDigest
        } else {
            why
        };
        let shown = path.get(..SHOWN).unwrap_or(path);
        Finding {
            index: entry.index(),
            path: shown.escape_ascii().to_string(),
            digest,
            why: why.to_string(),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "entry {}, {}", self.index, self.path)?;
        if !self.digest.is_empty() {
            write!(f, ", {}", self.digest)?;
        }
        write!(f, ": {}", self.why)
    }
}
