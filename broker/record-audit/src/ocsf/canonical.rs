//! Canonical JSON (RFC 8785) by a short way where there is one.
//!
//! The general serializer costs several times what all else does to a record. Most records need none of what it does: their
//! keys are in order already and their numbers are small integers. Nothing here may differ from the general way by a byte.

use holdfast_proof::hash::canonical_json;
use serde_json::Value;

use super::OcsfError;

/// The largest integer that every JSON reader takes exactly: 2^53 − 1.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// The canonical JSON of `value`.
pub(super) fn json(value: &Value) -> Result<Vec<u8>, OcsfError> {
    if is_plain(value) {
        Ok(serde_json::to_vec(value)?)
    } else {
        Ok(canonical_json(value)?)
    }
}

/// Whether the usual serialization is the canonical one: ASCII keys in ascending order (among them the orders by byte and by
/// UTF-16 code unit agree), and no number but small integers. The two escape strings alike.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.as_u64().is_some_and(|number| number <= MAX_SAFE),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => {
            members.keys().is_sorted()
                && members
                    .iter()
                    .all(|(key, member)| key.is_ascii() && is_plain(member))
        }
    }
}
