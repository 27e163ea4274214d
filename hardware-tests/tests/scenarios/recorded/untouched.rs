//! A log that nobody touched: it verifies, freezes, and goes out whole.

use std::collections::HashSet;

use serde_json::Value;

use super::log::{exported, head, one_more, world};

#[test]
fn a_live_log_verifies_and_a_checkpoint_moves_the_counter() {
    let world = world("");
    let broker = &world.broker;
    let verified = broker.holdfast(&["audit", "verify"]).success();
    assert!(verified.contains("every record, checkpoint"), "{verified}");

    broker.holdfast(&["audit", "checkpoint"]).success();
    let first = head(broker);
    assert_eq!(first.checkpointed, first.size);
    one_more(broker);
    let grown = head(broker);
    assert_eq!(grown.size, first.size + 1);
    assert_eq!(grown.checkpointed, first.size, "nothing froze it yet");

    world.proxy.reset();
    broker.holdfast(&["audit", "checkpoint"]).success();
    assert_eq!(world.proxy.counts().get("NV_Increment"), Some(&1));
    let second = head(broker);
    assert_eq!(second.checkpointed, grown.size);
    assert_eq!(second.counter, first.counter.map(|value| value + 1));
    broker.holdfast(&["audit", "verify"]).success();
}

#[test]
fn an_export_has_every_record_once_as_ocsf() {
    let world = world("");
    let broker = &world.broker;
    // More than one page of the management socket.
    for _ in 0..60 {
        one_more(broker);
    }
    let file = world.scratch.join("export.jsonl");
    let path = file.to_str().unwrap();
    broker
        .holdfast(&["audit", "export", "--ocsf", path])
        .success();
    let text = std::fs::read_to_string(&file).unwrap();
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len() as u64, head(broker).size);

    let mut names = HashSet::new();
    for (index, event) in events.iter().enumerate() {
        let id = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{event}"));
        assert_eq!(event["metadata"]["sequence"], index);
        assert_eq!(event["metadata"]["version"], "1.8.0");
        assert_eq!(id("class_uid") / 1000, id("category_uid"));
        assert_eq!(id("type_uid"), id("class_uid") * 100 + id("activity_id"));
        assert!(id("severity_id") >= 1 && id("time") > 1_600_000_000_000);
        assert!(!event["message"].as_str().unwrap().is_empty(), "{event}");
        assert!(names.insert(event["metadata"]["uid"].as_str().unwrap()));
    }

    // What a person sees of the same records.
    let tail = broker.holdfast(&["audit", "tail", "-n", "1000"]).success();
    assert_eq!(tail.lines().count(), events.len());
    assert!(tail.contains("attested as spiffe://world.test/host/"));
    assert_eq!(text.lines().collect::<Vec<_>>(), exported(broker));
    let from = broker
        .holdfast(&["audit", "export", "--from", "50"])
        .success();
    assert_eq!(from.lines().next(), text.lines().nth(50));
}
