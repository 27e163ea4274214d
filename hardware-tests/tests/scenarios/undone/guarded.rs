//! Agent configuration and CI files: an agent reads them, and changes them in no way.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use holdfast_hardware_tests::world::World;

use super::super::asked::{question, questions};
use super::{put, tree};

/// Every way that a program has to change a file that is there.
const ATTEMPTS: &str = r#"
for f in .mcp.json .claude/settings.json .claude/hooks/h.sh .github/workflows/ci.yml .gitlab-ci.yml; do
    (echo evil > $f) 2>&1 && echo "WROTE $f"
    (echo evil >> $f) 2>&1 && echo "APPENDED $f"
    rm -f $f 2>&1 && echo "REMOVED $f"
    mv $f $f.moved 2>&1 && echo "MOVED $f"
    echo evil > own && mv own $f 2>&1 && echo "REPLACED $f"
    ln -f $f own-link 2>&1 && echo "LINKED $f"
    chmod 777 $f 2>&1 && echo "CHMODDED $f"
    truncate -s 0 $f 2>&1 && echo "TRUNCATED $f"
    touch $f 2>&1 && echo "TOUCHED $f"
done
for d in .claude .claude/hooks .github .github/workflows; do
    mv $d moved 2>&1 && echo "MOVED $d"
    rm -rf $d 2>&1 && echo "REMOVED $d"
    python3 -c "import os,sys; os.rename(sys.argv[1], 'moved')" $d 2>&1 && echo "RENAMED $d"
done
(echo evil > .github/workflows/new.yml) 2>&1 && echo "ADDED a workflow"
(echo evil > .claude/hooks/new.sh) 2>&1 && echo "ADDED a hook"
mount -t tmpfs none .claude 2>&1 && echo "MOUNTED over it"
echo ordinary > .github/CODEOWNERS && echo ordinary > .claude/notes.md && echo ordinary > src.rs && echo "THE REST"
"#;

#[test]
fn agent_configuration_and_ci_files_are_read_and_changed_in_no_way() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    for file in [
        ".mcp.json",
        ".claude/settings.json",
        ".claude/hooks/h.sh",
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
    ] {
        put(&project.join(file), "theirs", 0o644);
    }
    let before = tree(&project);
    let ran = world.broker.run(&project, &["sh", "-c", ATTEMPTS]);
    assert!(ran.stdout.contains("THE REST"), "{ran:#?}");
    for word in [
        "WROTE",
        "APPENDED",
        "REMOVED",
        "MOVED",
        "REPLACED",
        "LINKED",
        "CHMODDED",
        "TRUNCATED",
        "TOUCHED",
        "RENAMED",
        "ADDED",
        "MOUNTED",
    ] {
        assert!(!ran.stdout.contains(word), "{word}: {ran:#?}");
    }
    assert!(ran.stdout.contains("Read-only file system"), "{ran:#?}");
    let after = tree(&project);
    for (path, holds) in &before {
        assert_eq!(after.get(path), Some(holds), "{path}");
    }
    let read = world.broker.run(&project, &["cat", ".mcp.json"]).success();
    assert_eq!(read, "theirs");

    let shown = world
        .broker
        .holdfast_command()
        .current_dir(&project)
        .args(["run", "--project", ".", "--show", "--", "sh"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for place in [
        ".mcp.json",
        ".claude/hooks",
        ".github/workflows",
        "--unguard PATH",
    ] {
        assert!(shown.contains(place), "{place} is missing:\n{shown}");
    }
}

#[test]
fn a_guard_is_lifted_by_its_human_alone_and_no_link_is_followed() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let outside = world.scratch.folder("outside");
    put(&outside.join("settings.json"), "outside", 0o644);
    put(&project.join(".mcp.json"), "theirs", 0o644);
    put(&project.join(".github/workflows/ci.yml"), "theirs", 0o644);
    symlink(&outside, project.join(".codex")).unwrap();
    let mut command = world.broker.holdfast_command();
    command
        .current_dir(&project)
        .args(["run", "--unguard", ".github/workflows", "--project", "."]);
    let script = "echo mine > .github/workflows/ci.yml; echo mine > .mcp.json; cat .codex/settings.json; true";
    let waiting = command
        .args(["--", "sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = question(&world);
    let card = &questions(&world)[0];
    let headline = format!(
        "Let `.github/workflows` be changed, which decides what runs outside the session, for shell in `{}`",
        project.display()
    );
    assert_eq!(card["headline"], headline.as_str(), "{card:#}");
    assert_eq!(card["tier"], "R1", "{card:#}");
    let approve = ["approvals", "approve", &id];
    world.broker.holdfast(&approve).success();
    let ran = waiting.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert_eq!(
        fs::read(project.join(".github/workflows/ci.yml")).unwrap(),
        b"mine\n",
        "{said}"
    );
    assert_eq!(fs::read(project.join(".mcp.json")).unwrap(), b"theirs");
    assert!(
        said.contains("the session may change `.github/workflows`"),
        "{said}"
    );
    assert!(
        said.contains("`.codex` is reached by a symbolic link"),
        "{said}"
    );
    assert!(
        said.contains(".github/workflows/ci.yml: runs at GitHub"),
        "{said}"
    );
    assert!(!String::from_utf8_lossy(&ran.stdout).contains("outside"));
    let listed = world.broker.holdfast(&[
        "undo",
        "--json",
        "--project",
        &project.display().to_string(),
    ]);
    assert!(listed.success().contains(".github/workflows"));
    let record = world.broker.holdfast(&["audit", "export"]).success();
    let launch = record.lines().find(|line| line.contains("\"Launch\""));
    let launch = launch.expect("the launch is on record");
    for word in ["--unguard .github/workflows", id.as_str()] {
        assert!(launch.contains(word), "{word} is missing: {launch}");
    }
    // What would be asked is shown, too.
    let shown = world
        .broker
        .holdfast_command()
        .current_dir(&project)
        .args(["run", "--show", "--unguard", ".mcp.json", "--", "sh"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let line = "R1: --unguard .mcp.json, before it begins";
    assert!(shown.contains(line), "{shown}");
}
