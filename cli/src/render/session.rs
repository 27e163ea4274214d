//! One session, whole, in words.

use std::fmt::Write as _;

use holdfast_protocol::beyond::{Beyond, LeaveGiven};
use holdfast_protocol::bounds::{Bounds, size, span};
use holdfast_protocol::grade::SessionUid;
use holdfast_protocol::management::{SessionDetails, SessionPhase, SessionStatus};
use holdfast_protocol::run::RunKept;

use super::{printable, time};

/// What a session without a uid of its own is.
const LOWER: &str =
    "LOWER: it runs under its human's uid, whose other processes can signal it and slow it down";

/// A session, a fact a line.
pub fn session(session: &SessionStatus) -> String {
    let mut text = String::new();
    line(&mut text, "session", &session.session.to_string());
    line(&mut text, "kind", session.kind.as_str());
    line(&mut text, "state", phase(session.phase));
    line(&mut text, "human", &format!("uid {}", session.human));
    line(&mut text, "started", &time(session.started));
    if let Some(purpose) = &session.purpose {
        line(&mut text, "purpose", &printable(purpose));
    }
    line(&mut text, "program", &format!("sha256:{}", session.program));
    line(&mut text, "level", &format!("{:?}", session.level));
    if let Some(details) = &session.details {
        known(&mut text, session.runs_as, details);
    }
    text
}

/// Where a session is in its life, in a word.
pub fn phase(phase: SessionPhase) -> &'static str {
    match phase {
        SessionPhase::Starting => "starting",
        SessionPhase::Running => "running",
        SessionPhase::Frozen => "frozen",
        SessionPhase::Ended => "ended",
    }
}

fn known(text: &mut String, runs_as: SessionUid, details: &SessionDetails) {
    beyond(text, &details.beyond);
    if let (Some(uid), Some(cgroup)) = (details.uid, details.cgroup) {
        line(text, "runs as", &format!("host uid {uid}, cgroup {cgroup}"));
    }
    if let (Some(uid), None) = (details.uid, details.cgroup) {
        let own =
            format!("host uid {uid}, its human's own: contained, and open to their other programs");
        line(text, "runs as", &own);
    }
    // Without a cgroup it is contained, which says it already.
    if !runs_as.is_own() && details.cgroup.is_some() {
        line(text, "grade", LOWER);
    }
    if let Some(processes) = details.processes {
        line(text, "processes", &processes.to_string());
    }
    if let Some(milliseconds) = details.processor_ms {
        let seconds = milliseconds / 1000;
        let rest = milliseconds % 1000 / 10;
        line(text, "processor", &format!("{seconds}.{rest:02} s"));
    }
    bounds(text, &details.bounds);
    if !details.unkept.is_empty() {
        let unkept: Vec<String> = details.unkept.iter().map(ToString::to_string).collect();
        let unkept = format!("{} (this host cannot)", unkept.join(", "));
        line(text, "not bounded", &unkept);
    }
    if let Some(ends) = details.ends {
        line(text, "ends by", &time(ends));
    }
    if let Some(because) = details.because {
        line(text, "because", &because.to_string());
    }
    if let Some(how) = &details.how {
        line(text, "ended", &printable(how));
    }
}

/// What it was given beyond its profile's usual world.
fn beyond(text: &mut String, beyond: &Beyond) {
    for widening in &beyond.widenings {
        line(text, "given", &printable(&widening.to_string()));
    }
    if let Some(LeaveGiven { call, because }) = &beyond.leave {
        let leave = format!("{} ({}), call {call}", because.text, because.rule);
        line(text, "leave", &printable(&leave));
    }
    if !beyond.needed.is_empty() {
        line(text, "may read", &printable(&beyond.needed.join(", ")));
    }
    if !beyond.hosts.is_empty() {
        line(text, "own hosts", &printable(&beyond.hosts.join(", ")));
    }
    if beyond.kept == RunKept::Fresh {
        line(text, "kept", "nothing of earlier sessions (--fresh)");
    }
}

fn bounds(text: &mut String, bounds: &Bounds) {
    let Bounds {
        memory,
        processes,
        cpu_weight,
        open_files,
        file_size,
        tmp,
        home,
        lifetime,
        idle,
    } = bounds;
    let sizes = [
        ("memory", memory),
        ("one file", file_size),
        ("/tmp", tmp),
        ("home", home),
    ];
    let mut parts: Vec<String> = sizes
        .into_iter()
        .filter_map(|(name, bound)| bound.map(|bound| format!("{name} {}", size(bound.get()))))
        .collect();
    parts.extend(processes.map(|most| format!("{most} processes")));
    parts.extend(open_files.map(|most| format!("{most} open files")));
    parts.extend(cpu_weight.map(|weight| format!("processor share {weight}")));
    let spans = [("lives", lifetime), ("idle", idle)];
    parts.extend(spans.into_iter().filter_map(|(name, bound)| {
        bound.map(|bound| format!("{name} {} at most", span(bound.get().into())))
    }));
    if parts.is_empty() {
        parts.push("none".to_owned());
    }
    line(text, "bounds", &parts.join(", "));
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<12}{value}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use holdfast_protocol::decision::Reason;
    use holdfast_protocol::id::CallId;

    use super::*;

    #[test]
    fn what_a_session_was_given_is_said_with_whose_word_it_was() {
        let given = Beyond {
            widenings: vec![
                "--rw /home/ann/da\u{1b}[2Jta".parse().unwrap(),
                "--host a.example".parse().unwrap(),
            ],
            leave: Some(LeaveGiven {
                call: CallId::from_random([1; 16]),
                because: Reason::new("approval/click", "the human approved it"),
            }),
            needed: vec!["/home/ann/.cargo/bin".to_owned(), "/opt/node".to_owned()],
            hosts: vec!["models.example".to_owned()],
            kept: RunKept::Fresh,
        };
        let mut text = String::new();
        beyond(&mut text, &given);
        beyond(&mut text, &Beyond::default());
        insta::assert_snapshot!(text, @r"
        given       --rw /home/ann/da\u{1b}[2Jta
        given       --host a.example
        leave       the human approved it (approval/click), call aeaqcaibaeaqcaibaeaqcaibae
        may read    /home/ann/.cargo/bin, /opt/node
        own hosts   models.example
        kept        nothing of earlier sessions (--fresh)
        ");
    }
}
