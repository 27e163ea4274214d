//! The settings that pass between a repository and a session's private copy of it: by a list of keys, never by a file.
//!
//! Nothing on the list names a program (git-lfs by its own words excepted), a file that is read as settings, or a secret.

use serde::{Deserialize, Serialize};

use super::names::RefName;

/// Keys without a middle part.
const PLAIN: &[&str] = &[
    "core.autocrlf",
    "core.bare",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.logallrefupdates",
    "core.precomposeunicode",
    "core.protecthfs",
    "core.protectntfs",
    "core.quotepath",
    "core.safecrlf",
    "core.sparsecheckout",
    "core.sparsecheckoutcone",
    "core.symlinks",
    "core.worktree",
    "extensions.objectformat",
    "fetch.prune",
    "index.sparse",
    "init.defaultbranch",
    "lfs.repositoryformatversion",
    "merge.conflictstyle",
    "pull.ff",
    "pull.rebase",
    "push.autosetupremote",
    "push.default",
    "rebase.autosquash",
    "rebase.autostash",
    "user.email",
    "user.name",
];

/// Keys with a middle part: what stands before and after it.
const NAMED: &[(&str, &str)] = &[
    ("branch", "merge"),
    ("branch", "rebase"),
    ("branch", "remote"),
    ("remote", "fetch"),
    ("remote", "pushurl"),
    ("remote", "tagopt"),
    ("remote", "url"),
    ("submodule", "active"),
    ("submodule", "branch"),
    ("submodule", "url"),
];

/// Programs that pass by exactly these words, into a session alone: git-lfs, as `git lfs install` sets it. Without it a
/// large file would be committed as it is.
const EXACT: &[(&str, &str)] = &[
    ("filter.lfs.clean", "git-lfs clean -- %f"),
    ("filter.lfs.process", "git-lfs filter-process"),
    ("filter.lfs.required", "true"),
    ("filter.lfs.smudge", "git-lfs smudge -- %f"),
];

/// The longest value that passes, in bytes.
const MAX_VALUE: usize = 4096;

/// One setting: section, middle part, key, value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Setting {
    /// The section, in lowercase.
    pub section: String,
    /// The middle part, as it is written.
    pub middle: Option<String>,
    /// The key, in lowercase.
    pub key: String,
    /// The value.
    pub value: String,
}

/// What `git config --list -z` printed, but for what is on no list.
pub fn settings(printed: &[u8]) -> Vec<Setting> {
    printed
        .split(|byte| *byte == 0)
        .filter_map(|entry| setting(std::str::from_utf8(entry).ok()?))
        .collect()
}

fn setting(entry: &str) -> Option<Setting> {
    // A key that stands alone means yes.
    let (name, value) = entry.split_once('\n').unwrap_or((entry, "true"));
    let (section, rest) = name.split_once('.')?;
    let (middle, key) = match rest.rsplit_once('.') {
        Some((middle, key)) => (Some(middle), key),
        None => (None, rest),
    };
    let listed = match middle {
        None => PLAIN.contains(&name),
        Some(_) => NAMED.contains(&(section, key)) || EXACT.contains(&(name, value)),
    };
    let plain = |text: &str| !text.chars().any(char::is_control) && text.len() <= MAX_VALUE;
    let value = if matches!(key, "url" | "pushurl") {
        without_secret(value)
    } else {
        value.to_owned()
    };
    (listed && plain(&value) && middle.is_none_or(plain)).then(|| Setting {
        section: section.to_owned(),
        middle: middle.map(str::to_owned),
        key: key.to_owned(),
        value,
    })
}

/// A URL without the password that some people keep in it, or the token that stands for a user.
fn without_secret(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        // For SSH the user is part of the address.
        Some((user, host)) if scheme.contains("ssh") => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}@{host}{path}")
        }
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

/// A file of settings (git-config(1)).
pub fn file(settings: &[Setting]) -> String {
    let mut text = String::new();
    for setting in settings {
        let header = match &setting.middle {
            Some(middle) => format!("[{} \"{}\"]", setting.section, escaped(middle)),
            None => format!("[{}]", setting.section),
        };
        text.push_str(&format!(
            "{header}\n\t{} = \"{}\"\n",
            setting.key,
            escaped(&setting.value)
        ));
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// What a session set that the human may want: what a branch follows, and remotes.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// `branch.<name>.remote` and `.merge`: safe as they are.
    Follows(Setting),
    /// A remote; whoever pushes there sends what is here, so that the human adds it.
    Remote {
        /// What it is called.
        name: String,
        /// Where it is.
        url: String,
    },
}

/// Settings of `after` that `before` has not, as far as any of them comes back.
pub fn changes(before: &[Setting], after: &[Setting]) -> Vec<Change> {
    after
        .iter()
        .filter(|setting| !before.contains(setting))
        .filter_map(|setting| {
            let name = setting.middle.as_deref()?;
            match (setting.section.as_str(), setting.key.as_str()) {
                ("branch", "merge") => {
                    RefName::parse(&setting.value)?;
                    RefName::parse(&format!("refs/heads/{name}"))?;
                    Some(Change::Follows(setting.clone()))
                }
                ("branch", "remote") => {
                    RefName::parse(&format!("refs/heads/{name}"))?;
                    // Not a URL or a path, which git would take as well: a name that the human gave meaning to.
                    let known = before.iter().any(|had| {
                        had.section == "remote" && had.middle.as_deref() == Some(&setting.value)
                    });
                    let follows = || Change::Follows(setting.clone());
                    (setting.value == "." || known && word(&setting.value)).then(follows)
                }
                ("remote", "url") if word(name) => Some(Change::Remote {
                    name: name.to_owned(),
                    url: setting.value.clone(),
                }),
                _ => None,
            }
        })
        .collect()
}

/// A remote's name that is nothing else.
fn word(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_that_runs_or_includes_passes() {
        let printed = b"core.fsmonitor\n/tmp/x\0core.hookspath\nx\0include.path\n../x\0alias.st\n!x\0\
            filter.x.clean\nx\0diff.x.textconv\nx\0credential.helper\n!x\0core.pager\nx\0core.editor\nx\0\
            core.sshcommand\nx\0http.extraheader\nAuthorization: x\0includeif.x.path\nx\0gpg.program\nx\0\
            remote.x.uploadpack\nx\0remote.x.vcs\nx\0submodule.x.update\n!x\0merge.x.driver\nx\0\
            url.x.insteadof\ny\0filter.lfs.clean\nevil -- %f\0core.gitproxy\nx\0core.attributesfile\nx\0core.excludesfile\nx\0";
        assert_eq!(settings(printed), []);
    }

    #[test]
    fn large_files_stay_large_files_inside_and_nothing_of_it_comes_back() {
        let inside =
            settings(b"filter.lfs.clean\ngit-lfs clean -- %f\0filter.lfs.required\ntrue\0");
        assert_eq!(inside.len(), 2);
        assert_eq!(changes(&[], &inside), []);
    }

    #[test]
    fn urls_leave_their_secrets_behind() {
        let printed = b"remote.origin.url\nhttps://me:ghp_x@git.example/a.git\0core.bare\nfalse\0core.filemode\0\
            remote.b.url\nssh://git:x@h/a\0";
        let settings = settings(printed);
        let text = file(&settings);
        assert_eq!(
            text,
            "[remote \"origin\"]\n\turl = \"https://git.example/a.git\"\n[core]\n\tbare = \"false\"\n\
             [core]\n\tfilemode = \"true\"\n[remote \"b\"]\n\turl = \"ssh://git@h/a\"\n"
        );
    }

    #[test]
    fn what_comes_back_is_what_a_branch_follows() {
        let before =
            settings(b"branch.main.remote\norigin\0remote.origin.url\nhttps://a.example\0");
        let after = settings(
            b"branch.main.remote\norigin\0branch.new.remote\norigin\0branch.new.merge\nrefs/heads/new\0\
              branch.bad.remote\nhttps://evil.example/x\0branch.bad.merge\n--upload-pack=x\0\
              remote.fork.url\nhttps://fork.example/a\0core.bare\ntrue\0",
        );
        let changes = changes(&before, &after);
        assert_eq!(changes.len(), 3, "{changes:?}");
    }

    proptest! {
        /// Git reads back exactly what is written.
        #[test]
        fn a_file_of_ours_is_read_as_it_was_meant(name in "[a-z\"\\\\#; ]{1,8}", value in "[ -~ä]{0,24}") {
            let setting = Setting {
                section: "branch".to_owned(), middle: Some(name), key: "rebase".to_owned(), value,
            };
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("config");
            std::fs::write(&path, file(std::slice::from_ref(&setting))).unwrap();
            let printed = std::process::Command::new("git")
                .args(["config", "--list", "-z", "--file"]).arg(&path).output().unwrap();
            prop_assert_eq!(settings(&printed.stdout), [setting]);
        }
    }
}
