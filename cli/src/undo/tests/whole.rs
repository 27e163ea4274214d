//! Snapshot and undo against a real file system, interrupted at every step.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use holdfast_protocol::id::SessionId;
use holdfast_protocol::time::Timestamp;

use super::super::restore::{Restored, restore};
use super::super::state::*;
use super::path;
use crate::recovery::Project;
use crate::snapshot::SnapshotError;
use crate::snapshot::entry::Entry;
use crate::snapshot::manifest::{Delta, Entries, Manifest};
use crate::snapshot::store::{About, Origin, Snapshot, Store};
use crate::snapshot::take::{Contents, LeaveOut, Taken};
use crate::snapshot::watch::Watch;
use crate::triggers::Triggers;

/// A project in a folder of its own, and a store.
struct Stage {
    folder: tempfile::TempDir,
    store: Store,
    triggers: Triggers,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(&folder.path().join("store")).unwrap();
        let triggers = Triggers::built_in().unwrap();
        Self {
            folder,
            store,
            triggers,
        }
    }

    fn project(&self) -> PathBuf {
        self.folder.path().join("project")
    }

    fn look(&self, watch: &Watch, leave_out: LeaveOut<'_>) -> Result<Taken, SnapshotError> {
        let project = Project::open(&self.project()).unwrap();
        let contents = Contents::Keep(&self.store.objects);
        project.look(&self.store, leave_out, contents, &self.triggers, watch)
    }

    fn keep(&self, start: &Manifest, id: u8) -> Snapshot {
        let about = About {
            id: SessionId::from_random([id; 16]),
            project: self.project(),
            origin: Origin::Session {
                session: None,
                program: "sh".to_owned(),
            },
            began: Timestamp::from_secs(u64::from(id) * 1000),
            ended: None,
            unguarded: Vec::new(),
        };
        self.store.keep(about, start).unwrap()
    }

    /// Makes the project anew, as it was.
    fn original(&self) {
        let project = self.project();
        let _ = fs::remove_dir_all(&project);
        for folder in ["src", "deep/er", "becomes-a-file", "becomes-a-link"] {
            fs::create_dir_all(project.join(folder)).unwrap();
        }
        for n in 0..12 {
            fs::write(project.join(format!("src/{n}.rs")), format!("file {n}")).unwrap();
        }
        for (file, mode) in [
            ("run.sh", 0o755),
            ("secret", 0o600),
            ("deep/er/x", 0o640),
            ("becomes-a-file/x", 0o644),
            ("becomes-a-link/x", 0o444),
            ("becomes-a-folder", 0o644),
        ] {
            fs::write(project.join(file), format!("original {file}")).unwrap();
            mode_of(&project.join(file), mode);
        }
        symlink("src/1.rs", project.join("link")).unwrap();
    }

    /// What a session does to it.
    fn changed(&self, outside: &Path) {
        self.original();
        let project = self.project();
        fs::write(project.join("src/1.rs"), "changed").unwrap();
        fs::remove_file(project.join("src/2.rs")).unwrap();
        fs::rename(project.join("src/3.rs"), project.join("src/renamed.rs")).unwrap();
        mode_of(&project.join("run.sh"), 0o4777);
        fs::create_dir_all(project.join("new/folder")).unwrap();
        fs::write(project.join("new/folder/x"), "new").unwrap();
        fs::remove_dir_all(project.join("becomes-a-file")).unwrap();
        fs::write(project.join("becomes-a-file"), "a file").unwrap();
        fs::remove_dir_all(project.join("becomes-a-link")).unwrap();
        symlink(outside, project.join("becomes-a-link")).unwrap();
        fs::remove_file(project.join("becomes-a-folder")).unwrap();
        fs::create_dir(project.join("becomes-a-folder")).unwrap();
        fs::write(project.join("becomes-a-folder/y"), "y").unwrap();
        fs::remove_file(project.join("secret")).unwrap();
        symlink(outside.join("theirs"), project.join("secret")).unwrap();
        fs::remove_file(project.join("link")).unwrap();
        symlink("/etc/passwd", project.join("link")).unwrap();
        mode_of(&project.join("deep"), 0o700);
    }

    fn put_back(
        &self,
        start: &Manifest,
        end: &Entries,
        watch: &Watch,
    ) -> Result<(Plan, Restored), SnapshotError> {
        let now = self
            .look(&Watch::new("test"), LeaveOut::As(&start.rules))
            .unwrap();
        let wish = Wish {
            later: Later::Overwrite,
            ..Wish::default()
        };
        let plan = plan(&start.entries, end, &now.manifest.entries, &wish);
        let project = Project::open(&self.project()).unwrap();
        let objects = &self.store.objects;
        let restored = restore(
            project.root.as_fd(),
            &plan.steps,
            &now.identities,
            objects,
            watch,
        )?;
        Ok((plan, restored))
    }
}

fn mode_of(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn interrupted_at_any_step_of_an_undo_nothing_is_lost_and_the_next_one_ends_it() {
    let stage = Stage::new();
    let outside = stage.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("theirs"), "not ours").unwrap();
    fs::write(outside.join("x"), "not ours").unwrap();
    stage.original();
    let quiet = Watch::new("test");
    let start = stage.look(&quiet, LeaveOut::AsItSays).unwrap().manifest;
    stage.changed(&outside);
    let end = stage
        .look(&quiet, LeaveOut::As(&start.rules))
        .unwrap()
        .manifest
        .entries;
    let mut points = 0;
    loop {
        stage.changed(&outside);
        fs::write(stage.project().join("mine"), "the human's").unwrap();
        let stopped = stage.put_back(&start, &end, &Watch::ending_after(points));
        let whole = stopped.is_ok();
        let (plan, restored) = stopped
            .or_else(|_| stage.put_back(&start, &end, &quiet))
            .unwrap();
        assert_eq!(plan.left, vec![], "after {points} steps");
        assert_eq!(restored.failed, vec![], "after {points} steps");
        assert_eq!(
            fs::read(stage.project().join("mine")).unwrap(),
            b"the human's"
        );
        fs::remove_file(stage.project().join("mine")).unwrap();
        let after = stage.look(&quiet, LeaveOut::As(&start.rules)).unwrap();
        assert_eq!(
            after.manifest.entries, start.entries,
            "after {points} steps"
        );
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 2);
        assert_eq!(fs::read(outside.join("theirs")).unwrap(), b"not ours");
        assert_eq!(fs::read(outside.join("x")).unwrap(), b"not ours");
        if whole {
            break;
        }
        points += 1;
    }
    assert!(points > 15, "{points}");
}

#[test]
fn interrupted_at_any_step_of_a_snapshot_none_is_offered_and_the_next_one_is_whole() {
    let stage = Stage::new();
    let mut points = 0;
    loop {
        stage.original();
        if stage
            .look(&Watch::ending_after(points), LeaveOut::AsItSays)
            .is_ok()
        {
            break;
        }
        assert_eq!(stage.store.of_project(&stage.project()).unwrap().len(), 0);
        points += 1;
    }
    assert!(points > 20, "{points}");
    let start = stage
        .look(&Watch::new("test"), LeaveOut::AsItSays)
        .unwrap()
        .manifest;
    let kept = stage.keep(&start, 1);
    let found = stage.store.of_project(&stage.project()).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].start().unwrap().entries, start.entries);
    assert!(kept.is_alive() && stage.store.find(kept.about.id).unwrap().is_some());
}

#[test]
fn a_torn_snapshot_is_never_offered() {
    let stage = Stage::new();
    stage.original();
    let start = stage
        .look(&Watch::new("test"), LeaveOut::AsItSays)
        .unwrap()
        .manifest;
    let kept = stage.keep(&start, 1);
    let id = kept.about.id;
    drop(kept);
    let projects = stage.folder.path().join("store/projects");
    let project = fs::read_dir(projects)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let file = project.join(id.to_string()).join("start");
    let text = fs::read(&file).unwrap();
    for length in 0..text.len() {
        fs::write(&file, &text[..length]).unwrap();
        let found = stage.store.find(id).unwrap().unwrap();
        assert!(
            matches!(found.start(), Err(SnapshotError::Damaged(_))),
            "{length}"
        );
    }
    // What it speaks of is not known, so nothing is swept away.
    fs::create_dir(project.join(format!("{id}.unfinished"))).unwrap();
    assert!(stage.store.prune(Timestamp::from_secs(5000)).is_err());
    fs::write(&file, &text).unwrap();
    let found = stage.store.find(id).unwrap().unwrap();
    let start = found.start().unwrap();
    let digests = start.entries.values().filter_map(|entry| match entry {
        Entry::File { digest, size, .. } => Some((digest, *size)),
        Entry::Folder(_) | Entry::Link(_) | Entry::Unkept { .. } => None,
    });
    assert!(digests.clone().count() > 10);
    for (digest, size) in digests {
        assert!(stage.store.objects.has(digest, size));
    }
}

#[test]
fn old_snapshots_go_with_what_only_they_held() {
    let stage = Stage::new();
    stage.original();
    let project = stage.project();
    let mut held = Vec::new();
    for id in 1..=15 {
        fs::write(project.join("changing"), format!("version {id}")).unwrap();
        let start = stage
            .look(&Watch::new("test"), LeaveOut::AsItSays)
            .unwrap()
            .manifest;
        let Entry::File { digest, size, .. } = &start.entries[&path("changing")] else {
            panic!("a file");
        };
        held.push((*digest, *size));
        let mut snapshot = stage.keep(&start, id);
        let delta = Delta::between(&start.entries, &start.entries, Timestamp::from_secs(1));
        snapshot.ended(&delta, 0).unwrap();
    }
    stage.store.prune(Timestamp::from_secs(20_000)).unwrap();
    assert_eq!(stage.store.of_project(&project).unwrap().len(), 12);
    let there: Vec<bool> = held
        .iter()
        .map(|(digest, size)| stage.store.objects.has(digest, *size))
        .collect();
    assert_eq!(there, [[false; 3].as_slice(), &[true; 12]].concat());
    // After a month nothing is left.
    stage
        .store
        .prune(Timestamp::from_secs(20_000 + 31 * 24 * 60 * 60))
        .unwrap();
    assert_eq!(stage.store.of_project(&project).unwrap().len(), 0);
    assert!(
        held.iter()
            .all(|(digest, size)| !stage.store.objects.has(digest, *size))
    );
}

#[test]
fn only_what_changed_is_read_again_and_no_change_is_missed() {
    let stage = Stage::new();
    stage.original();
    let quiet = Watch::new("test");
    let start = stage.look(&quiet, LeaveOut::AsItSays).unwrap().manifest;
    // The same size at the same moment, and the old time of change of its content.
    let file = stage.project().join("src/4.rs");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "FILE 4").unwrap();
    fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(before)
        .unwrap();
    let after = stage.look(&quiet, LeaveOut::AsItSays).unwrap().manifest;
    let changed = changes(&start.entries, &after.entries);
    assert_eq!(
        changed,
        [Change {
            path: path("src/4.rs"),
            kind: ChangeKind::Changed
        }]
    );
}

#[test]
fn nothing_written_into_a_gitignore_hides_what_a_session_did() {
    let stage = Stage::new();
    stage.original();
    let project = stage.project();
    fs::write(project.join(".gitignore"), "target/\n.vscode\n*.env\n").unwrap();
    for folder in ["target", ".vscode", ".git"] {
        fs::create_dir(project.join(folder)).unwrap();
    }
    fs::write(project.join("target/x"), "built").unwrap();
    fs::write(project.join(".git/config"), "theirs").unwrap();
    fs::write(project.join("a.env"), "KEY=1").unwrap();
    fs::write(project.join("large.env"), vec![0; (1 << 20) + 1]).unwrap();
    let start = stage
        .look(&Watch::new("test"), LeaveOut::AsItSays)
        .unwrap()
        .manifest;
    let kept = |at: &str| start.entries.get(&path(at)).is_some_and(Entry::is_kept);
    assert!(kept("a.env") && !kept("large.env") && !kept("target") && !kept("target/x"));
    assert!(!start.entries.keys().any(|at| at.is_in(&path(".git"))));

    fs::write(project.join(".gitignore"), "*\n").unwrap();
    fs::write(project.join("hidden.sh"), "x").unwrap();
    fs::write(project.join(".vscode/tasks.json"), "{}").unwrap();
    fs::write(project.join("target/y"), "built").unwrap();
    let end = stage
        .look(&Watch::new("test"), LeaveOut::As(&start.rules))
        .unwrap()
        .manifest;
    let changed: Vec<String> = changes(&start.entries, &end.entries)
        .into_iter()
        .map(|change| change.path.to_string())
        .collect();
    assert_eq!(changed, [".gitignore", ".vscode/tasks.json", "hidden.sh"]);
}
