//! The shape of evidence: every structure parses, and each is of the type that its place wants.
//!
//! Bytes become types here, once; later steps must never look at bytes again.

use std::fmt;

use holdfast_proof::tpm::{
    ActiveBanks, Attested, Certified, Digest, HashAlg, MalformedStructure, NvCertified, PcrIndex,
    PcrValues, Public, Quoted, SessionAudited,
};
use holdfast_protocol::evidence::{Check, Evidence, PcrValue, ProvenBanks};

use super::{Appraiser, Refusal};
use crate::attestation_key::Unverified;

/// Evidence as types, not yet believed.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) quote: Unverified,
    pub(super) node_key_certified: Unverified,
    pub(super) audit_counter_certified: Unverified,
    pub(super) node_key: Public,
    pub(super) pcrs: PcrValues,
    /// The banks that are said to be active, and the audit that proves them.
    banks: Option<(ActiveBanks, Unverified)>,
}

impl Parsed {
    /// The signed structures, each with its name.
    pub(super) fn signed(&self) -> Vec<(&'static str, &Unverified)> {
        let mut signed = vec![
            ("quote", &self.quote),
            ("node key's certification", &self.node_key_certified),
            (
                "audit counter's certification",
                &self.audit_counter_certified,
            ),
        ];
        let audited = self.banks.as_ref();
        signed.extend(audited.map(|(_, audited)| ("audit of the banks", audited)));
        signed
    }
}

/// What the structures attest, each of the type of its place.
#[derive(Debug)]
pub(super) struct Typed<'a> {
    pub(super) quoted: &'a Quoted,
    pub(super) certified: &'a Certified,
    pub(super) counter: &'a NvCertified,
    pub(super) banks: Option<(&'a ActiveBanks, &'a SessionAudited)>,
}

/// Parses everything but the CSR, which has a check of its own.
pub(super) fn parse(appraiser: &mut Appraiser, evidence: &Evidence) -> Result<Parsed, Refusal> {
    match try_parse(evidence) {
        Ok(parsed) => {
            appraiser.passed(
                Check::Structure,
                "every structure parses, with nothing behind it",
            );
            Ok(parsed)
        }
        Err(malformed) => Err(appraiser.refused(Check::Structure, malformed)),
    }
}

/// Which part is malformed, and how.
struct Malformed(&'static str, String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

fn try_parse(evidence: &Evidence) -> Result<Parsed, Malformed> {
    let malformed = |part| move |error: MalformedStructure| Malformed(part, error.to_string());
    Ok(Parsed {
        quote: Unverified::parse(&evidence.quote).map_err(malformed("quote"))?,
        node_key_certified: Unverified::parse(&evidence.node_key_certified)
            .map_err(malformed("node key's certification"))?,
        audit_counter_certified: Unverified::parse(&evidence.audit_counter_certified)
            .map_err(malformed("audit counter's certification"))?,
        node_key: Public::parse(&evidence.node_key).map_err(malformed("node key"))?,
        pcrs: pcr_values(&evidence.pcrs)?,
        banks: evidence.banks.as_ref().map(banks).transpose()?,
    })
}

fn banks(shown: &ProvenBanks) -> Result<(ActiveBanks, Unverified), Malformed> {
    let malformed = |part| move |error: MalformedStructure| Malformed(part, error.to_string());
    let ProvenBanks { banks, audited } = shown;
    Ok((
        ActiveBanks::parse(banks).map_err(malformed("active banks"))?,
        Unverified::parse(audited).map_err(malformed("audit of the banks"))?,
    ))
}

fn pcr_values(supplied: &[PcrValue]) -> Result<PcrValues, Malformed> {
    let mut values = PcrValues::new();
    for PcrValue { bank, index, value } in supplied {
        let malformed = |problem: &str| {
            Malformed(
                "pcr values",
                format!("pcr {index} of bank {bank:#06x}: {problem}"),
            )
        };
        let alg = HashAlg::from_id(*bank).ok_or_else(|| malformed("no bank that we know"))?;
        let pcr = u8::try_from(*index)
            .ok()
            .and_then(PcrIndex::new)
            .ok_or_else(|| malformed("no such pcr"))?;
        let digest =
            Digest::new(alg, value).ok_or_else(|| malformed("its value has another length"))?;
        if !values.insert(pcr, digest) {
            return Err(malformed("supplied twice"));
        }
    }
    Ok(values)
}

/// Checks that each structure attests what its place wants.
pub(super) fn types<'a>(
    appraiser: &mut Appraiser,
    parsed: &'a Parsed,
) -> Result<Typed<'a>, Refusal> {
    let mut wrong = |place: &str, wanted: &str, found: &Attested| {
        appraiser.refused(
            Check::AttestType,
            format!("the {place} is a {}, not a {wanted}", kind(found)),
        )
    };
    let quoted = match parsed.quote.attest.attested() {
        Attested::Quote(quoted) => quoted,
        other @ (Attested::Certify(_) | Attested::NvCertify(_) | Attested::SessionAudit(_)) => {
            return Err(wrong("quote", "quote", other));
        }
    };
    let certified = match parsed.node_key_certified.attest.attested() {
        Attested::Certify(certified) => certified,
        other @ (Attested::Quote(_) | Attested::NvCertify(_) | Attested::SessionAudit(_)) => {
            return Err(wrong("node key's certification", "certification", other));
        }
    };
    let counter = match parsed.audit_counter_certified.attest.attested() {
        Attested::NvCertify(counter) => counter,
        other @ (Attested::Quote(_) | Attested::Certify(_) | Attested::SessionAudit(_)) => {
            return Err(wrong(
                "audit counter's certification",
                "certification of an NV index",
                other,
            ));
        }
    };
    let audited = |(active, audited): &'a (ActiveBanks, Unverified)| match audited.attest.attested()
    {
        Attested::SessionAudit(audited) => Ok((active, audited)),
        other @ (Attested::Quote(_) | Attested::Certify(_) | Attested::NvCertify(_)) => {
            Err(wrong("audit of the banks", "session's audit", other))
        }
    };
    let banks = parsed.banks.as_ref().map(audited).transpose()?;
    let audit = banks.map_or("", |_| ", a session's audit");
    appraiser.passed(
        Check::AttestType,
        format!("a quote, a certification, a certification of an NV index{audit}"),
    );
    Ok(Typed {
        quoted,
        certified,
        counter,
        banks,
    })
}

fn kind(attested: &Attested) -> &'static str {
    match attested {
        Attested::Quote(_) => "quote",
        Attested::Certify(_) => "certification",
        Attested::NvCertify(_) => "certification of an NV index",
        Attested::SessionAudit(_) => "session's audit",
    }
}
