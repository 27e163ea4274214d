//! Without root: the walls keep the agent in, and everything says plainly what they do not do.
//!
//! Every process of ours runs as a human without rights, who is made for one test. Root only makes the human, and looks.

mod agent;
mod human;
mod terminal;
mod walls;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use holdfast_hardware_tests::harness::wait_until;

use self::human::Human;

#[test]
fn work_is_done_without_root_and_the_files_are_the_humans() {
    let Some(human) = Human::new(61_001) else {
        return;
    };
    human.git(&["init", "-q", "-b", "main"]);
    let script = "set -e; id -u; \
        printf 'def f():\\n    return 7\\n' > lib.py; printf 'import lib; print(lib.f())\\n' > main.py; \
        python3 -m compileall -q . ; python3 main.py; rm -rf __pycache__; \
        git add . ; git commit -qm 'Work without root'; ls /opt/holdfast/bin";
    let ran = human.run(&["sh", "-c", script]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), ["61001", "7", "sh"]);
    for said in ["starting a broker of your own", "contained:", "L1", "R1"] {
        assert!(ran.stderr.contains(said), "{said}: {ran:#?}");
    }
    let file = fs::metadata(human.project().join("lib.py")).unwrap();
    assert_eq!((file.uid(), file.gid()), (61_001, 61_001));
    assert_eq!(human.git(&["log", "--format=%s"]), "Work without root\n");

    // Nobody with rights had a part in it.
    let broker = human.broker().unwrap();
    for process in [broker].into_iter().chain(human.children(broker)) {
        let uid = fs::metadata(format!("/proc/{process}")).unwrap().uid();
        assert_eq!(uid, 61_001, "{process}");
    }
    let status = human.holdfast(&["status", "--json"]).success();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["grade"], "contained");
    assert_eq!(status["node"]["state"], "contained");
    let status = human.holdfast(&["status"]).success();
    assert!(status.contains("CONTAINED"), "{status}");
    assert!(status.contains(&format!("`kill {broker}`")), "{status}");
    let doctor = human.holdfast(&["doctor"]);
    assert!(doctor.stdout.contains("contained"), "{doctor:#?}");
    // Nothing is said of what only root could set up.
    assert!(!status.contains("attestor is away"), "{status}");
    assert!(!doctor.stdout.contains("launcher"), "{doctor:#?}");
    let record = human.holdfast(&["audit", "tail"]).success();
    assert!(record.contains("made without root: level L1"), "{record}");
    human.holdfast(&["audit", "verify"]).success();
}

#[test]
fn what_wants_more_than_a_click_never_happens_and_nobody_vouches() {
    let Some(human) = Human::new(61_002) else {
        return;
    };
    let publish = r#"{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t","cwd":"PROJECT","tool_input":{"command":"npm publish"}}"#;
    let publish = publish.replace("PROJECT", &human.project().display().to_string());
    let script = format!("echo '{publish}' | /opt/holdfast/libexec/holdfast-hook claude");
    let ran = human.run(&["sh", "-c", &script]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("deny"), "{ran:#?}");
    assert!(ran.stdout.contains("R2"), "{ran:#?}");
    let work = publish.replace("npm publish", "make test");
    let script = format!("echo '{work}' | /opt/holdfast/libexec/holdfast-hook claude");
    let ran = human.run(&["sh", "-c", &script]);
    assert!(ran.stdout.contains("allow"), "{ran:#?}");

    // What its socket is asked by another session of the same human is not this one's.
    let shown = human.holdfast(&["run", "--contained", "--show", "--project"]);
    assert_eq!(shown.code, 2, "{shown:#?}");
    let project = human.project().display().to_string();
    let shown = human.holdfast(&[
        "run",
        "--contained",
        "--show",
        "--project",
        &project,
        "--",
        "true",
    ]);
    assert!(shown.success().contains("contained:"));
    let enrolled = human.holdfast(&[
        "enroll",
        "https://127.0.0.1:1",
        "--authority",
        "/etc/hostname",
    ]);
    assert_ne!(enrolled.code, 0, "{enrolled:#?}");
    let sub = human.run(&[
        "sh",
        "-c",
        "/opt/holdfast/libexec/holdfast-hook sub -- true",
    ]);
    assert!(
        sub.stderr.contains("contained session has no sub-agents"),
        "{sub:#?}"
    );
}

#[test]
fn a_session_stands_goes_on_and_ends_at_a_word_and_dies_with_the_broker() {
    let Some(human) = Human::new(61_003) else {
        return;
    };
    let beating = "(while :; do date +%N > beat; sleep 0.02; done) & wait";
    let mut session = human.start(&["sh", "-c", beating]);
    let beat = human.project().join("beat");
    wait_until(Duration::from_secs(60), "a beat", || beat.exists());
    let id = human.session();
    human.holdfast(&["sessions", "pause", &id]).success();
    let frozen = fs::read(&beat).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(fs::read(&beat).unwrap(), frozen);
    let shown = human.holdfast(&["sessions", "show", &id]).success();
    assert!(shown.contains("L1"), "{shown}");
    assert!(shown.contains("contained"), "{shown}");
    assert!(shown.contains("frozen"), "{shown}");
    human.holdfast(&["sessions", "resume", &id]).success();
    wait_until(Duration::from_secs(5), "it goes on", || {
        fs::read(&beat).unwrap() != frozen
    });
    let inside = human.processes_in(&beat);
    assert!(!inside.is_empty());
    human.holdfast(&["sessions", "end", &id]).success();
    assert_eq!(session.wait().unwrap().code(), Some(137));
    gone(&inside);

    fs::remove_file(&beat).unwrap();
    let mut session = human.start(&["sh", "-c", beating]);
    wait_until(Duration::from_secs(10), "a beat", || beat.exists());
    let inside = human.processes_in(&beat);
    assert!(!inside.is_empty());
    let broker = human.broker().unwrap();
    let launcher = human.children(broker);
    human::kill(broker);
    assert_ne!(session.wait().unwrap().code(), Some(0));
    gone(&inside);
    // Nor is its launcher left. Its software TPM is, until the next broker ends it, or this test.
    let (launcher, tpm): (Vec<u32>, Vec<u32>) = launcher
        .into_iter()
        .partition(|pid| !human::is_called(*pid, "swtpm"));
    gone(&launcher);
    tpm.into_iter().for_each(human::kill);
}

#[test]
fn a_session_that_takes_more_memory_than_it_may_is_ended_without_root_too() {
    let Some(human) = Human::new(61_007) else {
        return;
    };
    human.put(
        ".config/holdfast/holdfastd.toml",
        "[limits]\nmemory-mib = 256\n",
    );
    // In a child of a child, and no one process of it takes so much.
    let take = |mib: u32| {
        format!(
            "for n in 1 2 3; do (perl -e '$x = \"a\" x ({mib} << 20); sleep 3; print \"held\\n\"') & done; wait"
        )
    };
    let modest = human.run(&["sh", "-c", &take(20)]);
    assert_eq!(modest.code, 0, "{modest:#?}");
    assert_eq!(modest.stdout, "held\nheld\nheld\n");
    let greedy = human.run(&["sh", "-c", &take(120)]);
    assert_eq!(greedy.code, 137, "{greedy:#?}");
    assert!(
        greedy
            .stderr
            .contains("it takes more memory than it may (256 MiB)"),
        "{greedy:#?}"
    );
}

#[test]
fn commands_that_begin_at_the_same_moment_share_one_broker() {
    let Some(human) = Human::new(61_010) else {
        return;
    };
    let sessions: Vec<_> = (0..3).map(|_| human.start(&["true"])).collect();
    for mut session in sessions {
        assert_eq!(session.wait().unwrap().code(), Some(0));
    }
    assert!(human.broker().is_some());
}

/// Waits until none of these processes is there.
fn gone(processes: &[u32]) {
    wait_until(Duration::from_secs(10), "nothing is left", || {
        processes.iter().all(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // What has ended and is not waited for is nothing more.
            stat.is_empty() || stat.contains(") Z ")
        })
    });
}
