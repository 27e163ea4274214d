//! Files of the human's that say which version of a tool runs: lent, if they say nothing else.
//!
//! Some of them can hold variables, and so secrets. It must never lend one that it does not understand.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// What a file in TOML may hold besides plain settings.
const VERSIONS: [&str; 4] = ["alias", "min_version", "tool_alias", "tools"];

/// Those of `places` below `home` that may be lent; of the others it is said why not, and what helps.
pub fn lent<'a>(
    home: &'a Path,
    tool: &'a str,
    places: &'a [String],
) -> impl Iterator<Item = PathBuf> + 'a {
    let files = places.iter().map(|place| home.join(place));
    files.filter(move |file| {
        // A link could lead anywhere.
        if !file.canonicalize().is_ok_and(|real| real == *file) || !file.is_file() {
            return false;
        }
        let plain = says_versions_alone(file);
        if !plain {
            eprintln!(
                "holdfast: `{}` says more than which versions {tool} runs and is not lent; name those for this project, \
                 in a `.tool-versions` of its own",
                file.display()
            );
        }
        plain
    })
}

/// Whether nothing in the file can be a secret.
fn says_versions_alone(file: &Path) -> bool {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    let bounded =
        read.is_ok_and(|_| u64::try_from(text.len()).is_ok_and(|length| length <= MAX_FILE));
    bounded && (file.extension().is_none_or(|kind| kind != "toml") || is_plain(&text))
}

fn is_plain(text: &str) -> bool {
    let Ok(table) = text.parse::<Table>() else {
        return false;
    };
    table.iter().all(|(name, value)| {
        let settings = value.as_table().filter(|_| name == "settings");
        match settings {
            Some(settings) => settings.values().all(is_switch),
            None => VERSIONS.contains(&name.as_str()),
        }
    })
}

/// A setting that is no text, nor a table with some.
fn is_switch(value: &Value) -> bool {
    match value {
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => true,
        // Names of tools.
        Value::Array(values) => values.iter().all(Value::is_str),
        Value::String(_) | Value::Datetime(_) | Value::Table(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_plain_and_what_can_hold_a_secret_is_not() {
        for plain in [
            "",
            "[tools]\nnode = '20'\npython = ['3.12', '3.11']\n\"npm:prettier\" = { version = '3' }",
            "min_version = '2024'\n[alias.node]\nmine = '20'",
            "[settings]\nexperimental = true\njobs = 4\nidiomatic_version_file_enable_tools = ['node']",
        ] {
            assert!(is_plain(plain), "{plain}");
        }
        for other in [
            "[env]\nTOKEN = 'hunter2'",
            "[tools]\nnode = '20'\n[env]\nTOKEN = 'hunter2'",
            "env = { TOKEN = 'hunter2' }",
            "[settings]\nnpm_token = 'hunter2'",
            "[settings.github]\ntoken = 'hunter2'",
            "settings = 'hunter2'",
            "[tasks.x]\nrun = 'curl -H hunter2'",
            "not TOML [",
        ] {
            assert!(!is_plain(other), "{other}");
        }
    }
}
