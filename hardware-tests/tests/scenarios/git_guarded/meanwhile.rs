//! What the human does while a session lives is theirs; and a command that is killed loses nothing.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;

use super::Stage;

#[test]
fn what_the_human_changed_meanwhile_stays_and_the_sessions_is_beside_it() {
    let Some(stage) = Stage::set() else { return };
    stage.git(&["branch", "quiet"]);
    let mut session = stage
        .command(
            &stage.project,
            "echo a > a; git add a; git commit -qm Agent; git branch -f quiet main; git branch mine
             touch ready; while [ ! -e go ]; do sleep 0.05; done",
        )
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = stage.project.join("ready");
    wait_until(Duration::from_secs(60), "the session worked", || {
        ready.exists()
    });
    // Its git folder is not the human's: nothing of it shows yet.
    assert_eq!(stage.git(&["log", "-1", "--format=%s"]), "Go on");
    fs::write(stage.project.join("h"), "h\n").unwrap();
    stage.git(&["add", "h"]);
    stage.git(&["commit", "-qm", "Human"]);
    stage.git(&["branch", "mine", "main~1"]);
    fs::write(stage.project.join("go"), "").unwrap();
    let output = loop_out(&mut session);
    assert_eq!(stage.git(&["log", "-1", "--format=%s", "main"]), "Human");
    assert_eq!(stage.git(&["log", "-1", "--format=%s", "mine"]), "Go on");
    assert_eq!(stage.git(&["log", "-1", "--format=%s", "quiet"]), "Agent");
    let aside = stage.git(&[
        "for-each-ref",
        "--format=%(refname) %(subject)",
        "refs/holdfast/",
    ]);
    for (name, subject) in [("heads/main", "Agent"), ("heads/mine", "Agent")] {
        let line = aside.lines().find(|line| line.contains(name)).unwrap();
        assert!(line.ends_with(subject), "{aside}");
        let at = line.split(' ').next().unwrap();
        assert!(output.contains(at), "{output}");
    }
    // The index is the human's.
    assert_eq!(stage.git(&["diff", "--cached", "--name-only"]), "");
}

fn loop_out(session: &mut std::process::Child) -> String {
    use std::io::Read;
    let mut said = String::new();
    session
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert!(session.wait().unwrap().success(), "{said}");
    said
}

#[test]
fn what_a_killed_command_left_comes_back_at_the_next_run() {
    let Some(stage) = Stage::set() else { return };
    for (number, recover) in [["git", "recover"].as_slice(), &[]].into_iter().enumerate() {
        let file = format!("f{number}");
        let mut session = stage
            .command(
                &stage.project,
                &format!(
                    "echo a > {file}; git add {file}; git commit -qm Left{number}
                     mkdir n{number}; git init -q n{number}; touch ready; exec sleep 60"
                ),
            )
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let ready = stage.project.join("ready");
        wait_until(Duration::from_secs(60), "the session worked", || {
            ready.exists()
        });
        session.kill().unwrap();
        session.wait().unwrap();
        let launcher = stage.world.launcher.as_ref().unwrap();
        wait_until(Duration::from_secs(10), "the session is gone", || {
            launcher.sessions().is_empty()
        });
        fs::remove_file(ready).unwrap();
        assert_ne!(
            stage.git(&["log", "-1", "--format=%s"]),
            format!("Left{number}")
        );
        let ran = if recover.is_empty() {
            stage.session("git log -1 --format=%s")
        } else {
            stage.holdfast(recover)
        };
        assert_eq!(ran.code, 0, "{ran:#?}");
        assert_eq!(
            stage.git(&["log", "-1", "--format=%s"]),
            format!("Left{number}")
        );
        assert!(!stage.project.join(format!("n{number}/.git")).exists());
        if recover.is_empty() {
            // It is brought back before the next session looks.
            assert_eq!(ran.stdout, "Left1\n");
        }
    }
    assert!(stage.kept().is_empty());
}

#[test]
fn an_interrupted_session_is_brought_back_as_any_other() {
    let Some(stage) = Stage::set() else { return };
    let mut session = stage
        .command(
            &stage.project,
            "echo a > a; git add a; git commit -qm Interrupted; touch ready; exec sleep 60",
        )
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let ready = stage.project.join("ready");
    wait_until(Duration::from_secs(60), "the session worked", || {
        ready.exists()
    });
    let pid = rustix::process::Pid::from_child(&session);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    session.wait().unwrap();
    assert_eq!(stage.git(&["log", "-1", "--format=%s"]), "Interrupted");
    assert!(stage.kept().is_empty());
}
