//! Programs that would run anything if they were told to: they are told by the broker alone.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use holdfast_hardware_tests::harness::claude;

use super::stage::Stage;

/// A library that leaves `EVIL` where it is loaded in a session, and `LOADED` where it is loaded outside: shown once.
fn preload(stage: &Stage) -> PathBuf {
    let library = stage.project().join("evil.so");
    let source = library.with_extension("c");
    let constructor = "#include <fcntl.h>\n#include <unistd.h>\n\
                       __attribute__((constructor)) static void evil(void) {\n\
                       int sealed = access(\"/run/holdfast/session.sock\", F_OK) == 0;\n\
                       open(sealed ? \"EVIL\" : \"LOADED\", O_CREAT | O_WRONLY, 0600); }\n";
    fs::write(&source, constructor).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    assert!(compiler.arg(&source).status().unwrap().success());
    let mut outside = Command::new("true");
    outside
        .current_dir(stage.project())
        .env("LD_PRELOAD", &library);
    assert!(outside.status().unwrap().success());
    assert!(stage.project().join("LOADED").exists());
    library
}

#[test]
fn node_is_told_nothing_before_its_script() {
    let Some(stage) = Stage::new() else { return };
    let evil = stage.project().join("evil.js");
    fs::write(&evil, "require('fs').writeFileSync('EVIL', '')\n").unwrap();
    let evil = evil.to_str().unwrap();
    for switch in [
        vec!["-e", "require('fs').writeFileSync('EVIL', '')"],
        vec!["--require", evil],
        vec!["--import", evil],
        vec!["--inspect=127.0.0.1:0"],
        vec!["--eval", "1"],
        vec![evil],
    ] {
        let command = stage.command("codex");
        let mut words = vec![command.as_str()];
        words.extend(&switch);
        let output = stage.run(&[], &words).success();
        // The script's arguments, and no option of the interpreter's.
        let argv = format!("argv {}\n", switch.join(" "));
        assert!(output.contains(&argv), "{output}");
        assert!(output.contains("exec - -\n"), "{output}");
        assert!(!stage.project().join("EVIL").exists(), "{switch:?}");
    }
    let preload = preload(&stage);
    let ran = std::process::Command::output(
        stage
            .holdfast(&[], &[&stage.command("codex")])
            .env("NODE_OPTIONS", format!("--require {evil}"))
            .env("NODE_PATH", stage.project())
            .env("NODE_REPL_EXTERNAL_MODULE", evil)
            .env("LD_PRELOAD", &preload),
    );
    let output = String::from_utf8(ran.unwrap().stdout).unwrap();
    assert!(output.contains("exec - -\n"), "{output}");
    assert!(!stage.project().join("EVIL").exists());
}

#[test]
fn an_interpreter_by_itself_is_no_agent() {
    let Some(stage) = Stage::new() else { return };
    let script = stage.packages().join(super::stage::CODEX);
    let script = script.to_str().unwrap();
    for words in [["node", script], ["/usr/bin/python3", "-c"], ["bash", "-c"]] {
        let ran = stage.run(&["--agent", "codex"], &words);
        assert_eq!(ran.code, 2, "{ran:#?}");
    }
    stage
        .run(&[], &["/usr/bin/python3", "-c", "print(1)"])
        .success();
    assert_eq!(stage.last_session()["kind"], "shell");
}

#[test]
fn claude_is_not_told_to_leave_out_what_holdfast_relies_on() {
    let Some(claude) = claude() else { return };
    let Some(stage) = Stage::new() else { return };
    let claude = claude.to_str().unwrap();
    for words in [
        &["--bare"][..],
        &["--settings=x"],
        &["--settings", "x"],
        &["--setting-sources", "user"],
        &["--setting-sources=user"],
        &["--managed-settings", "x"],
        &["--managed-settings=x"],
        &["-p", "Hold fast.", "--verbose", "--bare"],
    ] {
        let words = [&[claude], words, &["--version"]].concat();
        for options in [&[][..], &["--show"]] {
            let ran = stage.run(options, &words);
            assert_eq!(ran.code, 2, "{words:?}: {ran:#?}");
            assert_eq!(ran.stdout, "", "{words:?}: {ran:#?}");
            let switch = words.iter().rev().nth(1).unwrap().split('=').next();
            let switch = switch.filter(|word| word.starts_with("--"));
            let switch = switch.unwrap_or(words[1]);
            let clear = [
                "is refused for this agent",
                "would switch off",
                "next: leave it out",
            ];
            for said in clear.iter().chain([&switch]) {
                assert!(ran.stderr.contains(said), "no `{said}`: {ran:#?}");
            }
        }
    }
    // Nothing was made of them.
    assert!(stage.world.sessions().is_empty());
    // What follows a lone `--` is a prompt's, and no switch.
    let shown = stage.run(&["--show"], &[claude, "-p", "--", "--bare"]);
    shown.success();
}

#[test]
fn claude_is_no_bun_inside() {
    let Some(claude) = claude() else { return };
    let Some(stage) = Stage::new() else { return };
    let evil = stage.project().join("evil.js");
    fs::write(
        &evil,
        "require('fs').writeFileSync('EVIL', ''); console.log('RAN')\n",
    )
    .unwrap();
    let claude = claude.to_str().unwrap();
    let version = |command: &mut std::process::Command| {
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    // Outside, the switch runs the file in it; otherwise this test would show nothing.
    let preload = format!("--preload {}", evil.display());
    let outside = version(
        std::process::Command::new(claude)
            .arg("--version")
            .current_dir(stage.project())
            .env("BUN_OPTIONS", &preload),
    );
    assert!(outside.starts_with("RAN\n"), "{outside}");
    fs::remove_file(stage.project().join("EVIL")).unwrap();
    let library = self::preload(&stage);
    let evil = evil.to_str().unwrap();
    for words in [[claude, "--version"], [claude, evil]] {
        let mut inside = stage.holdfast(&[], &words);
        inside.env("BUN_BE_BUN", "1").env("BUN_OPTIONS", &preload);
        inside.env("LD_PRELOAD", &library);
        inside.stdin(std::process::Stdio::null());
        let output = version(&mut inside);
        assert!(!output.contains("RAN"), "{output}");
        assert!(!stage.project().join("EVIL").exists());
        if words[1] == "--version" {
            assert!(output.contains("(Claude Code)"), "{output}");
        }
    }
}
