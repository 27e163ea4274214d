//! A real Node.js, where the managers of its versions put it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::harness::skipped;
use holdfast_hardware_tests::world::World;

use crate::support::Human;

/// What stands in for mise where it is not installed: as the real one, it goes by the name that it is called by and by
/// what the project says, or its human.
const MISE: &str = r#"#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv) {
    char version[64] = "", program[4096];
    const char *name = strrchr(argv[0], '/');
    FILE *says = fopen(".tool-versions", "r");
    (void)argc;
    if (!says || fscanf(says, "node %63s", version) != 1) {
        snprintf(program, sizeof program, "%s/.config/mise/config.toml", getenv("HOME"));
        says = fopen(program, "r");
        if (!says || fscanf(says, " [tools] node = \"%63[^\"]\"", version) != 1) return 9;
    }
    snprintf(program, sizeof program, "%s/.local/share/mise/installs/node/%s/bin/%s",
             getenv("HOME"), version, name ? name + 1 : argv[0]);
    execv(program, argv);
    return 10;
}
"#;

/// Copies this machine's Node.js and npm to `place` of the human's, which ends in its version, as its own archive lays
/// them out; gives the folder of its programs.
fn install_node(human: &Human, place: &str) -> Option<PathBuf> {
    let real = |name: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join(name));
        found
            .filter_map(|program| program.canonicalize().ok())
            .next()
    };
    let npm = real("npm").filter(|npm| npm.ends_with("npm/bin/npm-cli.js"));
    let (Some(node), Some(npm)) = (real("node"), npm) else {
        skipped("no Node.js with npm");
        return None;
    };
    let bin = human.folder(&format!("{place}/bin"));
    let packages = human.folder(&format!("{place}/lib/node_modules"));
    fs::copy(node, bin.join("node")).unwrap();
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(npm.parent().unwrap().parent().unwrap());
    assert!(copy.arg(&packages).status().unwrap().success());
    symlink("../lib/node_modules/npm/bin/npm-cli.js", bin.join("npm")).unwrap();
    Some(bin)
}

/// A version that no other Node.js of this machine has, to be told by its place.
const VERSION: &str = "20.19.99";

/// Runs what a day brings by name: the program itself, a script of it, and both from a shell.
fn works_by_name(human: &Human, bin: &Path, path: &str) {
    let project = human.project("app");
    human.put("app/package.json", r#"{"name":"app","version":"1.0.0"}"#);
    let run = |program: &[&str]| human.run(&project, &["--"], program, path);
    assert_eq!(run(&["node", "-p", "6 * 7"]).success(), "42\n");
    let npm = run(&["npm", "pkg", "get", "name"]);
    assert_eq!(npm.stdout, "\"app\"\n", "{npm:#?}");
    let script = "node -p process.execPath; npm prefix -g; npm pkg get name; \
                  touch $(node -p process.execPath) && echo WRITTEN; true";
    let ran = run(&["sh", "-c", script]);
    let (node, prefix) = (bin.join("node"), bin.parent().unwrap());
    let wanted = format!("{}\n{}\n\"app\"\n", node.display(), prefix.display());
    assert_eq!(ran.stdout, wanted, "{ran:#?}");
}

#[test]
fn a_node_of_nvms_runs_by_name() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let Some(bin) = install_node(&human, &format!(".nvm/versions/node/v{VERSION}")) else {
        return;
    };
    human.put(".nvm/nvm.sh", "# what a shell reads\n");
    human.put(".nvm/alias/default", &format!("v{VERSION}\n"));
    works_by_name(&human, &bin, &format!("{}:/usr/bin:/bin", bin.display()));
}

/// mise, and a Node.js of its; gives that one's folder of programs, and the folder of shims.
fn install_mise(human: &Human) -> Option<(PathBuf, PathBuf)> {
    let place = format!(".local/share/mise/installs/node/{VERSION}");
    let bin = install_node(human, &place)?;
    symlink(format!("./{VERSION}"), bin.join("../../20")).unwrap();
    let mise = human.folder(".local/bin").join("mise");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|folder| folder.join("mise"));
    if let Some(real) = installed.into_iter().find(|program| program.is_file()) {
        fs::copy(real, &mise).unwrap();
    } else {
        let source = human.put("mise.c", MISE);
        let compiled = Command::new("cc").arg("-o").arg(&mise).arg(source).status();
        assert!(compiled.unwrap().success());
    }
    let shims = human.folder(".local/share/mise/shims");
    for name in ["node", "npm"] {
        symlink(&mise, shims.join(name)).unwrap();
    }
    Some((bin, shims))
}

#[test]
fn a_node_of_mises_runs_by_name_and_by_its_shims() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let Some((bin, shims)) = install_mise(&human) else {
        return;
    };
    // As `mise activate` sets it in a shell, and as other programs find it.
    let own = human.home().join(".local/bin");
    works_by_name(
        &human,
        &bin,
        &format!("{}:{}:/usr/bin:/bin", bin.display(), own.display()),
    );
    let shimmed = format!("{}:{}:/usr/bin:/bin", shims.display(), own.display());
    human.folder(".config/mise");
    let config = format!("[tools]\nnode = \"{VERSION}\"\n");
    human.put(".config/mise/config.toml", &config);
    works_by_name(&human, &bin, &shimmed);
    // What else stands there could be a secret: the project has to say it.
    let all = format!("{config}[env]\nTOKEN = \"hunter2\"\n");
    human.put(".config/mise/config.toml", &all);
    let look = ["sh", "-c", "grep -r hunter2 ~"];
    let ran = human.run(&human.project("app"), &["--"], &look, &shimmed);
    assert!(!ran.stdout.contains("hunter2"), "{ran:#?}");
    assert!(ran.stderr.contains("is not lent"), "{ran:#?}");
    human.put("app/.tool-versions", &format!("node {VERSION}\n"));
    works_by_name(&human, &bin, &shimmed);
}
