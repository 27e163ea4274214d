#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use proptest::prelude::*;

use super::*;

/// A home with an agent on its PATH.
fn around() -> (Around, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join("bin");
    program(&bin.join("claude"), "#!/bin/sh\necho real \"$@\"\n");
    let shims = home.path().join(".local/share/holdfast/bin");
    let around = Around {
        home: home.path().to_owned(),
        path: vec![shims.clone(), bin],
        shims,
        holdfast: home.path().join("holdfast"),
        shell: Some(Shell::Bash),
        zdotdir: None,
    };
    (around, home)
}

fn program(file: &Path, text: &str) {
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn act(around: &Around, act: Act) -> Connection {
    connect(around, &"claude".parse().unwrap(), "claude", act).unwrap()
}

#[test]
fn what_is_added_twice_is_there_once_and_goes_without_a_trace() {
    let (around, home) = around();
    let rc = home.path().join("dotfiles/bashrc");
    fs::create_dir_all(rc.parent().unwrap()).unwrap();
    fs::write(&rc, "alias x=y").unwrap();
    fs::set_permissions(&rc, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&rc, home.path().join(".bashrc")).unwrap();
    let settings = home.path().join(".config/Code/User/settings.json");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let written = "// mine {\n{\n  \"editor.tabSize\": 2, // two\n}\n";
    fs::write(&settings, written).unwrap();

    let first = act(&around, Act::Write);
    assert_eq!(first.shim.state, PartState::Added);
    assert_eq!(first.startup.as_ref().unwrap().state, PartState::Added);
    assert_eq!(first.editors[0].state, PartState::Added);
    assert!(first.first_on_path);
    assert_eq!(first.program, Some(home.path().join("bin/claude")));
    let texts = || [&rc, &settings].map(|file| fs::read_to_string(file).unwrap());
    let once = texts();
    assert!(once[1].starts_with("// mine {\n{\n    \"claudeCode.claudeProcessWrapper\": \""));

    let second = act(&around, Act::Write);
    assert_eq!(second.shim.state, PartState::There);
    assert_eq!(second.startup.unwrap().state, PartState::There);
    assert_eq!(texts(), once);

    let undone = act(&around, Act::Undo);
    assert_eq!(undone.shim.state, PartState::Removed);
    assert_eq!(texts(), ["alias x=y\n".to_owned(), written.to_owned()]);
    assert!(rc.metadata().unwrap().permissions().mode() & 0o777 == 0o640);
    assert!(home.path().join(".bashrc").is_symlink());
    assert!(!around.shims.exists());
    assert_eq!(act(&around, Act::Undo).shim.state, PartState::Absent);
}

#[test]
fn without_being_told_to_it_writes_nothing_but_the_shim() {
    let (around, home) = around();
    let added = act(&around, Act::Add);
    assert_eq!(added.startup.unwrap().state, PartState::Absent);
    assert!(!home.path().join(".bashrc").exists());
    let (untouched, home) = self::around();
    assert_eq!(act(&untouched, Act::Show).shim.state, PartState::Absent);
    assert!(!home.path().join(".local").exists());
}

#[test]
fn somebody_elses_file_is_left_alone() {
    let (around, home) = around();
    program(&around.shims.join("claude"), "#!/bin/sh\nmine\n");
    let kind = "claude".parse().unwrap();
    let refused = connect(&around, &kind, "claude", Act::Write);
    assert!(matches!(refused, Err(ConnectError::Foreign(_))));
    assert_eq!(act(&around, Act::Undo).shim.state, PartState::Foreign);
    let missing = connect(&around, &kind, "codex", Act::Add);
    assert!(matches!(missing, Err(ConnectError::NoProgram(_))));
    let settings = home.path().join(".config/Cursor/User/settings.json");
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    let theirs = r#"{"claudeCode.claudeProcessWrapper": "/opt/wrap"}"#;
    fs::write(&settings, theirs).unwrap();
    fs::remove_file(around.shims.join("claude")).unwrap();
    assert_eq!(
        act(&around, Act::Write).editors[0].state,
        PartState::Foreign
    );
    assert_eq!(fs::read_to_string(&settings).unwrap(), theirs);
}

#[test]
fn another_shim_is_never_taken_for_the_agent() {
    let (mut around, home) = around();
    act(&around, Act::Add);
    let first = around.shims.clone();
    around.shims = home.path().join("more");
    around.path = vec![around.shims.clone(), first, home.path().join("bin")];
    let connected = act(&around, Act::Add);
    assert_eq!(connected.program, Some(home.path().join("bin/claude")));
}

#[test]
fn a_path_that_could_be_more_than_a_word_is_refused() {
    for path in ["/a'b", "/a\nb", "/a\\b", "/a:b"] {
        assert!(shim::quoted(Path::new(path)).is_err(), "{path}");
    }
}

proptest! {
    #[test]
    fn settings_come_back_as_they_were(text in "(//[a-z{}\"]{0,6}\n|\\{|\\}|\"[a-z]{0,3}\"|[:, \n]|\\PC){0,40}") {
        let setting = editor::setting("claudeCode.claudeProcessWrapper", Path::new("/w"));
        if let Change::Add(added) = editor::change(Act::Write, &setting)(&text) {
            prop_assert_eq!(editor::change(Act::Write, &setting)(&added), Change::There);
            if !text.trim().is_empty() {
                prop_assert_eq!(editor::change(Act::Undo, &setting)(&added), Change::Remove(text));
            }
        }
    }

    #[test]
    fn startup_files_come_back_as_they_were(text in "(\\PC|\n){0,40}") {
        let text = if text.is_empty() { text } else { format!("{text}\n") };
        let line = Shell::Zsh.line(Path::new("/s"));
        let Change::Add(added) = rc::change(Act::Write, &line)(&text) else {
            return Err(TestCaseError::fail("not added"));
        };
        prop_assert_eq!(rc::change(Act::Undo, &line)(&added), Change::Remove(text));
    }
}
