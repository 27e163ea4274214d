//! Text of strangers, made honest: what could hide, reorder or imitate is spelled out.
//!
//! Everything that an agent wrote passes here before a human sees it, and so does everything else
//! for good measure. It must never drop a character.

use serde::Serialize;

/// A piece of shown text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(tag = "is", content = "text", rename_all = "kebab-case")]
pub enum Piece {
    /// Characters that look like what they are.
    Plain(String),
    /// One that does not, by its code point (`U+202E`).
    Hidden(String),
}

/// `text` in pieces; joined, they hold every character of it.
pub fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    for character in text.chars() {
        if honest(character) {
            plain.push(character);
            continue;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Plain(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Hidden(format!("U+{:04X}", u32::from(character))));
    }
    if !plain.is_empty() {
        pieces.push(Piece::Plain(plain));
    }
    pieces
}

/// `text` in one line, for a terminal: what is not honest stands as `<U+202E>`.
pub fn spelled(text: &str) -> String {
    pieces(text)
        .into_iter()
        .map(|piece| match piece {
            Piece::Plain(text) => text,
            Piece::Hidden(code) => format!("<{code}>"),
        })
        .collect()
}

/// Whether a character shows itself, and leaves its neighbors where they are.
///
/// Letters, digits and ordinary signs do. Controls, other spaces, marks that stack, formats
/// (bidirectional ones, zero-width ones, tags), private and unassigned code points do not.
fn honest(character: char) -> bool {
    match character {
        ' ' => true,
        // Fillers count as letters and show nothing; the Braille blank counts as a sign.
        '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}' => false,
        // What has a glyph and is no letter: dashes, quotes, ellipsis, currency, arrows, mathematics,
        // box drawing, geometric shapes, CJK punctuation.
        '\u{a1}'..='\u{ac}' | '\u{ae}'..='\u{bf}' | '\u{d7}' | '\u{f7}' => true,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{20a0}'..='\u{20c0}' => true,
        '\u{2190}'..='\u{23ff}' | '\u{2500}'..='\u{27bf}' | '\u{3001}'..='\u{3003}' => true,
        '\u{3008}'..='\u{3011}' => true,
        other => {
            other.is_ascii_graphic()
                || (!other.is_ascii() && other.is_alphanumeric() && !mark(other))
        }
    }
}

/// Marks that Unicode counts among the alphabetic and that stack on what stands before them.
fn mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_hides_or_reorders_is_spelled_out() {
        for hidden in [
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{200b}',
            '\u{200d}',
            '\u{feff}',
            '\u{ad}',
            '\u{61c}',
            '\u{200e}',
            '\u{2028}',
            '\u{a0}',
            '\u{3164}',
            '\u{2800}',
            '\u{e0041}',
            '\u{fe0f}',
            '\u{34f}',
            '\u{180e}',
            '\u{7}',
            '\u{1b}',
            '\u{9b}',
            '\n',
            '\t',
            '\r',
            '\u{0}',
            '\u{e000}',
        ] {
            let shown = spelled(&format!("a{hidden}b"));
            assert_eq!(shown, format!("a<U+{:04X}>b", u32::from(hidden)));
        }
    }

    #[test]
    fn ordinary_words_stay_as_they_are() {
        for text in [
            "git push origin main",
            "grüße, 世界",
            "„a“ – b … €3 → x",
            "{\"a\": [1]}",
            "שלום",
        ] {
            assert_eq!(pieces(text), [Piece::Plain(text.to_owned())]);
        }
        assert_eq!(pieces(""), []);
    }

    proptest! {
        /// Nothing is lost, and what is shown cannot drive a terminal or turn a line around.
        #[test]
        fn every_character_is_there(text in "(?s).{0,80}") {
            let mut back = String::new();
            for piece in pieces(&text) {
                match piece {
                    Piece::Plain(plain) => {
                        prop_assert!(!plain.chars().any(char::is_control));
                        back.push_str(&plain);
                    }
                    Piece::Hidden(code) => {
                        let point = u32::from_str_radix(code.trim_start_matches("U+"), 16).unwrap();
                        back.push(char::from_u32(point).unwrap());
                    }
                }
            }
            prop_assert_eq!(back, text);
        }
    }
}
