//! The manual's pages: generated from the command line's own words, and held to them.
//!
//! Only tests make them, so the program that people run has no part in it.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;

use clap::CommandFactory;

use crate::args::Args;

/// Says that the pages are to be written instead of compared.
const WRITE: &str = "HOLDFAST_WRITE_MAN";

/// Written by hand: the shim is a program of its own, and `holdfast hook` is the same.
const SHIM: &str = "holdfast-hook.1";

/// The pages, by file name: one for the program, one for each of its commands with all that is below it.
fn pages() -> BTreeMap<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let command = Args::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, folder.path()).unwrap();
    std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, std::fs::read_to_string(entry.path()).unwrap())
        })
        .filter(|(name, _)| name != SHIM)
        .collect()
}

#[test]
fn the_manual_says_what_the_program_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
    let pages = pages();
    if std::env::var_os(WRITE).is_some() {
        for (name, page) in &pages {
            std::fs::write(folder.join(name), page).unwrap();
        }
    }
    let committed: BTreeMap<String, String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| name.ends_with(".1") && name != SHIM)
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect();
    let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&pages));
    for (name, page) in &pages {
        assert!(
            committed.get(name) == Some(page),
            "{name} is not what the program says: run this test with {WRITE}=1 and look at the difference"
        );
    }
}

#[test]
fn the_command_line_is_sound() {
    Args::command().debug_assert();
}
