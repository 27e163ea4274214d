//! Paths as text: made absolute, freed of `.` and `..`, and matched where they hold wildcards.
//!
//! It must never follow a link: it has no file system to follow it in.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// `path` as seen from `cwd`, without `.` and `..`.
pub fn absolute(path: &Path, cwd: &Path) -> PathBuf {
    let mut parts: Vec<OsString> = Vec::new();
    for component in cwd.join(path).components() {
        match component {
            Component::Normal(part) => parts.push(part.to_owned()),
            Component::ParentDir => {
                parts.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    let mut absolute = PathBuf::from("/");
    absolute.extend(parts);
    absolute
}

/// Whether a path component, which may hold `*`, `?` and `[…]`, could be `name`. Over-approximates: a bracket is any
/// one character.
pub(super) fn could_be(component: &str, name: &str) -> bool {
    let pattern = tokens(component);
    let name: Vec<char> = name.chars().collect();
    // A leading wildcard does not match a leading dot (POSIX 2.13.3).
    if name.first() == Some(&'.') && !matches!(pattern.first(), Some(Token::Char('.'))) {
        return false;
    }
    // Dynamic programming over prefixes: `reach[j]` tells whether the pattern so far matches `name[..j]`.
    let mut reach: Vec<bool> = (0..=name.len()).map(|j| j == 0).collect();
    for token in pattern {
        let mut next = vec![false; name.len() + 1];
        let mut any_before = false;
        for (j, slot) in next.iter_mut().enumerate() {
            let here = reach.get(j).copied().unwrap_or(false);
            let before = j.checked_sub(1);
            let stepped = before.and_then(|b| reach.get(b)).copied().unwrap_or(false);
            any_before |= here;
            *slot = match token {
                Token::Any => any_before,
                Token::One => stepped,
                Token::Char(c) => stepped && before.and_then(|b| name.get(b)) == Some(&c),
            };
        }
        reach = next;
    }
    reach.last().copied().unwrap_or(false)
}

/// Whether a text holds a wildcard of the shell.
pub(crate) fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
        || text
            .split_once('[')
            .is_some_and(|(_, rest)| rest.contains(']'))
}

/// Whether a pattern says anything at all about what it matches.
pub(super) fn says_something(component: &str) -> bool {
    tokens(component)
        .iter()
        .any(|token| matches!(token, Token::Char(_)))
}

#[derive(Clone, Copy)]
enum Token {
    Any,
    One,
    Char(char),
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Any,
            '?' => Token::One,
            '[' => {
                let mut ahead = rest.clone();
                if ahead.any(|c| c == ']') {
                    rest = ahead;
                    Token::One
                } else {
                    Token::Char('[')
                }
            }
            c => Token::Char(c),
        });
    }
    tokens
}
