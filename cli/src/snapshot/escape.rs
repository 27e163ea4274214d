//! Bytes as a word of printable ASCII, for files of ours: `%` and two hex digits stand for the rest.
//!
//! One way to write each byte, so that equal bytes are equal words.

/// The bytes as a word; it is empty for none.
pub fn escape(bytes: &[u8]) -> String {
    let mut word = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_graphic() && *byte != b'%' {
            word.push(char::from(*byte));
        } else {
            word.push('%');
            word.push_str(&data_encoding::HEXLOWER.encode(&[*byte]));
        }
    }
    word
}

/// The bytes of a word, if [`escape`] wrote it.
pub fn unescape(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            let decoded = data_encoding::HEXLOWER.decode(&digits).ok()?;
            bytes.extend(decoded);
        } else {
            bytes.push(byte);
        }
    }
    (escape(&bytes) == word).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let word = escape(&bytes);
            prop_assert!(word.bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(unescape(&word), Some(bytes));
        }

        #[test]
        fn no_other_word_stands_for_them(word in "[%0-9a-fA-F ]{0,8}") {
            if let Some(bytes) = unescape(&word) {
                prop_assert_eq!(escape(&bytes), word);
            }
        }
    }
}
