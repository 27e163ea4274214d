//! Ctrl-Z and a pause both stop a contained session's processes by signals, and neither undoes the other.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Scratch, Tmux, bin, wait_until};

use super::human::Human;

const PATIENCE: Duration = Duration::from_secs(60);

/// Whether the session's program goes on, by what it writes.
fn beats(beat: &Path) -> bool {
    let before = fs::read(beat).unwrap();
    sleep(Duration::from_millis(300));
    fs::read(beat).unwrap() != before
}

#[test]
fn a_pause_and_ctrl_z_do_not_undo_each_other() {
    let Some(human) = Human::new(61_009) else {
        return;
    };
    // It has the broker: the first lines of the terminal are the shell's then.
    assert_eq!(human.run(&["true"]).code, 0);
    let scratch = Scratch::new();
    let mut shell = human.command("bash");
    shell
        .args(["--norc", "--noprofile", "-i"])
        .env("PS1", "at: ")
        .env("TERM", "tmux-256color");
    let terminal = Tmux::open(&scratch, "shell", &shell, (80, 24));
    terminal.shows("at:");
    let beating = "sh -c 'while :; do date +%N > beat; sleep 0.02; done'";
    terminal.line(&format!(
        "{} run --contained --no-snapshot -- {beating}",
        bin("holdfast").display()
    ));
    let beat = human.project().join("beat");
    wait_until(PATIENCE, "a beat", || beat.exists());
    let session = human.session();
    let paused = |act: &str| human.holdfast(&["sessions", act, &session]).success();

    terminal.key("C-z");
    terminal.shows("Stopped");
    assert!(!beats(&beat));
    paused("pause");
    paused("resume");
    assert!(!beats(&beat), "it went on with the pause's end");
    paused("pause");
    terminal.line("clear; fg");
    terminal.shows("while :");
    assert!(!beats(&beat), "it went on in the foreground");
    paused("resume");
    wait_until(PATIENCE, "it goes on", || beats(&beat));
    terminal.key("C-z");
    terminal.shows("Stopped");
    terminal.line("clear; fg");
    terminal.shows("while :");
    wait_until(PATIENCE, "it goes on", || beats(&beat));

    // A shell stands still with the rest, and its human's going away wakes nothing.
    let mut opened = human.command(bin("holdfast"));
    opened.args(["shell", &session]).stdin(Stdio::piped());
    let mut opened = opened.spawn().unwrap();
    let shell_beat = beat.with_file_name("shell");
    let lines = "while :; do date +%N > shell; sleep 0.02; done\n";
    let input = opened.stdin.as_mut().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    wait_until(PATIENCE, "a shell's beat", || shell_beat.exists());
    paused("pause");
    opened.kill().unwrap();
    opened.wait().unwrap();
    assert!(
        !beats(&beat) && !beats(&shell_beat),
        "a shell's end woke it"
    );
    paused("resume");
    wait_until(PATIENCE, "it goes on", || beats(&beat));
    human.holdfast(&["sessions", "end", &session]).success();
}
