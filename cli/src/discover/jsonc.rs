//! JSON with comments, as editors write their settings: comments and commas before an end become spaces.
//!
//! It must never change what is JSON already. Pure.

use zeroize::Zeroizing;

/// Where the reader is in the text.
#[derive(Clone, Copy)]
enum At {
    Plain,
    Text,
    Escape,
    Line,
    Block,
}

/// The text without its comments; of the same length.
pub fn plain(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut at = At::Plain;
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let next = bytes.peek().copied();
        let (shown, then) = match (at, byte) {
            (At::Plain, b'/') if next == Some(b'/') => (b' ', At::Line),
            (At::Plain, b'/') if next == Some(b'*') => {
                bytes.next();
                out.push(b' ');
                (b' ', At::Block)
            }
            (At::Plain, b'"') => (byte, At::Text),
            (At::Plain, b'}' | b']') => {
                drop_comma(&mut out);
                (byte, At::Plain)
            }
            (At::Plain, _) => (byte, At::Plain),
            (At::Text, b'"') => (byte, At::Plain),
            (At::Text, b'\\') => (byte, At::Escape),
            (At::Text | At::Escape, _) => (byte, At::Text),
            (At::Line, b'\n') => (byte, At::Plain),
            (At::Line, _) => (b' ', At::Line),
            (At::Block, b'*') if next == Some(b'/') => {
                bytes.next();
                out.push(b' ');
                (b' ', At::Plain)
            }
            (At::Block, b'\n') => (byte, At::Block),
            (At::Block, _) => (b' ', At::Block),
        };
        out.push(shown);
        at = then;
    }
    // Whole characters were kept or replaced byte by byte: it is text still.
    Zeroizing::new(String::from_utf8_lossy(&out).into_owned())
}

/// A comma that nothing but space follows.
fn drop_comma(out: &mut [u8]) {
    let last = out
        .iter_mut()
        .rev()
        .find(|byte| !byte.is_ascii_whitespace());
    if let Some(comma) = last.filter(|byte| **byte == b',') {
        *comma = b' ';
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn comments_and_last_commas_go() {
        let text = "{ // one\n \"a//b\": [1, 2, /* two\n */ ], \"c\\\"/*\": \"é\",\n}";
        let read: Value = serde_json::from_str(&plain(text)).unwrap();
        assert_eq!(read, json!({"a//b": [1, 2], "c\"/*": "é"}));
    }

    proptest! {
        #[test]
        fn what_is_json_stays_as_it_is(keys in prop::collection::vec("\\PC{0,12}", 0..6)) {
            let text = json!({"list": keys, "empty": [], "none": {}}).to_string();
            let same = plain(&text);
            prop_assert_eq!(same.as_str(), text);
        }

        #[test]
        fn no_text_breaks_it(text in "(//|/\\*|\\*/|[\"\\\\,\\]}]|\\PC|\n){0,60}") {
            prop_assert_eq!(plain(&text).len(), text.len());
        }
    }
}
