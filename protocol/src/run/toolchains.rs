//! Which folders a tool on PATH needs, and which variables are its: a table, as data.
//!
//! Read by the command line, which looks, and by the broker, which lets the variables pass. It must
//! never name a file that holds a secret.

use serde::Deserialize;

/// The table that comes with Holdfast, TOML of a [`Toolchains`].
pub const TABLE: &str = include_str!("toolchains.toml");

/// All that is known of tools.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchains {
    /// Variables that pass whatever tools there are.
    pub pass: Vec<String>,
    /// Variables whose value is a tool's folder; they pass, and the folder comes.
    pub folders: Vec<String>,
    /// What makes the folder above a `bin` on PATH one program's own: one of these lies beside it.
    pub beside: Vec<String>,
    /// Folders below home that are never one program's own, whatever lies in them.
    pub never: Vec<String>,
    /// Tools that keep what they need in a place of their own.
    pub toolchain: Vec<Toolchain>,
}

/// One tool.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// What people call it.
    pub name: String,
    /// Where it keeps what it needs.
    pub root: Root,
    /// Folders that lead there when they are on PATH, besides the root and what lies in it.
    #[serde(default)]
    pub shims: Vec<Root>,
    /// What of the root comes; all of it where nothing is named.
    #[serde(default)]
    pub brings: Vec<String>,
    /// Files below home that say which versions it runs where a project says nothing. One in TOML can say more, and
    /// comes only if it does not.
    #[serde(default)]
    pub versions: Vec<String>,
    /// Its variables, which pass.
    #[serde(default)]
    pub pass: Vec<String>,
}

/// A folder that a variable can move.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// The variable that names it, where the tool has one.
    pub variable: Option<String>,
    /// Where it is without, below home.
    pub home: String,
    /// A folder in it.
    pub below: Option<String>,
}

impl Toolchains {
    /// Every variable that passes.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let own = self.toolchain.iter().flat_map(|tool| &tool.pass);
        let all = self.pass.iter().chain(&self.folders).chain(own);
        all.map(String::as_str)
    }
}
