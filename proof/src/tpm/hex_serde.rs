//! Serde for structures that have one byte form: a lowercase hexadecimal string of it, parsed again when read.
//!
//! Stored state is as untrusted as the wire; nothing may come back from it without its parser.

/// Implements `Serialize` and `Deserialize` over `$encode` and `$parse`.
macro_rules! hex_serde {
    ($type:ty, $encode:expr, $parse:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let encode: fn(&$type) -> Vec<u8> = $encode;
                serializer.serialize_str(&data_encoding::HEXLOWER.encode(&encode(self)))
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                let bytes = data_encoding::HEXLOWER
                    .decode(text.as_bytes())
                    .map_err(serde::de::Error::custom)?;
                $parse(&bytes).map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(super) use hex_serde;
