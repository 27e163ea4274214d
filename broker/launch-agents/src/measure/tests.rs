//! Programs are measured as they are, and remembered only as long as they stay so.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use super::*;

fn file(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

#[test]
fn a_digest_is_of_the_bytes_handed_on() {
    let mut seen = Vec::new();
    let digest = measure(&file(b"abc"), |bytes| {
        seen.extend_from_slice(bytes);
        Ok(())
    });
    assert_eq!(seen, b"abc");
    // FIPS 180-4's own example.
    assert_eq!(
        digest.unwrap().to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_program_that_changes_while_it_is_read_is_refused() {
    let program = file(b"abc");
    let mut writer = program.try_clone().unwrap();
    let result = measure(&program, |_| writer.write_all(b"x").map(drop));
    assert!(matches!(result, Err(MeasureError::Changed)), "{result:?}");
}

#[test]
fn a_folder_is_no_program() {
    let folder = File::open("/").unwrap();
    assert!(matches!(
        Version::of(&folder),
        Err(MeasureError::NotAProgram)
    ));
}

#[test]
fn memory_knows_versions_and_forgets_the_oldest() {
    let mut memory = Memory::default();
    let mut program = file(b"abc");
    let before = Version::of(&program).unwrap();
    let digest = Sha256Digest::new([1; 32]);
    memory.remember(before, digest);
    assert_eq!(memory.recall(before), Some(digest));
    program.write_all(b"d").unwrap();
    assert_eq!(memory.recall(Version::of(&program).unwrap()), None);
    for inode in 0..REMEMBERED as u64 {
        memory.remember(Version { inode, ..before }, digest);
    }
    assert_eq!(memory.0.len(), REMEMBERED);
}

#[test]
fn first_lines_are_read_as_the_kernel_reads_them() {
    let read = |text: &str| shebang(&file(text.as_bytes())).unwrap();
    assert_eq!(read("\x7fELF"), None);
    let plain = read("#! /bin/sh\necho").unwrap();
    assert_eq!((plain.wanted(), plain.argument.clone()), ("/bin/sh", None));
    let env = read("#!/usr/bin/env -S A=1 node --x\n").unwrap();
    assert_eq!(env.wanted(), "node");
    let whole_file = read("#!/bin/true").unwrap();
    assert_eq!(whole_file.wanted(), "/bin/true");
}

#[test]
fn strange_first_lines_are_refused() {
    let long = format!("#!/{}\n", "x".repeat(300));
    for bad in ["#!relative\n", "#!\n", &long] {
        let result = shebang(&file(bad.as_bytes()));
        assert!(matches!(result, Err(MeasureError::NotAProgram)), "{bad:?}");
    }
    let not_text = shebang(&file(b"#!/\xff\n"));
    assert!(matches!(not_text, Err(MeasureError::NotAProgram)));
}
