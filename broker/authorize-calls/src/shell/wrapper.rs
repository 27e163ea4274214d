//! Programs that run another program: `env`, `sudo`, `xargs`, `timeout`, `find -exec` and their like.
//!
//! It must never lose what is wrapped: an option that a table does not know makes the whole uninspectable.

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

/// A wrapper: its options that take a value, and how many operands of its own come before the command.
struct Wrapper {
    name: &'static str,
    table: Table,
    /// The one-letter options that take none.
    flags: &'static str,
    operands: usize,
}

const WRAPPERS: &[Wrapper] = &[
    wrapper("nohup", "", &[], "", 0),
    wrapper("setsid", "", &[], "cfw", 0),
    wrapper("nice", "n", &["adjustment"], "0123456789", 0),
    wrapper("ionice", "cn", &["class", "classdata"], "t", 0),
    wrapper("chrt", "TPD", &[], "abfior", 1),
    wrapper("taskset", "", &[], "c", 1),
    wrapper("stdbuf", "ioe", &["input", "output", "error"], "", 0),
    wrapper("unbuffer", "", &[], "p", 0),
    wrapper("timeout", "ks", &["kill-after", "signal"], "fpv", 1),
    wrapper("time", "fo", &["format", "output"], "apqvV", 0),
    wrapper(
        "sudo",
        "ugCDhpRrtTU",
        &[
            "user",
            "group",
            "chdir",
            "host",
            "prompt",
            "chroot",
            "role",
            "type",
            "command-timeout",
            "other-user",
            "close-from",
        ],
        "AbEHiknPSs",
        0,
    ),
    wrapper("doas", "uC", &[], "nsL", 0),
    wrapper("exec", "a", &[], "cl", 0),
    wrapper("builtin", "", &[], "", 0),
    wrapper("busybox", "", &[], "", 0),
    wrapper("toybox", "", &[], "", 0),
    wrapper(
        "flock",
        "wEc",
        &["timeout", "wait", "conflict-exit-code", "command"],
        "eFnosux",
        1,
    ),
    wrapper("strace", "eopsaESuI", &[], "cCdfFhiqrtTvVwxyYz", 0),
    wrapper("ltrace", "eopsaESuln", &[], "cCdfhiLrStTV", 0),
    wrapper("watch", "n", &["interval"], "bcdegtwx", 0),
    wrapper("unshare", "", &[], "mnpuiUCrfT", 0),
    wrapper("proxychains", "f", &[], "q", 0),
    wrapper("proxychains4", "f", &[], "q", 0),
    wrapper("dotenv", "f", &["file"], "", 0),
    wrapper("gtimeout", "ks", &["kill-after", "signal"], "fv", 1),
    wrapper("caffeinate", "tw", &[], "dimsu", 0),
    wrapper("npx", "pcw", &["package", "call", "workspace"], "yq", 0),
    wrapper("pnpx", "pc", &["package", "call"], "yq", 0),
    wrapper("bunx", "p", &["package"], "", 0),
    wrapper("uvx", "p", &["from", "with", "python"], "q", 0),
    wrapper("dbus-run-session", "", &[], "", 0),
    wrapper(
        "xvfb-run",
        "fenpsw",
        &[
            "server-args",
            "server-num",
            "auth-file",
            "error-file",
            "wait",
        ],
        "alh",
        0,
    ),
];

const fn wrapper(
    name: &'static str,
    short: &'static str,
    long: &'static [&'static str],
    flags: &'static str,
    operands: usize,
) -> Wrapper {
    Wrapper {
        name,
        table: Table { short, long },
        flags,
        operands,
    }
}

impl Walk<'_> {
    /// Walks a wrapper and what it wraps; `None` if it is none.
    pub(super) fn wrapper(
        &mut self,
        program: &str,
        args: &[Arg],
        env: &mut Env,
        stdin: &Stream,
    ) -> Option<Stream> {
        match program {
            "command" => self.command_builtin(args, env, stdin),
            "env" => self.env_program(args, env, stdin),
            "xargs" => self.xargs(args, env),
            "find" | "fd" | "fdfind" => self.find(program, args, env),
            "su" | "runuser" | "script" => self.text_option(program, args, env),
            "parallel" | "at" | "batch" | "crontab" | "systemd-run" | "chroot" | "nsenter"
            | "entr" | "expect" => {
                self.runs(program);
                self.cannot_tell(format!("`{program}` runs other programs in its own way"));
            }
            _ => {
                let wrapper = WRAPPERS.iter().find(|wrapper| wrapper.name == program)?;
                return Some(self.wrapped(wrapper, args, env, stdin));
            }
        }
        Some(Stream::Unknown)
    }

    fn wrapped(
        &mut self,
        wrapper: &Wrapper,
        args: &[Arg],
        env: &mut Env,
        stdin: &Stream,
    ) -> Stream {
        let parsed = Parsed::read(args, wrapper.table, Order::Leading);
        let known = parsed.options.iter().all(|option| {
            option.value.is_some()
                || option.name.starts_with("--")
                || option
                    .name
                    .trim_start_matches('-')
                    .chars()
                    .all(|c| wrapper.flags.contains(c))
        });
        if !known {
            self.cannot_tell(format!(
                "`{}` has an option that is not known",
                wrapper.name
            ));
        }
        if matches!(wrapper.name, "sudo" | "doas" | "unshare") {
            self.runs(wrapper.name);
        }
        if matches!(wrapper.name, "flock" | "npx" | "pnpx") {
            for text in parsed.values(&["-c", "--command", "--call"]) {
                self.shell_text(text, env);
            }
        }
        let rest = parsed.operands.get(wrapper.operands..).unwrap_or_default();
        // sudo takes assignments before the command, as env does.
        let rest = self.skip_assignments(rest);
        match (wrapper.name, rest) {
            ("watch", [text]) => {
                self.shell_text(text, env);
                return Stream::Unknown;
            }
            ("flock", [option, text, ..]) if matches!(option.whole(), Some("-c" | "--command")) => {
                self.shell_text(text, env);
                return Stream::Unknown;
            }
            _ => {}
        }
        let mut output = Stream::Unknown;
        self.deeper(|walk| output = walk.invoke(rest, env, stdin));
        output
    }

    fn skip_assignments<'a>(&mut self, args: &'a [Arg]) -> &'a [Arg] {
        let count = args
            .iter()
            .take_while(|arg| assignment(arg).is_some())
            .count();
        let (assignments, rest) = args.split_at_checked(count).unwrap_or((&[], args));
        for (name, value) in assignments.iter().filter_map(assignment) {
            self.loaded(&name, &value);
        }
        rest
    }

    fn command_builtin(&mut self, args: &[Arg], env: &mut Env, stdin: &Stream) {
        match args.first().map(Arg::known) {
            Some("-v" | "-V") => {}
            Some("-p" | "--") => {
                self.deeper(|walk| {
                    walk.invoke(args.get(1..).unwrap_or_default(), env, stdin);
                });
            }
            _ => self.deeper(|walk| {
                walk.invoke(args, env, stdin);
            }),
        }
    }

    fn env_program(&mut self, args: &[Arg], env: &mut Env, stdin: &Stream) {
        let table = Table {
            short: "uCS",
            long: &["unset", "chdir", "split-string"],
        };
        let parsed = Parsed::read(args, table, Order::Leading);
        let mut inner = env.clone();
        for folder in parsed.values(&["-C", "--chdir"]) {
            inner.change_folder(folder.whole());
        }
        let mut command: Vec<Arg> = Vec::new();
        for text in parsed.values(&["-S", "--split-string"]) {
            command.extend(self.split_text(text, &mut inner));
        }
        command.extend(parsed.operands.iter().cloned());
        let rest = self.skip_assignments(&command).to_vec();
        self.deeper(|walk| {
            walk.invoke(&rest, &mut inner, stdin);
        });
    }

    fn split_text(&mut self, text: &Arg, env: &mut Env) -> Vec<Arg> {
        match text.whole() {
            Some(text) if !text.contains(['|', ';', '&', '<', '>', '(', '"', '\'', '$', '\\']) => {
                text.split_whitespace().map(Arg::from).collect()
            }
            Some(_) | None => {
                let _ = env;
                vec![Arg::unknown()]
            }
        }
    }

    fn xargs(&mut self, args: &[Arg], env: &mut Env) {
        let table = Table {
            short: "adEIiLlnPs",
            long: &[
                "arg-file",
                "delimiter",
                "eof",
                "replace",
                "max-lines",
                "max-args",
                "max-procs",
                "max-chars",
                "process-slot-var",
            ],
        };
        // `-i` and `-l` take a value only where it is attached.
        let parsed = Parsed::read(args, table, Order::Leading);
        let replaced = parsed
            .values(&["-I", "-i", "--replace"])
            .next()
            .map(|marker| marker.known().to_owned());
        let mut command: Vec<Arg> = parsed
            .operands
            .iter()
            .map(|arg| match &replaced {
                Some(marker) if !marker.is_empty() => match arg.known().split_once(marker.as_str())
                {
                    Some((before, _)) => Arg::Prefix(before.to_owned()),
                    None => arg.clone(),
                },
                Some(_) | None => arg.clone(),
            })
            .collect();
        if command.is_empty() {
            return;
        }
        if replaced.is_none() {
            command.push(Arg::unknown());
        }
        self.deeper(|walk| {
            walk.invoke(&command, &mut env.clone(), &Stream::Inherited);
        });
    }

    fn find(&mut self, program: &str, args: &[Arg], env: &mut Env) {
        let is_test = |arg: &Arg| arg.known().starts_with(['-', '(', '!']);
        let roots: Vec<Arg> = if program == "find" {
            args.iter()
                .take_while(|arg| !is_test(arg))
                .cloned()
                .collect()
        } else {
            vec![]
        };
        let roots = if roots.is_empty() {
            vec![Arg::from(".")]
        } else {
            roots
        };
        for root in &roots {
            self.touch(Touch::Read, root, env);
        }
        let named = args
            .iter()
            .position(|arg| matches!(arg.known(), "-name" | "-iname"))
            .and_then(|at| args.get(at + 1))
            .cloned();
        let mut rest = args;
        while let Some((arg, after)) = rest.split_first() {
            rest = after;
            match arg.known() {
                "-delete" => {
                    for root in &roots {
                        self.touch(Touch::Delete, &below(root, named.as_ref()), env);
                    }
                }
                "-fprint" | "-fprintf" | "-fls" | "-fprint0" => {
                    if let Some(file) = after.first() {
                        self.touch(Touch::Write, file, env);
                    }
                }
                "-exec" | "-execdir" | "-ok" | "-okdir" | "-x" | "-X" | "--exec"
                | "--exec-batch" => {
                    let command: Vec<Arg> = after
                        .iter()
                        .take_while(|arg| !matches!(arg.whole(), Some(";" | "+")))
                        .cloned()
                        .collect();
                    rest = after.get(command.len()..).unwrap_or_default();
                    self.found_each(&command, &roots, env);
                }
                _ => {}
            }
        }
    }

    /// A command that `find` runs on what it finds: `{}` is something below one of the roots.
    fn found_each(&mut self, command: &[Arg], roots: &[Arg], env: &mut Env) {
        for root in roots {
            let command: Vec<Arg> = command
                .iter()
                .map(|arg| match arg.known().split_once("{}") {
                    Some(("", _)) => match root {
                        Arg::Whole(root) => Arg::Whole(format!("{}/*", root.trim_end_matches('/'))),
                        Arg::Prefix(_) => Arg::unknown(),
                    },
                    Some((before, _)) => Arg::Prefix(before.to_owned()),
                    None => arg.clone(),
                })
                .collect();
            self.deeper(|walk| {
                walk.invoke(&command, &mut env.clone(), &Stream::Inherited);
            });
        }
    }

    /// `su -c TEXT`, `script -c TEXT`.
    fn text_option(&mut self, program: &str, args: &[Arg], env: &mut Env) {
        self.runs(program);
        let table = Table {
            short: "cgGsEIOBTmo",
            long: &["command", "group", "shell", "session-command"],
        };
        let parsed = Parsed::read(args, table, Order::Mixed);
        let mut texts = parsed
            .values(&["-c", "--command", "--session-command"])
            .peekable();
        if texts.peek().is_none() {
            self.cannot_tell(format!("`{program}` starts a shell"));
        }
        for text in texts {
            self.shell_text(text, env);
        }
    }

    /// Text that a shell of its own runs.
    pub(super) fn shell_text(&mut self, text: &Arg, env: &Env) {
        match text.whole() {
            Some(text) => self.nested(text, env),
            None => self.cannot_tell("it runs text that only the shell will know"),
        }
    }
}

/// What `find` means below `root`: everything, or what bears the name.
fn below(root: &Arg, named: Option<&Arg>) -> Arg {
    match (root, named) {
        (Arg::Whole(root), Some(Arg::Whole(name))) => {
            Arg::Whole(format!("{}/{name}", root.trim_end_matches('/')))
        }
        _ => root.clone(),
    }
}

fn assignment(arg: &Arg) -> Option<(String, Arg)> {
    let (name, _) = arg.known().split_once('=')?;
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let value = arg.strip(&format!("{name}="))?;
    valid.then(|| (name.to_owned(), value))
}
