#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::{Sha256Digest, Timestamp};
use ksni::Tray as _;

use super::*;

fn session(number: u8, phase: SessionPhase) -> SessionStatus {
    SessionStatus {
        session: SessionId::from_random([number; 16]),
        kind: "claude".parse().unwrap(),
        human: 1000,
        purpose: None,
        program: Sha256Digest::new([7; 32]),
        package: None,
        started: Timestamp::from_secs(1),
        phase,
        level: Level::L3,
        runs_as: SessionUid::Own,
        subs: vec![],
        details: None,
    }
}

fn item(broker: Reach, questions: usize, sessions: Vec<SessionStatus>) -> Item {
    Item {
        controls: Controls::new().0,
        questions,
        sessions,
        broker,
    }
}

/// The menu as it is read, a line each.
fn read(items: &[MenuItem<Item>], depth: usize, lines: &mut Vec<String>) {
    for item in items {
        let indent = "  ".repeat(depth);
        match item {
            MenuItem::Standard(entry) => {
                let off = if entry.enabled { "" } else { " (off)" };
                lines.push(format!("{indent}{}{off}", entry.label));
            }
            MenuItem::SubMenu(menu) => {
                lines.push(format!("{indent}{}", menu.label));
                read(&menu.submenu, depth + 1, lines);
            }
            MenuItem::Separator => lines.push(format!("{indent}--")),
            _ => panic!("an unknown entry"),
        }
    }
}

fn lines(item: &Item) -> String {
    let mut lines = Vec::new();
    read(&item.menu(), 0, &mut lines);
    lines.join("\n")
}

#[test]
fn the_menu_says_what_waits_and_stops_what_runs() {
    let sessions = vec![
        session(1, SessionPhase::Running),
        session(2, SessionPhase::Frozen),
    ];
    insta::assert_snapshot!(lines(&item(Reach::Reached, 2, sessions)));
    let lost = item(Reach::Lost, 0, Vec::new());
    insta::assert_snapshot!(lines(&lost));
    assert_eq!(lost.status(), Status::NeedsAttention);
    assert_eq!(item(Reach::Reached, 0, Vec::new()).status(), Status::Active);
}

#[test]
fn an_entry_sends_what_it_says() {
    let (controls, mut inbox) = Controls::new();
    let paused = session(1, SessionPhase::Frozen);
    let id = paused.session;
    let mut tray = Item {
        controls,
        questions: 0,
        sessions: vec![paused],
        broker: Reach::Reached,
    };
    for entry in tray.menu() {
        match entry {
            MenuItem::Standard(entry) if entry.enabled => (entry.activate)(&mut tray),
            MenuItem::SubMenu(menu) => {
                for entry in menu.submenu {
                    let MenuItem::Standard(entry) = entry else {
                        panic!("an unknown entry")
                    };
                    (entry.activate)(&mut tray);
                }
            }
            _ => {}
        }
    }
    let mut sent = Vec::new();
    while let Ok(message) = inbox.try_recv() {
        sent.push(message);
    }
    let [
        Message::Input(Input::Show),
        Message::Control(resumed, SessionAct::Resume),
        Message::Control(ended, SessionAct::End),
        Message::Input(Input::Quit),
    ] = &sent[..]
    else {
        panic!("{} messages", sent.len())
    };
    assert_eq!((resumed, ended), (&id, &id));
}
