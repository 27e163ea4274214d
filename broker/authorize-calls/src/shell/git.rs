//! git: what is pushed where, which hosts it talks to, and which of its settings would run something.
//!
//! An unknown subcommand may be an alias, an unknown setting may be a program: neither is harmless.

use holdfast_protocol::call::{Effect, History, Manner};

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::network::host_of;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

/// Subcommands that stay in the repository, but for what is said of them below.
const LOCAL: &[&str] = &[
    "add",
    "am",
    "annotate",
    "apply",
    "archive",
    "bisect",
    "blame",
    "branch",
    "bundle",
    "cat-file",
    "check-attr",
    "check-ignore",
    "check-ref-format",
    "checkout",
    "checkout-index",
    "cherry",
    "cherry-pick",
    "clean",
    "commit",
    "commit-tree",
    "count-objects",
    "describe",
    "diff",
    "diff-files",
    "diff-index",
    "diff-tree",
    "difftool",
    "fast-export",
    "fast-import",
    "for-each-ref",
    "format-patch",
    "fsck",
    "gc",
    "grep",
    "hash-object",
    "help",
    "index-pack",
    "init",
    "interpret-trailers",
    "log",
    "ls-files",
    "ls-tree",
    "maintenance",
    "merge",
    "merge-base",
    "merge-file",
    "merge-tree",
    "mergetool",
    "mktag",
    "mktree",
    "mv",
    "name-rev",
    "notes",
    "pack-objects",
    "pack-refs",
    "patch-id",
    "prune",
    "range-diff",
    "read-tree",
    "rebase",
    "reflog",
    "remote",
    "repack",
    "replace",
    "rerere",
    "reset",
    "restore",
    "rev-list",
    "rev-parse",
    "revert",
    "rm",
    "shortlog",
    "show",
    "show-branch",
    "show-ref",
    "sparse-checkout",
    "stage",
    "stash",
    "status",
    "stripspace",
    "switch",
    "symbolic-ref",
    "tag",
    "unpack-objects",
    "update-index",
    "update-ref",
    "var",
    "verify-commit",
    "verify-pack",
    "verify-tag",
    "version",
    "whatchanged",
    "worktree",
    "write-tree",
    "lfs",
    "submodule",
    "config",
    "subtree",
    "flow",
    "--version",
    "--help",
];

/// Subcommands that talk to a remote and send nothing of the project's.
const FETCHING: &[&str] = &["fetch", "pull", "clone", "ls-remote", "fetch-pack"];

/// Settings that neither run anything nor change where git goes.
const HARMLESS_SETTINGS: &[&str] = &[
    "user.",
    "color.",
    "column.",
    "advice.",
    "log.",
    "author.",
    "committer.",
    "blame.",
    "branch.sort",
    "pull.rebase",
    "pull.ff",
    "merge.ff",
    "merge.conflictstyle",
    "merge.log",
    "rebase.autosquash",
    "rebase.autostash",
    "rerere.",
    "init.defaultbranch",
    "commit.gpgsign",
    "commit.verbose",
    "tag.gpgsign",
    "tag.sort",
    "diff.algorithm",
    "diff.renames",
    "diff.colormoved",
    "diff.context",
    "status.",
    "fetch.prune",
    "fetch.parallel",
    "push.default",
    "push.autosetupremote",
    "core.autocrlf",
    "core.eol",
    "core.filemode",
    "core.ignorecase",
    "core.quotepath",
    "core.whitespace",
    "core.longpaths",
    "safe.directory",
    "gc.",
    "pack.",
    "feature.",
    "index.",
    "protocol.version",
    "help.",
    "grep.",
    "apply.",
    "format.",
    "core.abbrev",
    "core.commentchar",
    "submodule.recurse",
];

const GLOBAL: Table = Table {
    short: "Cc",
    long: &[
        "git-dir",
        "work-tree",
        "namespace",
        "exec-path",
        "super-prefix",
        "config-env",
        "attr-source",
    ],
};

impl Walk<'_> {
    /// Walks git; `None` if the program is another.
    pub(super) fn git(&mut self, program: &str, args: &[Arg], env: &mut Env) -> Option<Stream> {
        if program != "git" {
            return None;
        }
        let global = Parsed::read(args, GLOBAL, Order::Leading);
        let mut env = env.clone();
        for folder in global.values(&["-C"]) {
            env.change_folder(folder.whole());
        }
        for setting in global.values(&["-c"]) {
            let name = setting.known().split('=').next().unwrap_or_default();
            let pager = setting.whole() == Some("core.pager=cat");
            let complete = setting.whole().is_some() || setting.known().contains('=');
            if !(pager || (complete && harmless(name))) {
                self.cannot_tell(format!(
                    "git is told `{name}`, which can change what it does"
                ));
            }
        }
        if global.has(&["--exec-path", "--git-dir", "--config-env", "--attr-source"]) {
            self.cannot_tell("git is told to use another installation or repository");
        }
        match global.operands.split_first() {
            Some((Arg::Whole(verb), rest)) => self.verb(verb, rest, &mut env),
            Some((Arg::Prefix(_), _)) => {
                self.cannot_tell("what git does, only the shell will know")
            }
            None => {}
        }
        Some(Stream::Unknown)
    }

    fn verb(&mut self, verb: &str, args: &[Arg], env: &mut Env) {
        match verb {
            "push" => self.push(args),
            fetching if FETCHING.contains(&fetching) => self.fetch(verb, args, env),
            local if LOCAL.contains(&local) => {
                self.runs("git");
                self.local(verb, args, env);
            }
            other => self.cannot_tell(format!("`git {other}` may be an alias or another program")),
        }
    }

    fn fetch(&mut self, verb: &str, args: &[Arg], env: &Env) {
        self.runs("git");
        let table = Table {
            short: "bcojuX",
            long: &[
                "branch",
                "config",
                "origin",
                "depth",
                "upload-pack",
                "jobs",
                "reference",
                "template",
                "separate-git-dir",
                "filter",
                "server-option",
                "shallow-since",
                "recurse-submodules-default",
            ],
        };
        let parsed = Parsed::read(args, table, Order::Mixed);
        if parsed.has(&["--upload-pack", "-u", "--template", "--exec"]) && verb != "pull" {
            self.cannot_tell(format!("`git {verb}` is told to run another program"));
        }
        for setting in parsed.values(&["-c", "--config"]) {
            let name = setting.known().split('=').next().unwrap_or_default();
            if verb == "clone" && !harmless(name) {
                self.cannot_tell(format!(
                    "git is told `{name}`, which can change what it does"
                ));
            }
        }
        if parsed.has(&["--all", "--multiple"]) {
            let remotes = self.world.remotes.values();
            let hosts: Vec<String> = remotes.filter_map(|remote| remote.host.clone()).collect();
            for host in hosts {
                self.reaches(&host, Manner::Fetch);
            }
            return;
        }
        match parsed.operands.first() {
            Some(Arg::Whole(remote)) => {
                self.remote(remote, env);
                if verb == "clone"
                    && let Some(folder) = parsed.operands.get(1)
                {
                    self.touch(Touch::Write, folder, env);
                }
            }
            Some(prefix @ Arg::Prefix(_)) => match host_of(prefix) {
                Some(host) => self.reaches(&host, Manner::Fetch),
                None => self.cannot_tell("where git fetches from, only the shell will know"),
            },
            None => self.remote("origin", env),
        }
    }

    /// A remote that is fetched from, by name or address.
    fn remote(&mut self, remote: &str, env: &Env) {
        let known = self.world.remotes.get(remote);
        if let Some(host) = known.and_then(|known| known.host.clone()) {
            self.reaches(&host, Manner::Fetch);
        } else if remote.contains("::") {
            self.cannot_tell("git is told to use a transport of its own");
        } else if let Some(host) = host_of(&Arg::from(remote)) {
            self.reaches(&host, Manner::Fetch);
        } else if let Some((host, _path)) = remote.split_once(':') {
            let host = host.rsplit('@').next().unwrap_or(host);
            self.reaches(host, Manner::Fetch);
        } else if remote.contains('/') || remote.starts_with('.') {
            self.touch(Touch::Read, &Arg::from(remote), env);
        } else {
            self.reaches(&format!("git remote {remote}"), Manner::Fetch);
        }
    }

    fn local(&mut self, verb: &str, args: &[Arg], env: &mut Env) {
        let words: Vec<&str> = args.iter().map(Arg::known).collect();
        match verb {
            "config" => self.config(&words),
            "remote"
                if matches!(
                    words.first(),
                    Some(&("add" | "set-url" | "rename" | "remove" | "rm" | "set-head"))
                ) =>
            {
                self.cannot_tell("it changes where git pushes to");
            }
            "remote" if matches!(words.first(), Some(&("update" | "prune" | "show"))) => {
                self.remote(words.get(1).copied().unwrap_or("origin"), env);
            }
            "submodule" => match words.iter().position(|word| *word == "foreach") {
                Some(at) => {
                    let text = args.get(at + 1..).unwrap_or_default();
                    let text: Option<Vec<&str>> = text.iter().map(Arg::whole).collect();
                    match text {
                        Some(text) => self.nested(&text.join(" "), env),
                        None => self.cannot_tell("it runs text that only the shell will know"),
                    }
                }
                None if words.iter().any(|word| matches!(*word, "update" | "add")) => {
                    self.reaches("git submodules", Manner::Fetch);
                }
                None => {}
            },
            "rebase" => {
                let table = Table {
                    short: "xsX",
                    long: &["exec", "onto", "strategy", "strategy-option"],
                };
                let parsed = Parsed::read(args, table, Order::Mixed);
                for text in parsed.values(&["-x", "--exec"]) {
                    self.shell_text(text, env);
                }
            }
            "bisect" if words.first() == Some(&"run") => {
                let command = args.get(1..).unwrap_or_default().to_vec();
                self.deeper(|walk| {
                    walk.invoke(&command, env, &Stream::Inherited);
                });
            }
            "lfs" | "subtree" | "flow"
                if words
                    .iter()
                    .any(|word| matches!(*word, "push" | "publish" | "finish")) =>
            {
                self.found(Effect::Pushes {
                    remote: None,
                    refspec: Some(format!("what git {verb} decides")),
                    history: History::Kept,
                });
            }
            "difftool" | "mergetool" | "grep" | "archive"
                if words.iter().any(|word| {
                    [
                        "-x",
                        "--extcmd",
                        "-O",
                        "--open-files-in-pager",
                        "--remote",
                        "--exec",
                        "-t",
                        "--tool",
                    ]
                    .iter()
                    .any(|option| word.starts_with(option))
                }) =>
            {
                self.cannot_tell(format!("`git {verb}` is told to run another program"));
            }
            "clean" => self.touch(Touch::Delete, &Arg::from("./*"), env),
            "worktree" if words.first() == Some(&"add") => {
                let parsed = Parsed::read(
                    args.get(1..).unwrap_or_default(),
                    Table {
                        short: "bB",
                        long: &[],
                    },
                    Order::Mixed,
                );
                if let Some(folder) = parsed.operands.first() {
                    self.touch(Touch::Write, folder, env);
                }
            }
            "init" if words.iter().any(|word| word.starts_with("--template")) => {
                self.cannot_tell("git init takes hooks from elsewhere");
            }
            _ => {}
        }
    }

    fn config(&mut self, words: &[&str]) {
        let reads = words.iter().any(|word| {
            matches!(
                *word,
                "-l" | "--list"
                    | "list"
                    | "get"
                    | "--get"
                    | "--get-all"
                    | "--get-regexp"
                    | "--get-urlmatch"
                    | "--show-origin"
            )
        });
        let names: Vec<&&str> = words
            .iter()
            .filter(|word| !word.starts_with('-') && **word != "set")
            .collect();
        let writes = names.len() > 1
            || words.iter().any(|word| {
                matches!(
                    *word,
                    "-e" | "--edit"
                        | "edit"
                        | "--add"
                        | "--unset"
                        | "--replace-all"
                        | "-f"
                        | "--file"
                )
            });
        if writes && !reads && !names.first().is_some_and(|name| harmless(name)) {
            self.cannot_tell("it changes what git runs or where it goes");
        }
    }
}

fn harmless(setting: &str) -> bool {
    let setting = setting.to_ascii_lowercase();
    HARMLESS_SETTINGS
        .iter()
        .any(|known| setting == *known || (known.ends_with('.') && setting.starts_with(known)))
}
