//! Another program under the measured one's name: what runs is what is on record.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use data_encoding::HEXLOWER;
use holdfast_hardware_tests::harness::Scratch;
use holdfast_proof::hash::sha256;

use super::stage::Stage;

/// How often each is tried.
const RUNS: usize = 50;

/// A native program that says its name, and, told to wait, what it is once it has executed itself again.
fn program(folder: &Path, name: &str) -> PathBuf {
    let (source, program) = (folder.join(format!("{name}.c")), folder.join(name));
    let text = format!(
        r#"#include <stdio.h>
           #include <unistd.h>
           static const char NAME[] = "own name: {name}";
           int main(int argc, char **argv) {{
               puts(NAME + 10); fflush(stdout);
               if (argc < 2) return 0;
               getchar();
               execl("/proc/self/exe", argv[0], (char *)0);
               return 1;
           }}"#
    );
    fs::write(&source, text).unwrap();
    let mut compiler = Command::new("cc");
    let compiled = compiler.arg("-o").arg(&program).arg(&source).status();
    assert!(compiled.unwrap().success());
    program
}

fn digest(program: &Path) -> String {
    HEXLOWER.encode(sha256(&fs::read(program).unwrap()).as_bytes())
}

/// Does `swap` over and over in a thread while `runs` is at it.
fn meanwhile(swap: impl Fn(usize) + Sync, runs: impl FnOnce()) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            for turn in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                swap(turn);
                thread::sleep(Duration::from_micros(300));
            }
        });
        // A failed assertion has to end the thread, too.
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(runs));
        over.store(true, Ordering::Relaxed);
        swapping.join().unwrap();
        if let Err(failed) = ran {
            std::panic::resume_unwind(failed);
        }
    });
}

/// Leads `link` to one and to the other, never to nothing.
fn flip<'a>(link: &'a Path, programs: [&'a Path; 2]) -> impl Fn(usize) + Sync + 'a {
    move |turn| {
        let next = link.with_extension("next");
        symlink(programs[turn % 2], &next).unwrap();
        fs::rename(next, link).unwrap();
    }
}

/// What a program said is what the digest on record says, whichever of the two it was; gives what they were, or `None`
/// for one that was refused because it was written to meanwhile.
fn said_is_on_record(
    stage: &Stage,
    word: &str,
    known: &[(&'static str, String)],
) -> Vec<Option<&'static str>> {
    let one = |_| {
        let ran = stage.run(&[], &[word]);
        if ran.code == 2 && ran.stderr.contains("the program changed while it was read") {
            assert_eq!(ran.stdout, "", "{ran:#?}");
            assert!(ran.stderr.contains("next: start it again"), "{ran:#?}");
            return None;
        }
        let said = ran.success();
        let on_record = stage.last_session()["program"].as_str().unwrap().to_owned();
        let of = known.iter().find(|(name, _)| said.trim() == *name);
        let (name, digest) = of.unwrap_or_else(|| panic!("it said {said}"));
        assert_eq!(*digest, on_record, "{name} ran");
        Some(*name)
    };
    (0..RUNS).map(one).collect()
}

#[test]
fn a_link_that_is_swapped_after_it_was_measured_leads_to_nothing_else() {
    let Some(stage) = Stage::new() else { return };
    let (kelp, rock) = (
        program(stage.folder(), "kelp"),
        program(stage.folder(), "rock"),
    );
    let link = stage.folder().join("tool");
    symlink(&kelp, &link).unwrap();
    let known = [("kelp", digest(&kelp)), ("rock", digest(&rock))];
    meanwhile(flip(&link, [&rock, &kelp]), || {
        let met = said_is_on_record(&stage, link.to_str().unwrap(), &known);
        for name in [Some("kelp"), Some("rock")] {
            assert!(met.contains(&name), "{met:?}");
        }
    });
}

#[test]
fn a_program_that_is_rewritten_while_it_is_measured_is_what_the_record_says() {
    let Some(stage) = Stage::new() else { return };
    let kelp = program(stage.folder(), "kelp");
    let content = fs::read(&kelp).unwrap();
    let name = b"own name: kelp";
    let at = content.windows(name.len()).position(|part| part == name);
    let at = u64::try_from(at.unwrap() + name.len() - 4).unwrap();
    let was = digest(&kelp);
    let file = fs::OpenOptions::new().write(true).open(&kelp).unwrap();
    file.write_at(b"h", at).unwrap();
    let known = [("kelp", was), ("help", digest(&kelp))];
    // The same file, length and name: a single byte of it, back and forth; at times faster than it is read.
    let mut met = Vec::new();
    for every in [1, 40] {
        let rewrite = |turn: usize| {
            if turn.is_multiple_of(every) {
                file.write_at([b"k", b"h"][turn / every % 2], at).unwrap();
            }
        };
        meanwhile(rewrite, || {
            met.extend(said_is_on_record(&stage, kelp.to_str().unwrap(), &known));
        });
    }
    for name in [Some("kelp"), Some("help"), None] {
        assert!(met.contains(&name), "{met:?}");
    }
}

#[test]
fn where_programs_are_listed_a_swapped_link_lets_no_other_in() {
    let scratch = Scratch::new();
    let (kelp, rock) = (
        program(scratch.path(), "kelp"),
        program(scratch.path(), "rock"),
    );
    let listed = digest(&kelp);
    let Some(stage) = Stage::with(&format!(
        "[launch]\nallow = \"listed\"\nprograms = [{{ kind = \"shell\", sha256 = \"{listed}\" }}]\n"
    )) else {
        return;
    };
    let link = stage.folder().join("tool");
    symlink(&kelp, &link).unwrap();
    let (mut ran, mut refused) = (0, 0);
    meanwhile(flip(&link, [&rock, &kelp]), || {
        for _ in 0..RUNS {
            let one = stage.run(&[], &[link.to_str().unwrap()]);
            match (one.code, one.stdout.as_str()) {
                (0, "kelp\n") => ran += 1,
                (3, "") => refused += 1,
                _ => panic!("{one:#?}"),
            }
        }
    });
    assert!(ran > 0 && refused > 0, "{ran} ran, {refused} were refused");
}

#[test]
fn a_program_that_is_rewritten_while_it_runs_executes_itself_as_it_was() {
    let Some(stage) = Stage::new() else { return };
    for replace in [
        // In place, under the same inode, and by another file under its name.
        (|old: &Path, new: &Path| fs::write(old, fs::read(new).unwrap()).unwrap())
            as fn(&Path, &Path),
        |old, new| fs::rename(new, old).unwrap(),
    ] {
        let (kelp, rock) = (
            program(stage.folder(), "kelp"),
            program(stage.folder(), "rock"),
        );
        let was = digest(&kelp);
        let mut session = stage
            .holdfast(&[], &[kelp.to_str().unwrap(), "wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(session.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "kelp");
        replace(&kelp, &rock);
        assert_ne!(digest(&kelp), was);
        session.stdin.take().unwrap().write_all(b"\n").unwrap();
        assert_eq!(lines.next().unwrap().unwrap(), "kelp");
        assert!(session.wait().unwrap().success());
        assert_eq!(stage.last_session()["program"], was.as_str());
    }
}
