//! Profiles: what Holdfast knows about each kind of agent, as data.
//!
//! A profile says which arguments and variables an agent gets, which of the human's pass, and what
//! its home starts with. It must never hold a secret, nor weaken a session.

mod own;

use std::ffi::CString;

use holdfast_protocol::id::AgentKind;
use holdfast_protocol::measured::PackageName;
use serde::Deserialize;

use crate::environment::VariableName;

pub use self::own::{OwnProfileError, with_own};

/// The profiles that come with Holdfast.
const BUILT_IN: [&str; 7] = [
    include_str!("../profiles/claude.toml"),
    include_str!("../profiles/codex.toml"),
    include_str!("../profiles/copilot.toml"),
    include_str!("../profiles/gemini.toml"),
    include_str!("../profiles/goose.toml"),
    include_str!("../profiles/opencode.toml"),
    include_str!("../profiles/shell.toml"),
];
/// Stands in a template for all that the human typed.
const THEIRS: &str = "{arguments}";

/// A profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file is not a profile.
    #[error("the profile is not valid")]
    Syntax(#[source] toml::de::Error),
    /// A template says not once where the human's arguments go.
    #[error("`arguments` must contain `{THEIRS}` exactly once")]
    Template,
    /// A place is not a plain path below home.
    #[error("`{0}` is not a place below home")]
    Place(String),
    /// A host is not a name.
    #[error("`{0}` is not a host's name")]
    Host(String),
}

/// The human asked for something that this kind of agent must not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedArgument {
    /// The profile refuses this argument.
    #[error("`{0}` is refused for this agent: it would switch off what Holdfast relies on")]
    Listed(String),
    /// No argument can hold a NUL byte.
    #[error("an argument holds a NUL byte")]
    Nul,
}

/// One kind of agent.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The kind.
    pub kind: AgentKind,
    /// Names of programs that are of this kind; none for the kind that takes all others.
    #[serde(default)]
    pub names: Vec<String>,
    /// Packages whose command is of this kind, by the name in their own `package.json`. Where there are
    /// any, a script is of this kind only as such a command.
    #[serde(default)]
    pub packages: Vec<PackageName>,
    /// The arguments after the program's name.
    arguments: Vec<String>,
    /// Arguments that the human may not give, as they stand or before a `=`.
    #[serde(default)]
    refuse: Vec<String>,
    /// Variables of the human's that pass besides the usual ones.
    #[serde(default)]
    pub keep: Vec<VariableName>,
    /// Variables that are set.
    #[serde(default)]
    pub set: Vec<Variable>,
    /// Files that a new home starts with.
    #[serde(default)]
    pub seed: Vec<Seed>,
    /// What tells the agent how this human wants things done: places below home, lent for reading.
    #[serde(default)]
    pub instructions: Vec<String>,
    /// What its tools need beyond what PATH says: places below home, lent for reading.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Hosts that it may fetch from without a question: those of the base URLs of its models. What is sent there is
    /// asked about as anywhere.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Those of the hosts that the human's own profile adds.
    #[serde(skip)]
    pub own_hosts: Vec<String>,
}

/// A variable and its value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variable {
    /// Its name.
    pub name: VariableName,
    /// Its value.
    pub value: String,
}

/// A file that a new home starts with.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seed {
    /// Where, below home.
    pub place: String,
    /// What is in it.
    pub content: String,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`].
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let profile: Self = toml::from_str(text).map_err(ProfileError::Syntax)?;
        if profile.arguments.iter().filter(|a| *a == THEIRS).count() != 1 {
            return Err(ProfileError::Template);
        }
        if let Some(host) = profile.hosts.iter().find(|host| !own::is_host(host)) {
            return Err(ProfileError::Host(host.clone()));
        }
        let seeds = profile.seed.iter().map(|seed| &seed.place);
        let mut places = seeds.chain(&profile.instructions).chain(&profile.tools);
        match places.find(|place| !is_below_home(place)) {
            Some(place) => Err(ProfileError::Place(place.clone())),
            None => Ok(profile),
        }
    }

    /// The profiles that come with Holdfast.
    ///
    /// # Errors
    /// None that a test would not have found: they are part of the program.
    pub fn built_in() -> Result<Vec<Self>, ProfileError> {
        BUILT_IN.iter().map(|text| Self::parse(text)).collect()
    }

    /// The profile for a program of this name, or the one that takes all.
    pub fn for_program<'p>(profiles: &'p [Self], name: &str) -> Option<&'p Self> {
        let named = |profile: &&Self| profile.names.iter().any(|own| own == name);
        let any = |profile: &&Self| profile.takes_all();
        profiles
            .iter()
            .find(named)
            .or_else(|| profiles.iter().find(any))
    }

    /// Whether it takes what no other profile does.
    pub fn takes_all(&self) -> bool {
        self.names.is_empty() && self.packages.is_empty()
    }

    /// `argv`, from the program's name and what the human typed.
    ///
    /// # Errors
    /// [`RefusedArgument`].
    pub fn argv(&self, name: &str, theirs: &[String]) -> Result<Vec<CString>, RefusedArgument> {
        // What follows a lone `--` is text for the agent, not options.
        let options = theirs.iter().take_while(|argument| *argument != "--");
        for argument in options {
            let option = argument.split('=').next().unwrap_or(argument);
            if self.refuse.iter().any(|refused| refused == option) {
                return Err(RefusedArgument::Listed(option.to_owned()));
            }
        }
        let mut argv = vec![name];
        for argument in &self.arguments {
            if argument == THEIRS {
                argv.extend(theirs.iter().map(String::as_str));
            } else {
                argv.push(argument);
            }
        }
        argv.into_iter()
            .map(|argument| CString::new(argument).map_err(|_| RefusedArgument::Nul))
            .collect()
    }
}

/// Whether this is a plain path of some length, relative to home.
fn is_below_home(place: &str) -> bool {
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    place.len() <= 512 && place.split('/').all(plain) && !place.contains(|c: char| c.is_control())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn argv(profile: &Profile, theirs: &[&str]) -> Result<Vec<String>, RefusedArgument> {
        let theirs: Vec<String> = theirs.iter().map(|&a| a.to_owned()).collect();
        let argv = profile.argv("x", &theirs)?;
        Ok(argv.into_iter().map(|a| a.into_string().unwrap()).collect())
    }

    #[test]
    fn the_built_in_profiles_are_valid_and_found() {
        let profiles = Profile::built_in().unwrap();
        let kind = |name| {
            Profile::for_program(&profiles, name)
                .unwrap()
                .kind
                .to_string()
        };
        for agent in ["claude", "codex", "copilot", "gemini", "goose", "opencode"] {
            assert_eq!(kind(agent), agent);
        }
        assert_eq!(kind("bash"), "shell");
    }

    #[test]
    fn every_agent_names_the_hosts_of_its_models() {
        for profile in Profile::built_in().unwrap() {
            // What may be anything has no model.
            assert_eq!(profile.hosts.is_empty(), profile.takes_all(), "{profile:?}");
            assert!(profile.own_hosts.is_empty(), "{profile:?}");
        }
    }

    #[test]
    fn an_agent_is_not_told_to_drop_its_hooks() {
        let profiles = Profile::built_in().unwrap();
        let claude = Profile::for_program(&profiles, "claude").unwrap();
        for bad in ["--bare", "--settings=/tmp/x", "--settings"] {
            let result = argv(claude, &["-p", bad]);
            assert!(matches!(result, Err(RefusedArgument::Listed(_))), "{bad}");
        }
        assert_eq!(argv(claude, &["-p", "hi"]).unwrap(), ["x", "-p", "hi"]);
        assert!(argv(claude, &["--", "--bare"]).is_ok());
    }

    #[test]
    fn templates_put_arguments_in_their_place() {
        let text = "kind='x'\narguments=['a', '{arguments}', 'b']";
        let profile = Profile::parse(text).unwrap();
        assert_eq!(
            argv(&profile, &["1", "2"]).unwrap(),
            ["x", "a", "1", "2", "b"]
        );
    }

    #[test]
    fn unsound_profiles_are_refused() {
        for bad in [
            "kind='x'\narguments=[]",
            "kind='x'\narguments=['{arguments}', '{arguments}']",
            "kind='X'\narguments=['{arguments}']",
            "kind='x'\narguments=['{arguments}']\nkeep=['LD_PRELOAD']",
            "kind='x'\narguments=['{arguments}']\n[[set]]\nname='BUN_BE_BUN'\nvalue='1'",
            "kind='x'\narguments=['{arguments}']\n[[seed]]\nplace='../x'\ncontent=''",
            "kind='x'\narguments=['{arguments}']\nunknown=1",
            "kind='x'\narguments=['{arguments}']\nhosts=['https://models.example/v1']",
            "kind='x'\narguments=['{arguments}']\nown_hosts=['models.example']",
        ] {
            assert!(Profile::parse(bad).is_err(), "{bad}");
        }
    }
}
