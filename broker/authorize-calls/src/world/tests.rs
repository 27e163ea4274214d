#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::*;

fn world() -> World {
    World {
        project: "/home/ann/work/app".into(),
        home: "/home/ann".into(),
        scratch: vec!["/tmp".into()],
        other_projects: vec!["/home/ann/work/other".into()],
        hosts: BTreeSet::from(["example.com".to_owned(), "*.good.example".to_owned()]),
        ..World::default()
    }
}

#[test]
fn paths_find_their_place() {
    let world = world();
    for (path, place) in [
        ("src/main.rs", Place::Project),
        ("./a/../b", Place::Project),
        ("/home/ann/work/app", Place::Project),
        ("../app/x", Place::Project),
        ("../other/x", Place::OtherProject),
        ("../else/x", Place::Elsewhere),
        ("../../../../../../etc/passwd", Place::Elsewhere),
        ("/tmp/x", Place::Scratch),
        ("/tmp/../home/ann/.ssh/id_rsa", Place::Secret),
        ("/home/ann/.ssh/id_ed25519.pub", Place::Elsewhere),
        ("/home/ann/.ssh/known_hosts", Place::Elsewhere),
        ("/home/ann/.ssh", Place::Secret),
        ("/home/ann/.s*/id_*", Place::Secret),
        ("/home/ann/.[s]sh/x", Place::Secret),
        ("/home/ann/.ss?/x", Place::Secret),
        ("/home/bob/.aws/credentials", Place::Secret),
        ("/h*/ann/.aws/credentials", Place::Secret),
        ("/root/.netrc", Place::Secret),
        (".env", Place::Secret),
        (".env.local", Place::Secret),
        (".env.example", Place::Project),
        (".e*", Place::Secret),
        ("*", Place::Project),
        ("tls/server.key", Place::Secret),
        ("/proc/1/environ", Place::Secret),
        ("/proc/self/environ", Place::Secret),
        ("/etc/shadow", Place::Secret),
        (".git/hooks/pre-commit", Place::Hooks),
        ("sub/.git/config", Place::Hooks),
        (".git/HEAD", Place::Project),
        (".claude/settings.local.json", Place::Hooks),
        (".claude/commands/x.md", Place::Project),
        ("/run/holdfast/session.sock", Place::Holdfast),
        ("/run/holdfa*/session.sock", Place::Holdfast),
        ("/etc/claude-code/managed-settings.json", Place::Holdfast),
        (".holdfast/policy.cedar", Place::Holdfast),
    ] {
        let found = world.place(&absolute(Path::new(path), &world.project));
        assert_eq!(found, place, "{path}");
    }
}

#[test]
fn deleting_the_project_itself_is_not_work_in_it() {
    let world = world();
    let place = |path: &str| {
        let act = world.act(&Effect::Deletes { path: path.into() }, &world.project);
        let Act::Deletes { place, .. } = act else {
            panic!("{act:?}");
        };
        place
    };
    assert_eq!(place("."), Place::Elsewhere);
    assert_eq!(place("target"), Place::Project);
}

#[test]
fn hosts_are_known_by_name_only() {
    let world = world();
    for (host, known) in [
        ("example.com", Acquaintance::Known),
        ("EXAMPLE.com.:443", Acquaintance::Known),
        ("a.good.example", Acquaintance::Known),
        (".good.example", Acquaintance::New),
        ("good.example", Acquaintance::New),
        ("evilgood.example", Acquaintance::New),
        ("example.com.evil", Acquaintance::New),
        ("localhost:8080", Acquaintance::Known),
        ("[::1]:80", Acquaintance::Known),
        ("169.254.169.254", Acquaintance::New),
    ] {
        assert_eq!(world.acquaintance(host), known, "{host}");
    }
}

#[test]
fn branches_stand_where_the_push_lands() {
    let mut world = world();
    world.branches = Branches {
        current: Some("feat".into()),
        default: Some("main".into()),
        protected: BTreeSet::from(["release/*".to_owned()]),
        made: BTreeSet::from(["feat".to_owned(), "release/mine".to_owned()]),
    };
    for (refspec, standing) in [
        (None, BranchStanding::SessionMade),
        (Some("feat"), BranchStanding::SessionMade),
        (Some("refs/heads/main"), BranchStanding::Default),
        (Some("release/mine"), BranchStanding::Protected),
        (Some("refs/tags/v1"), BranchStanding::Tag),
        (Some("refs/heads/*"), BranchStanding::Many),
        (Some("other"), BranchStanding::Unknown),
    ] {
        assert_eq!(world.branch(refspec), standing, "{refspec:?}");
    }
}

/// A world that was lent a folder to change, and another project to read.
fn widened() -> World {
    let lent = |root: &str, access| Lent {
        root: root.into(),
        access,
    };
    World {
        lent: vec![
            lent("/home/ann/data", RunAccess::Write),
            lent("/home/ann/work/other", RunAccess::Read),
            lent("/home/ann/data/fixed", RunAccess::Read),
        ],
        ..world()
    }
}

#[test]
fn what_was_lent_is_the_sessions_to_work_in() {
    let world = widened();
    for (path, place) in [
        ("/home/ann/data/table.csv", Place::Project),
        ("/home/ann/database", Place::Elsewhere),
        ("/home/ann/data/fixed/x", Place::Elsewhere),
        ("/home/ann/work/other/x", Place::Elsewhere),
        // As guarded as anywhere.
        ("/home/ann/data/.env", Place::Secret),
        ("/home/ann/data/.git/hooks/x", Place::Hooks),
    ] {
        assert_eq!(world.place(Path::new(path)), place, "{path}");
    }
    let deletes = |path: &str| world.act(&Effect::Deletes { path: path.into() }, &world.project);
    for (path, wanted) in [
        ("/home/ann/data/table.csv", Place::Project),
        ("/home/ann/data", Place::Elsewhere),
        ("/home/ann", Place::Elsewhere),
    ] {
        assert!(
            matches!(deletes(path), Act::Deletes { place, .. } if place == wanted),
            "{path}"
        );
    }
}

#[test]
fn a_denied_path_is_told_the_flag_that_would_lend_it() {
    let world = widened();
    let reads = |path: &str| world.advice(&[Effect::Reads { path: path.into() }], &world.project);
    let writes = |path: &str| world.advice(&[Effect::Writes { path: path.into() }], &world.project);
    let said = writes("/srv/site/index.html").unwrap();
    assert!(said.contains("/srv/site/index.html"), "{said}");
    assert!(said.contains("--rw /srv/site`"), "{said}");
    let said = writes("/home/ann/data/fixed/x").unwrap();
    assert!(said.contains("--rw /home/ann/data/fixed`"), "{said}");
    let strict = World {
        lent: vec![],
        ..widened()
    };
    let other = Effect::Reads {
        path: "../other/x".into(),
    };
    let said = strict.advice(&[other], &strict.project).unwrap();
    assert!(said.contains("--ro /home/ann/work/other/x`"), "{said}");
    // Nothing that is never lent is advised, nor what is there anyway.
    for path in [
        "/home/ann/.ssh/id_rsa",
        "/home/ann/notes.txt",
        "/etc/hosts",
        "/usr/bin/x",
        "/run/holdfast/x",
        "/home/ann/data/x",
        "src/main.rs",
        "/tmp/x",
        "/srv/*/x",
    ] {
        assert_eq!(writes(path), None, "{path}");
        assert_eq!(reads(path), None, "{path}");
    }
}

#[test]
fn what_holds_secrets_is_guarded_as_they_are() {
    let world = world();
    for path in [
        "/home/ann/.ssh",
        "/home/ann/.config",
        "/home/ann",
        "/",
        "/etc/holdfast",
    ] {
        assert!(world.guards(Path::new(path)), "{path}");
    }
    for path in ["/home/ann/.config/nvim", "/home/ann/.cargo/bin", "/srv"] {
        assert!(!world.guards(Path::new(path)), "{path}");
    }
}
