//! Names and values in files that people write by hand: shells' and tools' assignments, netrc, URLs with passwords.
//!
//! Line by line and forgiving, for what is missed is only not told. Pure; a value is only ever lent, never kept.

/// Words that stand before an assignment.
const BEFORE: [&str; 10] = [
    "export", "declare", "typeset", "setenv", "set", "-x", "-gx", "-Ux", "-g", "--export",
];

/// The longest name, in bytes.
const MAX_NAME: usize = 128;

/// A name, and the value that the text gives to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// The name.
    pub name: &'a str,
    /// The value; never to be shown.
    pub value: &'a str,
}

/// `NAME=value`, `export NAME="value"`, `set -x NAME value`, `name: value`, `//host/:name=value`.
pub fn assignments(text: &str) -> impl Iterator<Item = Assignment<'_>> {
    text.lines().filter_map(|line| {
        let mut rest = line.trim();
        if rest.starts_with(['#', ';']) {
            return None;
        }
        let mut announced = false;
        while let Some((word, after)) = rest.split_once(char::is_whitespace) {
            if !BEFORE.contains(&word) {
                break;
            }
            announced = true;
            rest = after.trim_start();
        }
        let split = rest
            .split_once('=')
            .or_else(|| rest.split_once(": "))
            .or_else(|| rest.split_once(char::is_whitespace).filter(|_| announced));
        let (left, right) = split?;
        let name = left
            .trim_end()
            .trim_end_matches(['"', '\''])
            .rsplit(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
            .next()?;
        let value = value(right.trim_start());
        (is_name(name) && is_literal(value)).then_some(Assignment { name, value })
    })
}

/// `machine NAME … password VALUE` (ftp(1)), by machine.
pub fn netrc(text: &str) -> impl Iterator<Item = Assignment<'_>> {
    let mut words = text.split_whitespace();
    let mut machine = "default";
    std::iter::from_fn(move || {
        loop {
            match words.next()? {
                "machine" => machine = words.next()?,
                "password" => {
                    let value = words.next()?;
                    return Some(Assignment {
                        name: machine,
                        value,
                    });
                }
                _ => {}
            }
        }
    })
    .filter(|found| is_name(found.name))
}

/// `scheme://user:password@host/…` (git-credential-store(1)), by host.
pub fn urls(text: &str) -> impl Iterator<Item = Assignment<'_>> {
    text.lines().filter_map(|line| {
        let (_, rest) = line.trim().split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user, host) = authority.rsplit_once('@')?;
        let (_, value) = user.split_once(':')?;
        (is_name(host) && !value.is_empty()).then_some(Assignment { name: host, value })
    })
}

/// The value's own characters: without its quotes, and what follows it.
fn value(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split(quote).next().unwrap_or_default();
        }
    }
    text.split(|c: char| c.is_whitespace() || c == ';')
        .next()
        .unwrap_or_default()
}

/// A name of a host or of a variable.
fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b':' | b'[' | b']')
        })
}

/// Whether it is the value itself, and does not refer to where that is.
fn is_literal(value: &str) -> bool {
    !value.is_empty() && !value.starts_with(['$', '`', '<', '(', '{']) && !value.contains("$(")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &str) -> Vec<(&str, &str)> {
        assignments(text)
            .map(|found| (found.name, found.value))
            .collect()
    }

    #[test]
    fn every_way_to_write_an_assignment_is_read() {
        let text = "# A=no\nA=1\nexport B=\"2 two\"; true\n  set -gx C 3\n//npm.example/:_authToken=4\n\
            \u{20}   oauth_token: 5\naws_secret_access_key = 6\nD=$(pass d)\nE=${F}\nif true\nexport -x\nG='7'\n";
        assert_eq!(
            all(text),
            [
                ("A", "1"),
                ("B", "2 two"),
                ("C", "3"),
                ("_authToken", "4"),
                ("oauth_token", "5"),
                ("aws_secret_access_key", "6"),
                ("G", "7"),
            ]
        );
    }

    #[test]
    fn machines_and_hosts_have_their_passwords() {
        let text = "machine a.example login u password p1\nmachine b.example\n  password p2\ndefault login x\n";
        let found: Vec<_> = netrc(text).map(|found| (found.name, found.value)).collect();
        assert_eq!(found, [("a.example", "p1"), ("b.example", "p2")]);
        let text = "https://u:p%40@git.example:8443/x\nhttps://u@x\nssh://git@y\n";
        let found: Vec<_> = urls(text).map(|found| (found.name, found.value)).collect();
        assert_eq!(found, [("git.example:8443", "p%40")]);
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(text in "(export |set -x |[A-Z_]{0,3}|[=: \"'#@/]|\\PC|\n){0,60}") {
            for found in assignments(&text).chain(netrc(&text)).chain(urls(&text)) {
                prop_assert!(is_name(found.name));
                prop_assert!(text.contains(found.value));
            }
        }
    }
}
