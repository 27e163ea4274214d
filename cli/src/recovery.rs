//! What `holdfast run` does for the project around a session: a snapshot before, a look at what changed after.
//!
//! It must never keep a session from running because it cannot be undone: that is said, and it runs.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use holdfast_protocol::id::SessionId;
use holdfast_protocol::time::Timestamp;
use holdfast_protocol::words::with_causes;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use crate::outcome::Problem;
use crate::snapshot::SnapshotError;
use crate::snapshot::entry::{Entry, NotKept};
use crate::snapshot::manifest::{Delta, Entries, Manifest};
use crate::snapshot::objects::Objects;
use crate::snapshot::path::RelPath;
use crate::snapshot::store::{About, Origin, Snapshot, Store, new_id};
use crate::snapshot::take::{Contents, How, LeaveOut, Taken, take};
use crate::snapshot::watch::Watch;
use crate::triggers::Triggers;
use crate::triggers::report::{self, Runs, Texts};
use crate::undo::state::{Change, changes};

/// The most bytes of a file that are compared in parts.
const MAX_TEXT: u64 = 1 << 20;

/// A project, opened.
pub struct Project {
    /// Where it is.
    pub path: PathBuf,
    /// It, opened.
    pub root: OwnedFd,
}

/// What is to be known of a project around a session.
pub struct Recovery {
    home: PathBuf,
    project: Project,
    triggers: Triggers,
    taken: Option<(Snapshot, Manifest)>,
    watch: Option<Watch>,
}

/// Whether a snapshot is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// One is taken.
    Snapshot,
    /// None is, and nothing is said at the end.
    Nothing,
}

impl Project {
    /// Opens the project at `path`.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| {
            let words = format!("`{}` cannot be opened: {errno}", path.display());
            Problem::usage(words, "name a folder that you may read")
        })?;
        Ok(Self {
            path: path.to_owned(),
            root,
        })
    }

    /// Looks at all of it.
    pub fn look(
        &self,
        store: &Store,
        leave_out: LeaveOut<'_>,
        contents: Contents<'_>,
        triggers: &Triggers,
        watch: &Watch,
    ) -> Result<Taken, SnapshotError> {
        let how = How {
            leave_out,
            never_left_out: &|path| triggers.lead_through(path),
            contents,
            watch,
        };
        let taken = take(self.root.as_fd(), &how, &store.cache(&self.path), now())?;
        store.keep_cache(&self.path, &taken.cache)?;
        Ok(taken)
    }

    /// A small file of it.
    pub fn text(&self, path: &RelPath) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = path.as_bytes();
        let file = rustix::fs::openat2(&self.root, path, flags, Mode::empty(), within).ok()?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode);
        let mut bytes = Vec::new();
        let read = File::from(file).take(MAX_TEXT).read_to_end(&mut bytes);
        (kind == FileType::RegularFile && read.is_ok()).then_some(bytes)
    }
}

impl Recovery {
    /// Takes the snapshot before a session of `program`, where one is wanted.
    pub fn before(
        home: &Path,
        project: &Path,
        program: &str,
        unguarded: &[RelPath],
        triggers: Triggers,
        wanted: Wanted,
    ) -> Result<Self, Problem> {
        let mut recovery = Self {
            home: home.to_owned(),
            project: Project::open(project)?,
            triggers,
            taken: None,
            watch: None,
        };
        if wanted == Wanted::Nothing {
            return Ok(recovery);
        }
        let about = |id| About {
            id,
            project: project.to_owned(),
            origin: Origin::Session {
                session: None,
                program: program.to_owned(),
            },
            began: now(),
            ended: None,
            unguarded: unguarded.iter().map(RelPath::to_string).collect(),
        };
        match recovery.take(about) {
            Ok(()) => Ok(recovery),
            Err(SnapshotError::Interrupted) => Err(Problem::failed(
                "interrupted: there is no session, and nothing was changed",
                "--no-snapshot starts at once, and cannot be undone",
            )),
            Err(error) => {
                eprintln!(
                    "holdfast: this session cannot be undone: {}",
                    with_causes(&error)
                );
                Ok(recovery)
            }
        }
    }

    fn take(&mut self, about: impl FnOnce(SessionId) -> About) -> Result<(), SnapshotError> {
        let watch = self
            .watch
            .insert(listening("taking a snapshot of the project")?);
        let store = Store::open(&self.home)?;
        if store.is_in(&self.project.path) {
            let what = "snapshots would be kept in the project itself".to_owned();
            let source = std::io::Error::other("set XDG_STATE_HOME to a folder outside of it");
            return Err(SnapshotError::Io { what, source });
        }
        let contents = Contents::Keep(&store.objects);
        let taken =
            self.project
                .look(&store, LeaveOut::AsItSays, contents, &self.triggers, watch)?;
        let large = taken.manifest.entries.values().filter(|entry| {
            matches!(
                entry,
                Entry::Unkept {
                    why: NotKept::Bytes,
                    ..
                }
            )
        });
        let large = large.count();
        if large > 0 {
            eprintln!(
                "holdfast: this session cannot be undone wholly: {large} files are more than a snapshot adds"
            );
        }
        let snapshot = store.keep(about(new_id()?), &taken.manifest)?;
        self.taken = Some((snapshot, taken.manifest));
        Ok(())
    }

    /// From here on Ctrl-C is for the session.
    pub fn stop_listening(&mut self) {
        self.watch = None;
    }

    /// Until the session listens to Ctrl-C it ends this command, as ever.
    pub fn let_signals_end_us(&self) {
        if let Some(watch) = &self.watch {
            watch.stop_listening();
        }
    }

    /// The session has begun.
    pub fn begun(&mut self, session: SessionId) {
        if let Some((snapshot, _)) = &mut self.taken
            && let Err(error) = snapshot.begun(session)
        {
            let own = snapshot.about.id;
            eprintln!(
                "holdfast: this session is undone as {own}: {}",
                with_causes(&error)
            );
        }
    }

    /// There was no session.
    pub fn none(self) {
        if let Some((snapshot, _)) = self.taken {
            // What is left of it is removed with the next old one.
            let _ = snapshot.forget();
        }
    }

    /// The session is over: keeps what is different, and says what of it runs by itself.
    pub fn after(self) {
        let Self {
            home,
            project,
            triggers,
            taken: Some((mut snapshot, start)),
            ..
        } = self
        else {
            return;
        };
        let name = snapshot.about.name();
        let looked = look_after(&home, &project, &triggers, &mut snapshot, &start);
        match looked {
            Ok(runs) => {
                if let Some(text) = report::text(&runs, name) {
                    eprintln!("{text}");
                }
            }
            Err(error) => eprintln!(
                "holdfast: what this session changed is not known: {}\n  next: `holdfast undo {name} --show` looks again",
                with_causes(&error)
            ),
        }
    }
}

fn look_after(
    home: &Path,
    project: &Project,
    triggers: &Triggers,
    snapshot: &mut Snapshot,
    start: &Manifest,
) -> Result<Vec<Runs>, SnapshotError> {
    let watch = listening("looking at what changed")?;
    let store = Store::open(home)?;
    let leave_out = LeaveOut::As(&start.rules);
    let taken = project.look(&store, leave_out, Contents::Name, triggers, &watch)?;
    let end = &taken.manifest.entries;
    let delta = Delta::between(&start.entries, end, taken.manifest.taken);
    let changed = changes(&start.entries, end);
    snapshot.ended(&delta, u64::try_from(changed.len()).unwrap_or(u64::MAX))?;
    let runs = all_runs(
        &store.objects,
        project,
        triggers,
        &changed,
        &start.entries,
        end,
    );
    store.prune(now())?;
    Ok(runs)
}

/// Which of the changes run by themselves; `end` is how the project stands now, where that is known.
pub fn all_runs(
    objects: &Objects,
    project: &Project,
    triggers: &Triggers,
    changed: &[Change],
    start: &Entries,
    end: &Entries,
) -> Vec<Runs> {
    let texts = Held {
        objects,
        project,
        start,
        end,
    };
    let runs = |change| report::runs(triggers, change, start, end, &texts);
    changed.iter().filter_map(runs).collect()
}

struct Held<'h> {
    objects: &'h Objects,
    project: &'h Project,
    start: &'h Entries,
    end: &'h Entries,
}

impl Texts for Held<'_> {
    fn before(&self, path: &RelPath) -> Option<Vec<u8>> {
        match self.start.get(path)? {
            Entry::File { digest, .. } => self.objects.text(digest, MAX_TEXT),
            Entry::Folder(_) | Entry::Link(_) | Entry::Unkept { .. } => None,
        }
    }

    fn after(&self, path: &RelPath) -> Option<Vec<u8>> {
        let Entry::File { digest, .. } = self.end.get(path)? else {
            return None;
        };
        let text = self.project.text(path)?;
        // What the human wrote since says nothing of the session.
        (crate::snapshot::objects::digest(&text) == *digest).then_some(text)
    }
}

/// A look-out that hears Ctrl-C.
pub fn listening(what: &'static str) -> Result<Watch, SnapshotError> {
    Watch::listening(what).map_err(|source| {
        let what = "signals cannot be listened to".to_owned();
        SnapshotError::Io { what, source }
    })
}

/// What time it is.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis());
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
