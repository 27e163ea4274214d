//! A normal day inside: the human's tools, caches and words are there, their secrets are not, and what
//! a session leaves is found by the next one of the same project alone.

mod lent;
mod managers;
mod profiles;
mod shown;

use std::fs;
use std::path::Path;
use std::process::Command;

use holdfast_hardware_tests::harness::skipped;
use holdfast_hardware_tests::world::World;

use crate::support::Human;

/// The toolchain that this suite was built with, where rustup keeps it.
fn toolchain() -> Option<(String, String)> {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output();
    let sysroot = String::from_utf8(sysroot.ok()?.stdout).ok()?;
    let (root, name) = sysroot.trim().rsplit_once("/toolchains/")?;
    Path::new(root)
        .join("settings.toml")
        .exists()
        .then(|| (root.to_owned(), name.to_owned()))
}

/// Puts rustup and one toolchain into the human's home, without copying it.
fn install_rustup(human: &Human) -> bool {
    let shims = std::env::var("CARGO_HOME").unwrap_or_else(|_| "/root/.cargo".to_owned());
    let rustup = Path::new(&shims).join("bin/rustup");
    let (Some((root, name)), true) = (toolchain(), rustup.exists()) else {
        skipped("rustup's toolchain is not there to be lent");
        return false;
    };
    let inside = human.folder(&format!(".rustup/toolchains/{name}"));
    for part in ["bin", "lib"] {
        let from = format!("{root}/toolchains/{name}/{part}");
        let linked = Command::new("cp")
            .args(["-a", "--reflink=auto", "--link", &from])
            .arg(&inside)
            .status()
            .unwrap();
        assert!(linked.success());
    }
    let settings =
        format!("version = \"12\"\nprofile = \"minimal\"\ndefault_toolchain = \"{name}\"\n");
    human.put(".rustup/settings.toml", &settings);
    let bin = human.folder(".cargo/bin");
    for tool in ["rustup", "cargo", "rustc"] {
        fs::copy(&rustup, bin.join(tool)).unwrap();
    }
    true
}

#[test]
fn a_crate_is_built_with_the_humans_rustup_and_without_their_credentials() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    if !install_rustup(&human) {
        return;
    }
    human.put(".cargo/credentials.toml", "token = 'hunter2'");
    human.put(".npmrc", "//registry.example/:_authToken=hunter2");
    human.put(".config/gh/hosts.yml", "oauth_token: hunter2");
    let project = human.project("app");
    human.put(
        "app/Cargo.toml",
        "[package]\nname = 'app'\nversion = '0.1.0'\nedition = '2024'\n",
    );
    human.put(
        "app/src/main.rs",
        "fn main() { println!(\"built {}\", 6 * 7) }",
    );
    let path = format!(
        "{}:/usr/bin:/bin",
        human.home().join(".cargo/bin").display()
    );
    let ran = human.run(
        &project,
        &["--"],
        &["cargo", "run", "--offline", "--quiet"],
        &path,
    );
    assert_eq!(ran.stdout, "built 42\n", "{ran:#?}");

    let script = "cd ~; cat .cargo/credentials.toml .npmrc .config/gh/hosts.yml; \
                  touch .rustup/settings.toml && echo TOOLS-WRITTEN; \
                  touch .cargo/bin/cargo && echo SHIMS-WRITTEN; \
                  mkdir -p .cargo/registry && echo cached > .cargo/registry/x && echo CACHE";
    let ran = human.run(&project, &["--"], &["sh", "-c", script], &path);
    for reached in ["hunter2", "TOOLS-WRITTEN", "SHIMS-WRITTEN"] {
        assert!(!ran.stdout.contains(reached), "{reached}: {ran:#?}");
    }
    assert!(ran.stdout.contains("CACHE"), "{ran:#?}");
    assert!(!human.home().join(".cargo/registry").exists());
}

#[test]
fn node_and_python_work_and_what_they_fetch_stays_with_the_project() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    human.put("app/package.json", r#"{"name":"app","version":"1.0.0"}"#);
    human.put(
        "dep/package.json",
        r#"{"name":"dep","version":"1.0.0","main":"i.js"}"#,
    );
    human.put("dep/i.js", "module.exports = 42");
    let script = "set -e; npm config get cache; npm install --offline --no-audit --no-fund ../dep.tgz >/dev/null; \
                  node -p 'require(\"dep\")'; python3 -m venv --without-pip .venv; \
                  .venv/bin/python -c 'import sys; print(sys.prefix)'; ls ~/.npm";
    let packed = Command::new("tar")
        .args(["-czf", "dep.tgz", "--transform", "s/^dep/package/", "dep"])
        .current_dir(human.home())
        .status()
        .unwrap();
    assert!(packed.success());
    let tarball = human.home().join("dep.tgz").display().to_string();
    let ran = human.run(
        &project,
        &["--ro", &tarball, "--"],
        &["sh", "-c", script],
        "/usr/bin:/bin",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines[0], human.home().join(".npm").display().to_string());
    assert_eq!(lines[1], "42");
    assert_eq!(lines[2], project.join(".venv").display().to_string());
    assert!(lines[3..].contains(&"_cacache"), "{ran:#?}");
    assert!(!human.home().join(".npm").exists());
}

#[test]
fn a_python_of_pyenvs_runs_by_its_shim() {
    let Some(world) = World::sealed() else { return };
    let shims = Path::new("/root/.pyenv/shims");
    if !shims.join("python3").exists() {
        skipped("there is no pyenv");
        return;
    }
    let project = world.scratch.folder("project");
    let path = format!("{}:/root/.pyenv/bin:/usr/bin:/bin", shims.display());
    let mut command = world.broker.holdfast_command();
    command
        .args(["run", "--project"])
        .arg(&project)
        .args(["--", "sh", "-c"])
        .arg("python3 -m venv --without-pip v && v/bin/python -c 'import ssl, sys; print(sys.base_prefix)'; \
              touch /root/.pyenv/x && echo WRITTEN; true")
        .env("HOME", "/root")
        .env("PATH", path);
    let ran = holdfast_hardware_tests::world::Ran::of(&mut command);
    assert!(ran.stdout.starts_with("/root/.pyenv/versions/"), "{ran:#?}");
    assert!(!ran.stdout.contains("WRITTEN"), "{ran:#?}");
}

#[test]
fn what_a_session_leaves_is_found_by_the_next_of_its_project_alone() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let (app, other) = (human.project("app"), human.project("other"));
    let leave = "echo memory > ~/.notes; mkdir -p ~/.cache/x ~/go/pkg; echo fetched > ~/.cache/x/y; \
                 echo module > ~/go/pkg/z";
    let look = "cat ~/.notes ~/.cache/x/y ~/go/pkg/z; true";
    let path = "/usr/bin:/bin";
    human
        .run(&app, &["--"], &["sh", "-c", leave], path)
        .success();
    let found_by = |program: &str, project: &Path, flags: &[&str]| {
        let ran = human.run(project, flags, &[program, "-c", look], path);
        ran.success()
    };
    let found = |project: &Path, flags: &[&str]| found_by("sh", project, flags);
    assert_eq!(found(&app, &["--"]), "memory\nfetched\nmodule\n");
    assert_eq!(found(&other, &["--"]), "");
    assert_eq!(found(&app, &["--fresh", "--"]), "");
    // Another kind of agent has a home of its own, and the same project's caches.
    assert_eq!(
        found_by(&human.claude(), &app, &["--"]),
        "fetched\nmodule\n"
    );
    // And nothing of it is the human's.
    for name in [".notes", ".cache", "go"] {
        assert!(!human.home().join(name).exists(), "{name}");
    }
    human
        .run(&app, &["--fresh", "--"], &["sh", "-c", leave], path)
        .success();
    let passing = world.broker.state().join("homes/passing");
    holdfast_hardware_tests::harness::wait_until(
        std::time::Duration::from_secs(10),
        "a fresh home is gone",
        || fs::read_dir(&passing).is_ok_and(|mut left| left.next().is_none()),
    );
}
