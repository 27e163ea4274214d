//! What people read: pure text from answers.

pub mod clock;
pub mod discover;
pub mod receipt;
pub mod secrets;
pub mod session;
pub mod undo;

use std::fmt::Write;

use holdfast_protocol::approval::{Question, Quoted, Waits};
use holdfast_protocol::grade::Grade;
use holdfast_protocol::management::{
    AuditHead, AuditRecord, AuditReport, Mirror, NodeState, NodeStatus, RunBy, SessionStatus,
    SparesOf, Status,
};
use holdfast_protocol::sub::SubName;
use holdfast_protocol::{Sha256Digest, Timestamp};
use serde_json::Value;

use crate::commands::{Examined, Finding};

/// Characters of an agent's words in a line; a terminal that breaks a longer one would lose the mark before the rest.
const QUOTED_WIDTH: usize = 76;

/// After an enrollment.
pub fn enrolled(node: &NodeStatus) -> String {
    format!(
        "enrolled and attested\n\
         identity    {}\n\
         attestor    {}{}\n\
         valid until {}",
        node.spiffe_id,
        node.attestor,
        self_attested(node),
        time(node.not_after)
    )
}

/// The broker's state.
pub fn status(status: &Status) -> String {
    let node = match &status.node {
        NodeState::NotEnrolled => "none: not enrolled".to_owned(),
        NodeState::NotAttested { host, why } => format!("none: host {host} is not attested: {why}"),
        NodeState::Contained { .. } => {
            "none: no attestor vouches for a contained broker".to_owned()
        }
        NodeState::Attested(node) => format!(
            "{}\n            valid until {}, to be renewed at {}\n            by {}{}",
            node.spiffe_id,
            time(node.not_after),
            time(node.renew_at),
            node.attestor,
            self_attested(node)
        ),
    };
    let warning = match status.grade {
        Grade::Hardware => "",
        Grade::Simulated => "\n            SIMULATED TPM: this proves nothing about hardware",
        Grade::Contained => {
            "\n            CONTAINED: made without root: sessions keep the agent in, and nobody out;\n            \
             none is known beyond L1, no consent goes beyond R1"
        }
    };
    format!(
        "holdfastd   {}\ngrade       {}{warning}\ntpm         {}\nidentity    {node}\n{}{}\n{}{}",
        status.version,
        status.grade,
        status.tpm,
        match status.node {
            // No attestor is ever asked.
            NodeState::Contained { .. } => String::new(),
            NodeState::NotEnrolled | NodeState::NotAttested { .. } | NodeState::Attested(_) => {
                spares(&status.spares)
            }
        },
        head(&status.audit),
        mirror(&status.mirror),
        clock::line(status.clock.as_ref())
    )
}

/// What an attestor is worth to others that the host's own owner runs.
fn self_attested(node: &NodeStatus) -> &'static str {
    match node.run_by {
        RunBy::Team => "",
        RunBy::Owner => " (SELF-ATTESTED: it is run by this host's owner)",
    }
}

/// How many sessions can start without the attestor: a line, where any are kept ready.
fn spares(spares: &[SparesOf]) -> String {
    if spares.is_empty() {
        return String::new();
    }
    let counts = spares.iter();
    let counts: Vec<_> = counts
        .map(|spares| format!("{} {}", spares.ready, spares.kind))
        .collect();
    format!(
        "offline     {} can start while the attestor is away\n",
        counts.join(", ")
    )
}

/// How much of the log is safe with the attestor.
fn mirror(mirror: &Mirror) -> String {
    match mirror {
        Mirror::None => "mirror      none: no attestor keeps a copy of the log".to_owned(),
        Mirror::Current { size } => {
            format!(
                "mirror      all of it cosigned by the attestor ({})",
                counted(*size)
            )
        }
        Mirror::Behind { size, why } => {
            let why = why.as_ref().map_or_else(String::new, |why| {
                format!("\n            {}", printable(why))
            });
            format!(
                "mirror      behind: the attestor has {}{why}",
                counted(*size)
            )
        }
    }
}

/// The audit log's head.
pub fn head(head: &AuditHead) -> String {
    let counter = head
        .counter
        .map_or_else(String::new, |value| format!(" (counter {value})"));
    format!(
        "audit log   {}, {} frozen by the TPM{counter}\n            root {}",
        counted(head.size),
        head.checkpointed,
        head.root
    )
}

/// So many records.
pub fn counted(records: u64) -> String {
    match records {
        1 => "1 record".to_owned(),
        more => format!("{more} records"),
    }
}

/// What a verification found.
pub fn report(report: &AuditReport) -> String {
    let mut text = head(&report.head);
    if report.findings.is_empty() {
        text.push_str(
            "\nverified    every record, checkpoint and counter value is as it should be",
        );
    }
    for finding in &report.findings {
        let _ = write!(text, "\nFOUND       {finding}");
    }
    text
}

/// Records, a line each.
pub fn records(records: &[AuditRecord]) -> String {
    records.iter().fold(String::new(), |mut text, record| {
        let event: Value = serde_json::from_str(&record.json).unwrap_or(Value::Null);
        let at = event
            .get("time")
            .and_then(Value::as_u64)
            .map_or_else(String::new, |millis| time(Timestamp::from_millis(millis)));
        let message = event
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("(no message)");
        let _ = writeln!(text, "{:>6}  {at}  {}", record.index, printable(message));
        text
    })
}

/// One record, whole.
pub fn record(record: &AuditRecord) -> String {
    let pretty = serde_json::from_str::<Value>(&record.json)
        .and_then(|event| serde_json::to_string_pretty(&event))
        .unwrap_or_else(|_| record.json.clone());
    format!("record {}\n{pretty}", record.index)
}

/// Sessions, a line each.
pub fn sessions(sessions: &[SessionStatus]) -> String {
    if sessions.is_empty() {
        return "no sessions".to_owned();
    }
    let head = format!(
        "{:<28}{:<10}{:<7}{:<10}{:<8}{:<9}{:<22}{:<26}PURPOSE\n",
        "SESSION", "KIND", "LEVEL", "STATE", "UID", "RUNS AS", "STARTED", "PROGRAM"
    );
    sessions.iter().fold(head, |mut text, session| {
        let phase = session::phase(session.phase);
        let _ = writeln!(
            text,
            "{:<28}{:<10}{:<7}{phase:<10}{:<8}{:<9}{:<22}{:<26}{}",
            session.session.to_string(),
            session.kind.as_str(),
            format!("{:?}", session.level),
            session.human,
            session.runs_as.to_string(),
            time(session.started),
            measured(session),
            printable(session.purpose.as_deref().unwrap_or("-"))
        );
        for sub in &session.subs {
            let _ = writeln!(
                text,
                "  /{:<25}{:<10}{:<7}{:<10}{:<8}{:<9}{:<22}{:<26}{}",
                sub.sub.to_string(),
                session.kind.as_str(),
                format!("{:?}", session.level),
                "running",
                session.human,
                session.runs_as.to_string(),
                time(sub.started),
                "",
                sub.name.as_ref().map_or("-", SubName::as_str)
            );
        }
        text
    })
}

/// What runs, as far as a line has room: the program's digest, and its package's.
fn measured(session: &SessionStatus) -> String {
    let short = |digest: &Sha256Digest| digest.to_string().chars().take(12).collect::<String>();
    match &session.package {
        Some(package) => format!("{}+{}", short(&session.program), short(&package.digest)),
        None => short(&session.program),
    }
}

/// Questions, two lines each.
pub fn questions(questions: &[Question]) -> String {
    if questions.is_empty() {
        return "nothing waits for you".to_owned();
    }
    questions.iter().fold(String::new(), |mut text, question| {
        let _ = writeln!(
            text,
            "{}  {:?}  {}\n{:28}{} asks, {}",
            question.call,
            question.tier,
            printable(&question.headline),
            "",
            question.agent,
            waits(question.waits)
        );
        text
    })
}

/// One question, whole.
pub fn question(question: &Question) -> String {
    let effects = question
        .effects
        .iter()
        .fold(String::new(), |mut text, effect| {
            let _ = write!(text, "\n            - {}", printable(effect));
            text
        });
    format!(
        "{}\nrisk        {:?}: {}\nasked by    {} in session {}\nwould do{effects}\n\
         digest      {}\nwaits       {}\n{}",
        printable(&question.headline),
        question.tier,
        printable(&question.why),
        question.agent,
        question.session,
        question.digest,
        waits(question.waits),
        quoted(&question.quoted, &question.directory)
    )
}

/// The call in the agent's own words, set apart: every line is marked, so that none can pass for one of ours.
fn quoted(quoted: &Quoted, directory: &str) -> String {
    let mut text = format!(
        "the agent's own words, which nobody has checked:\n  | {} in {}",
        printable(&quoted.tool),
        printable(directory)
    );
    let shown = printable(&quoted.arguments);
    let mut rest = shown.as_str();
    while !rest.is_empty() {
        let end = rest
            .char_indices()
            .nth(QUOTED_WIDTH)
            .map_or(rest.len(), |(at, _)| at);
        let (line, more) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let _ = write!(text, "\n  | {line}");
        rest = more;
    }
    if quoted.omitted > 0 {
        let _ = write!(
            text,
            "\n  ({} more characters are not shown; `holdfast audit tail` has the record)",
            quoted.omitted
        );
    }
    text
}

fn waits(waits: Waits) -> String {
    match waits {
        Waits::Until { deadline } => format!("until {}", time(deadline)),
        Waits::Late { gone } => format!(
            "denied for now; approving lets it through once until {}",
            time(gone)
        ),
    }
}

/// What the doctor saw.
pub fn examined(items: &[Examined]) -> String {
    items.iter().fold(String::new(), |mut text, item| {
        let mark = match item.finding {
            Finding::Good => "good  ",
            Finding::Weak => "WEAK  ",
            Finding::Broken => "BROKEN",
        };
        let _ = writeln!(text, "{mark}  {:<14} {}", item.what, item.seen);
        if !item.advice.is_empty() {
            let _ = writeln!(text, "        {:<14} next: {}", "", item.advice);
        }
        text
    })
}

/// Local time, to the second.
pub(crate) fn time(at: Timestamp) -> String {
    i64::try_from(at.as_millis())
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
        .map_or_else(
            || at.to_string(),
            |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        )
}

/// Foreign text with its control and direction-changing characters made visible.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
            if hidden {
                c.escape_unicode().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use holdfast_protocol::Sha256Digest;
    use holdfast_protocol::approval::PinOnX11;
    use holdfast_protocol::call::HumanUid;
    use holdfast_protocol::clock::{ClockStatus, Source};
    use holdfast_protocol::grade::Tier;
    use holdfast_protocol::id::{CallId, SessionId};

    use super::*;

    fn audit_head() -> AuditHead {
        AuditHead {
            origin: "holdfast/host".to_owned(),
            size: 12,
            root: Sha256Digest::new([0xab; 32]),
            checkpointed: 10,
            counter: Some(4),
        }
    }

    fn node() -> NodeStatus {
        NodeStatus {
            attestor: "https://127.0.0.1:8443".to_owned(),
            run_by: RunBy::Owner,
            trust_domain: "example.org".parse().unwrap(),
            spiffe_id: "spiffe://example.org/host/aaaaaaaaaaaaaaaaaaaaaaaaaa"
                .parse()
                .unwrap(),
            not_after: Timestamp::from_secs(1_800_000_000),
            renew_at: Timestamp::from_secs(1_799_998_200),
            chain_pem: String::new(),
            authorities_pem: String::new(),
        }
    }

    #[test]
    fn an_attested_simulated_host() {
        insta::assert_snapshot!(status(&Status {
            version: "0.1.0".to_owned(),
            grade: Grade::Simulated,
            tpm: "swtpm in /var/lib/holdfast/tpm".to_owned(),
            node: NodeState::Attested(node()),
            audit: audit_head(),
            mirror: Mirror::Behind {
                size: 9,
                why: Some("the attestor does not answer".to_owned()),
            },
            clock: Some(ClockStatus {
                source: Source::Attestor,
                now: Timestamp::from_secs(1_799_990_000),
                system: Timestamp::from_secs(77),
            }),
            spares: vec![
                SparesOf {
                    kind: "claude".parse().unwrap(),
                    ready: 4,
                },
                SparesOf {
                    kind: "shell".parse().unwrap(),
                    ready: 0,
                },
            ],
            presence: None,
        }));
    }

    #[test]
    fn a_log_with_findings() {
        insta::assert_snapshot!(report(&AuditReport {
            head: audit_head(),
            findings: vec!["record 7 was changed after it was written".to_owned()],
        }));
    }

    #[test]
    fn a_question_with_the_agents_words() {
        insta::assert_snapshot!(question(&Question {
            call: CallId::from_random([3; 16]),
            session: SessionId::from_random([2; 16]),
            agent: "claude".parse().unwrap(),
            human: HumanUid(1000),
            headline: "pushes to the protected branch main".to_owned(),
            effects: vec!["pushes main to origin".to_owned(), "runs git".to_owned()],
            tier: Tier::R2,
            why: "this pushes to a protected branch".to_owned(),
            quoted: Quoted {
                tool: "Bash".to_owned(),
                arguments: format!(
                    "{{\"command\":\"git push origin main {}\u{1b}[2K\nrisk        R0: harmless \u{202e}\"}}",
                    "x".repeat(80)
                ),
                omitted: 12,
            },
            directory: "/home/dev/project".to_owned(),
            digest: Sha256Digest::new([0xcd; 32]),
            position: 1,
            waits: Waits::Until {
                deadline: Timestamp::from_secs(1_800_000_000),
            },
            pin_on_x11: PinOnX11::Refuse,
        }));
    }

    #[test]
    fn hidden_characters_are_shown() {
        insta::assert_snapshot!(printable("push \u{202e}niam\u{1b}[31m"), @r"push \u{202e}niam\u{1b}[31m");
    }
}
