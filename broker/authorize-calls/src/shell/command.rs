//! Simple commands: assignments, redirections, and finding out which program it is.
//!
//! It must never take a program for known because its name looks so: a path outside the system's folders, a wildcard or
//! an unknown variable makes it another program.

use std::path::Path;

use brush_parser::ast::{
    Assignment, AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem, IoFileRedirectKind,
    IoFileRedirectTarget, IoRedirect, SimpleCommand, SubshellCommand,
};
use holdfast_policy::Place;
use holdfast_protocol::call::{Effect, Manner};

use super::arg::Arg;
use super::env::Env;
use super::walk::{Stream, Walk};
use crate::world::{absolute, has_wildcard};

/// Folders whose programs are the ones that their names say.
const SYSTEM: &[&str] = &[
    "/bin",
    "/usr/bin",
    "/usr/local/bin",
    "/sbin",
    "/usr/sbin",
    "/usr/local/sbin",
];

/// Variables that make programs run or load something else. Those with a list may have these values.
const LOADED: &[(&str, &[&str])] = &[
    ("LD_PRELOAD", &[]),
    ("LD_AUDIT", &[]),
    ("LD_LIBRARY_PATH", &[]),
    ("BASH_ENV", &[]),
    ("ENV", &[]),
    ("PROMPT_COMMAND", &[]),
    ("PS4", &[]),
    ("GIT_SSH", &[]),
    ("GIT_SSH_COMMAND", &[]),
    ("GIT_PROXY_COMMAND", &[]),
    ("GIT_EXTERNAL_DIFF", &[]),
    ("GIT_EXEC_PATH", &[]),
    ("GIT_ASKPASS", &["true", "/bin/true", "echo", ""]),
    ("SSH_ASKPASS", &["true", "/bin/true", "echo", ""]),
    ("PAGER", &["cat", "less", ""]),
    ("GIT_PAGER", &["cat", "less", ""]),
    ("EDITOR", &["true", ":", "cat"]),
    ("VISUAL", &["true", ":", "cat"]),
    ("GIT_EDITOR", &["true", ":", "cat"]),
    ("GIT_SEQUENCE_EDITOR", &["true", ":", "cat"]),
    ("PERL5OPT", &[]),
    ("RUBYOPT", &[]),
    ("PYTHONSTARTUP", &[]),
    ("http_proxy", &[""]),
    ("https_proxy", &[""]),
    ("all_proxy", &[""]),
    ("HTTP_PROXY", &[""]),
    ("HTTPS_PROXY", &[""]),
    ("ALL_PROXY", &[""]),
];

/// What is done to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    Read,
    Write,
    Delete,
}

impl Walk<'_> {
    pub(super) fn simple(
        &mut self,
        command: &SimpleCommand,
        env: &mut Env,
        stdin: &Stream,
    ) -> Stream {
        if !self.step() {
            return Stream::Unknown;
        }
        let mut stdin = stdin.clone();
        let mut args: Vec<Arg> = Vec::new();
        let mut assignments: Vec<(String, Arg)> = Vec::new();
        let prefix = command.prefix.iter().flat_map(|prefix| &prefix.0);
        let suffix = command.suffix.iter().flat_map(|suffix| &suffix.0);
        for item in prefix {
            match item {
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => {
                    assignments.push(self.assignment(assignment, env));
                }
                CommandPrefixOrSuffixItem::IoRedirect(_)
                | CommandPrefixOrSuffixItem::Word(_)
                | CommandPrefixOrSuffixItem::ProcessSubstitution(..) => {
                    stdin = self.item(item, &mut args, env, stdin);
                }
            }
        }
        if let Some(word) = &command.word_or_name {
            args.extend(self.expand(&word.value, env));
        }
        for item in suffix {
            stdin = self.item(item, &mut args, env, stdin);
        }
        for (name, value) in &assignments {
            self.loaded(name, value);
        }
        if args.is_empty() {
            for (name, value) in &assignments {
                env.assign(name, value);
            }
            return Stream::Unknown;
        }
        let mut output = Stream::Unknown;
        self.deeper(|walk| output = walk.invoke(&args, env, &stdin));
        output
    }

    /// A program with its arguments, whoever calls it.
    pub(super) fn invoke(&mut self, args: &[Arg], env: &mut Env, stdin: &Stream) -> Stream {
        let Some((first, rest)) = args.split_first() else {
            return Stream::Unknown;
        };
        if !self.step() {
            return Stream::Unknown;
        }
        let Some(name) = first.whole().filter(|name| !has_wildcard(name)) else {
            self.cannot_tell("which program runs, only the shell will know");
            return Stream::Unknown;
        };
        // An alias counts only where the shell expands it, a function only where its definition was reached: so the
        // program of the same name counts too.
        if let Some(mut words) = env.take_alias(name) {
            words.extend(rest.iter().cloned());
            self.deeper(|walk| {
                walk.invoke(&words, env, stdin);
            });
        }
        for body in env.bodies(name) {
            let outer = env.arguments().map(<[Arg]>::to_vec);
            env.set_arguments(Some(rest.to_vec()));
            self.redirected(&body.0, body.1.as_ref(), env, stdin);
            env.set_arguments(outer);
        }
        match known_as(name) {
            Some(program) => self.program(program, rest, env, stdin),
            None => {
                self.other(name, rest, env);
                Stream::Unknown
            }
        }
    }

    fn program(&mut self, program: &str, args: &[Arg], env: &mut Env, stdin: &Stream) -> Stream {
        self.builtin(program, args, env, stdin)
            .or_else(|| self.wrapper(program, args, env, stdin))
            .or_else(|| self.interpreter(program, args, env, stdin))
            .or_else(|| self.git(program, args, env))
            .or_else(|| self.publisher(program, args, env))
            .or_else(|| self.network(program, args, env))
            .or_else(|| self.files(program, args, env, stdin))
            .unwrap_or_else(|| {
                self.other(program, args, env);
                Stream::Unknown
            })
    }

    /// A program that we do not know: it runs, and the guarded paths that it is shown count as read.
    pub(super) fn other(&mut self, program: &str, args: &[Arg], env: &Env) {
        self.runs(program);
        for arg in args {
            let text = arg.known();
            let value = text.split_once('=').map_or(text, |(_, value)| value);
            let value = value.trim_start_matches('@');
            if !value.contains('/') && !value.starts_with('.') {
                continue;
            }
            let guarded = env.folders().any(|folder| {
                matches!(
                    self.world.place(&absolute(Path::new(value), folder)),
                    Place::Secret | Place::Holdfast | Place::OtherProject
                )
            });
            if guarded {
                self.touch(Touch::Read, &Arg::from(value), env);
            }
        }
    }

    /// Notes what happens to a path.
    pub(super) fn touch(&mut self, touch: Touch, arg: &Arg, env: &Env) {
        let known = arg.known();
        if known.is_empty() && arg.whole().is_some() {
            return;
        }
        if matches!(
            known,
            "/dev/null"
                | "/dev/stdout"
                | "/dev/stderr"
                | "/dev/stdin"
                | "/dev/tty"
                | "/dev/zero"
                | "/dev/urandom"
                | "/dev/random"
                | "-"
        ) || known.starts_with("/dev/fd/")
        {
            return;
        }
        if let Some(address) = known
            .strip_prefix("/dev/tcp/")
            .or_else(|| known.strip_prefix("/dev/udp/"))
        {
            self.found(Effect::Reaches {
                host: address.replacen('/', ":", 1),
                manner: Manner::Send,
            });
            return;
        }
        let (path, all_known) = match arg {
            Arg::Whole(path) => (path.as_str(), true),
            // A prefix says something about folders only up to its last slash.
            Arg::Prefix(prefix) => (
                prefix.rsplit_once('/').map_or("", |(folder, _)| folder),
                false,
            ),
        };
        let anywhere = Path::new(path).is_absolute();
        let folders: Vec<_> = env.folders().cloned().collect();
        if !path.is_empty() && (anywhere || !folders.is_empty()) {
            let from = if anywhere { vec!["/".into()] } else { folders };
            for folder in from {
                let path = absolute(Path::new(path), &folder);
                self.found(match touch {
                    Touch::Read => Effect::Reads { path },
                    Touch::Write => Effect::Writes { path },
                    Touch::Delete => Effect::Deletes { path },
                });
            }
            if all_known {
                return;
            }
        }
        match touch {
            Touch::Read => {
                self.cannot_tell_locally("it reads a path that only the shell will know")
            }
            Touch::Write => {
                self.cannot_tell_locally("it writes a path that only the shell will know")
            }
            Touch::Delete => self.cannot_tell("it deletes a path that only the shell will know"),
        }
    }

    /// Notes a variable that makes programs run or load something else.
    pub(super) fn loaded(&mut self, name: &str, value: &Arg) {
        let harmless = match LOADED.iter().find(|(loaded, _)| *loaded == name) {
            Some((_, values)) => value.whole().is_some_and(|value| values.contains(&value)),
            None if name.starts_with("GIT_CONFIG") => false,
            None if name == "NODE_OPTIONS" => !["require", "import", "eval", "loader"]
                .iter()
                .any(|option| value.whole().is_none_or(|value| value.contains(option))),
            None => true,
        };
        if !harmless {
            self.cannot_tell(format!("`{name}` changes what programs do"));
        }
    }

    pub(super) fn assignment(&mut self, assignment: &Assignment, env: &mut Env) -> (String, Arg) {
        let (name, element) = match &assignment.name {
            AssignmentName::VariableName(name) => (name, false),
            AssignmentName::ArrayElementName(name, index) => {
                self.expand_for_effects(index, env);
                (name, true)
            }
        };
        let value = match &assignment.value {
            AssignmentValue::Scalar(word) => self.expand_one(&word.value, env),
            AssignmentValue::Array(words) => {
                for (key, value) in words {
                    if let Some(key) = key {
                        self.expand(&key.value, env);
                    }
                    self.expand(&value.value, env);
                }
                Arg::unknown()
            }
        };
        let value = if element || assignment.append {
            Arg::unknown()
        } else {
            value
        };
        (name.clone(), value)
    }

    pub(super) fn redirect(
        &mut self,
        redirect: &IoRedirect,
        env: &mut Env,
        stdin: Stream,
    ) -> Stream {
        match redirect {
            IoRedirect::File(fd, kind, target) => {
                let touch = match kind {
                    IoFileRedirectKind::Read | IoFileRedirectKind::DuplicateInput => Touch::Read,
                    IoFileRedirectKind::Write
                    | IoFileRedirectKind::Append
                    | IoFileRedirectKind::ReadAndWrite
                    | IoFileRedirectKind::Clobber
                    | IoFileRedirectKind::DuplicateOutput => Touch::Write,
                };
                match target {
                    IoFileRedirectTarget::Filename(word) => {
                        let path = self.expand_one(&word.value, env);
                        self.touch(touch, &path, env);
                    }
                    IoFileRedirectTarget::Duplicate(word) => {
                        let target = self.expand_one(&word.value, env);
                        let descriptor = target.whole().is_some_and(|text| {
                            text.trim_end_matches('-')
                                .bytes()
                                .all(|b| b.is_ascii_digit())
                        });
                        if !descriptor {
                            self.touch(touch, &target, env);
                        }
                    }
                    IoFileRedirectTarget::ProcessSubstitution(_, subshell) => {
                        self.process(subshell, env, &Stream::Unknown);
                    }
                    IoFileRedirectTarget::Fd(_) => {}
                }
                match (touch, fd) {
                    (Touch::Read, None | Some(0)) => Stream::Unknown,
                    (Touch::Read | Touch::Write | Touch::Delete, _) => stdin,
                }
            }
            IoRedirect::HereDocument(_, document) => {
                let body = &document.doc.value;
                let text = if document.requires_expansion {
                    self.expand_heredoc(body, env)
                } else {
                    Arg::Whole(body.clone())
                };
                fed(text)
            }
            IoRedirect::HereString(_, word) => fed(self.expand_one(&word.value, env)),
            IoRedirect::OutputAndError(word, _) => {
                let path = self.expand_one(&word.value, env);
                self.touch(Touch::Write, &path, env);
                stdin
            }
        }
    }

    /// A process substitution: what it reads, where it reads anything, is the command's output.
    fn process(&mut self, subshell: &SubshellCommand, env: &Env, stdin: &Stream) {
        self.deeper(|walk| walk.list(&subshell.list, &mut env.clone(), stdin));
    }

    fn item(
        &mut self,
        item: &CommandPrefixOrSuffixItem,
        args: &mut Vec<Arg>,
        env: &mut Env,
        stdin: Stream,
    ) -> Stream {
        match item {
            CommandPrefixOrSuffixItem::IoRedirect(redirect) => self.redirect(redirect, env, stdin),
            CommandPrefixOrSuffixItem::Word(word) => {
                args.extend(self.expand(&word.value, env));
                stdin
            }
            CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => {
                let (name, value) = self.assignment(assignment, env);
                args.push(match value {
                    Arg::Whole(value) => Arg::Whole(format!("{name}={value}")),
                    Arg::Prefix(value) => Arg::Prefix(format!("{name}={value}")),
                });
                stdin
            }
            CommandPrefixOrSuffixItem::ProcessSubstitution(_, subshell) => {
                self.process(subshell, env, &Stream::Unknown);
                args.push(Arg::Prefix("/dev/fd/".to_owned()));
                stdin
            }
        }
    }
}

fn fed(text: Arg) -> Stream {
    match text {
        Arg::Whole(text) => Stream::Text(text),
        Arg::Prefix(_) => Stream::Unknown,
    }
}

/// The program that a name means, unless it is a path to one of the agent's own.
fn known_as(name: &str) -> Option<&str> {
    match name.rsplit_once('/') {
        None => Some(name),
        Some((folder, program)) if SYSTEM.contains(&folder) => Some(program),
        Some(_) => None,
    }
}
