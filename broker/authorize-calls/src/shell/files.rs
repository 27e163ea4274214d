//! Programs that read, write and delete files.
//!
//! Too much rather than too little: an operand that is no path names one in the project, which harms nobody. It must
//! never take a program's own language (sed, awk, tar's hooks) for a path.

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

const PLAIN: Table = Table {
    short: "",
    long: &[],
};

const READERS: &[&str] = &[
    "cat",
    "bat",
    "head",
    "tail",
    "less",
    "more",
    "wc",
    "nl",
    "tac",
    "uniq",
    "cut",
    "diff",
    "cmp",
    "file",
    "stat",
    "od",
    "xxd",
    "hexdump",
    "strings",
    "md5sum",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "b2sum",
    "cksum",
    "base64",
    "base32",
    "column",
    "comm",
    "join",
    "paste",
    "fold",
    "fmt",
    "rev",
    "expand",
    "readlink",
    "realpath",
    "ls",
    "tree",
    "du",
    "dir",
    "vdir",
    "zcat",
    "bzcat",
    "xzcat",
    "zless",
    "ll",
    "la",
    "exa",
    "eza",
    "look",
    "pr",
    "tsort",
    "shuf",
];

const WRITERS: &[&str] = &[
    "touch", "mkdir", "tee", "truncate", "mkfifo", "mknod", "sponge",
];

const DELETERS: &[&str] = &["rm", "rmdir", "unlink", "shred", "trash", "trash-put"];

const SEARCHERS: &[&str] = &["grep", "egrep", "fgrep", "rg", "ag", "ack", "zgrep"];

impl Walk<'_> {
    /// Walks a program that handles files; `None` if it is none.
    pub(super) fn files(
        &mut self,
        program: &str,
        args: &[Arg],
        env: &mut Env,
        stdin: &Stream,
    ) -> Option<Stream> {
        let operands = || Parsed::read(args, PLAIN, Order::Mixed).operands;
        match program {
            "cat" if args.is_empty() || matches!(args, [only] if only.whole() == Some("-")) => {
                return Some(stdin.clone());
            }
            "sort" => {
                let parsed = Parsed::read(
                    args,
                    Table {
                        short: "kotST",
                        long: &["output", "key", "compress-program"],
                    },
                    Order::Mixed,
                );
                self.each(Touch::Read, &parsed.operands, env);
                for file in parsed.values(&["-o", "--output"]) {
                    self.touch(Touch::Write, file, env);
                }
                if parsed.has(&["--compress-program"]) {
                    self.cannot_tell("`sort` is told to run another program");
                }
            }
            reader if READERS.contains(&reader) => self.each(Touch::Read, &operands(), env),
            writer if WRITERS.contains(&writer) => self.each(Touch::Write, &operands(), env),
            deleter if DELETERS.contains(&deleter) => self.each(Touch::Delete, &operands(), env),
            "chmod" | "chown" | "chgrp" | "setfacl" | "chattr" => {
                self.each(Touch::Write, operands().get(1..).unwrap_or_default(), env);
            }
            searcher if SEARCHERS.contains(&searcher) => self.search(args, env),
            "cp" | "install" | "ln" | "mv" => self.copy_files(program, args, env),
            "dd" => {
                for arg in args {
                    if let Some(file) = arg.strip("if=") {
                        self.touch(Touch::Read, &file, env);
                    }
                    if let Some(file) = arg.strip("of=") {
                        self.touch(Touch::Write, &file, env);
                    }
                }
            }
            "sed" | "gsed" => self.sed(args, env),
            "awk" | "gawk" | "mawk" | "nawk" => self.awk(args, env),
            "jq" | "yq" => {
                let table = Table {
                    short: "fL",
                    long: &["from-file", "arg", "argjson", "slurpfile", "rawfile"],
                };
                let parsed = Parsed::read(args, table, Order::Mixed);
                self.each(
                    Touch::Read,
                    parsed.operands.get(1..).unwrap_or_default(),
                    env,
                );
            }
            "tar" | "bsdtar" => self.tar(args, env),
            "zip" | "unzip" | "gzip" | "gunzip" | "bzip2" | "xz" | "zstd" | "7z" | "cpio"
            | "patch" | "split" | "csplit" => {
                self.runs(program);
                self.each(Touch::Read, &operands(), env);
                self.touch(Touch::Write, &Arg::from("."), env);
            }
            "mktemp" => self.touch(Touch::Write, &Arg::from("/tmp/mktemp"), env),
            "vi" | "vim" | "nvim" | "nano" | "emacs" | "ed" | "ex" => {
                self.runs(program);
                self.cannot_tell(format!("`{program}` can do anything"));
            }
            _ => return None,
        }
        Some(Stream::Unknown)
    }

    fn each(&mut self, touch: Touch, args: &[Arg], env: &Env) {
        for arg in args {
            self.touch(touch, arg, env);
        }
    }

    fn search(&mut self, args: &[Arg], env: &Env) {
        let table = Table {
            short: "efABCmgtTdD",
            long: &[
                "regexp",
                "file",
                "glob",
                "type",
                "max-count",
                "include",
                "exclude",
                "pre",
            ],
        };
        let parsed = Parsed::read(args, table, Order::Mixed);
        if parsed.has(&["--pre"]) {
            self.cannot_tell("the search is told to run another program");
        }
        for file in parsed.values(&["-f", "--file"]) {
            self.touch(Touch::Read, file, env);
        }
        let patterns = usize::from(!parsed.has(&["-e", "--regexp", "-f", "--file"]));
        let files = parsed.operands.get(patterns..).unwrap_or_default();
        if files.is_empty() {
            self.touch(Touch::Read, &Arg::from("."), env);
        }
        self.each(Touch::Read, files, env);
    }

    fn copy_files(&mut self, program: &str, args: &[Arg], env: &Env) {
        let table = Table {
            short: if program == "install" { "tmogS" } else { "tS" },
            long: &["target-directory", "suffix", "mode", "owner", "group"],
        };
        let parsed = Parsed::read(args, table, Order::Mixed);
        let named = parsed.values(&["-t", "--target-directory"]).next().cloned();
        let (targets, sources) = match (named, parsed.operands.split_last()) {
            (Some(target), _) => (vec![target], parsed.operands.as_slice()),
            // `ln TARGET` links into the folder at hand.
            (None, Some((only, []))) if program == "ln" => {
                (vec![Arg::from(".")], std::slice::from_ref(only))
            }
            (None, Some((target, sources))) => (vec![target.clone()], sources),
            (None, None) => (vec![], [].as_slice()),
        };
        self.each(Touch::Read, sources, env);
        if program == "mv" {
            self.each(Touch::Delete, sources, env);
        }
        self.each(Touch::Write, &targets, env);
    }

    fn sed(&mut self, args: &[Arg], env: &Env) {
        let table = Table {
            short: "efl",
            long: &["expression", "file", "line-length"],
        };
        let parsed = Parsed::read(args, table, Order::Mixed);
        let mut scripts: Vec<&Arg> = parsed.values(&["-e", "--expression"]).collect();
        let given = !scripts.is_empty() || parsed.has(&["-f", "--file"]);
        let mut files = parsed.operands.as_slice();
        if !given && let Some((script, rest)) = files.split_first() {
            scripts.push(script);
            files = rest;
        }
        if parsed.has(&["-f", "--file"]) {
            self.cannot_tell("`sed` runs a script from a file");
        }
        for script in scripts {
            match script.whole().map(sed_script) {
                Some(Sed::Plain) => {}
                Some(Sed::Writes) => {
                    self.cannot_tell_locally("`sed` writes a file from its script")
                }
                Some(Sed::Runs) | None => self.cannot_tell("`sed` may run another program"),
            }
        }
        let in_place = parsed
            .options
            .iter()
            .any(|o| o.name == "-i" || o.name == "--in-place");
        self.each(Touch::Read, files, env);
        if in_place {
            self.each(Touch::Write, files, env);
        }
    }

    fn awk(&mut self, args: &[Arg], env: &Env) {
        let table = Table {
            short: "Fvfi",
            long: &["file", "assign", "field-separator", "include", "load"],
        };
        let parsed = Parsed::read(args, table, Order::Leading);
        if parsed.has(&["-f", "--file", "-i", "--include", "-l", "--load"]) {
            self.cannot_tell("`awk` runs a program from a file");
            return;
        }
        let Some((program, files)) = parsed.operands.split_first() else {
            return;
        };
        match program.whole() {
            Some(text) if awk_leads_out(text) => self.cannot_tell("`awk` may run another program"),
            Some(text) if text.contains("print") && text.contains('>') && text.contains('"') => {
                self.cannot_tell_locally("`awk` may write a file");
            }
            Some(_) => {}
            None => self.cannot_tell("what `awk` does, only the shell will know"),
        }
        self.each(Touch::Read, files, env);
    }

    fn tar(&mut self, args: &[Arg], env: &Env) {
        self.runs("tar");
        // The first argument may do without its dash.
        let mut args = args.to_vec();
        if let Some(Arg::Whole(first)) = args.first_mut()
            && !first.starts_with('-')
        {
            first.insert(0, '-');
        }
        let table = Table {
            short: "fCTXIbgHVKLFN",
            long: &[
                "file",
                "directory",
                "files-from",
                "exclude-from",
                "exclude",
                "use-compress-program",
                "to-command",
                "checkpoint-action",
                "rsh-command",
                "info-script",
                "new-volume-script",
                "transform",
                "strip-components",
            ],
        };
        let parsed = Parsed::read(&args, table, Order::Mixed);
        if parsed.has(&[
            "-I",
            "-F",
            "--use-compress-program",
            "--to-command",
            "--checkpoint-action",
            "--rsh-command",
            "--info-script",
            "--new-volume-script",
        ]) {
            self.cannot_tell("`tar` is told to run another program");
        }
        let writes = parsed.has(&["-c", "--create", "-r", "-u", "--append", "--update"]);
        for file in parsed.values(&["-f", "--file"]) {
            if file.known().contains(':') {
                self.cannot_tell("`tar` reaches another host");
            }
            self.touch(if writes { Touch::Write } else { Touch::Read }, file, env);
        }
        self.each(Touch::Read, &parsed.operands, env);
        if parsed.has(&["-x", "--extract", "--get"]) {
            let folder = parsed.values(&["-C", "--directory"]).next().cloned();
            self.touch(Touch::Write, &folder.unwrap_or_else(|| Arg::from(".")), env);
        }
    }
}

/// What a sed script can do beside editing text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sed {
    Plain,
    Writes,
    Runs,
}

/// Reads the commands of a sed script as far as `e` and `w` need; what it cannot split counts as running something.
fn sed_script(script: &str) -> Sed {
    let mut worst = Sed::Plain;
    let mut rest = script;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', ';', '{', '}']);
        // Addresses: numbers, `$`, `,`, `!`, `~`, `+`, and `/…/`.
        loop {
            rest = rest.trim_start_matches(|c: char| {
                c.is_ascii_digit() || matches!(c, '$' | ',' | '!' | '~' | '+' | ' ' | '{')
            });
            match rest.strip_prefix('/').map(|r| delimited(r, '/')) {
                Some(Some((_, after))) => rest = after.trim_start_matches(['I', 'M']),
                Some(None) => return Sed::Runs,
                None => break,
            }
        }
        let Some(command) = rest.chars().next() else {
            return worst;
        };
        let after = rest.strip_prefix(command).unwrap_or_default();
        match command {
            's' | 'y' => {
                let Some(delimiter) = after.chars().next() else {
                    return Sed::Runs;
                };
                let body = after.strip_prefix(delimiter).unwrap_or_default();
                let Some((_, body)) = delimited(body, delimiter) else {
                    return Sed::Runs;
                };
                let Some((_, body)) = delimited(body, delimiter) else {
                    return Sed::Runs;
                };
                let end = body.find([';', '\n', '}']).unwrap_or(body.len());
                let (flags, after) = body.split_at_checked(end).unwrap_or((body, ""));
                if flags.contains('e') {
                    return Sed::Runs;
                }
                if flags.contains('w') {
                    worst = Sed::Writes;
                }
                rest = after;
            }
            'p' | 'd' | 'D' | 'P' | 'g' | 'G' | 'h' | 'H' | 'n' | 'N' | 'x' | 'l' | '=' | 'q'
            | 'Q' | 'z' | 'F' | 'b' | 't' | 'T' | ':' | '}' | '#' => {
                let end = after.find([';', '\n', '}']).unwrap_or(after.len());
                rest = after.get(end..).unwrap_or_default();
            }
            'a' | 'i' | 'c' | 'r' | 'R' => {
                let end = after.find('\n').unwrap_or(after.len());
                rest = after.get(end..).unwrap_or_default();
            }
            'w' | 'W' => {
                worst = Sed::Writes;
                let end = after.find('\n').unwrap_or(after.len());
                rest = after.get(end..).unwrap_or_default();
            }
            _ => return Sed::Runs,
        }
    }
}

/// What stands before the next unescaped `delimiter`, and what after it.
fn delimited(text: &str, delimiter: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if !escaped && c == delimiter {
            return Some((text.get(..at)?, text.get(at + c.len_utf8()..)?));
        }
        escaped = !escaped && c == '\\';
    }
    None
}

/// Whether an awk program can run or reach something: a pipe that is no `||`, `system`, `getline`, its network files.
fn awk_leads_out(text: &str) -> bool {
    text.replace("||", "").contains('|')
        || ["system", "getline", "/inet", "@load", "@include"]
            .iter()
            .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sed_scripts_are_told_apart() {
        for script in [
            "s/a/b/g",
            "1,5p",
            "/x/d",
            "s|a|b|;s/c/d/",
            "$!N;P;D",
            "/a/,/b/{s/x/y/;p}",
            "2i hello e",
            "s/e/w/",
            "10q",
            "/^e/d",
        ] {
            assert_eq!(sed_script(script), Sed::Plain, "{script}");
        }
        for script in ["s/a/b/w out", "w out", "1w out"] {
            assert_eq!(sed_script(script), Sed::Writes, "{script}");
        }
        for script in [
            "e",
            "1e curl x",
            "s/a/b/e",
            "s/a/b/ge",
            "/x/e id",
            "s/a/b",
            "1!e id",
            "p;e id",
        ] {
            assert_eq!(sed_script(script), Sed::Runs, "{script}");
        }
    }
}
