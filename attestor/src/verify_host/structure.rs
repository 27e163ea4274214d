//! The shape of evidence: every structure parses, and each is of the type that its place wants.
//!
//! Bytes become types here, once; later steps must never look at bytes again.

use std::fmt;

use holdfast_proof::tpm::{
    Attested, Certified, Digest, HashAlg, MalformedStructure, NvCertified, PcrIndex, PcrValues,
    Public, Quoted,
};
use holdfast_protocol::evidence::{Check, Evidence, PcrValue};

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
}

impl Parsed {
    /// The three signed structures, each with its name.
    pub(super) fn signed(&self) -> [(&'static str, &Unverified); 3] {
        [
            ("quote", &self.quote),
            ("node key's certification", &self.node_key_certified),
            (
                "audit counter's certification",
                &self.audit_counter_certified,
            ),
        ]
    }
}

/// What the three structures attest, each of the type of its place.
#[derive(Debug)]
pub(super) struct Typed<'a> {
    pub(super) quoted: &'a Quoted,
    pub(super) certified: &'a Certified,
    pub(super) counter: &'a NvCertified,
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
    })
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
        other @ (Attested::Certify(_) | Attested::NvCertify(_)) => {
            return Err(wrong("quote", "quote", other));
        }
    };
    let certified = match parsed.node_key_certified.attest.attested() {
        Attested::Certify(certified) => certified,
        other @ (Attested::Quote(_) | Attested::NvCertify(_)) => {
            return Err(wrong("node key's certification", "certification", other));
        }
    };
    let counter = match parsed.audit_counter_certified.attest.attested() {
        Attested::NvCertify(counter) => counter,
        other @ (Attested::Quote(_) | Attested::Certify(_)) => {
            return Err(wrong(
                "audit counter's certification",
                "certification of an NV index",
                other,
            ));
        }
    };
    appraiser.passed(
        Check::AttestType,
        "a quote, a certification, a certification of an NV index",
    );
    Ok(Typed {
        quoted,
        certified,
        counter,
    })
}

fn kind(attested: &Attested) -> &'static str {
    match attested {
        Attested::Quote(_) => "quote",
        Attested::Certify(_) => "certification",
        Attested::NvCertify(_) => "certification of an NV index",
    }
}
