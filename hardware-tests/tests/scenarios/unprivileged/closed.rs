//! What an agent closes in its home, to its own uid as well: the broker owns it, and has no right to go past that.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{SmallDisk, wait_until};
use holdfast_hardware_tests::world::{Account, World};

use crate::support::Human;

const PATH: &str = "/usr/bin:/bin";

#[test]
fn a_closed_folder_keeps_no_session_from_its_home() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    // Mounted inside the folder that the agent closes.
    human.put(".claude/CLAUDE.md", "be kind");
    let claude = human.claude();
    let run = |script: &str| human.run(&project, &["--"], &[&claude, "-c", script], PATH);
    run("echo kept > ~/.claude/own; chmod 0 ~/.claude").success();
    let found = run("cat ~/.claude/CLAUDE.md ~/.claude/own; stat -c %a ~/.claude").success();
    assert_eq!(found, "be kindkept\n700\n");
}

#[test]
fn a_home_that_goes_goes_whatever_is_closed_in_it() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let project = world.scratch.folder("project");
    let passing = world.broker.state().join("homes/passing");
    let left = || fs::read_dir(&passing).map_or(0, Iterator::count);
    let close = "mkdir -p ~/a/b/c ~/d; echo x > ~/a/b/c/x; chmod 0 ~/a/b/c ~/a/b ~/a; chmod 0500 ~/d; echo closed";
    let mut run = world.broker.holdfast_command();
    run.current_dir(&project)
        .args(["run", "--fresh", "--", "sh", "-c", close]);
    assert_eq!(run.output().unwrap().stdout, b"closed\n");
    wait_until(Duration::from_secs(10), "the home is gone", || left() == 0);

    // Nor does one that a killed broker left keep the next from starting.
    world.broker.kill();
    let folder = passing.join("left/a/b");
    fs::create_dir_all(&folder).unwrap();
    let (owner, mode) = (Account::System.uid().to_string(), "0");
    for (program, what) in [("chown", &*owner), ("chmod", mode)] {
        let mut change = Command::new(program);
        let changed = change.args(["-R", what]).arg(passing.join("left"));
        assert!(changed.status().unwrap().success());
    }
    world.broker.resume(&world.scratch);
    assert_eq!(left(), 0);
}

#[test]
fn who_fills_a_disk_does_not_hide_it_in_a_closed_folder() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.broker.stop();
    let Some(_disk) = SmallDisk::under(world.broker.state(), 320) else {
        return;
    };
    world.broker.resume(&world.scratch);
    world.attested();
    let project = world.scratch.folder("project");
    let fill = "mkdir ~/closed; exec 3> ~/closed/x; chmod 0 ~/closed; cat /dev/zero >&3; sleep 100";
    let mut run = world.broker.holdfast_command();
    run.current_dir(&project)
        .args(["run", "--", "sh", "-c", fill]);
    let mut filler = run.stderr(Stdio::piped()).spawn().unwrap();
    wait_until(Duration::from_secs(20), "it is ended", || {
        filler.try_wait().unwrap().is_some()
    });
    let output = filler.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(137), "{said}");
    let why = "killed: too little room is left on a disk that it writes to";
    assert!(said.contains(why), "{said}");
    empty(&world.broker.state().join("homes"));
}

/// Does what a human does whose disk is full.
fn empty(homes: &Path) {
    let removed = Command::new("find")
        .arg(homes)
        .args(["-name", "x", "-delete"])
        .status();
    assert!(removed.unwrap().success());
}
