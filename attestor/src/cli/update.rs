//! What an operator says of an update that is still to come: values of PCRs, or events that will have other digests.
//!
//! It must never accept a value for a PCR that the host is not held to: that would hold it to more than policy quotes.

use std::str::FromStr;

use clap::Args;
use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrValues};

use super::Problem;
use crate::reference::{References, predict};

/// What an update changes.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct Update {
    /// The bank of the values.
    #[arg(long, value_enum, default_value = "sha256")]
    bank: Bank,
    /// The value that a PCR will have.
    #[arg(long, value_name = "N=HEX", value_delimiter = ',')]
    pcr: Vec<PcrValue>,
    /// An event of the reference boot that will have another digest: the values are replayed from the host's kept events.
    #[arg(long, value_name = "OLDHEX=NEWHEX", value_delimiter = ',')]
    replace_event: Vec<Replacement>,
}

/// A bank that an update may be told in.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Bank {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Bank {
    fn alg(self) -> HashAlg {
        match self {
            Self::Sha256 => HashAlg::Sha256,
            Self::Sha384 => HashAlg::Sha384,
            Self::Sha512 => HashAlg::Sha512,
        }
    }
}

/// `N=HEX`.
#[derive(Clone, Debug)]
struct PcrValue(PcrIndex, Vec<u8>);

impl FromStr for PcrValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is a PCR's number, `=`, and its value in hex";
        let (index, value) = text.split_once('=').ok_or(wrong)?;
        let index = index.parse().ok().and_then(PcrIndex::new).ok_or(wrong)?;
        Ok(Self(index, bytes(value).ok_or(wrong)?))
    }
}

/// `OLDHEX=NEWHEX`.
#[derive(Clone, Debug)]
struct Replacement(Vec<u8>, Vec<u8>);

impl FromStr for Replacement {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "is an event's digest in hex, `=`, and the one that comes instead";
        let (old, new) = text.split_once('=').ok_or(wrong)?;
        Ok(Self(bytes(old).ok_or(wrong)?, bytes(new).ok_or(wrong)?))
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .ok()
}

/// The values that an update gives: those that are named, and those that follow from the host's events.
pub(super) fn predicted(kept: &References, update: &Update) -> Result<PcrValues, Problem> {
    let bank = update.bank.alg();
    let digest = |bytes: &[u8]| {
        Digest::new(bank, bytes).ok_or_else(|| {
            Problem::usage(
                format!("a value or digest is not as long as those of {bank:?}"),
                "name its bank with --bank",
            )
        })
    };
    let mut replacements = Vec::new();
    for Replacement(old, new) in &update.replace_event {
        replacements.push((digest(old)?, digest(new)?));
    }
    let boot = kept.current.as_ref().map(|kept| &kept.boot);
    let mut values = PcrValues::new();
    for PcrValue(index, value) in &update.pcr {
        if !values.insert(*index, digest(value)?) {
            let twice = format!("PCR {} is named twice", index.get());
            return Err(Problem::usage(twice, "name one value for each"));
        }
    }
    if !replacements.is_empty() {
        let predicted = predict(boot, &replacements).map_err(|why| {
            Problem::failed(
                why.to_string(),
                "`host reference show` tells the kept events; values from elsewhere go in with --pcr",
            )
        })?;
        for (index, value) in predicted.iter() {
            if !values.insert(index, value.clone()) {
                let both = format!(
                    "PCR {} is named by its value and by its events",
                    index.get()
                );
                return Err(Problem::usage(both, "leave one of them out"));
            }
        }
    }
    let strange = values.iter().find(|(index, value)| {
        boot.is_none_or(|boot| boot.values.value(value.alg(), *index).is_none())
    });
    if let Some((index, _)) = strange {
        return Err(Problem::failed(
            format!(
                "the host has no reference for PCR {} of {bank:?}",
                index.get()
            ),
            "only what it is held to can change; `host reference show` lists it",
        ));
    }
    Ok(values)
}
