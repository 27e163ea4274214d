//! What a human gives a session, by the default policy and by hosts' own.

use super::*;

#[test]
fn a_human_widens_a_session_and_a_host_may_narrow_that() {
    let launch = Asker {
        channel: Channel::Launch,
        ..asker(Level::L3, Taint::Clean)
    };
    let judged = |engine: &Engine, typed| line(&engine.judge(&launch, &[widens(typed)]));
    let default = engine(Grade::Hardware);
    for typed in [
        "--ro /srv/docs",
        "--rw /srv/data",
        "--reach localhost:5432",
        "--host crates.io",
        "--publish 3000",
    ] {
        let verdict = judged(&default, typed);
        assert_eq!(verdict, "allow  default/widening", "{typed}");
    }
    let unguard = judged(&default, "--unguard .mcp.json");
    assert_eq!(unguard, "R1     default/widening-asked");
    let narrow = narrowed(
        r#"@id("no-publish") @reason("sessions show no ports here")
           forbid (principal, action, resource is Holdfast::Widens)
           when { resource.way == Holdfast::Way::"publish" };
           @id("no-database") @reason("the database is not for agents here")
           forbid (principal, action, resource is Holdfast::Widens)
           when { resource.way == Holdfast::Way::"reach" && resource.target like "*:5432" };
           @id("ask-read") @reason("what is lent is asked about, but for the documents") @tier("R1")
           forbid (principal, action == Holdfast::Action::"call", resource is Holdfast::Widens)
           when { resource.way == Holdfast::Way::"read" }
           unless { resource.target == "/srv/docs" || resource.target like "/srv/docs/*" };"#,
    )
    .unwrap();
    let publish = judged(&narrow, "--publish 3000");
    assert_eq!(publish, "deny   host/no-publish (Policy)");
    let reach = judged(&narrow, "--reach localhost:5432");
    assert_eq!(reach, "deny   host/no-database (Policy)");
    assert_eq!(judged(&narrow, "--ro /srv/other"), "R1     host/ask-read");
    for typed in ["--ro /srv/docs", "--ro /srv/docs/a", "--host crates.io"] {
        assert_eq!(judged(&narrow, typed), "allow  default/widening", "{typed}");
    }
}

#[test]
fn the_example_of_a_hosts_policy_asks_and_forbids() {
    let launch = Asker {
        channel: Channel::Launch,
        ..asker(Level::L3, Taint::Clean)
    };
    let engine = narrowed(include_str!(
        "../../../../../packaging/policy/widenings.cedar"
    ))
    .unwrap();
    let verdicts = [
        "--ro /srv/docs/a",
        "--ro /srv/other",
        "--rw /srv/docs",
        "--host crates.io",
        "--reach localhost:5432",
        "--publish 3000",
        "--unguard .mcp.json",
    ]
    .map(|typed| {
        format!(
            "{typed}: {}",
            line(&engine.judge(&launch, &[widens(typed)]))
        )
    });
    insta::assert_snapshot!(verdicts.join("\n"), @"
    --ro /srv/docs/a: allow  default/widening
    --ro /srv/other: R1     host/read
    --rw /srv/docs: R2     host/write
    --host crates.io: R1     host/host
    --reach localhost:5432: R1     host/host
    --publish 3000: deny   host/publish (Policy)
    --unguard .mcp.json: R2     host/write
    ");
}

#[test]
fn nobody_widens_a_session_that_was_found_without_a_question() {
    let found = Asker {
        channel: Channel::Launch,
        ..asker(Level::L1, Taint::Clean)
    };
    let judged = |grade, typed| line(&engine(grade).judge(&found, &[widens(typed)]));
    for grade in [Grade::Hardware, Grade::Simulated] {
        let verdict = judged(grade, "--host crates.io");
        assert_eq!(verdict, "R1     default/found-process", "{grade}");
    }
    // Where every session is of that level, it was launched all the same.
    let verdict = judged(Grade::Contained, "--host crates.io");
    assert_eq!(verdict, "allow  default/widening");
    let unguard = judged(Grade::Contained, "--unguard .mcp.json");
    assert_eq!(unguard, "R1     default/widening-asked");
}
