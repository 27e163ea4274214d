#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use ts_rs::{Config, TS};

use super::*;
use crate::state::tests::question;
use crate::state::{Input, Life};

const NOW: Timestamp = Timestamp::from_secs(1_000);

fn showing(question: Question) -> Core {
    let mut core = Core::new(Life::Resident);
    core.handle(NOW, Input::Questions(vec![question]));
    core
}

fn shown(core: &Core, surface: Surface) -> QuestionView {
    let Screen::Question(view) = screen(core, NOW, surface) else {
        panic!("no question is shown");
    };
    *view
}

/// The front end compiles against these; `HOLDFAST_WRITE_TYPES=1` writes them anew.
#[test]
fn the_types_of_the_front_end_are_current() {
    let config = Config::default();
    let types = [
        Screen::decl(&config),
        QuestionView::decl(&config),
        Sight::decl(&config),
        WaitsView::decl(&config),
        QuotedView::decl(&config),
        Approval::decl(&config),
        ActView::decl(&config),
        NoticeView::decl(&config),
        Piece::decl(&config),
    ];
    let mut text = String::from(
        "// Made from src/view.rs and src/visible.rs: `HOLDFAST_WRITE_TYPES=1 cargo test -p holdfast-ui`.\n",
    );
    for declaration in types {
        text.push_str("\nexport ");
        text.push_str(&declaration);
        text.push('\n');
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/web/view.ts");
    if std::env::var_os("HOLDFAST_WRITE_TYPES").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        text,
        "run with HOLDFAST_WRITE_TYPES=1"
    );
}

#[test]
fn the_tier_and_the_desktop_say_how_it_is_approved() {
    for (tier, surface, approval) in [
        (Tier::R1, Surface::X11Window, Approval::Click),
        (Tier::R2, Surface::X11Window, Approval::InTerminal),
        (Tier::R2, Surface::WaylandWindow, Approval::Pin),
        (Tier::R3, Surface::WaylandWindow, Approval::Elsewhere),
    ] {
        let asked = Question {
            tier,
            ..question(1)
        };
        assert_eq!(shown(&showing(asked), surface).approval, approval);
    }
    let declared = Question {
        pin_on_x11: PinOnX11::Allow,
        ..question(1)
    };
    let shown = shown(&showing(declared), Surface::X11Window);
    assert_eq!(shown.approval, Approval::WatchedPin);
}

#[test]
fn what_cannot_be_understood_is_marked() {
    let clear = question(1);
    assert_eq!(
        shown(&showing(clear), Surface::Terminal).sight,
        Sight::Clear
    );
    let effects = vec!["Do something that Holdfast cannot see through: a loop".to_owned()];
    let opaque = Question {
        effects,
        ..question(1)
    };
    assert_eq!(
        shown(&showing(opaque), Surface::Terminal).sight,
        Sight::Uninspectable
    );
}

#[test]
fn no_text_reaches_the_window_unmarked() {
    let trick = "main\u{202e}niam".to_owned();
    let mut asked = question(1);
    asked.headline = trick.clone();
    asked.effects = vec![trick.clone()];
    asked.directory = trick.clone();
    asked.why = trick.clone();
    asked.quoted.tool = trick.clone();
    asked.quoted.arguments = trick;
    let json = serde_json::to_string(&screen(&showing(asked), NOW, Surface::X11Window)).unwrap();
    assert!(!json.contains('\u{202e}'), "{json}");
    assert_eq!(json.matches("U+202E").count(), 6, "{json}");
}

#[test]
fn the_time_that_is_left_is_counted_from_now() {
    let deadline = NOW + Duration::from_millis(1_500);
    let asked = Question {
        waits: Waits::Until { deadline },
        ..question(1)
    };
    assert_eq!(
        shown(&showing(asked), Surface::Terminal).waits,
        WaitsView::Until { left: 1_500 }
    );
    let asked = Question {
        waits: Waits::Late {
            gone: Timestamp::from_secs(1),
        },
        ..question(1)
    };
    assert_eq!(
        shown(&showing(asked), Surface::Terminal).waits,
        WaitsView::Late { left: 0 }
    );
}
