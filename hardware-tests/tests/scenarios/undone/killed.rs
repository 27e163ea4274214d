//! Killed at any moment, neither a snapshot nor an undo loses anything; and what both cost in a large project.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use holdfast_hardware_tests::world::World;

use super::{last, tree, undo};

/// How often each is killed, at moments that are spread over how long it takes; `--long` is more often.
fn kills() -> u32 {
    match std::env::var_os("HOLDFAST_TEST_LONG") {
        Some(_) => 200,
        None => 8,
    }
}

/// Folders of 200 files each in what is called large; `--long` is a large one indeed.
fn folders() -> u32 {
    match std::env::var_os("HOLDFAST_TEST_LONG") {
        Some(_) => 250,
        None => 10,
    }
}

fn many(project: &Path, folders: u32, files: u32) {
    for folder in 0..folders {
        let folder = project.join(format!("f{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..files {
            let text = format!("{} {file}\n", folder.display()).repeat(20);
            fs::write(folder.join(format!("{file}.txt")), text).unwrap();
        }
    }
}

fn kill_after(mut child: Child, time: Duration) -> bool {
    std::thread::sleep(time);
    let done = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    done
}

/// Whether no session lives.
fn is_over(world: &World, listed: &mut String) -> bool {
    *listed = world.broker.holdfast(&["sessions", "--json"]).success();
    let sessions: Vec<serde_json::Value> = serde_json::from_str(listed).unwrap();
    sessions.iter().all(|session| session["phase"] == "ended")
}

fn start(world: &World, arguments: &[&str]) -> Child {
    let mut command = world.broker.holdfast_command();
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().unwrap()
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success());
}

#[test]
fn an_undo_that_is_killed_anywhere_is_gone_on_with_and_nothing_is_lost() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    many(&project, 10, 30);
    let before = tree(&project);
    let script = "for f in f?; do mkdir n$f; for i in $f/1*; do echo x > $i; done; mv $f/2.txt n$f; rm $f/3*; done; \
                  rm -r f9; echo f9 > f9; rm f8/4.txt; mkdir f8/4.txt";
    world.broker.run(&project, &["sh", "-c", script]).success();
    let session = last(&world, &project);
    let changed = world.scratch.join("changed");
    copy(&project, &changed);
    let state: PathBuf = world.broker.human_state();
    let kept = world.scratch.join("state-before");
    copy(&state, &kept);

    let begun = Instant::now();
    undo(&world, &session, &[]).success();
    let whole = begun.elapsed();
    assert_eq!(tree(&project), before);
    let mut in_time = 0;
    let kills = kills();
    for kill in 0..kills {
        copy(&changed, &project);
        copy(&kept, &state);
        // Copies are other files, for whom a time of change is nothing that can be set.
        fs::write(project.join("mine"), "the human's").unwrap();
        let child = start(&world, &["undo", &session]);
        in_time += u32::from(!kill_after(child, whole * kill / kills));
        let ended = undo(&world, &session, &[]);
        assert_eq!(ended.code, 0, "{ended:#?}");
        let mut now = tree(&project);
        assert!(now.remove("mine").is_some());
        // One file that had no name yet may be left of the one that was killed.
        now.retain(|path, _| !path.ends_with(".holdfast-undo.tmp"));
        assert_eq!(now, before, "killed after {kill}/{kills}");
    }
    println!("an undo of {whole:?} was killed {in_time} times of {kills}");
    assert!(in_time > 0);
}

#[test]
fn a_session_that_is_killed_in_its_snapshot_changed_nothing_and_the_next_one_can_be_undone() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    many(&project, 10, 60);
    let before = tree(&project);
    let named = project.display().to_string();
    let run = [
        "run",
        "--project",
        &named,
        "--",
        "sh",
        "-c",
        "rm -rf f*; echo x > mine",
    ];
    let begun = Instant::now();
    world.broker.holdfast(&run).success();
    let whole = begun.elapsed();
    undo(&world, &last(&world, &project), &[]).success();
    assert_eq!(tree(&project), before);
    let state = world.broker.human_state();
    let kills = kills();
    for kill in 0..kills {
        // From nothing, so that there is much to do.
        fs::remove_dir_all(&state).unwrap();
        let child = start(&world, &run);
        kill_after(child, whole * kill / kills);
        // Its session ends with it, as soon as the broker has noticed.
        let mut listed = String::new();
        let began = Instant::now();
        while !is_over(&world, &mut listed) {
            assert!(began.elapsed() < Duration::from_secs(20), "{listed}");
        }
        let now = tree(&project);
        let listed = world
            .broker
            .holdfast(&["undo", "--project", &named, "--json"])
            .success();
        let listed: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
        if now != before {
            // A session that ran has its snapshot, whole.
            let session = listed[0]["session"].as_str().unwrap();
            let force: &[&str] = if listed[0]["state"] == "ended" {
                &[]
            } else {
                &["--force"]
            };
            undo(&world, session, force).success();
        }
        assert_eq!(
            tree(&project),
            before,
            "killed after {kill}/{kills}: {listed:#?}"
        );
    }
    world.broker.holdfast(&run).success();
    undo(&world, &last(&world, &project), &[]).success();
    assert_eq!(tree(&project), before);
}

#[test]
fn what_a_snapshot_costs_in_a_large_project() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let files = folders() * 200;
    many(&project, folders(), 200);
    let time = |what: &str, arguments: &[&str]| {
        let named = project.display().to_string();
        let mut command = world.broker.holdfast_command();
        command
            .arg("run")
            .args(arguments)
            .args(["--project", &named, "--", "sh", "-c"]);
        let begun = Instant::now();
        let ran = command
            .arg("echo x > f7/7.txt")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:#?}");
        println!("{what}: {:?}", begun.elapsed());
    };
    time("without a snapshot", &["--no-snapshot"]);
    time(&format!("the first snapshot of {files} files"), &[]);
    time("the next one", &[]);
    time("the one after", &[]);
    let begun = Instant::now();
    undo(&world, &last(&world, &project), &[]).success();
    println!("an undo of one file: {:?}", begun.elapsed());
}
