//! From shell text to effects, by its syntax tree.
//!
//! What cannot be understood is [`Effect::Uninspectable`], never harmless. It must never run anything, and it never
//! claims to confine: an interpreter of shell text that is always right is a shell. The sealed session, the egress bridge
//! and the credentials confine; this makes the question to the human a true one.

mod arg;
mod builtin;
mod command;
mod curl;
mod env;
mod expand;
mod fields;
mod files;
mod git;
mod interpreter;
mod network;
mod options;
mod parse;
mod publish;
mod push;
mod walk;
mod wrapper;

use std::path::Path;

use holdfast_protocol::call::Effect;

use crate::world::World;

/// What running `script` from `cwd` would do, in the order of the text, each effect once.
pub fn effects(script: &str, cwd: &Path, world: &World) -> Vec<Effect> {
    walk::Walk::new(world).run(script, cwd)
}

/// The host of a URL, with its port; `None` if there is none.
pub fn host(url: &str) -> Option<String> {
    network::host_of(&arg::Arg::from(url))
}

#[cfg(test)]
mod tests;
