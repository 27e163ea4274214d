//! Root edits the log behind the broker's back: what was done is found, and said in words.

use holdfast_hardware_tests::world::World;
use holdfast_protocol::management::Request;

use super::database::{Copy, forged, rewound, sqlite};
use super::log::{ask, head, one_more, world};

/// Record `index` with another word in it.
fn changed(index: u64) -> String {
    format!(
        "UPDATE record SET json = CAST(replace(CAST(json AS TEXT), 'holdfast', 'holdfist') AS BLOB) WHERE idx = {index};"
    )
}

#[test]
fn a_broker_does_not_start_on_a_log_whose_end_was_edited() {
    let mut world = world("");
    one_more(&world.broker);
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    let first = head(&world.broker).size;
    one_more(&world.broker);
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    let frozen = head(&world.broker).size;
    one_more(&world.broker);
    one_more(&world.broker);
    let size = head(&world.broker).size;
    world.broker.kill();
    let whole = Copy::of(&world, "whole");

    let cut = format!("DELETE FROM record WHERE idx >= {frozen};");
    let cut_below = format!("DELETE FROM record WHERE idx >= {first};");
    let rewound = rewound(&world.broker, first);
    let unfrozen = format!("DELETE FROM checkpoint WHERE size > {first}; DELETE FROM pending;");
    whole.put_back(&world.broker);
    let cases = [
        (
            changed(3),
            "record 3 is missing or was changed after it was written".to_owned(),
        ),
        (
            "DELETE FROM record WHERE idx = 2;".to_owned(),
            "record 2 is missing or was changed after it was written".to_owned(),
        ),
        (
            cut,
            format!("it has {frozen} records, and its tree is over {size}: its tail was cut off"),
        ),
        (
            format!("{cut_below}{rewound}"),
            format!("it ends at {first}, and a checkpoint covers {frozen}: its tail was cut off"),
        ),
        // Everything that the folder holds agrees with itself; only the TPM remembers.
        (
            format!("{cut_below}{rewound}{unfrozen}"),
            "an older log was put back, or evidence was removed".to_owned(),
        ),
    ];
    for (edit, named) in cases {
        sqlite(&world.broker, &edit);
        let (code, words) = world.broker.attempt(&world.scratch);
        assert_eq!(code, 1, "{edit}\n{words}");
        assert!(words.contains(&named), "{edit}\n{words}");
        assert!(
            words.contains("the audit log cannot be opened; nothing is done without it"),
            "{words}"
        );
        whole.put_back(&world.broker);
    }
    // It was the edits, and nothing else.
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn an_older_database_that_is_put_back_is_named() {
    let mut world = world("");
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.broker.stop();
    let older = Copy::of(&world, "older");
    world.broker.resume(&world.scratch);
    one_more(&world.broker);
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.broker.stop();
    let newest = Copy::of(&world, "newest");

    older.put_back(&world.broker);
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(
        words.contains(
            "an older log was put back, or evidence was removed: the TPM's counter stands at"
        ),
        "{words}"
    );

    // An empty log in its place is as old as can be.
    std::fs::remove_dir_all(super::database::folder(&world.broker)).unwrap();
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("an older log was put back"), "{words}");

    newest.put_back(&world.broker);
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn a_log_that_has_only_begun_is_missed_when_it_is_deleted() {
    let mut world = World::start();
    world.broker.kill();
    std::fs::remove_dir_all(world.broker.state().join("audit")).unwrap();
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("an older log was put back"), "{words}");
}

#[test]
fn a_log_that_was_removed_with_its_anchor_is_missed_on_an_enrolled_host() {
    let mut world = World::enrolled();
    world.broker.stop();
    std::fs::remove_dir_all(world.broker.state().join("audit")).unwrap();
    std::fs::remove_file(world.broker.state().join("audit.json")).unwrap();
    let (code, words) = world.broker.attempt(&world.scratch);
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("its audit log was removed"), "{words}");
}

#[test]
fn verification_names_what_was_edited_anywhere_in_a_long_log() {
    let mut world = long_log();
    let first: u64 = sqlite(&world.broker, "SELECT min(size) FROM checkpoint")
        .trim()
        .parse()
        .unwrap();
    // The next one is over the record that is forged.
    let second: u64 = sqlite(
        &world.broker,
        &format!("SELECT min(size) FROM checkpoint WHERE size > {first}"),
    )
    .trim()
    .parse()
    .unwrap();
    let checkpoint: u64 = sqlite(&world.broker, "SELECT min(seq) FROM checkpoint")
        .trim()
        .parse()
        .unwrap();
    let forged = forged(&world.broker, 1, "holdfast", "holdfist");
    let whole = Copy::of(&world, "whole");
    let cases = [
        (
            changed(1),
            "record 1 was changed after it was written".to_owned(),
        ),
        (
            "DELETE FROM record WHERE idx = 2;".to_owned(),
            "record 2 is missing".to_owned(),
        ),
        (
            "DELETE FROM record WHERE idx BETWEEN 5 AND 7;".to_owned(),
            "records 5 to 7 are missing".to_owned(),
        ),
        // Bytes, hash and tree agree with each other: the signed root does not.
        (
            forged,
            format!(
                "records {first} to {} are not those that the TPM-signed checkpoint was made over",
                second - 1
            ),
        ),
        (
            format!("UPDATE checkpoint SET size = size - 1 WHERE seq = {checkpoint};"),
            format!("the row of checkpoint {checkpoint} was changed"),
        ),
        (
            format!(
                "UPDATE checkpoint SET note = replace(note, '{first}', '{}') WHERE seq = {checkpoint};",
                first - 1
            ),
            format!("checkpoint {checkpoint} is not signed by this log's key, or was changed"),
        ),
        (
            format!("DELETE FROM checkpoint WHERE seq = {checkpoint};"),
            "evidence".to_owned(),
        ),
    ];
    for (edit, named) in cases {
        sqlite(&world.broker, &edit);
        world.broker.resume(&world.scratch);
        let verified = world.broker.holdfast(&["audit", "verify"]);
        assert_eq!(verified.code, 1, "{edit}\n{verified:#?}");
        assert!(
            verified
                .stdout
                .lines()
                .any(|line| line.starts_with("FOUND") && line.contains(&named)),
            "{edit}\nwanted: {named}\n{verified:#?}"
        );
        assert!(verified.stderr.contains("the audit log does not verify"));
        let doctor = world.broker.holdfast(&["doctor"]);
        assert!(doctor.stdout.contains(&named), "{doctor:#?}");
        world.broker.kill();
        whole.put_back(&world.broker);
    }
    world.broker.resume(&world.scratch);
    world.broker.holdfast(&["audit", "verify"]).success();
}

/// A broker, stopped, with a log whose beginning is too far away for a look at the start.
fn long_log() -> World {
    let mut world = world("");
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.attestor.kill();
    while head(&world.broker).size < 300 {
        for _ in 0..50 {
            ask(world.broker.socket(), &Request::Attest).unwrap();
        }
    }
    world.broker.holdfast(&["audit", "checkpoint"]).success();
    world.broker.stop();
    world
}
