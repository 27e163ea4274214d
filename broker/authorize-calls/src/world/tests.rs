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
