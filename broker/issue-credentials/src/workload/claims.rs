//! A validated token's claims as protobuf has them (`google.protobuf.Struct`).
//!
//! This module must never be given claims that were not verified.

use serde_json::{Map, Value as Json};

use super::api::google::protobuf::value::Kind;
use super::api::google::protobuf::{ListValue, NullValue, Struct, Value};

/// Every claim, under its own name. JSON's depth was bounded when it was parsed.
pub(super) fn to_struct(claims: Map<String, Json>) -> Struct {
    Struct {
        fields: (claims.into_iter())
            .map(|(name, value)| (name, to_value(value)))
            .collect(),
    }
}

fn to_value(json: Json) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(NullValue::NullValue.into()),
        Json::Bool(value) => Kind::BoolValue(value),
        // Protobuf's only number is a double; a claim beyond one is none that JSON can carry.
        Json::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        Json::String(value) => Kind::StringValue(value),
        Json::Array(values) => Kind::ListValue(ListValue {
            values: values.into_iter().map(to_value).collect(),
        }),
        Json::Object(members) => Kind::StructValue(to_struct(members)),
    };
    Value { kind: Some(kind) }
}
