//! `holdfast audit verify-receipt`: the records of one approval or of many, from a file or from the broker.
//!
//! A file is foreign and bounded. It must never take a record for proven that it could not check.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use holdfast_proof::tpm::{EccPublicKey, PublicKey};
use holdfast_protocol::id::CallId;
use holdfast_protocol::words::with_causes;
use serde_json::{Deserializer, Value};

use super::{audit, show};
use crate::args::Args;
use crate::outcome::Problem;
use crate::receipt::{Approval, Evidence, judge};
use crate::render;

/// The longest file of records, in bytes; what an export of more records is asked for in parts.
const MAX_FILE: u64 = 256 << 20;

/// What a reader is to do about a file that is none of records.
const RECORDS: &str =
    "name a file that `holdfast audit export` or `holdfast audit tail --json` wrote";

/// Verifies each approval that the records hold, or the one that is named.
pub fn run(args: &Args, from: &Path, key: Option<&str>) -> Result<(), Problem> {
    let key = key.map(parse_key).transpose()?;
    let mut evidence = Evidence::default();
    let named = from.to_str().and_then(|word| word.parse::<CallId>().ok());
    match named {
        Some(call) => ask(args, call, &mut evidence)?,
        None => read(from, &mut evidence)?,
    }
    let approvals: Vec<&Approval> = evidence
        .approvals()
        .filter(|approval| named.is_none_or(|call| approval.call == call))
        .collect();
    if approvals.is_empty() {
        return Err(none(named));
    }
    let mut proven = Vec::new();
    for approval in approvals {
        let judged = judge(&evidence, approval, key.as_ref());
        proven.push(judged.map_err(|error| {
            Problem::failed(
                format!(
                    "the receipt for call {} in record {} does not hold: {}",
                    approval.call,
                    approval.index,
                    with_causes(&error)
                ),
                "take the records from the log's beginning on, or name the key with --key; \
                 `holdfast audit verify` tells whether the log itself was changed",
            )
        })?);
    }
    show(args, &proven, &render::receipt::proven(&proven))
}

fn none(named: Option<CallId>) -> Problem {
    match named {
        Some(call) => Problem::failed(
            format!("the log has no receipt for call {call}"),
            "a call that was allowed by policy or by a click has none; `holdfast audit tail` shows what was decided",
        ),
        None => Problem::failed("there is no receipt among these records", RECORDS),
    }
}

fn parse_key(hex: &str) -> Result<EccPublicKey, Problem> {
    let spki = HEXLOWER_PERMISSIVE.decode(hex.trim().as_bytes()).ok();
    match spki.and_then(|spki| PublicKey::from_spki_der(&spki)) {
        Some(PublicKey::Ecc(key)) => Ok(key),
        Some(PublicKey::Rsa(_)) | None => Err(Problem::usage(
            "--key is not an ECDSA key as SubjectPublicKeyInfo, DER, in hex",
            "the receipt of an approval that you trust has it as `public_key`",
        )),
    }
}

/// Takes the broker's records up to the approval, and a little on, where a second use of it would be.
fn ask(args: &Args, call: CallId, evidence: &mut Evidence) -> Result<(), Problem> {
    let mut refused = None;
    audit::each_record(args, 0, |record| {
        let event: Value = serde_json::from_str(&record.json).map_err(|_| {
            Problem::failed(
                format!("record {} is not JSON", record.index),
                "`holdfast audit verify` tells what happened to the log",
            )
        })?;
        // A record of another call that is broken says nothing about this one.
        if let Err(error) = evidence.take(&event)
            && record.json.contains(&call.to_string())
        {
            refused = Some(error);
        }
        Ok(())
    })?;
    refused.map_or(Ok(()), |error| Err(malformed(&error)))
}

fn read(path: &Path, evidence: &mut Evidence) -> Result<(), Problem> {
    if path == Path::new("-") {
        return take_all(std::io::stdin().lock(), evidence);
    }
    let unreadable = |error: std::io::Error| {
        Problem::usage(
            format!("`{}` cannot be read: {error}", path.display()),
            "name a file that you may read, or a call by its id",
        )
    };
    take_all(File::open(path).map_err(unreadable)?, evidence)
}

/// Takes every record: OCSF events, one after the other, or the lists that `--json` prints.
fn take_all(from: impl Read, evidence: &mut Evidence) -> Result<(), Problem> {
    let mut bounded = BufReader::new(from.take(MAX_FILE));
    let taken = Deserializer::from_reader(&mut bounded)
        .into_iter::<Value>()
        .try_for_each(|value| {
            let value = value.map_err(|error| {
                Problem::usage(format!("these are not audit records: {error}"), RECORDS)
            })?;
            match value.as_array() {
                Some(items) => items.iter().try_for_each(|item| take(item, evidence)),
                None => take(&value, evidence),
            }
        });
    // What was cut at the limit could hold what speaks against a receipt.
    if bounded.into_inner().limit() == 0 {
        return Err(Problem::usage(
            format!("the file is longer than {} MiB", MAX_FILE >> 20),
            "name the call by its id, so that the broker is asked",
        ));
    }
    taken
}

/// One record: an event, or the index and the bytes of one.
fn take(value: &Value, evidence: &mut Evidence) -> Result<(), Problem> {
    let taken = match value.get("json").and_then(Value::as_str) {
        Some(json) => {
            let event: Value = serde_json::from_str(json).map_err(|error| {
                Problem::usage(format!("a record is not JSON: {error}"), RECORDS)
            })?;
            evidence.take(&event)
        }
        None => evidence.take(value),
    };
    taken.map_err(|error| malformed(&error))
}

fn malformed(error: &crate::receipt::NotARecord) -> Problem {
    Problem::failed(
        error.to_string(),
        "`holdfast audit verify` tells whether the log itself was changed",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn enrollment(index: u64) -> Value {
        json!({
            "class_uid": 3004, "activity_name": "Enroll", "metadata": { "sequence": index },
            "entity": { "type": "Approval Key", "uid": "1000", "name": "ab".repeat(32) },
        })
    }

    fn taken(text: &str) -> Result<usize, Problem> {
        let mut evidence = Evidence::default();
        take_all(text.as_bytes(), &mut evidence)?;
        let key = "ab".repeat(32).parse().unwrap();
        Ok(evidence.enrollments(key).count())
    }

    #[test]
    fn records_come_in_every_form_that_this_command_prints() {
        let record = json!({ "index": 2, "json": enrollment(2).to_string() });
        let exported = format!("{}\n{}\n", enrollment(0), enrollment(1));
        assert_eq!(taken(&exported).unwrap(), 2);
        let listed = serde_json::to_string_pretty(&json!([record, record])).unwrap();
        assert_eq!(taken(&listed).unwrap(), 2);
        assert_eq!(
            taken(&serde_json::to_string_pretty(&record).unwrap()).unwrap(),
            1
        );
        assert_eq!(taken("").unwrap(), 0);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in ["{", "what", "[{\"json\":\"{\"}]"] {
            assert!(taken(bad).is_err(), "{bad}");
        }
        let mut broken = enrollment(0);
        *broken.pointer_mut("/entity/uid").unwrap() = json!("root");
        assert!(taken(&broken.to_string()).is_err());
    }

    #[test]
    fn a_key_is_a_key() {
        for bad in ["", "00", "zz", &"30".repeat(91)] {
            assert!(parse_key(bad).is_err(), "{bad}");
        }
    }
}
