//! Foreign words made fit to be shown: bounded, printable, and never a secret.
//!
//! What is shown of a command line is chosen by its form, not by what it is not: flags by their names, a runner's
//! package. Everything else is counted. Pure.

/// The longest word that is shown, in characters.
const MAX_SHOWN: usize = 80;

/// The most words of a command line that are looked at.
const MAX_WORDS: usize = 64;

/// Beginnings that tell what kind of secret a value is; the longer before the shorter.
const KINDS: [(&str, &str); 29] = [
    ("sk-ant-api", "an Anthropic API key"),
    ("sk-ant-oat", "a Claude access token"),
    ("sk-ant-ort", "a Claude refresh token"),
    ("sk-ant-", "an Anthropic secret"),
    ("sk-proj-", "an OpenAI project key"),
    ("sk-or-", "an OpenRouter key"),
    ("sk_live_", "a Stripe key"),
    ("sk-", "an API key (sk-…)"),
    ("github_pat_", "a GitHub token"),
    ("ghp_", "a GitHub token"),
    ("gho_", "a GitHub OAuth token"),
    ("ghu_", "a GitHub user token"),
    ("ghs_", "a GitHub server token"),
    ("ghr_", "a GitHub refresh token"),
    ("glpat-", "a GitLab token"),
    ("xox", "a Slack token"),
    ("AKIA", "an AWS access key's id"),
    ("ASIA", "an AWS session key's id"),
    ("AIza", "a Google API key"),
    ("ya29.", "a Google access token"),
    ("1//", "a Google refresh token"),
    ("npm_", "an npm token"),
    ("pypi-", "a PyPI token"),
    ("dckr_pat_", "a Docker token"),
    ("gsk_", "a Groq key"),
    ("xai-", "an xAI key"),
    ("hf_", "a Hugging Face token, or Holdfast's own placeholder"),
    ("eyJ", "a JSON Web Token"),
    ("-----BEGIN", "a private key"),
];

/// Programs that run a package, whose name is the first word that is no flag.
const RUNNERS: [&str; 4] = ["npx", "bunx", "uvx", "pnpx"];

/// What kind of secret a value looks like; nothing of it is in the answer.
pub fn kind_of(value: &str) -> Option<&'static str> {
    KINDS
        .iter()
        .find(|(beginning, _)| value.starts_with(beginning))
        .map(|(_, kind)| *kind)
}

/// Foreign text as it may be shown: one line, bounded; a secret's place is marked instead.
pub fn shown(text: &str) -> String {
    if text
        .split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.')))
        .any(|word| word.len() > 7 && kind_of(word).is_some())
    {
        return "(hidden: it looks like a secret)".to_owned();
    }
    let mut shown: String = text
        .chars()
        .take(MAX_SHOWN)
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}

/// What may be shown of a command line: the program's own name, flags, a runner's package; and how many words are not.
pub fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        return Vec::new();
    };
    let name = program.rsplit('/').next().unwrap_or_default();
    let mut told = vec![shown(name)];
    let mut package = RUNNERS.contains(&name);
    let mut left_out = 0_usize;
    for (index, word) in words.enumerate() {
        if index >= MAX_WORDS {
            left_out = left_out.saturating_add(1);
        } else if let Some(flag) = flag(word) {
            told.push(flag);
        } else if package && is_package(word) {
            package = false;
            told.push(shown(word));
        } else {
            package = false;
            left_out = left_out.saturating_add(1);
        }
    }
    match left_out {
        0 => {}
        1 => told.push("(1 word)".to_owned()),
        more => told.push(format!("({more} words)")),
    }
    told
}

/// A flag's name, where it is a plain one; what it was given is left out.
fn flag(word: &str) -> Option<String> {
    let (name, value) = match word.split_once('=') {
        Some((name, _)) => (name, "=…"),
        None => (word, ""),
    };
    let plain = match (name.strip_prefix("--"), name.strip_prefix('-')) {
        (Some(letters), _) => {
            (2..=40).contains(&letters.len())
                && letters.starts_with(|c: char| c.is_ascii_lowercase())
                && letters.bytes().all(|b| matches!(b, b'a'..=b'z' | b'-'))
        }
        (None, Some(letter)) => {
            letter.len() == 1 && letter.bytes().all(|b| b.is_ascii_alphabetic())
        }
        (None, None) => false,
    };
    plain.then(|| format!("{name}{value}"))
}

/// `name`, `@scope/name`, either with `@version`; nothing that could as well be a secret.
fn is_package(word: &str) -> bool {
    let (scope, name) = match word.strip_prefix('@').map(|rest| rest.split_once('/')) {
        Some(Some((scope, name))) => (scope, name),
        Some(None) => return false,
        None => ("", word),
    };
    let (name, version) = name.split_once('@').unwrap_or((name, ""));
    let plain = |text: &str| {
        text.bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_'))
    };
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    !name.is_empty()
        && name.len() <= 60
        && plain(scope)
        && plain(name)
        && plain(version)
        && version.len() <= 20
        && digits <= 4
        && kind_of(name).is_none()
}

/// Characters that would change how the line around them is seen.
fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flags_and_packages_are_told_and_nothing_else() {
        let line = [
            "/usr/bin/npx",
            "-y",
            "@modelcontextprotocol/server-github@2025.4.8",
            "--api-key=s3cret",
            "--token",
            "s3cret",
        ];
        assert_eq!(
            command(line),
            [
                "npx",
                "-y",
                "@modelcontextprotocol/server-github@2025.4.8",
                "--api-key=…",
                "--token",
                "(1 word)"
            ]
        );
        assert_eq!(
            command([
                "claude",
                "--dangerously-skip-permissions",
                "-p",
                "say s3cret"
            ])
            .len(),
            4
        );
        assert_eq!(
            command(["npx", "ghp_0123456789abcdefghij"]),
            ["npx", "(1 word)"]
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        assert!(!shown("key sk-ant-api03-abcdef here").contains("abcdef"));
        assert_eq!(shown("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), MAX_SHOWN + 1);
    }

    proptest! {
        #[test]
        fn no_mixed_word_of_a_command_line_gets_out(words in prop::collection::vec("[A-Z][a-zA-Z0-9+/=]{7,20}", 1..5)) {
            let line = std::iter::once("npx").chain(words.iter().map(String::as_str));
            let told = command(line).join(" ");
            for word in &words {
                prop_assert!(!told.contains(word.as_str()));
            }
        }
    }
}
