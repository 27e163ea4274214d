//! What makes an agent ask, in its own session: it reads and runs that, and changes it in no way.

use std::fs;
use std::path::Path;
use std::process::Command;

use holdfast_hardware_tests::harness::bin;
use holdfast_hardware_tests::world::{Ran, World};
use serde_json::json;

/// Every way that a program has to change a file or a folder that is there, or to put another in its place.
const ATTEMPTS: &str = r#"
try() {
    said=$1; shift
    test -e "$at" || (echo x > "$at") 2>/dev/null
    ("$@") </dev/null >/dev/null 2>&1 && echo "$said $at"
}
for at in $FILES; do
    try WROTE sh -c 'echo evil > "$1"' - "$at"
    try APPENDED sh -c 'echo evil >> "$1"' - "$at"
    try TRUNCATED sh -c 'test -f "$1" && truncate -s 0 "$1"' - "$at"
    try TOUCHED touch "$at"
    try CHMODDED chmod 777 "$at"
    try LINKED ln -f "$at" own-link
    try COVERED sh -c 'echo evil > own && mount --bind own "$1" && umount "$1"' - "$at"
    try MOVED mv "$at" "$at.moved"
    try REMOVED rm "$at"
    try REPLACED sh -c 'echo evil > own && mv own "$1"' - "$at"
    try BOUND python3 -S -c 'import os, socket, sys; os.unlink(sys.argv[1]); socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$at"
done
for at in $FOLDERS; do
    try ADDED sh -c 'echo evil > "$1/new"' - "$at"
    try COVERED sh -c 'mount -t tmpfs none "$1" && umount "$1"' - "$at"
    try UNSHARED unshare -Urm mount -t tmpfs none "$at"
    try MOVED sh -c 'mv "$1" "$1.moved" && mv "$1.moved" "$1"' - "$at"
    try EMPTIED sh -c 'rm -r "$1"' - "$at"
done
echo tried
"#;

const FILES: [&str; 5] = [
    "/run/holdfast/session.sock",
    "/etc/claude-code/managed-settings.json",
    "/opt/holdfast/libexec/holdfast-hook",
    "/opt/holdfast/bin/bash",
    "/etc/ld.so.preload",
];
const FOLDERS: [&str; 6] = [
    "/run/holdfast",
    "/etc/claude-code",
    "/opt/holdfast/libexec",
    "/opt/holdfast/bin",
    "/opt/holdfast",
    "/etc",
];

/// The attempts, on these below `root`.
fn attempts(root: &str) -> String {
    let below = |places: &[&str]| {
        let places = places.iter().map(|place| format!("{root}{place}"));
        places.collect::<Vec<_>>().join(" ")
    };
    let (files, folders) = (below(&FILES), below(&FOLDERS));
    format!("FILES='{files}' FOLDERS='{folders}'\n{ATTEMPTS}")
}

#[test]
fn a_session_changes_nothing_of_what_makes_it_ask() {
    let Some(world) = World::sealed() else { return };
    let project = world.scratch.folder("project");
    let call = json!({
        "hook_event_name": "PreToolUse", "cwd": project, "tool_name": "Bash",
        "tool_input": {"command": "cat ~/.ssh/id_ed25519"},
    });
    fs::write(project.join("call.json"), call.to_string()).unwrap();
    let settings = world
        .broker
        .state()
        .join("own/claude-code/managed-settings.json");
    let parts = || [&settings, &bin("holdfast-hook")].map(|part| fs::read(part).unwrap());
    let before = parts();
    let ask = "/opt/holdfast/libexec/holdfast-hook claude < call.json; \
               test -S /run/holdfast/session.sock && cat /etc/claude-code/managed-settings.json";
    let ran = world
        .broker
        .run(&project, &["bash", "-c", &format!("{}{ask}", attempts(""))]);
    let (tried, answer) = ran
        .stdout
        .split_once("tried\n")
        .unwrap_or_else(|| panic!("{ran:#?}"));
    assert_eq!(tried, "", "{ran:#?}");
    assert!(answer.contains("\"deny\""), "{ran:#?}");
    assert!(answer.contains("Holdfast"), "{ran:#?}");
    let kept = String::from_utf8(before[0].clone()).unwrap();
    assert!(answer.ends_with(&kept), "{ran:#?}");
    assert!(parts() == before, "on the host");

    // So that this can fail: where nothing guards, each of them is a way.
    let root = world.scratch.folder("unguarded").display().to_string();
    for file in FILES {
        let path = format!("{root}{file}");
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
    let mut unguarded = Command::new("unshare");
    unguarded.args(["--mount", "--propagation", "private", "bash", "-c"]);
    unguarded.arg(attempts(&root)).current_dir(&root);
    let said = Ran::of(&mut unguarded).success();
    let ways = |words: &[&str], places: &[&str]| {
        for (word, place) in words
            .iter()
            .flat_map(|word| places.iter().map(move |place| (word, place)))
        {
            let way = format!("{word} {root}{place}\n");
            assert!(said.contains(&way), "{way} is missing:\n{said}");
        }
    };
    let files = [
        "WROTE",
        "APPENDED",
        "TRUNCATED",
        "TOUCHED",
        "CHMODDED",
        "LINKED",
        "COVERED",
        "MOVED",
        "REMOVED",
        "REPLACED",
        "BOUND",
    ];
    ways(&files, &FILES);
    // Further in, they are gone by then.
    ways(
        &["ADDED", "COVERED", "UNSHARED", "MOVED", "EMPTIED"],
        &FOLDERS[..4],
    );
}
