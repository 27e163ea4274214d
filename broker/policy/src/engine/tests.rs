#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod widened;

use std::fmt::Write;

use holdfast_protocol::call::{Caller, Channel, History, HumanUid, Manner, Reach};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{HostId, SessionId, SpiffeId};
use holdfast_protocol::widening::Widening;
use proptest::prelude::*;

use super::*;
use crate::act::{Acquaintance, BranchStanding, Grant, Place, RemoteStanding, Taint};
use crate::load::default_policy;

fn engine(grade: Grade) -> Engine {
    Engine::load(grade, &default_policy(), &[]).unwrap()
}

fn narrowed(text: &str) -> Result<Engine, LoadError> {
    let host = Source {
        name: "host".parse().unwrap(),
        text: text.to_owned(),
    };
    Engine::load(Grade::Hardware, &default_policy(), &[host])
}

fn asker(level: Level, taint: Taint) -> Asker {
    let domain = "example.org".parse().unwrap();
    let kind = "claude".parse().unwrap();
    let session = SessionId::from_random([7; 16]);
    Asker {
        caller: Caller {
            session,
            spiffe_id: SpiffeId::session(&domain, HostId::from_random([1; 16]), &kind, session),
            kind,
            level,
            human: HumanUid(1000),
            runs_as: SessionUid::Own,
        },
        taint,
        channel: Channel::Hook,
        tool: "Bash".to_owned().try_into().unwrap(),
    }
}

fn push(remote: RemoteStanding, branch: BranchStanding, history: History) -> Act {
    Act::Pushes {
        target: "origin x".to_owned(),
        remote,
        branch,
        history,
    }
}

fn reaches(acquaintance: Acquaintance, manner: Manner) -> Act {
    Act::Reaches {
        host: "example.com".to_owned(),
        acquaintance,
        manner,
    }
}

fn widens(typed: &str) -> Act {
    let widening: Widening = typed.parse().unwrap();
    Act::Widens { widening }
}

/// Every kind of act with every standing that a rule may ask about.
fn acts() -> Vec<(String, Act)> {
    let mut acts = vec![
        ("nothing".to_owned(), Act::Nothing),
        (
            "run".to_owned(),
            Act::Runs {
                program: "make".into(),
            },
        ),
        (
            "publish".to_owned(),
            Act::Publishes {
                registry: "npm".into(),
            },
        ),
        ("spend".to_owned(), Act::Spends { what: "gpu".into() }),
        (
            "widen, from inside".to_owned(),
            widens("--reach localhost:5432"),
        ),
    ];
    for place in [
        Place::Project,
        Place::Scratch,
        Place::Elsewhere,
        Place::OtherProject,
        Place::Secret,
        Place::Hooks,
        Place::Holdfast,
    ] {
        let path = || "/somewhere".to_owned();
        acts.push((
            format!("read {place:?}"),
            Act::Reads {
                path: path(),
                place,
            },
        ));
        acts.push((
            format!("write {place:?}"),
            Act::Writes {
                path: path(),
                place,
            },
        ));
        acts.push((
            format!("delete {place:?}"),
            Act::Deletes {
                path: path(),
                place,
            },
        ));
    }
    for branch in [
        BranchStanding::SessionMade,
        BranchStanding::Default,
        BranchStanding::Protected,
        BranchStanding::Tag,
        BranchStanding::Many,
        BranchStanding::Unknown,
    ] {
        for history in [History::Kept, History::Overwritten] {
            acts.push((
                format!("push {branch:?} {history:?}"),
                push(RemoteStanding::Configured, branch, history),
            ));
        }
    }
    acts.push((
        "push SessionMade Kept, unknown remote".to_owned(),
        push(
            RemoteStanding::Unknown,
            BranchStanding::SessionMade,
            History::Kept,
        ),
    ));
    for acquaintance in [Acquaintance::Given, Acquaintance::Known, Acquaintance::New] {
        for manner in [Manner::Fetch, Manner::Send] {
            acts.push((
                format!("reach {acquaintance:?} {manner:?}"),
                reaches(acquaintance, manner),
            ));
        }
    }
    for grant in [Grant::Granted, Grant::Withheld] {
        let name = "github".to_owned();
        acts.push((format!("secret {grant:?}"), Act::UsesSecret { name, grant }));
    }
    for reach in [Reach::Local, Reach::Outward] {
        let why = "it is encoded".to_owned();
        acts.push((
            format!("uninspectable {reach:?}"),
            Act::Uninspectable { why, reach },
        ));
    }
    acts
}

fn line(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Allow { because } => format!("allow  {}", because.rule),
        Verdict::StepUp { tier, because } => format!("{tier:?}     {}", because.rule),
        Verdict::Deny { by, because } => format!("deny   {} ({by:?})", because.rule),
    }
}

#[test]
fn the_default_table() {
    let mut table = String::new();
    for (title, grade, level, taint) in [
        ("launched, clean", Grade::Hardware, Level::L3, Taint::Clean),
        (
            "launched, tainted",
            Grade::Hardware,
            Level::L3,
            Taint::Tainted,
        ),
        ("found, clean", Grade::Hardware, Level::L1, Taint::Clean),
        ("unknown", Grade::Hardware, Level::L0, Taint::Clean),
        (
            "found, contained grade",
            Grade::Contained,
            Level::L1,
            Taint::Clean,
        ),
    ] {
        let engine = engine(grade);
        writeln!(table, "== {title}").unwrap();
        for (name, act) in acts() {
            let verdict = engine.judge(&asker(level, taint), &[act]);
            writeln!(table, "{name:38} {}", line(&verdict)).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_most_severe_verdict_wins() {
    let engine = engine(Grade::Hardware);
    let asker = asker(Level::L3, Taint::Clean);
    let run = Act::Runs {
        program: "ls".into(),
    };
    let host = reaches(Acquaintance::New, Manner::Fetch);
    let publish = Act::Publishes {
        registry: "npm".into(),
    };
    let secret = Act::Reads {
        path: "/x".into(),
        place: Place::Secret,
    };
    let rule = |acts: &[Act]| line(&engine.judge(&asker, acts));
    assert_eq!(rule(&[run.clone(), host.clone()]), "R1     default/host");
    assert_eq!(
        rule(&[publish.clone(), host.clone()]),
        "R2     default/publish"
    );
    assert_eq!(
        rule(&[host.clone(), publish.clone()]),
        "R2     default/publish"
    );
    assert_eq!(
        rule(&[publish, secret, host]),
        "deny   default/secret-files (Policy)"
    );
    assert_eq!(rule(&[]), "allow  default/nothing-outward");
}

#[test]
fn a_tier_above_the_grades_cap_is_a_denial_that_says_so() {
    let publish = Act::Publishes {
        registry: "npm".into(),
    };
    let asker = asker(Level::L3, Taint::Clean);
    let verdict = engine(Grade::Contained).judge(&asker, std::slice::from_ref(&publish));
    insta::assert_snapshot!(
        format!("{verdict:?}"),
        @r#"Deny { by: Policy, because: Reason { rule: "grade/cap", text: "it publishes or deploys, and that takes R2, which a contained installation cannot prove" } }"#
    );
    assert!(matches!(
        engine(Grade::Simulated).judge(&asker, &[publish]),
        Verdict::StepUp { tier: Tier::R2, .. }
    ));
}

#[test]
fn a_forbid_that_cannot_be_evaluated_denies() {
    // Cedar itself would skip this forbid and allow: 2 * i64::MAX overflows.
    let engine = narrowed(
        r#"@id("overflow") @reason("it overflows")
           forbid (principal, action, resource is Holdfast::Runs)
           when { principal.human * 9223372036854775807 > 0 };"#,
    )
    .unwrap();
    let asker = asker(Level::L3, Taint::Clean);
    let verdict = engine.judge(
        &asker,
        &[Act::Runs {
            program: "ls".into(),
        }],
    );
    assert_eq!(line(&verdict), "deny   host/overflow (PolicyError)");
    // The rule is not asked about other effects, so they are not hurt.
    assert_eq!(
        line(&engine.judge(&asker, &[])),
        "allow  default/nothing-outward"
    );
}

#[test]
fn a_host_narrows_an_allow_to_a_question_or_a_denial() {
    let engine = narrowed(
        r#"@id("no-curl") @reason("curl is not for agents here")
           forbid (principal, action, resource is Holdfast::Runs) when { resource.program == "curl" };
           @id("ask-make") @reason("make is asked about here") @tier("R2")
           forbid (principal, action == Holdfast::Action::"call", resource is Holdfast::Runs)
           when { resource.program like "make*" };"#,
    )
    .unwrap();
    let asker = asker(Level::L3, Taint::Clean);
    let run = |program: &str| {
        line(&engine.judge(
            &asker,
            &[Act::Runs {
                program: program.into(),
            }],
        ))
    };
    assert_eq!(run("curl"), "deny   host/no-curl (Policy)");
    assert_eq!(run("make"), "R2     host/ask-make");
    assert_eq!(run("ls"), "allow  default/run");
}

#[test]
fn a_rule_can_be_about_the_grade_of_the_installation() {
    let rule = Source {
        name: "host".parse().unwrap(),
        text: r#"@id("real") @reason("sessions begin on real TPMs alone")
                 forbid (principal, action, resource)
                 when { context.grade != Holdfast::Grade::"hardware" };"#
            .to_owned(),
    };
    let judged = |grade| {
        let engine = Engine::load(grade, &default_policy(), std::slice::from_ref(&rule)).unwrap();
        line(&engine.judge(&asker(Level::L3, Taint::Clean), &[]))
    };
    assert_eq!(judged(Grade::Hardware), "allow  default/nothing-outward");
    for grade in [Grade::Simulated, Grade::Contained] {
        assert_eq!(judged(grade), "deny   host/real (Policy)");
    }
}

#[test]
fn a_rule_can_be_about_who_was_not_launched_here() {
    let engine = narrowed(
        r#"@id("services") @reason("services have no identities here")
           forbid (principal, action, resource)
           when { principal.level == Holdfast::Level::"L2" && principal.kind == "service" };"#,
    )
    .unwrap();
    let mut service = asker(Level::L2, Taint::Clean);
    service.caller.kind = "service".parse().unwrap();
    assert_eq!(
        line(&engine.judge(&service, &[])),
        "deny   host/services (Policy)"
    );
    let launched = asker(Level::L3, Taint::Clean);
    let verdict = line(&engine.judge(&launched, &[]));
    assert_eq!(verdict, "allow  default/nothing-outward");
}

#[test]
fn a_rule_can_be_about_whose_uid_a_session_has() {
    let engine = narrowed(
        r#"@id("shared") @reason("it has no uid of its own") @tier("R2")
           forbid (principal, action == Holdfast::Action::"call", resource is Holdfast::Reaches)
           when { principal.runsAs == Holdfast::SessionUid::"humans" };"#,
    )
    .unwrap();
    let fetch = [reaches(Acquaintance::Known, Manner::Fetch)];
    let own = asker(Level::L3, Taint::Clean);
    let mut shared = own.clone();
    shared.caller.runs_as = SessionUid::Humans;
    assert!(line(&engine.judge(&own, &fetch)).starts_with("allow"));
    let judged = line(&engine.judge(&shared, &fetch));
    assert_eq!(judged, "R2     host/shared");
}

#[test]
fn what_is_wrong_in_a_source_is_named() {
    let mut refusals = String::new();
    for text in [
        "permit (principal, action, resource);",
        r#"@id("a") @reason("b") permit (principal, action == Holdfast::Action::"call", resource);"#,
        r#"@id("a") @reason("b.") forbid (principal, action, resource);"#,
        r#"@id("A") @reason("b") forbid (principal, action, resource);"#,
        r#"@id("a") @reason("b") @tier("R0") forbid (principal, action, resource);"#,
        r#"@id("a") @reason("b") @tier("R2") forbid (principal, action, resource);"#,
        r#"@id("a") @reason("b") forbid (principal, action, resource) when { resource.pth == "x" };"#,
        r#"@id("a") @reason("b") forbid (principal, action, resource is Holdfast::Reads)
           when { resource.place == Holdfast::Place::"sekret" };"#,
        r#"@id("a") @reason("b") forbid (principal, action, resource is Holdfast::Raeds);"#,
        r#"@id("a") @reason("b") forbid (principal == ?principal, action, resource);"#,
        r#"@id("a") @reason("b") forbid (principal, action, resource);
           @id("a") @reason("b") forbid (principal, action, resource);"#,
        "forbid (",
    ] {
        let Err(error) = narrowed(text) else {
            panic!("accepted: {text}");
        };
        writeln!(refusals, "{error}").unwrap();
    }
    insta::assert_snapshot!(refusals);
}

#[test]
fn bounds_hold() {
    assert!(matches!(
        narrowed(&" ".repeat(crate::load::MAX_SOURCE + 1)),
        Err(LoadError::TooLarge { .. })
    ));
    let mut many = String::new();
    for n in 0..crate::load::MAX_RULES {
        writeln!(
            many,
            "@id(\"r{n}\") @reason(\"x\") forbid (principal, action, resource is Holdfast::Spends);"
        )
        .unwrap();
    }
    assert!(matches!(narrowed(&many), Err(LoadError::TooMany)));
    let twice = Source {
        name: "default".parse().unwrap(),
        text: String::new(),
    };
    assert!(matches!(
        Engine::load(Grade::Hardware, &default_policy(), &[twice]),
        Err(LoadError::SameName(_))
    ));
}

#[test]
fn the_digest_names_the_policy() {
    let plain = engine(Grade::Hardware).digest();
    assert_eq!(plain, engine(Grade::Contained).digest());
    let a = narrowed(r#"@id("a") @reason("b") forbid (principal, action, resource);"#).unwrap();
    let b = narrowed(r#"@id("a") @reason("c") forbid (principal, action, resource);"#).unwrap();
    assert_ne!(a.digest(), b.digest());
    assert_ne!(a.digest(), plain);
}

proptest! {
    /// Adding a host file never turns a denial or a question into something weaker.
    #[test]
    fn narrowing_never_widens(
        index in 0..48usize,
        tainted in any::<bool>(),
        rule in prop::sample::select(vec![
            r#"@id("x") @reason("y") forbid (principal, action, resource is Holdfast::Reaches);"#,
            r#"@id("x") @reason("y") @tier("R3") forbid (principal, action == Holdfast::Action::"call", resource);"#,
            r#"@id("x") @reason("y") forbid (principal, action == Holdfast::Action::"callWithApproval", resource);"#,
            r#"@id("x") @reason("y") forbid (principal, action, resource is Holdfast::Runs) when { principal.human * 9223372036854775807 > 0 };"#,
        ]),
    ) {
        let acts = acts();
        let (_, act) = &acts[index % acts.len()];
        let taint = if tainted { Taint::Tainted } else { Taint::Clean };
        let asker = asker(Level::L3, taint);
        let before = engine(Grade::Hardware).judge(&asker, std::slice::from_ref(act));
        let after = narrowed(rule).unwrap().judge(&asker, std::slice::from_ref(act));
        prop_assert!(severity(&after) >= severity(&before), "{before:?} -> {after:?}");
    }

    #[test]
    fn hostile_text_is_a_string_and_nothing_else(path in "\\PC{0,60}") {
        let asker = asker(Level::L3, Taint::Clean);
        let verdict = engine(Grade::Hardware).judge(&asker, &[Act::Reads { path, place: Place::Secret }]);
        prop_assert_eq!(line(&verdict), "deny   default/secret-files (Policy)");
    }
}
