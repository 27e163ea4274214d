//! `--show` says what a session would have, and makes nothing.

use std::fs;

use holdfast_hardware_tests::world::World;

use crate::support::Human;

const PATH: &str = "/usr/bin:/bin";

#[test]
fn what_is_shown_is_what_would_be_there() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    human.put(".claude/CLAUDE.md", "be kind");
    let data = human.folder("data").display().to_string();
    let claude = human.claude();
    let flags = ["--show", "--json", "--rw", &data, "--"];
    let ran = human.run(&project, &flags, &[&claude, "-c", "true"], PATH);
    let shown: serde_json::Value = serde_json::from_str(&ran.success()).unwrap();
    assert_eq!(shown["kind"], "claude");
    assert_eq!(shown["argv"], serde_json::json!(["claude", "-c", "true"]));
    assert_eq!(shown["program"].as_str().unwrap().len(), 64);
    let tree = |place: String| {
        let trees = shown["trees"].as_array().unwrap();
        let found = trees.iter().find(|tree| tree["place"] == place.as_str());
        let found = found.unwrap_or_else(|| panic!("{place} in {shown:#}"));
        format!("{} {}", found["access"], found["why"]).replace('"', "")
    };
    let home = |name: &str| human.home().join(name).display().to_string();
    assert_eq!(tree(project.display().to_string()), "write project");
    assert_eq!(tree(human.home().display().to_string()), "keep home");
    assert_eq!(tree(home(".cargo")), "keep cache");
    assert_eq!(tree(home(".claude/CLAUDE.md")), "read instruction");
    assert_eq!(tree(data.clone()), "write named");
    let asked = shown["asked"].to_string();
    assert!(
        asked.contains("R1: a change outside the project"),
        "{asked}"
    );
    let variables = shown["environment"].as_array().unwrap();
    let value = |name: &str| {
        let found = variables.iter().find(|variable| variable["name"] == name);
        found.map(|variable| variable["value"].clone())
    };
    assert_eq!(value("DISABLE_AUTOUPDATER"), Some("1".into()));
    assert_eq!(value("HOLDFAST_SESSION"), Some(serde_json::Value::Null));

    // Nothing was made, and nothing is on record.
    assert!(world.launcher.as_ref().unwrap().sessions().is_empty());
    let homes = world.broker.state().join("homes");
    assert_eq!(fs::read_dir(homes).unwrap().count(), 0);
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(!record.contains("started by uid"), "{record}");

    // What is refused when it is made is refused here, too.
    let flags = ["--show", "--ro", "/etc", "--"];
    assert_eq!(human.run(&project, &flags, &["true"], PATH).code, 2);

    // The session has the same.
    let script = "env | sort";
    let flags = ["--rw", &data, "--"];
    let ran = human.run(&project, &flags, &[&claude, "-c", script], PATH);
    for variable in variables {
        let name = variable["name"].as_str().unwrap();
        assert!(ran.stdout.contains(&format!("{name}=")), "{name}: {ran:#?}");
    }
    // Its record has what it could read outside the project without a question, too.
    let record = world.broker.holdfast(&["audit", "export"]).success();
    let launch = record.lines().find(|line| line.contains("\"Launch\""));
    let launch: serde_json::Value = serde_json::from_str(launch.unwrap()).unwrap();
    let needed = launch["unmapped"]["beyond"]["needed"].as_array().unwrap();
    let instruction = home(".claude/CLAUDE.md");
    assert!(needed.contains(&instruction.into()), "{launch:#}");
}

#[test]
fn what_does_not_work_is_said_at_the_start() {
    let Some(world) = World::sealed() else { return };
    let human = Human::new(&world);
    let project = human.project("app");
    fs::copy("/bin/echo", human.folder("bin").join("docker")).unwrap();
    let path = format!("{}:{PATH}", human.home().join("bin").display());
    let ran = human.run(&project, &["--"], &["docker", "ps"], &path);
    assert!(
        ran.stderr
            .contains("container engines are not in a session"),
        "{ran:#?}"
    );
}
