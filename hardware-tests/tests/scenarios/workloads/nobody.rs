//! Who is no registered service: what can be known of them is on record, and no more.

use std::fs;

use super::{Cgroup, SERVICE, Stage, registration, unique};

/// A system's account, below the uids of people.
const SYSTEM: u32 = 933;

#[test]
fn a_systems_account_outside_every_unit_is_nobody_that_anything_is_known_of() {
    let selectors = ["systemd:id:mqtt-bridge.service".to_owned()];
    let Some(stage) = Stage::with(&registration("mqtt-bridge", &selectors)) else {
        return;
    };
    let elsewhere = Cgroup::make(&unique("scope"));
    for (uid, level) in [(SYSTEM, "L0"), (SERVICE, "L1")] {
        assert_eq!(stage.ask(&elsewhere.path, uid, &["answer"]), "DONE\n");
        let refused = format!("uid {uid} has no identity here ({level}): no registered workload");
        let record = stage.record();
        assert!(record.contains(&refused), "{refused} is missing:\n{record}");
    }
    let export = stage.world.scratch.join("ocsf.jsonl");
    let ocsf = export.display().to_string();
    let exported = ["audit", "export", "--ocsf", &ocsf];
    stage.world.broker.holdfast(&exported).success();
    let exported = fs::read_to_string(export).unwrap();
    let told = |level: &str| exported.matches(&format!("\"level\":\"{level}\"")).count();
    assert_eq!(
        (told("L0"), told("L1"), told("L2")),
        (1, 1, 0),
        "{exported}"
    );
}
