//! The unit or container that a cgroup's path names (systemd `docs/CGROUP_DELEGATION.md`).
//!
//! Pure. It must never see a unit in a part of the tree that a user's own manager, or any other
//! delegate, names: only what stands directly below system slices is systemd's own word.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

/// What a cgroup's path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A unit of the system's manager.
    Unit {
        /// Its id.
        id: String,
        /// Its cgroup.
        cgroup: PathBuf,
    },
    /// A container.
    Container {
        /// Whose.
        engine: Engine,
        /// Its id: 64 hexadecimal digits.
        id: String,
        /// Its cgroup.
        cgroup: PathBuf,
    },
}

/// A container engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Docker, or what speaks its API.
    Docker,
    /// Podman.
    Podman,
}

impl Engine {
    /// As selectors name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
        }
    }
}

impl Named {
    /// The cgroup that is named so.
    pub fn cgroup(&self) -> &Path {
        match self {
            Self::Unit { cgroup, .. } | Self::Container { cgroup, .. } => cgroup,
        }
    }
}

/// What the path of a cgroup, from the hierarchy's root on, names.
pub fn named(path: &Path) -> Option<Named> {
    let mut above = PathBuf::from("/");
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return None;
    }
    let mut parent = None;
    for component in components {
        let Component::Normal(name) = component else {
            return None;
        };
        above.push(name);
        let name = name.to_str()?;
        if name.ends_with(".slice") {
            // What users' managers name is theirs to choose.
            if name == "user.slice" {
                return None;
            }
            parent = Some(name);
            continue;
        }
        return below(parent, name, above);
    }
    None
}

/// The first that is no slice: the unit, or a container where an engine made it.
fn below(parent: Option<&str>, name: &str, cgroup: PathBuf) -> Option<Named> {
    let scope = name.strip_suffix(".scope");
    let container = |engine, id: &str| {
        is_id(id).then(|| Named::Container {
            engine,
            id: id.to_owned(),
            cgroup: cgroup.clone(),
        })
    };
    if let Some(id) = scope.and_then(|scope| scope.strip_prefix("docker-")) {
        return container(Engine::Docker, id);
    }
    if let Some(id) = scope.and_then(|scope| scope.strip_prefix("libpod-")) {
        return container(Engine::Podman, id);
    }
    // Only units of slices are the system manager's.
    parent?;
    let is_unit = [".service", ".scope", ".socket", ".mount", ".swap"]
        .iter()
        .any(|kind| name.len() > kind.len() && name.ends_with(kind));
    is_unit.then(|| Named::Unit {
        // The manager escapes names that cgroupfs keeps for itself.
        id: name.strip_prefix('_').unwrap_or(name).to_owned(),
        cgroup,
    })
}

/// The container that lies below a folder of its engine, where the engine manages cgroups itself
/// (`/docker/<id>`, `/libpod_parent/libpod-<id>`).
pub(super) fn of_engine_folder(path: &Path) -> Option<Named> {
    let mut names = path.components().filter_map(|component| match component {
        Component::Normal(name) => name.to_str(),
        Component::RootDir | Component::CurDir | Component::ParentDir | Component::Prefix(_) => {
            None
        }
    });
    let (folder, name) = (names.next()?, names.next()?);
    let (engine, id) = match folder {
        "docker" => (Engine::Docker, name),
        "libpod_parent" => (Engine::Podman, name.strip_prefix("libpod-")?),
        _ => return None,
    };
    let cgroup = Path::new("/").join(OsStr::new(folder)).join(name);
    is_id(id).then(|| Named::Container {
        engine,
        id: id.to_owned(),
        cgroup,
    })
}

fn is_id(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn name(path: &str) -> Option<String> {
        let path = Path::new(path);
        match named(path).or_else(|| of_engine_folder(path))? {
            Named::Unit { id, .. } => Some(id),
            Named::Container { engine, id, .. } => Some(format!("{}:{id}", engine.name())),
        }
    }

    #[test]
    fn units_stand_directly_below_system_slices() {
        for (path, unit) in [
            ("/system.slice/mqtt.service", Some("mqtt.service")),
            ("/system.slice/mqtt.service/inner", Some("mqtt.service")),
            (
                "/system.slice/system-getty.slice/getty@tty1.service",
                Some("getty@tty1.service"),
            ),
            ("/machine.slice/vm.scope", Some("vm.scope")),
            // A user's manager, or whoever else was delegated a part, can name what it likes.
            (
                "/user.slice/user-1000.slice/user@1000.service/app.slice/mqtt.service",
                None,
            ),
            (
                "/user.slice/user-1000.slice/session-1.scope/system.slice/mqtt.service",
                None,
            ),
            ("/mine/system.slice/mqtt.service", None),
            ("/mqtt.service", None),
            ("/system.slice", None),
            ("/", None),
            ("system.slice/mqtt.service", None),
            ("/system.slice/../mqtt.service", None),
            ("/system.slice/.service", None),
        ] {
            assert_eq!(name(path).as_deref(), unit, "{path}");
        }
    }

    #[test]
    fn containers_are_named_by_whole_ids() {
        let id = "0123456789abcdef".repeat(4);
        for (path, engine) in [
            (format!("/system.slice/docker-{id}.scope"), Some("docker")),
            (format!("/docker/{id}"), Some("docker")),
            (format!("/docker/{id}/init"), Some("docker")),
            (
                format!("/machine.slice/libpod-{id}.scope/container"),
                Some("podman"),
            ),
            (format!("/libpod_parent/libpod-{id}"), Some("podman")),
            (
                format!("/system.slice/docker-{}.scope", id.get(1..).unwrap()),
                None,
            ),
            (
                format!("/system.slice/docker-{}.scope", id.to_uppercase()),
                None,
            ),
            (
                format!(
                    "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id}.scope"
                ),
                None,
            ),
            (format!("/mine/docker/{id}"), None),
        ] {
            let expected = engine.map(|engine| format!("{engine}:{id}"));
            assert_eq!(name(&path), expected, "{path}");
        }
    }
}
