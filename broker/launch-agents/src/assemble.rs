//! A launch, assembled: what the human asked for, what the profile says, what the broker provides.
//!
//! Pure. The broker owns argv and the environment; nothing of the human's reaches the agent but by
//! one of the lists here.

use std::ffi::CString;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;

use holdfast_launcher::message::{self, Access, Launch, Limits, Stdio, Tree};
use holdfast_launcher::{Place, ProgramName, UserName};
use holdfast_protocol::grade::SessionUid;

use crate::environment::{Environment, InvalidVariable, VariableName};
use crate::home;
use crate::profile::{Profile, RefusedArgument};
use crate::shadow;

/// Where every session finds system programs.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where every session finds its program and Holdfast's own.
const OWN_PATH: &str = "/opt/holdfast/bin";

/// What the human asks for, through the command line.
#[derive(Debug)]
pub struct Wanted {
    /// The command line's connection.
    pub human: OwnedFd,
    /// The human's name.
    pub user: UserName,
    /// The human's home, which the session has under the same name.
    pub home: Place,
    /// Where to start.
    pub directory: Place,
    /// The program's name.
    pub name: ProgramName,
    /// What was typed after it.
    pub arguments: Vec<String>,
    /// The human's environment; most of it does not pass.
    pub environment: Vec<(String, String)>,
    /// Folders that are searched for programs before the system's.
    pub path: Vec<Place>,
    /// Input and output.
    pub stdio: Stdio,
    /// Project and toolchains: things of the human's, never [`Access::Keep`].
    pub trees: Vec<Tree>,
}

/// A script that the program interprets, as it was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What the interpreter is called.
    pub interpreter: ProgramName,
    /// What stands before the script: from its own first line, never from the human.
    pub options: Vec<String>,
    /// The script's place inside.
    pub place: Place,
    /// What the interpreter finds its own files by, where that is not its name.
    pub found_by: Option<Place>,
    /// Where the package has its commands, for programs that call themselves by name.
    pub commands: Option<Place>,
}

/// What the broker provides.
#[derive(Debug)]
pub struct Provided {
    /// The program, from the content store.
    pub program: OwnedFd,
    /// What it interprets, where it is an interpreter.
    pub script: Option<Script>,
    /// The session's folder of sockets.
    pub sockets: OwnedFd,
    /// Under whose uid it runs.
    pub runs_as: SessionUid,
    /// The bridge's port.
    pub bridge: NonZeroU16,
    /// Further ports of the session's loopback that lead to the broker.
    pub doors: Vec<NonZeroU16>,
    /// Variables that lead to the bridge and the sockets.
    pub environment: Vec<(VariableName, String)>,
    /// What the broker keeps for the agent, and Holdfast's own programs; mounted first.
    pub trees: Vec<Tree>,
    /// Bounds.
    pub limits: Limits,
}

/// A launch cannot be assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The human gave an argument that is refused.
    #[error("an argument is refused")]
    Argument(#[source] RefusedArgument),
    /// The human asked for a folder of the broker's, or for a place where something else would be run
    /// than what was measured.
    #[error("nothing of the human's can be lent at `{0}`: a session has there what it runs")]
    Tree(Place),
    /// A variable of our own is not one.
    #[error("a variable of our own is refused")]
    Variable(#[source] InvalidVariable),
}

/// Puts a launch together.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(
    profile: &Profile,
    wanted: Wanted,
    provided: Provided,
) -> Result<Launch, AssembleError> {
    let taken = |tree: &&Tree| tree.access == Access::Keep || shadow::covers(&tree.place);
    if let Some(tree) = wanted.trees.iter().find(taken) {
        return Err(AssembleError::Tree(tree.place.clone()));
    }
    let mut arguments = profile
        .argv(wanted.name.as_str(), &wanted.arguments)
        .map_err(AssembleError::Argument)?;
    let mut name = wanted.name.clone();
    let mut path = wanted.path.clone();
    if let Some(script) = provided.script {
        let before = script.before().map_err(AssembleError::Argument)?;
        arguments.splice(..1, before);
        path.splice(..0, script.commands);
        name = script.interpreter;
    }
    let environment = environment(profile, &wanted, &path, provided.environment)
        .map_err(AssembleError::Variable)?
        .to_strings();
    let mut trees = provided.trees;
    trees.extend(wanted.trees);
    Ok(Launch {
        human: wanted.human,
        program: provided.program,
        sockets: provided.sockets,
        uid: match provided.runs_as {
            SessionUid::Own => message::SessionUid::Own,
            SessionUid::Humans => message::SessionUid::Humans,
        },
        stdio: wanted.stdio,
        name,
        arguments,
        environment,
        user: wanted.user,
        home: wanted.home,
        directory: wanted.directory,
        trees,
        bridge: provided.bridge,
        doors: provided.doors,
        limits: provided.limits,
    })
}

impl Script {
    /// `argv` up to what the human typed.
    pub fn before(&self) -> Result<Vec<CString>, RefusedArgument> {
        let own = self.found_by.as_ref().map(ToString::to_string);
        let own = own.unwrap_or_else(|| self.interpreter.as_str().to_owned());
        std::iter::once(own)
            .chain(self.options.iter().cloned())
            .chain(std::iter::once(self.place.to_string()))
            .map(|argument| CString::new(argument).map_err(|_| RefusedArgument::Nul))
            .collect()
    }
}

/// What the session's environment would be.
///
/// # Errors
/// [`InvalidVariable`] if one of our own is not one.
pub fn environment(
    profile: &Profile,
    wanted: &Wanted,
    path: &[Place],
    ours: Vec<(VariableName, String)>,
) -> Result<Environment, InvalidVariable> {
    let theirs = wanted
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let mut environment = Environment::passed(theirs, &profile.keep);
    let theirs = path.iter().map(ToString::to_string);
    let path: Vec<String> = std::iter::once(OWN_PATH.to_owned())
        .chain(theirs)
        .chain(std::iter::once(SYSTEM_PATH.to_owned()))
        .collect();
    let fixed = [
        ("HOME", wanted.home.to_string()),
        ("USER", wanted.user.as_str().to_owned()),
        ("LOGNAME", wanted.user.as_str().to_owned()),
        ("SHELL", "/bin/bash".to_owned()),
        ("PATH", path.join(":")),
        (home::LOGIN_PATH, path.join(":")),
    ];
    for (name, value) in fixed {
        environment.set(VariableName::try_from(name.to_owned())?, value);
    }
    for variable in &profile.set {
        environment.set(variable.name.clone(), variable.value.as_str());
    }
    // Last: nothing may lead the agent around the bridge.
    for (name, value) in ours {
        environment.set(name, value);
    }
    Ok(environment)
}
