//! Builtins and programs that only compute.
//!
//! It must never call a builtin harmless that changes what later commands mean without saying so to [`Env`].

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

/// Nothing outside the shell changes, whatever the arguments.
const QUIET: &[&str] = &[
    ":", "true", "false", "test", "[", "sleep", "wait", "exit", "return", "break", "continue",
    "ulimit", "umask", "jobs", "fg", "bg", "date", "whoami", "id", "groups", "uname", "hostname",
    "arch", "nproc", "seq", "yes", "basename", "dirname", "tr", "expr", "bc", "dc", "type",
    "which", "hash", "times", "logname", "tty", "tput", "clear", "reset", "history", "dirs",
    "getconf", "locale", "ps", "pgrep", "free", "uptime", "df", "set", "shopt", "complete",
    "compgen", "caller", "suspend", "factor", "numfmt", "printenv", "let",
];

impl Walk<'_> {
    /// Walks a builtin; `None` if it is none.
    pub(super) fn builtin(
        &mut self,
        program: &str,
        args: &[Arg],
        env: &mut Env,
        stdin: &Stream,
    ) -> Option<Stream> {
        match program {
            "echo" => return Some(echoed(args)),
            "printf" => return Some(printed(args, env)),
            "set" => {
                if let Some(end) = args.iter().position(|a| a.whole() == Some("--")) {
                    env.set_arguments(args.get(end + 1..).map(<[Arg]>::to_vec));
                }
            }
            "shift" => env.set_arguments(None),
            "cd" | "pushd" | "popd" => change_folder(program, args, env),
            "pwd" => {}
            "export" | "declare" | "local" | "readonly" | "typeset" => self.declare(args, env),
            "unset" => {
                for name in args.iter().filter_map(Arg::whole) {
                    env.forget(name);
                }
            }
            "read" | "mapfile" | "readarray" | "getopts" => {
                for name in args.iter().filter_map(Arg::whole) {
                    env.forget(name.trim_start_matches('-'));
                }
                env.forget("REPLY");
            }
            "alias" => self.alias(args, env),
            "unalias" => {}
            "trap" => {
                if let Some(handler) = args.first() {
                    self.text_to_run(std::slice::from_ref(handler), env);
                }
            }
            "eval" => self.text_to_run(args, env),
            "source" | "." => self.source(args, env, stdin),
            "kill" | "disown" | "enable" => self.runs(program),
            quiet if QUIET.contains(&quiet) => {}
            _ => return None,
        }
        Some(Stream::Unknown)
    }

    /// Text that the shell at hand runs.
    fn text_to_run(&mut self, args: &[Arg], env: &mut Env) {
        let words: Option<Vec<&str>> = args.iter().map(Arg::whole).collect();
        match words {
            Some(words) if words == ["-"] => {}
            Some(words) => self.script(&words.join(" "), env, &Stream::Inherited),
            None => self.cannot_tell("it runs text that only the shell will know"),
        }
    }

    fn source(&mut self, args: &[Arg], env: &mut Env, stdin: &Stream) {
        match args.first() {
            Some(Arg::Whole(file)) if file == "/dev/stdin" => match stdin {
                Stream::Text(text) => self.script(text, env, &Stream::Inherited),
                Stream::Inherited | Stream::Unknown => {
                    self.cannot_tell("a shell runs what it is fed");
                }
            },
            Some(Arg::Whole(file)) => {
                // Whatever the script set before, the file may set anew.
                env.forget_all();
                self.runs(file);
                self.touch(Touch::Read, &Arg::from(file.as_str()), env);
            }
            Some(Arg::Prefix(_)) => {
                self.cannot_tell("it runs a script that only the shell will know")
            }
            None => {}
        }
    }

    fn declare(&mut self, args: &[Arg], env: &mut Env) {
        for arg in args {
            let Some((name, _)) = arg.known().split_once('=') else {
                // `declare -n` makes one name mean another.
                if arg.known().starts_with('-') && arg.known().contains('n') {
                    self.cannot_tell("a variable stands for another");
                }
                continue;
            };
            let name = name.trim_end_matches('+').to_owned();
            let value = arg.strip(&format!("{name}=")).unwrap_or_else(Arg::unknown);
            self.loaded(&name, &value);
            env.assign(&name, &value);
        }
    }

    fn alias(&mut self, args: &[Arg], env: &mut Env) {
        for arg in args {
            let Some((name, _)) = arg.known().split_once('=') else {
                continue;
            };
            let name = name.to_owned();
            let value = arg.strip(&format!("{name}="));
            let words = match value.as_ref().and_then(Arg::whole) {
                // An alias is text: what is not a plain list of words is walked here and unknown there.
                Some(text) if !text.contains(['|', ';', '&', '<', '>', '(', '\n']) => {
                    self.expand(text, env)
                }
                Some(text) => {
                    let text = text.to_owned();
                    self.nested(&text, env);
                    vec![Arg::unknown()]
                }
                None => vec![Arg::unknown()],
            };
            let words = match words.as_slice() {
                [Arg::Whole(only)] => only.split_whitespace().map(Arg::from).collect(),
                _ => words,
            };
            env.alias(&name, words);
        }
    }
}

fn change_folder(program: &str, args: &[Arg], env: &mut Env) {
    let parsed = Parsed::read(
        args,
        Table {
            short: "",
            long: &[],
        },
        Order::Mixed,
    );
    match (program, parsed.operands.first()) {
        ("cd", None) => env.change_folder(Some("~")),
        ("cd" | "pushd", Some(Arg::Whole(to))) if to != "-" && !crate::world::has_wildcard(to) => {
            env.change_folder(Some(to));
        }
        _ => env.change_folder(None),
    }
}

/// What `echo` writes, where that is plain.
fn echoed(args: &[Arg]) -> Stream {
    let interprets = |text: &str| text.starts_with('-') && text.contains('e');
    let words: Option<Vec<&str>> = args.iter().map(Arg::whole).collect();
    match words.as_deref() {
        Some([first, ..]) if interprets(first) => Stream::Unknown,
        Some(["-n", rest @ ..]) => Stream::Text(rest.join(" ")),
        // `sh` interprets `\c` and its like; whoever pipes them wants not to be read.
        Some(words) if words.iter().any(|w| w.contains('\\')) => Stream::Unknown,
        Some(words) => Stream::Text(format!("{}\n", words.join(" "))),
        None => Stream::Unknown,
    }
}

/// What `printf` writes, where that is plain; `-v` sets a variable.
fn printed(args: &[Arg], env: &mut Env) -> Stream {
    let words: Option<Vec<&str>> = args.iter().map(Arg::whole).collect();
    match words.as_deref() {
        Some(["-v", name, ..]) => {
            env.forget(name);
            Stream::Unknown
        }
        Some(["%s" | "%s\\n", only]) => Stream::Text(format!("{only}\n")),
        Some([only]) if !only.contains(['%', '\\']) => Stream::Text((*only).to_owned()),
        Some([only]) if !only.contains('%') => match only.strip_suffix("\\n") {
            Some(line) if !line.contains('\\') => Stream::Text(format!("{line}\n")),
            Some(_) | None => Stream::Unknown,
        },
        Some(_) => Stream::Unknown,
        None => {
            if args.first().and_then(Arg::whole) == Some("-v")
                && let Some(name) = args.get(1).and_then(Arg::whole)
            {
                env.forget(name);
            }
            Stream::Unknown
        }
    }
}
