#![allow(clippy::unwrap_used, reason = "tests")]
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A home of nobody's, with what the test puts there.
struct Home {
    folder: tempfile::TempDir,
    variables: BTreeMap<String, OsString>,
}

impl Home {
    fn new(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Self {
            folder,
            variables: BTreeMap::new(),
        };
        fs::create_dir_all(home.at("home/src/app")).unwrap();
        for file in files {
            let path = home.at(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        home
    }

    fn at(&self, place: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(place)
    }

    fn link(&self, from: &str, to: &str) {
        fs::create_dir_all(self.at(from).parent().unwrap()).unwrap();
        symlink(self.at(to), self.at(from)).unwrap();
    }

    fn path(mut self, folders: &[&str]) -> Self {
        let folders = folders.iter().map(|folder| self.at(folder));
        let path = std::env::join_paths(folders).unwrap();
        self.variables.insert("PATH".to_owned(), path);
        self
    }

    fn probe(&self) -> (Vec<String>, Vec<String>) {
        let (home, project) = (self.at("home"), self.at("home/src/app"));
        let ground = Ground {
            home: &home,
            project: &project,
            variable: &|name| self.variables.get(name).cloned(),
        };
        let tools = ground.probe().unwrap();
        let root = self.at("");
        let relative = |paths: Vec<PathBuf>| -> Vec<String> {
            let inside = paths.iter().map(|path| path.strip_prefix(&root).unwrap());
            inside.map(|path| path.display().to_string()).collect()
        };
        (relative(tools.path), relative(tools.trees))
    }

    fn trees(&self) -> Vec<String> {
        self.probe().1
    }
}

#[test]
fn rustups_shims_bring_its_toolchains_and_no_credentials() {
    let home = Home::new(&[
        "home/.cargo/bin/cargo",
        "home/.cargo/credentials.toml",
        "home/.cargo/registry/x",
        "home/.rustup/toolchains/stable/bin/cargo",
        "home/.rustup/settings.toml",
        "home/.rustup/tmp/x",
    ])
    .path(&["home/.cargo/bin"]);
    assert_eq!(
        home.trees(),
        [
            "home/.cargo/bin",
            "home/.rustup/settings.toml",
            "home/.rustup/toolchains"
        ]
    );
}

#[test]
fn a_variable_moves_a_tools_root() {
    let mut home = Home::new(&[
        "data/cargo/bin/cargo",
        "data/rustup/toolchains/stable/bin/cargo",
        "home/.rustup/toolchains/old/bin/cargo",
    ])
    .path(&["data/cargo/bin"]);
    for (name, place) in [("CARGO_HOME", "data/cargo"), ("RUSTUP_HOME", "data/rustup")] {
        let place = home.at(place).into_os_string();
        home.variables.insert(name.to_owned(), place);
    }
    assert_eq!(home.trees(), ["data/cargo/bin", "data/rustup/toolchains"]);
}

#[test]
fn shims_of_version_managers_bring_their_root() {
    let home = Home::new(&[
        "home/.pyenv/shims/python",
        "home/.pyenv/bin/pyenv",
        "home/.pyenv/versions/3.12/bin/python",
        "home/.nvm/versions/node/v20/bin/node",
        "home/.nvm/versions/node/v20/lib/x",
        "home/.nvm/.cache/x",
        "home/.local/share/mise/shims/go",
        "home/.local/share/mise/installs/go/1.22/bin/go",
        "home/.config/mise/config.toml",
    ])
    .path(&[
        "home/.pyenv/shims",
        "home/.pyenv/bin",
        "home/.nvm/versions/node/v20/bin",
        "home/.local/share/mise/shims",
    ]);
    let (path, trees) = home.probe();
    // In the human's own order: the first that is found runs.
    assert_eq!(path.first().map(String::as_str), Some("home/.pyenv/shims"));
    assert_eq!(
        trees,
        [
            "home/.local/share/mise/installs",
            "home/.local/share/mise/shims",
            "home/.nvm/versions",
            "home/.pyenv",
        ]
    );
}

#[test]
fn a_version_prefix_comes_whole_and_a_shared_folder_never() {
    let home = Home::new(&[
        "opt/node/bin/node",
        "opt/node/lib/node_modules/npm/cli.js",
        "opt/plain/bin/x",
        "opt/plain/secrets/x",
        "home/bin/mine",
        "home/lib/x",
        "home/.local/bin/mine",
        "home/.local/share/keyrings/x",
    ])
    .path(&[
        "opt/node/bin",
        "opt/plain/bin",
        "home/bin",
        "home/.local/bin",
    ]);
    assert_eq!(
        home.trees(),
        ["home/.local/bin", "home/bin", "opt/node", "opt/plain/bin"]
    );
}

#[test]
fn a_link_brings_the_program_that_it_leads_to() {
    let home = Home::new(&[
        "home/.local/share/agent/versions/2.1",
        "home/.local/share/pipx/venvs/black/bin/black",
        "home/.local/share/pipx/venvs/black/pyvenv.cfg",
        "home/notes.txt",
        "srv/tool/bin/tool",
        "srv/tool/lib/x",
        "home/.config/npm/lib/node_modules/lint/bin/lint.js",
    ]);
    fs::set_permissions(home.at("home/notes.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    home.link(
        "home/.local/bin/agent",
        "home/.local/share/agent/versions/2.1",
    );
    home.link(
        "home/.local/bin/black",
        "home/.local/share/pipx/venvs/black/bin/black",
    );
    home.link("home/.local/bin/notes", "home/notes.txt");
    home.link("home/.local/bin/tool", "srv/tool/bin/tool");
    let lint = "home/.config/npm/lib/node_modules/lint/bin/lint.js";
    home.link("home/.local/bin/lint", lint);
    let home = home.path(&["home/.local/bin"]);
    assert_eq!(
        home.trees(),
        [
            "home/.config/npm/lib/node_modules",
            "home/.local/bin",
            "home/.local/share/agent/versions/2.1",
            "home/.local/share/pipx/venvs",
            "srv/tool",
        ]
    );
}

#[test]
fn a_projects_own_python_brings_the_one_that_made_it() {
    let home = Home::new(&[
        "home/.local/share/uv/python/cpython-3.12/bin/python3.12",
        "home/.local/share/uv/python/cpython-3.12/lib/x",
        "home/src/app/.venv/pyvenv.cfg",
    ]);
    let python = "home/.local/share/uv/python/cpython-3.12/bin/python3.12";
    home.link("home/src/app/.venv/bin/python", python);
    let home = home.path(&["home/src/app/.venv/bin"]);
    let (path, trees) = home.probe();
    assert_eq!(path, ["home/src/app/.venv/bin"]);
    assert_eq!(trees, ["home/.local/share/uv/python/cpython-3.12"]);
}

#[test]
fn what_leads_to_home_or_above_is_not_lent() {
    let mut home = Home::new(&["home/x"]).path(&["home", ""]);
    let java = home.at("home").into_os_string();
    home.variables.insert("JAVA_HOME".to_owned(), java);
    assert_eq!(home.trees(), [""; 0]);
}

#[test]
fn the_humans_versions_come_along_if_nothing_else_stands_beside_them() {
    let home = Home::new(&[
        "home/.local/share/mise/shims/node",
        "home/.tool-versions",
        "home/.config/mise/config.toml",
    ])
    .path(&["home/.local/share/mise/shims"]);
    let config = home.at("home/.config/mise/config.toml");
    fs::write(&config, "[tools]\nnode = '20'\n").unwrap();
    let (all, fewer) = (
        [
            "home/.config/mise/config.toml",
            "home/.local/share/mise/shims",
            "home/.tool-versions",
        ],
        ["home/.local/share/mise/shims", "home/.tool-versions"],
    );
    assert_eq!(home.trees(), all);
    fs::write(&config, "[tools]\nnode = '20'\n[env]\nTOKEN = 'x'\n").unwrap();
    assert_eq!(home.trees(), fewer);
    fs::remove_file(&config).unwrap();
    fs::write(home.at("home/secret"), "[tools]").unwrap();
    home.link("home/.config/mise/config.toml", "home/secret");
    assert_eq!(home.trees(), fewer);
}
