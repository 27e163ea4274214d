//! Services that Holdfast did not launch, in the configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;

use holdfast_launch_agents::workload::{
    InvalidRegistration, MAX_REGISTRATIONS, Registration, Selector,
};
use holdfast_protocol::id::AgentKind;
use serde::Deserialize;

use super::Config;

/// Whom to ask about containers. Who may speak to an engine's socket can become root by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WorkloadsConfig {
    /// Docker's socket.
    pub docker_socket: Option<PathBuf>,
    /// Podman's socket.
    pub podman_socket: Option<PathBuf>,
}

/// A service that Holdfast did not launch.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct WorkloadConfig {
    /// Its name: the end of its identity.
    pub name: AgentKind,
    /// What its processes have, all of it.
    pub selectors: Vec<Selector>,
}

impl Config {
    /// The services that are not launched here, as job 2 takes them.
    ///
    /// # Errors
    /// [`InvalidRegistration`].
    pub fn registered(&self) -> Result<Vec<Registration>, InvalidRegistration> {
        let all = self.workload.iter();
        all.map(|each| Registration::new(each.name.clone(), each.selectors.iter().cloned()))
            .collect()
    }
}

/// The key that cannot be used, and what is wrong with it.
pub(super) fn check(config: &Config) -> Result<(), (&'static str, &'static str)> {
    let WorkloadsConfig {
        docker_socket,
        podman_socket,
    } = &config.workloads;
    for (key, path) in [
        ("workloads.docker-socket", docker_socket),
        ("workloads.podman-socket", podman_socket),
    ] {
        if path.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err((key, "has to be an absolute path"));
        }
    }
    let registered = config.registered().map_err(|error| {
        let problem = match error {
            InvalidRegistration::Unnamed => {
                "needs a selector that names a unit or a container: systemd:id, docker: or podman:"
            }
            InvalidRegistration::Selectors => "may have 16 selectors at most",
        };
        ("workload.selectors", problem)
    })?;
    let names: BTreeSet<&AgentKind> = registered.iter().map(|each| &each.name).collect();
    if names.len() < registered.len() {
        return Err(("workload.name", "has to differ from all others"));
    }
    if registered.len() > MAX_REGISTRATIONS {
        return Err(("workload", "may be there 64 times at most"));
    }
    Ok(())
}
