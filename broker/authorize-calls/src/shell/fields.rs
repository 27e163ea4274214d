//! Fields that a word becomes: put together, split at blanks, expanded at braces, unquoted from `$'…'`.
//!
//! Text only; it must never look a variable up.

use super::arg::Arg;
use super::env::Env;

/// The most words that one brace expression may become.
const MAX_BRACES: usize = 32;

/// One field that is being put together.
#[derive(Default)]
pub(super) struct Field {
    text: String,
    /// Something stands here, if only `""`.
    pub(super) started: bool,
    /// From here on only the shell knows.
    open: bool,
}

impl Field {
    pub(super) fn text(&mut self, text: &str) {
        self.started = true;
        if !self.open {
            self.text.push_str(text);
        }
    }

    pub(super) fn unknown(&mut self) {
        self.started = true;
        self.open = true;
    }

    pub(super) fn arg(self) -> Arg {
        if self.open {
            Arg::Prefix(self.text)
        } else {
            Arg::Whole(self.text)
        }
    }
}

/// The fields that a word is split into.
#[derive(Default)]
pub(super) struct Fields {
    done: Vec<Arg>,
    pub(super) current: Field,
}

impl Fields {
    /// Appends a variable's value as field splitting would.
    pub(super) fn split(&mut self, value: Arg, env: &Env) {
        let Arg::Whole(text) = value else {
            self.current.text(value.known());
            self.current.unknown();
            return;
        };
        if env.splits_oddly() {
            self.current.unknown();
            return;
        }
        let mut parts = text.split([' ', '\t', '\n']);
        if let Some(first) = parts.next().filter(|first| !first.is_empty()) {
            self.current.text(first);
        }
        for part in parts {
            self.cut();
            if !part.is_empty() {
                self.current.text(part);
            }
        }
    }

    pub(super) fn positional(&mut self, env: &Env) {
        match env.arguments() {
            Some(arguments) => {
                for argument in arguments {
                    self.cut();
                    self.done.push(argument.clone());
                }
            }
            None => self.current.unknown(),
        }
    }

    fn cut(&mut self) {
        let field = std::mem::take(&mut self.current);
        if field.started {
            self.done.push(field.arg());
        }
    }

    pub(super) fn finish(mut self) -> Vec<Arg> {
        self.cut();
        self.done
    }
}

/// What brace expansion makes of a word.
pub(super) enum Braces {
    /// It has no braces to expand.
    None,
    /// These words.
    Words(Vec<String>),
    /// Something that only the shell will know.
    Opaque,
}

/// Brace expansion. Plain words are expanded; where quotes or expansions mix with braces, nobody should rely on us.
pub(super) fn braces(word: &str) -> Braces {
    let mut opened = false;
    let mut comma = false;
    let mut plain = true;
    let mut chars = word.chars().peekable();
    let mut previous = None;
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                plain = false;
                chars.by_ref().find(|c| *c == '\'');
            }
            '"' => {
                plain = false;
                while let Some(inner) = chars.next() {
                    match inner {
                        '\\' => {
                            chars.next();
                        }
                        '"' => break,
                        _ => {}
                    }
                }
            }
            '\\' => {
                plain = false;
                chars.next();
            }
            '$' | '`' => {
                plain = false;
                // `${` is a parameter, not a brace.
                if c == '$' && chars.peek() == Some(&'{') {
                    chars.next();
                }
            }
            '{' => opened = true,
            ',' if opened => comma = true,
            '.' if opened && previous == Some('.') => comma = true,
            '}' if opened && comma => {
                return if plain {
                    expanded(word)
                } else {
                    Braces::Opaque
                };
            }
            _ => {}
        }
        previous = Some(c);
    }
    Braces::None
}

/// Expands the first `{a,b}` of a plain word, again and again, within bounds.
fn expanded(word: &str) -> Braces {
    let mut done = Vec::new();
    let mut waiting = vec![word.to_owned()];
    while let Some(word) = waiting.pop() {
        if done.len() + waiting.len() > MAX_BRACES {
            return Braces::Opaque;
        }
        let Some((head, tail)) = word.split_once('}') else {
            done.push(word);
            continue;
        };
        let Some((before, list)) = head.rsplit_once('{') else {
            return Braces::Opaque;
        };
        // Nested braces: the words would not come out in the shell's order and number.
        if !list.contains(',') || before.contains('{') {
            return Braces::Opaque;
        }
        let words: Vec<String> = list
            .split(',')
            .map(|item| format!("{before}{item}{tail}"))
            .collect();
        waiting.extend(words.into_iter().rev());
    }
    Braces::Words(done)
}

/// The text of `$'…'` (bash QUOTING); `None` for what is rare enough to be suspicious.
pub(super) fn ansi_c(raw: &str) -> Option<String> {
    let mut text = String::new();
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        let digits =
            |chars: &mut std::iter::Peekable<std::str::Chars<'_>>, radix: u32, most: usize| {
                let mut value = 0_u32;
                let mut seen = 0;
                while seen < most
                    && let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix))
                {
                    chars.next();
                    value = value.checked_mul(radix)?.checked_add(digit)?;
                    seen += 1;
                }
                (seen > 0).then_some(value).and_then(char::from_u32)
            };
        match chars.next()? {
            'n' => text.push('\n'),
            't' => text.push('\t'),
            'r' => text.push('\r'),
            c @ ('\\' | '\'' | '"' | '?') => text.push(c),
            'x' => text.push(digits(&mut chars, 16, 2).filter(char::is_ascii)?),
            'u' => text.push(digits(&mut chars, 16, 4)?),
            'U' => text.push(digits(&mut chars, 16, 8)?),
            first @ '0'..='7' => {
                let mut value = first.to_digit(8)?;
                for _ in 0..2 {
                    let Some(digit) = chars.peek().and_then(|c| c.to_digit(8)) else {
                        break;
                    };
                    chars.next();
                    value = value * 8 + digit;
                }
                text.push(char::from_u32(value).filter(char::is_ascii)?);
            }
            _ => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ansi_c_quotes_say_what_bash_says() {
        assert_eq!(ansi_c(r"\x63url\x20-s").as_deref(), Some("curl -s"));
        assert_eq!(ansi_c(r"\u0063").as_deref(), Some("c"));
        assert_eq!(ansi_c(r"it\'s").as_deref(), Some("it's"));
        assert_eq!(ansi_c(r"\143url").as_deref(), Some("curl"));
        assert_eq!(ansi_c(r"\cA"), None);
    }

    #[test]
    fn braces_expand_or_stay_opaque() {
        let words = |word: &str| match braces(word) {
            Braces::Words(words) => Some(words.join(" ")),
            Braces::None | Braces::Opaque => None,
        };
        assert_eq!(words("{curl,x}").as_deref(), Some("curl x"));
        assert_eq!(words("a{b,c}{d,}").as_deref(), Some("abd ab acd ac"));
        assert!(matches!(braces("a{b,c{d,e}}f"), Braces::Opaque));
        assert!(matches!(braces(r#"'{"a":1,"b":2}'"#), Braces::None));
        assert!(matches!(braces("${a,b}"), Braces::None));
        assert!(matches!(braces("{1..9}"), Braces::Opaque));
        assert!(matches!(braces("{\"cu\",x}rl"), Braces::Opaque));
        assert!(matches!(braces(&"{a,b}".repeat(20)), Braces::Opaque));
    }
}
