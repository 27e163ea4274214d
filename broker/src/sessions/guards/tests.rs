#![allow(clippy::unwrap_used, reason = "tests")]
use std::fs::{self, File};
use std::os::unix::fs::symlink;

use holdfast_protocol::run::{RunAim, RunKept, RunStdio};

use super::*;

/// A project with agent configuration and workflows, and what a session is lent of it: `(name in it, access)`.
struct Stage {
    _folder: tempfile::TempDir,
    home: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().canonicalize().unwrap();
        let project = home.join("app");
        fs::create_dir_all(project.join(".github/workflows")).unwrap();
        fs::create_dir_all(project.join("sub")).unwrap();
        fs::write(project.join(".mcp.json"), "{}").unwrap();
        fs::write(project.join("sub/.mcp.json"), "{}").unwrap();
        symlink("/etc/passwd", project.join("opencode.json")).unwrap();
        Self {
            _folder: folder,
            home,
        }
    }

    fn tree(&self, source: &str, place: &str, access: Access) -> Tree {
        let place = self.home.join(place);
        Tree {
            source: File::open(self.home.join(source)).unwrap().into(),
            place: Place::parse(place.to_str().unwrap()).unwrap(),
            access,
        }
    }

    /// What is left out where the session starts in `directory` and is lent these, each over itself, and `more`.
    fn left_out(&self, directory: &str, over: &[(&str, Access)], more: Vec<Tree>) -> Vec<String> {
        let shown = |name: &str| self.home.join(name).display().to_string();
        let request = RunRequest {
            agent: None,
            purpose: None,
            program: "true".to_owned(),
            arguments: vec![],
            environment: vec![],
            user: "ann".to_owned(),
            home: shown(""),
            project: shown("app"),
            directory: shown(directory),
            trees: vec![],
            path: vec![],
            stdio: RunStdio::Pipes,
            widenings: vec![],
            aim: RunAim::Session,
            kept: RunKept::Kept,
            profile: None,
            package: None,
        };
        let mut trees = vec![self.tree("app", "app", Access::Write)];
        for (name, access) in over {
            let name = format!("app/{name}");
            trees.push(self.tree(&name, &name, *access));
        }
        trees.extend(more);
        let left_out = Guarded::built_in().unwrap().left_out(&request, &trees);
        let left_out = left_out.unwrap().into_iter();
        left_out.map(|path| path.to_string()).collect()
    }
}

const WORKFLOWS: &str = ".github/workflows";

/// As the command line lends it.
const WHOLE: [(&str, Access); 3] = [
    (".mcp.json", Access::Read),
    (".github", Access::Write),
    (WORKFLOWS, Access::Read),
];

#[test]
fn what_is_lent_over_itself_is_guarded_and_a_link_is_not_there() {
    let stage = Stage::new();
    assert!(stage.left_out("app", &WHOLE, vec![]).is_empty());
}

#[test]
fn what_is_not_lent_over_itself_is_left_out_whatever_is_said() {
    let stage = Stage::new();
    assert_eq!(stage.left_out("app", &[], vec![]), [".mcp.json", WORKFLOWS]);
    assert_eq!(stage.left_out("app", &WHOLE[1..], vec![]), [".mcp.json"]);
    // A folder on the way that could be renamed.
    let way = [WHOLE[0], WHOLE[2]];
    assert_eq!(stage.left_out("app", &way, vec![]), [WORKFLOWS]);
    let writable = [WHOLE[0], WHOLE[1], (WORKFLOWS, Access::Write)];
    assert_eq!(stage.left_out("app", &writable, vec![]), [WORKFLOWS]);
    // All of it read-only is as good.
    let read = [WHOLE[0], (".github", Access::Read)];
    assert!(stage.left_out("app", &read, vec![]).is_empty());
}

#[test]
fn the_way_to_where_the_session_starts_counts() {
    let stage = Stage::new();
    let left = stage.left_out("app/sub", &WHOLE, vec![]);
    assert_eq!(left, ["sub/.mcp.json"]);
    let mut over = WHOLE.to_vec();
    over.extend([("sub", Access::Write), ("sub/.mcp.json", Access::Read)]);
    assert!(stage.left_out("app/sub", &over, vec![]).is_empty());
}

#[test]
fn another_name_for_the_project_or_a_part_of_it_is_no_way_around() {
    let stage = Stage::new();
    let left = |source, place, access| {
        let more = vec![stage.tree(source, place, access)];
        stage.left_out("app", &WHOLE, more)
    };
    assert_eq!(
        left("app", "other", Access::Write),
        [".mcp.json", WORKFLOWS]
    );
    assert_eq!(left("", "all", Access::Write), [".mcp.json", WORKFLOWS]);
    assert_eq!(left("app/.github", "x", Access::Write), [WORKFLOWS]);
    assert!(left("app", "other", Access::Read).is_empty());
    assert!(left("app/sub", "x", Access::Write).is_empty());
}

#[test]
fn both_ends_guard_by_the_same_table() {
    let Guarded(paths) = Guarded::built_in().unwrap();
    assert!(paths.len() > 20, "{paths:?}");
    for path in [".claude/hooks", WORKFLOWS, "opencode.json"] {
        assert!(paths.iter().any(|guarded| guarded == path), "{path}");
    }
    assert!(!paths.iter().any(|guarded| guarded == "CLAUDE.md"));
}
