//! What a project's git folder says of its remotes and branches.
//!
//! The agent can write those files: what they say explains a call to policy and to the human, and
//! must never stand in for what is seen where the push leaves the host. Text in, facts out; whatever
//! is not understood is left out, so that it counts as unknown.

use std::collections::{BTreeMap, BTreeSet};

use gix_config::File;
use gix_config::file::{Metadata, init};
use holdfast_protocol::url::HttpUrl;

/// The longest name of a remote or a branch, in bytes.
const MAX_NAME: usize = 255;

/// The most remotes and branches that are remembered.
const MAX_COUNT: usize = 4096;

/// One remote of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where pushes to it go, in one spelling where it is HTTP, else as it is written.
    pub url: String,
    /// The host there, where one can be told.
    pub host: Option<String>,
}

impl Remote {
    /// The remote behind a URL as git has it.
    pub fn at(url: &str) -> Self {
        match url.parse::<HttpUrl>() {
            Ok(url) => Self {
                host: Some(url.host().to_owned()),
                url: url.to_string(),
            },
            Err(_) => Self {
                host: ssh_host(url),
                url: url.to_owned(),
            },
        }
    }

    /// Its URL, where it speaks HTTP.
    pub fn http(&self) -> Option<HttpUrl> {
        self.url.parse().ok()
    }
}

/// The remotes of a `.git/config` (git-config(1)); includes are not followed.
pub fn remotes(config: &str) -> BTreeMap<String, Remote> {
    let options = init::Options::default();
    let Ok(file) = File::from_bytes_no_includes(config.as_bytes(), Metadata::api(), options) else {
        return BTreeMap::new();
    };
    let sections = file.sections_by_name("remote");
    sections
        .into_iter()
        .flatten()
        .take(MAX_COUNT)
        .filter_map(|section| {
            let name = section.header().subsection_name()?.to_string();
            // Pushes go to `pushurl` where there is one.
            let url = section.value("pushurl").or_else(|| section.value("url"))?;
            let url = url.to_string();
            let fits = name.len() <= MAX_NAME && url.len() <= 4096;
            fits.then(|| (name, Remote::at(&url)))
        })
        .collect()
}

/// The branch that a `HEAD` (or `refs/remotes/origin/HEAD`) names, without what stands before its name.
pub fn head<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let name = text
        .trim_end()
        .strip_prefix("ref: ")?
        .strip_prefix(before)?;
    (!name.is_empty() && name.len() <= MAX_NAME).then_some(name)
}

/// The names below `refs/heads/` and of remotes' branches in a `packed-refs` file (gitrepository-layout(5)).
pub fn packed(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter_map(|line| line.split_once(' ').map(|(_, name)| name))
        .filter_map(branch)
        .take(MAX_COUNT)
        .collect()
}

/// The branch that a full ref names, at home or at a remote.
pub fn branch(reference: &str) -> Option<String> {
    let name = match reference.strip_prefix("refs/heads/") {
        Some(name) => name,
        None => reference.strip_prefix("refs/remotes/")?.split_once('/')?.1,
    };
    (!name.is_empty() && name.len() <= MAX_NAME).then(|| name.to_owned())
}

/// The host of `ssh://[user@]host[:port]/…` or `[user@]host:path`.
fn ssh_host(url: &str) -> Option<String> {
    let (authority, ends): (&str, &[char]) = match url.split_once("://") {
        Some((_, rest)) => (rest, &['/', ':']),
        None => (url, &[':']),
    };
    let (authority, _) = authority.split_once(ends)?;
    let host = authority.rsplit('@').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (!host.is_empty() && host.chars().all(plain)).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use super::*;

    #[test]
    fn remotes_are_where_pushes_go() {
        let config = "[core]\n\tbare = false\n\
            [remote \"origin\"]\n\turl = HTTPS://Git.Example:443/org/repo.git/ ; a comment\n\
            \tfetch = +refs/heads/*:refs/remotes/origin/*\n\
            [remote \"fork\"]\n\turl = https://a.example/x\n\tpushurl = git@b.example:me/x.git\n\
            [remote \"local\"]\n\turl = \"/srv/git/x y\"\n\
            [branch \"main\"]\n\tremote = origin\n";
        let remotes = remotes(config);
        let of = |name: &str| {
            let remote = &remotes[name];
            (remote.url.as_str(), remote.host.as_deref())
        };
        assert_eq!(remotes.len(), 3);
        assert_eq!(
            of("origin"),
            ("https://git.example/org/repo.git", Some("git.example"))
        );
        assert_eq!(of("fork"), ("git@b.example:me/x.git", Some("b.example")));
        assert_eq!(of("local"), ("/srv/git/x y", None));
    }

    #[test]
    fn what_is_not_a_configuration_has_no_remotes() {
        for bad in ["[remote \"x", "\0\0", "url = x", "[remote]\nurl = x", ""] {
            assert!(remotes(bad).is_empty(), "{bad:?}");
        }
    }

    #[test]
    fn branches_are_read_from_every_place() {
        assert_eq!(
            head("ref: refs/heads/feat/x\n", "refs/heads/"),
            Some("feat/x")
        );
        assert_eq!(head("0123456789abcdef\n", "refs/heads/"), None);
        let text = "# pack-refs with: peeled fully-peeled sorted \n\
            1111111111111111111111111111111111111111 refs/heads/main\n\
            2222222222222222222222222222222222222222 refs/remotes/origin/topic/a\n\
            3333333333333333333333333333333333333333 refs/tags/v1\n\
            ^4444444444444444444444444444444444444444\n";
        let names: Vec<_> = packed(text).into_iter().collect();
        assert_eq!(names, ["main", "topic/a"]);
    }
}
