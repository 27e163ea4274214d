//! What is known of coding agents, as data: `agents.toml`.
//!
//! It must never hold code's knowledge of one agent: a new agent is a new table.

use holdfast_protocol::id::AgentKind;
use serde::Deserialize;

use super::keys::Form;

/// The file, as it came with this program.
const BUILT_IN: &str = include_str!("../../agents.toml");

/// All that is known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Where installations lie.
    pub places: Places,
    /// The agents.
    #[serde(rename = "agent")]
    pub agents: Vec<Agent>,
    /// Files that hold keys.
    pub keys: Vec<KeyFile>,
}

/// Folders, below a home or absolute; a `*` stands for any one name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Places {
    /// Of programs.
    pub programs: Vec<String>,
    /// Of npm packages.
    pub npm: Vec<String>,
    /// Of Python tools.
    pub python: Vec<String>,
    /// Of editors' extensions.
    pub extensions: Vec<String>,
}

/// One agent's traces.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Agent {
    /// Its kind, as `holdfast run --agent` takes it.
    pub kind: AgentKind,
    /// What people call it.
    pub title: String,
    /// Names of its programs; the first is the one that is run.
    #[serde(default)]
    pub programs: Vec<String>,
    /// Its npm packages.
    #[serde(default)]
    pub npm: Vec<String>,
    /// Its Python packages.
    #[serde(default)]
    pub python: Vec<String>,
    /// Its editors' extensions.
    #[serde(default)]
    pub extensions: Vec<String>,
    /// Its files of settings and instructions, below a home.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Files that hold its login, below a home.
    #[serde(default)]
    pub logins: Vec<String>,
    /// Variables that hold its keys.
    #[serde(default)]
    pub variables: Vec<String>,
    /// Where its MCP servers are configured, below a home.
    #[serde(default)]
    pub servers: Vec<ServerFile>,
    /// The same, below a project.
    #[serde(default)]
    pub project_servers: Vec<ServerFile>,
}

/// A file that configures MCP servers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerFile {
    /// The file: JSON, JSON with comments, or TOML where it ends in `.toml`.
    pub file: String,
    /// The table that has a server under each of its keys.
    pub table: String,
}

/// A file in a home that holds keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// The file.
    pub file: String,
    /// How it is written.
    pub form: Form,
}

impl Catalog {
    /// What came with this program.
    ///
    /// # Errors
    /// The file is not a catalog; tests keep that from happening.
    pub fn built_in() -> Result<Self, toml::de::Error> {
        toml::from_str(BUILT_IN)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_there_once_and_every_place_has_one_star_at_most() {
        let catalog = Catalog::built_in().unwrap();
        let kinds: BTreeSet<_> = catalog.agents.iter().map(|agent| &agent.kind).collect();
        assert_eq!(kinds.len(), catalog.agents.len());
        let places = &catalog.places;
        let all = [
            &places.programs,
            &places.npm,
            &places.python,
            &places.extensions,
        ];
        for place in all.into_iter().flatten() {
            assert!(place.matches('*').count() <= 1, "{place}");
            assert!(
                place
                    .split('/')
                    .all(|part| part == "*" || !part.contains('*'))
            );
        }
    }
}
