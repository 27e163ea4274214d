//! Between our types and those that both engines have: integers, text, bytes.
//!
//! What comes back is parsed as strictly as what comes from outside; a value that cannot be read is
//! [`StoreError::Corrupt`], never a default.

use std::str::FromStr;

use holdfast_protocol::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row, Type};

use crate::store::StoreError;

/// A time as it is kept. Times past the year 292 million are that year.
pub(super) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

/// A column of a type that both engines have.
pub(super) fn plain<'r, T>(row: &'r AnyRow, column: &'static str) -> Result<T, StoreError>
where
    T: Decode<'r, Any> + Type<Any>,
{
    row.try_get(column)
        .map_err(|_| StoreError::Corrupt { field: column })
}

/// A column of time.
pub(super) fn time(row: &AnyRow, column: &'static str) -> Result<Timestamp, StoreError> {
    let millis: i64 = plain(row, column)?;
    u64::try_from(millis)
        .map(Timestamp::from_millis)
        .map_err(|_| StoreError::Corrupt { field: column })
}

/// A column of time, or nothing.
pub(super) fn when(row: &AnyRow, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
    let at: Option<i64> = plain(row, column)?;
    at.map(|_| time(row, column)).transpose()
}

/// A text column that has one of our types.
pub(super) fn text<T: FromStr>(row: &AnyRow, column: &'static str) -> Result<T, StoreError> {
    let text: &str = plain(row, column)?;
    text.parse()
        .map_err(|_| StoreError::Corrupt { field: column })
}

/// A text column that has one of our types, or nothing.
pub(super) fn optional_text<T: FromStr>(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    match plain::<Option<&str>>(row, column)? {
        None => Ok(None),
        Some(_) => text(row, column).map(Some),
    }
}

/// A column of bytes, parsed.
pub(super) fn bytes<T, E>(
    row: &AnyRow,
    column: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
) -> Result<T, StoreError> {
    parse(plain(row, column)?).map_err(|_| StoreError::Corrupt { field: column })
}

/// A column of JSON.
pub(super) fn json<T: DeserializeOwned>(
    row: &AnyRow,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: &str = plain(row, column)?;
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt { field: column })
}

/// The JSON of one of our types, for a column.
pub(super) fn to_json(field: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt { field })
}

/// An enum that serde names by one word, as that word.
pub(super) fn word<T: DeserializeOwned>(
    row: &AnyRow,
    column: &'static str,
) -> Result<T, StoreError> {
    let text: String = plain(row, column)?;
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|_| StoreError::Corrupt { field: column })
}

/// The one word by which serde names an enum's variant.
pub(super) fn to_word(field: &'static str, value: &impl Serialize) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        Ok(_) | Err(_) => Err(StoreError::Corrupt { field }),
    }
}
