//! What an agent did to its project is undone; what decides what runs outside it cannot change; what runs by itself
//! is said.

mod guarded;
mod killed;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use holdfast_hardware_tests::world::{Ran, World};

/// Everything in a folder: permissions, and what is there.
type Tree = BTreeMap<String, (u32, Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let holds = if meta.is_symlink() {
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes()
            } else if meta.is_dir() {
                folders.push(path.clone());
                b"a folder".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().display().to_string();
            tree.insert(name, (meta.permissions().mode(), holds));
        }
    }
    tree
}

fn put(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A project with what projects have.
fn project(world: &World) -> PathBuf {
    let project = world.scratch.folder("project");
    for (file, text, mode) in [
        (".gitignore", "/target/\n.env\n", 0o644),
        (".env", "TOKEN=theirs", 0o600),
        ("src/main.rs", "fn main() {}", 0o644),
        ("src/gone.rs", "to be deleted", 0o444),
        ("src/moved.rs", "to be renamed", 0o640),
        ("src/later.rs", "to be changed twice", 0o644),
        ("tool.sh", "#!/bin/sh\n", 0o755),
        ("file", "to become a folder", 0o644),
        ("folder/in/it", "to become a file", 0o644),
        ("linked/x", "to become a link", 0o600),
        ("target/built", "built", 0o644),
    ] {
        put(&project.join(file), text, mode);
    }
    symlink("src/main.rs", project.join("link")).unwrap();
    fs::set_permissions(project.join("folder"), fs::Permissions::from_mode(0o750)).unwrap();
    project
}

/// The newest session of the project that can be undone.
fn last(world: &World, project: &Path) -> String {
    let project = project.display().to_string();
    let listed = world
        .broker
        .holdfast(&["undo", "--project", &project, "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.success()).unwrap();
    listed[0]["session"].as_str().unwrap().to_owned()
}

fn undo(world: &World, session: &str, more: &[&str]) -> Ran {
    world.broker.holdfast(&[&["undo", session], more].concat())
}

#[test]
fn a_session_is_undone_to_the_last_byte_and_bit_and_nothing_outside_is_touched() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let outside = world.scratch.folder("outside");
    put(&outside.join("x"), "the human's own", 0o600);
    let before = tree(&project);
    let script = format!(
        "set -e; echo changed > src/main.rs; rm -f src/gone.rs; mv src/moved.rs src/elsewhere.rs; \
         echo once > src/later.rs; chmod 777 tool.sh; rm file; mkdir -p file/a; echo n > file/a/n; \
         rm -r folder; echo f > folder; rm -r linked; ln -s {outside} linked; rm link; ln -s {outside}/x link; \
         echo TOKEN=mine > .env; mkdir -p new/deep; echo new > new/deep/file; echo b > target/more; mkfifo pipe",
        outside = outside.display()
    );
    world.broker.run(&project, &["sh", "-c", &script]).success();
    let changed = tree_without_pipe(&project);
    let session = last(&world, &project);

    let shown = undo(&world, &session, &["--show"]).success();
    for line in [
        "changed  src/main.rs",
        "removed  src/gone.rs",
        "removed  src/moved.rs",
        "added    src/elsewhere.rs",
        "mode     tool.sh",
        "changed  file",
        "added    file/a/n",
        "changed  linked",
        "changed  .env",
        "added    new/deep/file",
        "not looked into: target",
    ] {
        assert!(shown.contains(line), "{line} is missing:\n{shown}");
    }
    assert!(!shown.contains("target/more"), "{shown}");

    // What the human does afterwards stays; a pipe is nothing that is kept.
    fs::write(project.join("src/later.rs"), "the human's").unwrap();
    fs::remove_file(project.join("pipe")).unwrap();
    let undone = undo(&world, &session, &[]);
    assert_eq!(undone.code, 1, "{undone:#?}");
    assert!(
        undone.stdout.contains("src/later.rs: it was changed after"),
        "{undone:#?}"
    );
    let mut expected = before.clone();
    expected.insert(
        "src/later.rs".to_owned(),
        (0o100_644, b"the human's".to_vec()),
    );
    expected.insert("target/more".to_owned(), (0o100_644, b"b\n".to_vec()));
    assert_eq!(tree(&project), expected);
    assert_eq!(fs::read(outside.join("x")).unwrap(), b"the human's own");
    assert_eq!(tree(&outside).len(), 1);

    // The undo is undone like a session.
    let own = last(&world, &project);
    assert_ne!(own, session);
    undo(&world, &own, &[]).success();
    let mut expected = changed;
    expected.insert(
        "src/later.rs".to_owned(),
        (0o100_644, b"the human's".to_vec()),
    );
    assert_eq!(tree(&project), expected);

    undo(&world, &session, &["--force", "--path", "src"]).success();
    let now = tree(&project);
    for (path, holds) in before.iter().filter(|(path, _)| path.starts_with("src")) {
        assert_eq!(now.get(path), Some(holds), "{path}");
    }
    assert!(now.contains_key("new/deep/file"));
    undo(&world, &session, &["--force"]).success();
    let mut expected = before;
    expected.insert("target/more".to_owned(), (0o100_644, b"b\n".to_vec()));
    assert_eq!(tree(&project), expected);
}

fn tree_without_pipe(project: &Path) -> Tree {
    // Reading a pipe would wait.
    let pipe = project.join("pipe");
    let aside = project.parent().unwrap().join("pipe");
    fs::rename(&pipe, &aside).unwrap();
    let tree = tree(project);
    fs::rename(&aside, &pipe).unwrap();
    tree
}

#[test]
fn the_end_says_what_runs_by_itself_and_is_silent_on_an_ordinary_file() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let manifest = r#"{"version": "1", "scripts": {"test": "true"}}"#;
    put(&project.join("package.json"), manifest, 0o644);
    put(&project.join("crate/build.rs"), "fn main() {}", 0o644);
    let run = |script: &str| {
        let ran = world.broker.run(&project, &["sh", "-c", script]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.stderr
    };

    let said =
        run("echo x > src/main.rs; echo x > src/new.rs; sed -i s/1/2/ package.json; rm .env");
    assert_eq!(said, "", "an ordinary change is not worth a word");

    let said = run(
        "echo x > crate/build.rs; sed -i s/true/false/ package.json; mkdir -p .claude .github/workflows; \
         echo {} > .claude/settings.json; echo x > .github/workflows/ci.yml; echo x > src/tool; chmod +x src/tool",
    );
    for words in [
        "crate/build.rs: runs at any cargo command",
        "package.json: runs at `npm install`",
        ".claude/settings.json (new): runs when Claude Code starts",
        ".github/workflows/ci.yml (new): runs at GitHub",
        "src/tool (new): runs when somebody starts it",
    ] {
        assert!(said.contains(words), "{words} is missing:\n{said}");
    }
    let session = last(&world, &project);
    assert!(
        said.contains(&format!("holdfast undo {session} --show")),
        "{said}"
    );

    let shown = undo(&world, &session, &["--show", "--json"]).success();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let runs: Vec<&str> = shown["changes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|change| change["runs"].is_string())
        .map(|change| change["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        runs,
        [
            ".claude/settings.json",
            ".github/workflows/ci.yml",
            "crate/build.rs",
            "package.json",
            "src/tool"
        ]
    );
    undo(&world, &session, &[]).success();
    assert_eq!(
        fs::read_to_string(project.join("crate/build.rs")).unwrap(),
        "fn main() {}"
    );
    assert!(!project.join(".claude").exists() && !project.join(".github").exists());
}

#[test]
fn without_a_snapshot_nothing_is_kept_and_nothing_said() {
    let Some(world) = World::sealed() else { return };
    let project = project(&world);
    let mut command = world.broker.holdfast_command();
    command
        .args(["run", "--no-snapshot", "--project"])
        .arg(&project);
    let ran = command
        .args(["--", "sh", "-c", "echo x > build.rs"])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:#?}");
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    let named = project.display().to_string();
    let listed = world
        .broker
        .holdfast(&["undo", "--project", &named])
        .success();
    assert_eq!(listed, "no session of this project can be undone\n");
}
