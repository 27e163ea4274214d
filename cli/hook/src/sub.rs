//! Becomes a sub-agent, and then the program that was named.
//!
//! The broker moves this process into a cgroup of its own and gives it an identity; then this process
//! puts on a Landlock domain inside its parent's, so that the sub-agent cannot reach into its parent's
//! memory, signal it, or go out by its parent's way. It must never run the program when any of that
//! failed.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use holdfast_protocol::session::SessionRequest;
use holdfast_protocol::sub::{
    Made, SubHosts, SubName, SubProject, SubRequest, SubResponse, SubSecrets,
};
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use crate::refusal::Refusal;
use crate::{exchange, say_why};

/// What a shell says of a program that cannot be run.
const NOT_RUN: u8 = 126;

/// How the command is called.
pub const USAGE: &str = "holdfast-hook sub [--name NAME] [--no-secrets] [--no-network | --host HOST…] \
                         [--read-only] -- CMD…";

/// Places that stay writable where the project is read-only; the home is another.
const WRITABLE: [&str; 3] = ["/tmp", "/dev", "/proc"];

/// Does what the arguments say; returns only if that failed.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match become_it(arguments) {
        Ok(never) => match never {},
        Err(refusal) => {
            say_why(&refusal);
            let usage = matches!(refusal, Refusal::SubUsage { .. });
            ExitCode::from(if usage { crate::USAGE } else { NOT_RUN })
        }
    }
}

fn become_it(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<std::convert::Infallible, Refusal> {
    let (wish, program, arguments) = parse(arguments)?;
    let narrowing = narrowing(&wish);
    let made = match exchange::ask(&SessionRequest::Sub(wish.clone()))? {
        SubResponse::Made(made) => made,
        SubResponse::Refused { why } => return Err(Refusal::Broker { why }),
    };
    let status = wall(&wish, &made, narrowing).map_err(Refusal::Wall)?;
    // A kernel without Landlock has no wall at all: only what was not narrowed runs there.
    if status == RulesetStatus::NotEnforced && wish.narrows() {
        return Err(Refusal::NoWall);
    }
    let mut command = Command::new(program);
    command.args(arguments);
    for name in &made.unset {
        command.env_remove(name);
    }
    for (name, value) in &made.set {
        command.env(name, value);
    }
    Err(Refusal::NotRun(command.exec()))
}

/// Whether the way out has to be walled off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrowing {
    /// The sub-agent has what its parent has; its own way out is where it is led.
    Nothing,
    /// What it may reach or use is less: its parent's way out is out of its reach, or it does not run.
    WayOut,
}

fn narrowing(wish: &SubRequest) -> Narrowing {
    match (wish.secrets, &wish.hosts) {
        (SubSecrets::Parents, SubHosts::Parents) => Narrowing::Nothing,
        (SubSecrets::None, _) | (_, SubHosts::Only(_) | SubHosts::None) => Narrowing::WayOut,
    }
}

/// A Landlock domain of its own.
fn wall(
    wish: &SubRequest,
    made: &Made,
    narrowing: Narrowing,
) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V6;
    let (all, read) = (AccessFs::from_all(abi), AccessFs::from_read(abi));
    let mut ruleset = Ruleset::default().handle_access(all)?;
    if narrowing == Narrowing::WayOut {
        ruleset = ruleset
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessNet::ConnectTcp)?
            .set_compatibility(CompatLevel::BestEffort);
    }
    let mut ruleset = ruleset.scope(Scope::from_all(abi))?.create()?;
    if narrowing == Narrowing::WayOut && wish.hosts != SubHosts::None {
        ruleset = ruleset.add_rule(NetPort::new(made.bridge, AccessNet::ConnectTcp))?;
    }
    let places: Vec<(&str, _)> = match wish.project {
        SubProject::Parents => vec![("/", all)],
        SubProject::Read => WRITABLE
            .into_iter()
            .filter(|place| !std::path::Path::new(&made.project).starts_with(place))
            .map(|place| (place, all))
            // A home that the project lies in would open it again.
            .chain(
                (!std::path::Path::new(&made.project).starts_with(&made.home))
                    .then_some((made.home.as_str(), all)),
            )
            .chain([("/", read)])
            .collect(),
    };
    for (place, access) in places {
        if let Ok(fd) = PathFd::new(place) {
            ruleset = ruleset.add_rule(PathBeneath::new(fd, access))?;
        }
    }
    Ok(ruleset.restrict_self()?.ruleset)
}

type Parsed = (SubRequest, OsString, Vec<OsString>);

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed, Refusal> {
    let usage = |what: &str| Refusal::SubUsage {
        what: what.to_owned(),
    };
    let mut arguments = arguments.into_iter();
    let mut wish = SubRequest::default();
    loop {
        let Some(argument) = arguments.next() else {
            return Err(usage("a command was expected after `--`"));
        };
        let mut value = |flag: &str| {
            let value = arguments.next().and_then(|value| value.into_string().ok());
            value.ok_or_else(|| usage(&format!("{flag} needs a value")))
        };
        match argument.to_str() {
            Some("--") => break,
            Some("--name") => {
                let name: Result<SubName, _> = value("--name")?.parse();
                wish.name = Some(name.map_err(|error| usage(&error.to_string()))?);
            }
            Some("--no-secrets") => wish.secrets = SubSecrets::None,
            Some("--read-only") => wish.project = SubProject::Read,
            Some("--no-network") if wish.hosts == SubHosts::Parents => wish.hosts = SubHosts::None,
            Some("--host") => {
                let host = value("--host")?;
                match &mut wish.hosts {
                    SubHosts::Only(hosts) => hosts.push(host),
                    SubHosts::Parents => wish.hosts = SubHosts::Only(vec![host]),
                    SubHosts::None => {
                        return Err(usage("--host and --no-network exclude each other"));
                    }
                }
            }
            Some("--no-network") => {
                return Err(usage("--host and --no-network exclude each other"));
            }
            Some(_) | None => {
                let what = OsStr::new(&argument).to_string_lossy().into_owned();
                return Err(usage(&format!("`{what}` is no option of it")));
            }
        }
    }
    let program = arguments
        .next()
        .ok_or_else(|| usage("a command was expected after `--`"))?;
    Ok((wish, program, arguments.collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Refusal> {
        parse(text.split_whitespace().map(OsString::from))
    }

    #[test]
    fn a_whole_line_parses() {
        let line = "--name tests --no-secrets --host a.example --host b.example --read-only -- make -j --name x";
        let (wish, program, arguments) = parsed(line).unwrap();
        assert_eq!(wish.name.as_ref().unwrap().as_str(), "tests");
        assert_eq!(wish.secrets, SubSecrets::None);
        assert_eq!(wish.project, SubProject::Read);
        let hosts = ["a.example", "b.example"].map(str::to_owned);
        assert_eq!(wish.hosts, SubHosts::Only(hosts.to_vec()));
        assert_eq!((program, arguments.len()), ("make".into(), 3));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        for bad in [
            "",
            "--",
            "make",
            "--name -- make",
            "--name",
            "--host",
            "--no-network --host a -- make",
            "--host a --no-network -- make",
            "--all -- make",
        ] {
            assert!(
                matches!(parsed(bad), Err(Refusal::SubUsage { .. })),
                "{bad}"
            );
        }
    }
}
