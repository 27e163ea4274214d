//! Audit events as OCSF 1.8.0 records: canonical JSON (RFC 8785), bounded, exact.
//!
//! Here an event becomes the bytes that the log hashes and keeps for good. The mapping is pinned to one schema version; it
//! must never change the meaning of what a log already holds, drop anything without saying so, or read a clock.

mod canonical;
mod classes;
mod message;
mod words;

use holdfast_proof::hash::{NotCanonicalizable, sha256};
use holdfast_protocol::audit::AuditEvent;
use serde_json::{Map, Value, json};

use classes::Record;

/// The OCSF version that `metadata.version` names.
pub const OCSF_VERSION: &str = "1.8.0";

/// The longest record, in bytes: what the 16-bit length of a C2SP tlog-tiles entry bundle can say.
pub const MAX_RECORD: usize = 65_535;

/// Above this many bytes, bulky parts of a record (a tool's arguments first) are replaced by their digest and size.
pub const SOFT_RECORD: usize = 16 * 1024;

/// The digits of the largest leaf index (2^53 − 1, the largest integer of I-JSON, RFC 7493 §2.2).
const INDEX_DIGITS: usize = 16;

/// Stands where the leaf index goes. No other key of ours ends so, and inside a JSON string the quotes would be escaped.
const SEQUENCE: &[u8] = b"\"sequence\":0";

/// Why an event has no record.
#[derive(Debug, thiserror::Error)]
pub enum OcsfError {
    /// The caller's event has something that JSON cannot carry, such as a path that is not UTF-8.
    #[error("the event cannot be written as JSON")]
    NotJson(#[from] serde_json::Error),
    /// The caller's event has no canonical form.
    #[error("the event cannot be written as canonical JSON")]
    NotCanonical(#[from] NotCanonicalizable),
    /// The caller's event is too large, even with its bulky parts as digests.
    #[error(
        "the record would have {size} bytes, more than the {MAX_RECORD} that an entry can have"
    )]
    TooLarge {
        /// The size in bytes.
        size: usize,
    },
    /// A defect of ours: the place of the leaf index is not unique.
    #[error("the record has no unique place for its index")]
    NoPlaceForIndex,
}

/// A record that lacks only its leaf index, so that the one writer, which alone knows the index, has next to nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl Draft {
    /// Renders `event` as a record of the log with this `origin`.
    pub fn render(origin: &str, event: &AuditEvent) -> Result<Self, OcsfError> {
        let record = Record::of(origin, event)?;
        let bulky = record.bulky;
        let mut value = envelope(origin, event, record);
        let mut json = canonical::json(&value)?;
        for pointer in bulky {
            if json.len() + INDEX_DIGITS <= SOFT_RECORD {
                break;
            }
            if let Some(part) = value.pointer_mut(pointer) {
                *part = digest_of(part)?;
                json = canonical::json(&value)?;
            }
        }
        // The placeholder's own digit counts once already.
        let size = json.len() + INDEX_DIGITS - 1;
        if size > MAX_RECORD {
            return Err(OcsfError::TooLarge { size });
        }
        Self::split(&json)
    }

    /// The record as leaf number `index`: canonical JSON.
    pub fn at(&self, index: u64) -> Vec<u8> {
        let index = index.to_string();
        let mut json = Vec::with_capacity(self.before.len() + index.len() + self.after.len());
        json.extend_from_slice(&self.before);
        json.extend_from_slice(index.as_bytes());
        json.extend_from_slice(&self.after);
        json
    }

    fn split(json: &[u8]) -> Result<Self, OcsfError> {
        let mut places = json
            .windows(SEQUENCE.len())
            .enumerate()
            .filter_map(|(at, window)| (window == SEQUENCE).then_some(at));
        let (Some(at), None) = (places.next(), places.next()) else {
            return Err(OcsfError::NoPlaceForIndex);
        };
        let digit = at + SEQUENCE.len() - 1;
        let (before, rest) = json
            .split_at_checked(digit)
            .ok_or(OcsfError::NoPlaceForIndex)?;
        let after = rest.get(1..).ok_or(OcsfError::NoPlaceForIndex)?;
        Ok(Self {
            before: before.to_vec(),
            after: after.to_vec(),
        })
    }
}

/// What every OCSF event has, around what `record` adds.
fn envelope(origin: &str, event: &AuditEvent, record: Record) -> Value {
    let mut metadata = Map::new();
    metadata.insert("version".into(), OCSF_VERSION.into());
    metadata.insert(
        "product".into(),
        json!({
            "name": "Holdfast",
            "vendor_name": "Holdfast",
            "version": env!("CARGO_PKG_VERSION"),
        }),
    );
    metadata.insert("log_name".into(), origin.into());
    metadata.insert("uid".into(), event.uid.to_string().into());
    metadata.insert("sequence".into(), 0.into());
    if let Some(correlation) = record.correlation {
        metadata.insert("correlation_uid".into(), correlation.into());
    }
    if let Some(profile) = record.profile {
        metadata.insert("profiles".into(), json!([profile]));
    }
    let class = record.class.uid();
    let mut value = record.fields;
    value.insert("category_uid".into(), record.class.category().into());
    value.insert("class_uid".into(), class.into());
    value.insert("activity_id".into(), record.activity.id.into());
    value.insert("activity_name".into(), record.activity.name.into());
    value.insert("type_uid".into(), (class * 100 + record.activity.id).into());
    value.insert("severity_id".into(), record.severity.id().into());
    value.insert("status_id".into(), record.status.id().into());
    value.insert("time".into(), event.at.as_millis().into());
    value.insert("message".into(), message::message(&event.what).into());
    value.insert("metadata".into(), Value::Object(metadata));
    Value::Object(value)
}

/// What stands for a part that is too large: SHA-256 over its text, or over its canonical JSON if it is not text.
fn digest_of(part: &Value) -> Result<Value, OcsfError> {
    if let Value::String(text) = part {
        let digest = sha256(text.as_bytes());
        return Ok(format!("omitted: {} bytes, sha256 {digest}", text.len()).into());
    }
    let json = canonical::json(part)?;
    Ok(json!({
        "omitted": "too large for a record",
        "sha256": sha256(&json),
        "size": json.len(),
    }))
}

#[cfg(test)]
mod tests;
