//! Shells and other interpreters, and the text that they are given.
//!
//! Shell text is walked. Other languages are not understood: their inline text is uninspectable, and leads out where it
//! holds a word that could. It must never take a language's text for harmless because it is short.

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

const SHELLS: &[&str] = &["sh", "bash", "dash", "zsh", "ksh", "ash", "mksh", "rbash"];

/// An interpreter: the options that hold text, and the others that take a value.
struct Interpreter {
    names: &'static [&'static str],
    text: &'static [&'static str],
    short: &'static str,
    long: &'static [&'static str],
}

const INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &["python", "python2", "python3", "pypy", "pypy3"],
        text: &["-c"],
        short: "cmWXQ",
        long: &[],
    },
    Interpreter {
        names: &["node", "nodejs", "bun", "deno", "tsx", "ts-node"],
        text: &["-e", "-p", "--eval", "--print"],
        // `-pe TEXT` is `-p -e TEXT`: the text is an operand.
        short: "r",
        long: &["eval", "print", "require", "import", "loader"],
    },
    Interpreter {
        names: &["perl", "perl5"],
        text: &["-e", "-E"],
        short: "eEIMm",
        long: &[],
    },
    Interpreter {
        names: &[
            "ruby",
            "php",
            "lua",
            "luajit",
            "Rscript",
            "osascript",
            "groovy",
            "tclsh",
            "guile",
        ],
        text: &["-e", "-r", "--execute"],
        short: "erI",
        long: &["execute"],
    },
];

/// Words that lead out of a program in one language or another: the network, other programs, text that is run.
const LEADS_OUT: &[&str] = &[
    "socket",
    "http",
    "url",
    "ftp",
    "smtp",
    "request",
    "fetch",
    "net",
    "connect",
    "curl",
    "wget",
    "subprocess",
    "system",
    "popen",
    "spawn",
    "exec",
    "eval",
    "compile",
    "import(",
    "__",
    "getattr",
    "ctypes",
    "child_process",
    "require(",
    "pty",
    "base64",
    "decode",
    "chr(",
    "fromCharCode",
    "atob",
    "`",
    "qx",
    "IO.",
    "open3",
    "Process",
    "shell",
    "load",
    "dns",
    "paramiko",
    "ssh",
    "git",
];

impl Walk<'_> {
    /// Walks an interpreter; `None` if it is none.
    pub(super) fn interpreter(
        &mut self,
        program: &str,
        args: &[Arg],
        env: &mut Env,
        stdin: &Stream,
    ) -> Option<Stream> {
        if SHELLS.contains(&program) {
            self.shell(program, args, env, stdin);
            return Some(Stream::Unknown);
        }
        let versionless = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let interpreter = INTERPRETERS
            .iter()
            .find(|i| i.names.contains(&program) || i.names.contains(&versionless))?;
        self.language(interpreter, program, args, env, stdin);
        Some(Stream::Unknown)
    }

    fn shell(&mut self, program: &str, args: &[Arg], env: &Env, stdin: &Stream) {
        let table = Table {
            short: "oO",
            long: &["rcfile", "init-file"],
        };
        let args = without_plus(args);
        let parsed = Parsed::read(&args, table, Order::Leading);
        for file in parsed.values(&["--rcfile", "--init-file"]) {
            self.runs(file.known());
        }
        let mut inner = env.clone();
        if parsed.has(&["-c"]) {
            let mut operands = parsed.operands.into_iter();
            let text = operands.next();
            let _name = operands.next();
            inner.set_arguments(Some(operands.collect()));
            match text {
                Some(text) => self.shell_text(&text, &inner),
                None => self.runs(program),
            }
            return;
        }
        let from_input = parsed.has(&["-s"]);
        match parsed.operands.first() {
            Some(Arg::Whole(file))
                if !from_input && !matches!(file.as_str(), "-" | "/dev/stdin") =>
            {
                self.runs(file);
                self.touch(Touch::Read, &Arg::from(file.as_str()), env);
            }
            Some(Arg::Prefix(_)) if !from_input => {
                self.cannot_tell("a shell runs a script that only the shell will know");
            }
            Some(_) | None => match stdin {
                Stream::Text(text) => {
                    inner.set_arguments(None);
                    self.nested(text, &inner);
                }
                Stream::Inherited => self.runs(program),
                Stream::Unknown => self.cannot_tell("a shell runs what it is fed"),
            },
        }
    }

    fn language(
        &mut self,
        interpreter: &Interpreter,
        program: &str,
        args: &[Arg],
        env: &Env,
        stdin: &Stream,
    ) {
        self.runs(program);
        let table = Table {
            short: interpreter.short,
            long: interpreter.long,
        };
        let parsed = Parsed::read(args, table, Order::Leading);
        if parsed.has(interpreter.text) {
            for text in parsed
                .values(interpreter.text)
                .chain(parsed.operands.first())
            {
                self.foreign(program, text);
            }
            return;
        }
        if interpreter.names.contains(&"python")
            && let Some(module) = parsed.values(&["-m"]).next()
        {
            self.python_module(module, &parsed.operands);
            return;
        }
        match parsed.operands.first() {
            Some(Arg::Whole(file)) if file != "-" && file != "/dev/stdin" => {
                // deno and bun have verbs where others have files.
                self.other(file, parsed.operands.get(1..).unwrap_or_default(), env);
            }
            Some(Arg::Prefix(_)) => {
                self.cannot_tell(format!(
                    "`{program}` runs a script that only the shell will know"
                ));
            }
            Some(_) | None => match stdin {
                Stream::Text(text) => self.foreign(program, &Arg::from(text.as_str())),
                Stream::Inherited => {}
                Stream::Unknown => self.cannot_tell(format!("`{program}` runs what it is fed")),
            },
        }
    }

    /// Text in a language that we do not read.
    fn foreign(&mut self, program: &str, text: &Arg) {
        let why = format!("`{program}` is given text that is not understood");
        match text.whole() {
            Some(text) if !LEADS_OUT.iter().any(|word| text.contains(word)) => {
                self.cannot_tell_locally(why)
            }
            Some(_) | None => self.cannot_tell(why),
        }
    }

    fn python_module(&mut self, module: &Arg, operands: &[Arg]) {
        match module.whole() {
            Some("twine") if operands.iter().any(|a| a.whole() == Some("upload")) => {
                self.publishes("twine");
            }
            Some("smtplib" | "ftplib" | "telnetlib" | "urllib.request" | "webbrowser") | None => {
                self.cannot_tell("a Python module reaches out");
            }
            Some(module) => self.runs(&format!("python -m {module}")),
        }
    }
}

/// A shell's arguments without `+x` and `+o NAME`, which switch options off and may stand before `-c`.
fn without_plus(args: &[Arg]) -> Vec<Arg> {
    let mut kept = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match arg.whole() {
            Some("+o" | "+O") => {
                rest.next();
            }
            Some(text) if text.starts_with('+') => {}
            Some(text) if text.starts_with('-') => {
                kept.push(arg.clone());
                if matches!(text, "-o" | "-O" | "--rcfile" | "--init-file") {
                    kept.extend(rest.next().cloned());
                }
            }
            Some(_) | None => {
                kept.push(arg.clone());
                kept.extend(rest.by_ref().cloned());
            }
        }
    }
    kept
}
