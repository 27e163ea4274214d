//! The core against a model of a file system.
#![allow(clippy::unwrap_used, reason = "tests")]

mod whole;

use holdfast_protocol::digest::Sha256Digest;
use proptest::prelude::*;

use super::state::*;
use crate::snapshot::entry::{Entry, Mode};
use crate::snapshot::manifest::Entries;
use crate::snapshot::path::RelPath;

fn path(text: &str) -> RelPath {
    RelPath::parse(text.as_bytes()).unwrap()
}

/// Does a step in a model; says what a file system would have refused.
fn act(model: &mut Entries, step: &Step) -> Result<(), String> {
    let path = step.path();
    let there = model.get(path).cloned();
    let folder = matches!(there, Some(Entry::Folder(_)));
    let housed = path
        .parent()
        .is_none_or(|parent| model.get(&parent).is_some_and(Entry::is_folder));
    let empty = !model.keys().any(|other| other != path && other.is_in(path));
    let refuse = |why: &str| Err(format!("{why}: {step:?}"));
    if !housed {
        return refuse("no folder");
    }
    match step {
        Step::Open(_) if !folder => return refuse("no folder to open"),
        Step::Open(_) => {}
        Step::Remove(_) if folder || there.is_none() => return refuse("no file"),
        Step::RemoveFolder(_) if !folder || !empty => return refuse("no empty folder"),
        Step::Remove(_) | Step::RemoveFolder(_) => {
            model.remove(path);
        }
        Step::MakeFolder(_) if there.is_some() => return refuse("something is there"),
        Step::MakeFolder(_) => {
            model.insert(path.clone(), Entry::Folder(Mode::of(0o700)));
        }
        Step::File { .. } | Step::Link { .. } if folder => return refuse("a folder is there"),
        Step::File { path, mode, digest } => {
            let (mode, digest, size) = (*mode, *digest, 1);
            let file = Entry::File { mode, size, digest };
            model.insert(path.clone(), file);
        }
        Step::Link { path, target } => {
            model.insert(path.clone(), Entry::Link(target.clone()));
        }
        Step::Mode { mode, .. } => match model.get_mut(path) {
            Some(Entry::Folder(own) | Entry::File { mode: own, .. }) => *own = *mode,
            _ => return refuse("nothing with permissions"),
        },
    }
    Ok(())
}

fn entry() -> impl Strategy<Value = Entry> {
    let mode = || prop_oneof![Just(Mode::of(0o755)), Just(Mode::of(0o500))];
    prop_oneof![
        3 => mode().prop_map(Entry::Folder),
        3 => (mode(), 0_u8..3).prop_map(|(mode, which)| Entry::File {
            mode,
            size: 1,
            digest: Sha256Digest::new([which; 32]),
        }),
        1 => (0_u8..2).prop_map(|which| Entry::Link(vec![b'x', which])),
    ]
}

/// A tree that a file system could hold.
fn tree() -> impl Strategy<Value = Entries> {
    let path = proptest::collection::vec("[ab]", 1..4).prop_map(|parts| path(&parts.join("/")));
    proptest::collection::vec((path, entry()), 0..12).prop_map(|wanted| {
        let mut tree = Entries::new();
        for (path, entry) in wanted {
            for above in path.ancestors() {
                tree.insert(above, Entry::Folder(Mode::of(0o755)));
            }
            tree.retain(|other, _| !other.is_in(&path));
            tree.insert(path, entry);
        }
        tree
    })
}

/// Some of the other's entries in the place of one's own, as edits would leave it.
fn mixed(one: &Entries, other: &Entries, pick: u32) -> Entries {
    let mut tree = one.clone();
    for (at, (path, entry)) in other.iter().enumerate() {
        let housed = path
            .parent()
            .is_none_or(|parent| tree.get(&parent).is_some_and(Entry::is_folder));
        if pick >> (at % 32) & 1 == 1 && housed {
            tree.retain(|other, _| !other.is_in(path));
            tree.insert(path.clone(), entry.clone());
        }
    }
    tree
}

fn undo(start: &Entries, end: &Entries, now: &Entries, wish: &Wish) -> (Plan, Entries) {
    let plan = plan(start, end, now, wish);
    let mut after = now.clone();
    for step in &plan.steps {
        act(&mut after, step).unwrap();
    }
    (plan, after)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn undone_at_once_it_is_as_it_was(start in tree(), end in tree()) {
        let (plan, after) = undo(&start, &end, &end, &Wish::default());
        prop_assert_eq!(plan.left, vec![]);
        prop_assert_eq!(after, start);
    }

    #[test]
    fn what_somebody_changed_since_stays(start in tree(), end in tree(), other in tree(), pick in any::<u32>()) {
        let now = mixed(&end, &other, pick);
        let (plan, after) = undo(&start, &end, &now, &Wish::default());
        let session: Vec<RelPath> = changes(&start, &end).into_iter().map(|change| change.path).collect();
        for at in start.keys().chain(end.keys()).chain(now.keys()) {
            let left = plan.left.iter().any(|(left, _)| left == at);
            if session.contains(at) && !left {
                prop_assert_eq!(after.get(at), start.get(at));
            } else {
                prop_assert_eq!(after.get(at), now.get(at));
            }
            let theirs = now.get(at) != end.get(at) && now.get(at) != start.get(at);
            if theirs && !is_half_way(start.get(at), end.get(at), now.get(at)) {
                prop_assert_eq!(after.get(at), now.get(at));
            }
        }
    }

    #[test]
    fn by_force_only_what_the_session_did_not_make_is_in_the_way(start in tree(), end in tree(), other in tree(), pick in any::<u32>()) {
        let now = mixed(&end, &other, pick);
        let wish = Wish { later: Later::Overwrite, ..Wish::default() };
        let (plan, after) = undo(&start, &end, &now, &wish);
        for (at, why) in &plan.left {
            prop_assert!(matches!(why, Left::Holds | Left::NoFolder));
            prop_assert_eq!(after.get(at), now.get(at));
        }
    }

    #[test]
    fn stopped_anywhere_it_can_be_gone_on_with(start in tree(), end in tree(), at in any::<prop::sample::Index>()) {
        let first = plan(&start, &end, &end, &Wish::default());
        let mut now = end.clone();
        for step in first.steps.iter().take(at.index(first.steps.len() + 1)) {
            act(&mut now, step).unwrap();
        }
        let (plan, after) = undo(&start, &end, &now, &Wish::default());
        prop_assert_eq!(plan.left, vec![]);
        prop_assert_eq!(after, start);
    }

    #[test]
    fn only_what_is_named_goes_back(start in tree(), end in tree()) {
        let wish = Wish { paths: vec![path("a")], ..Wish::default() };
        let (_, after) = undo(&start, &end, &end, &wish);
        for at in start.keys().chain(end.keys()).filter(|at| !at.is_in(&path("a"))) {
            prop_assert_eq!(after.get(at), end.get(at));
        }
    }
}
