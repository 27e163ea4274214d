//! `holdfast undo`: what a session changed, and putting it back.
//!
//! It must never change a project of which it has not taken a snapshot in that moment.

use std::os::fd::AsFd;
use std::path::Path;

use holdfast_protocol::id::SessionId;
use holdfast_protocol::words::with_causes;

use super::run::{home, project};
use super::show;
use crate::args::{Args, Undo};
use crate::outcome::Problem;
use crate::recovery::{Project, all_runs, listening, now};
use crate::render::undo::{self as render, Changed, LeftAlone, Listed, Shown, Undone};
use crate::snapshot::SnapshotError;
use crate::snapshot::manifest::{Delta, Entries, Manifest};
use crate::snapshot::path::RelPath;
use crate::snapshot::store::{About, Origin, Snapshot, Store, new_id};
use crate::snapshot::take::{Contents, LeaveOut};
use crate::triggers::Triggers;
use crate::undo::restore::restore;
use crate::undo::state::{Later, Left, Wish, changes, plan};

/// Lists, shows, or puts back.
pub fn run(args: &Args, undo: &Undo) -> Result<(), Problem> {
    let store = Store::open(&home()?).map_err(|error| host(&error))?;
    let Some(id) = undo.session else {
        return list(args, &store, &project(undo.project.as_deref())?);
    };
    let snapshot = store.find(id).map_err(|error| host(&error))?;
    let snapshot = snapshot.ok_or_else(|| {
        Problem::usage(
            format!("there is no snapshot of session {id}"),
            "`holdfast undo` in the project's folder lists those that there are",
        )
    })?;
    let start = snapshot.start().map_err(|error| host(&error))?;
    if undo.show {
        show_changes(args, &store, &snapshot, &start)
    } else {
        put_back(args, undo, &store, snapshot, &start)
    }
}

fn list(args: &Args, store: &Store, project: &Path) -> Result<(), Problem> {
    let snapshots = store.of_project(project).map_err(|error| host(&error))?;
    let listed: Vec<Listed> = snapshots
        .iter()
        .map(|snapshot| Listed::of(&snapshot.about, snapshot.is_alive()))
        .collect();
    show(args, &listed, render::list(&listed).trim_end())
}

fn triggers() -> Result<Triggers, Problem> {
    Triggers::built_in().map_err(|error| Problem::failed(error.to_string(), ""))
}

/// How the project was left; none where nobody saw it.
fn left_as(snapshot: &Snapshot, start: &Manifest) -> Result<Option<Entries>, Problem> {
    let delta = snapshot.end().map_err(|error| host(&error))?;
    Ok(delta.map(|delta| delta.after(&start.entries)))
}

fn show_changes(
    args: &Args,
    store: &Store,
    snapshot: &Snapshot,
    start: &Manifest,
) -> Result<(), Problem> {
    let triggers = triggers()?;
    let project = Project::open(&snapshot.about.project)?;
    let (end, seen) = match left_as(snapshot, start)? {
        Some(end) => (end, true),
        None => {
            let watch = listening("looking at what changed").map_err(|error| host(&error))?;
            let leave_out = LeaveOut::As(&start.rules);
            let taken = project
                .look(store, leave_out, Contents::Name, &triggers, &watch)
                .map_err(|error| host(&error))?;
            (taken.manifest.entries, false)
        }
    };
    let changed = changes(&start.entries, &end);
    let objects = &store.objects;
    let runs = all_runs(objects, &project, &triggers, &changed, &start.entries, &end);
    let changed = changed.into_iter().map(|change| {
        let before = start.entries.get(&change.path);
        let name = change.path.to_string();
        Changed {
            change: change.kind,
            runs: runs
                .iter()
                .find(|run| run.path == name)
                .map(|run| run.when.clone()),
            can_go_back: before.is_none_or(|before| before.is_kept()),
            path: name,
        }
    });
    let skipped = start
        .entries
        .iter()
        .filter_map(|(path, entry)| render::skipped(path, entry));
    let shown = Shown {
        session: snapshot.about.name(),
        project: snapshot.about.project.clone(),
        end_was_seen: seen,
        changes: changed.collect(),
        not_looked_into: skipped.collect(),
    };
    show(args, &shown, render::changes(&shown).trim_end())
}

fn put_back(
    args: &Args,
    undo: &Undo,
    store: &Store,
    snapshot: Snapshot,
    start: &Manifest,
) -> Result<(), Problem> {
    let of = snapshot.about.name();
    // Two undos of one session, or one while it runs, would each take the other's work for the human's.
    let Some(snapshot) = snapshot.claim().map_err(|error| host(&error))? else {
        return Err(Problem::failed(
            format!("session {of} still runs, or is being undone"),
            format!("end it first: holdfast sessions end {of}"),
        ));
    };
    let project = Project::open(&snapshot.about.project)?;
    let wish = Wish {
        paths: undo
            .paths
            .iter()
            .map(|path| named(&project.path, path))
            .collect::<Result<_, _>>()?,
        later: if undo.force {
            Later::Overwrite
        } else {
            Later::Keep
        },
    };
    let end = left_as(&snapshot, start)?;
    if end.is_none() && !undo.force {
        return Err(Problem::failed(
            format!("nobody saw how session {of} left the project: its command was killed"),
            format!(
                "what you changed since cannot be told from what it changed: look with `holdfast undo {of} --show`, \
                 and put all of it back with --force, or parts with --force --path"
            ),
        ));
    }
    let triggers = triggers()?;
    let watch = listening("taking a snapshot of the project").map_err(|error| host(&error))?;
    let keep = Contents::Keep(&store.objects);
    let leave_out = LeaveOut::As(&start.rules);
    let present = project
        .look(store, leave_out, keep, &triggers, &watch)
        .map_err(|error| untouched(&error))?;
    let now_there = &present.manifest.entries;
    let plan = plan(
        &start.entries,
        end.as_ref().unwrap_or(now_there),
        now_there,
        &wish,
    );
    let mut undone = Undone {
        session: of,
        undo: None,
        steps: 0,
        left: plan.left.iter().map(left_alone).collect(),
    };
    if !plan.steps.is_empty() {
        let about = About {
            id: new_id().map_err(|error| untouched(&error))?,
            project: project.path.clone(),
            origin: Origin::Undo { of },
            began: now(),
            ended: None,
            unguarded: Vec::new(),
        };
        let mut own = store
            .keep(about, &present.manifest)
            .map_err(|error| untouched(&error))?;
        let id = own.about.id;
        let seen = &present.identities;
        let restored = restore(
            project.root.as_fd(),
            &plan.steps,
            seen,
            &store.objects,
            &watch,
        )
        .map_err(|error| half_done(&error, of, id))?;
        undone.undo = Some(id);
        undone.steps = restored.done;
        undone
            .left
            .extend(restored.failed.into_iter().map(|(path, why)| LeftAlone {
                path: path.to_string(),
                why,
            }));
        end_own(store, &project, &triggers, &mut own, &present.manifest)
            .map_err(|error| half_done(&error, of, id))?;
    }
    store.prune(now()).map_err(|error| host(&error))?;
    show(args, &undone, render::undone(&undone).trim_end())?;
    if undone.left.is_empty() {
        Ok(())
    } else {
        Err(Problem::failed(
            format!("{} stayed as they are", render::counted(undone.left.len())),
            "look at them; --force also puts back what was changed after the session",
        ))
    }
}

/// Keeps how the undo left the project, so that it can be undone.
fn end_own(
    store: &Store,
    project: &Project,
    triggers: &Triggers,
    own: &mut Snapshot,
    before: &Manifest,
) -> Result<(), SnapshotError> {
    let watch = listening("looking at what changed")?;
    let leave_out = LeaveOut::As(&before.rules);
    let after = project.look(store, leave_out, Contents::Name, triggers, &watch)?;
    let after = after.manifest;
    let delta = Delta::between(&before.entries, &after.entries, after.taken);
    let changed = changes(&before.entries, &after.entries).len();
    own.ended(&delta, u64::try_from(changed).unwrap_or(u64::MAX))
}

fn left_alone((path, why): &(RelPath, Left)) -> LeftAlone {
    LeftAlone {
        path: path.to_string(),
        why: match why {
            Left::Later => "it was changed after the session".to_owned(),
            Left::NotKept(why) => format!("what it was is not kept: {why}"),
            Left::Holds => "something is in it that stays".to_owned(),
            Left::NoFolder => "where its folder was there is something that stays".to_owned(),
        },
    }
}

fn named(project: &Path, path: &Path) -> Result<RelPath, Problem> {
    RelPath::named(project, path).ok_or_else(|| {
        Problem::usage(
            format!("`{}` is not in `{}`", path.display(), project.display()),
            "name a file or folder in the project",
        )
    })
}

fn untouched(error: &SnapshotError) -> Problem {
    Problem::failed(
        format!("nothing was put back: {}", with_causes(error)),
        "mend that, and try again",
    )
}

fn half_done(error: &SnapshotError, of: SessionId, own: SessionId) -> Problem {
    Problem::failed(
        format!("not everything was put back: {}", with_causes(error)),
        format!(
            "`holdfast undo {of}` goes on; `holdfast undo {own} --force` makes the project what it was before this"
        ),
    )
}

fn host(error: &SnapshotError) -> Problem {
    Problem::failed(
        format!("the snapshots fail us: {}", with_causes(error)),
        "they lie in your state folder, in holdfast/snapshots",
    )
}
