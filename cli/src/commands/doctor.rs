//! `holdfast doctor`: what stands in the way, and what to do about it.
//!
//! It looks and says; it must never change anything.

mod host;

use std::path::Path;

use holdfast_protocol::clock::{ClockStatus, Source};
use holdfast_protocol::grade::Grade;
use holdfast_protocol::management::{NodeState, Request, Response, Status};
use serde::Serialize;

use super::{show, status};
use crate::args::Args;
use crate::client::ask;
use crate::outcome::Problem;
use crate::render;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub struct Examined {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub finding: Finding,
    /// What was seen.
    pub seen: String,
    /// What to do, where something is to be done.
    pub advice: &'static str,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// As it should be.
    Good,
    /// Works, and could be better.
    Weak,
    /// Does not work.
    Broken,
}

/// Examines this installation.
pub fn run(args: &Args) -> Result<(), Problem> {
    let mut examined = vec![kernel_tpm()];
    let mut whole = vec![host::controllers(), host::uids()];
    match status::fetch(args) {
        Ok(status) => {
            // A contained broker uses nothing of what only root can set up.
            if status.grade == Grade::Contained {
                whole.clear();
            }
            examined.extend([broker(&status), grade(&status), node(&status)]);
            examined.extend(status.clock.as_ref().map(clock));
            examined.push(audit(args));
            examined.extend(status.presence.as_ref().map(host::presence));
        }
        Err(problem) => examined.push(Examined {
            what: "broker",
            finding: Finding::Broken,
            seen: problem.to_string(),
            advice: "start holdfastd, or name its socket with --socket",
        }),
    }
    examined.extend(whole);
    examined.push(membership());
    show(args, &examined, render::examined(&examined).trim_end())?;
    if examined.iter().any(|item| item.finding == Finding::Broken) {
        return Err(Problem::failed(
            "something is broken",
            "see the advice above",
        ));
    }
    Ok(())
}

fn kernel_tpm() -> Examined {
    let present = Path::new("/dev/tpmrm0").exists();
    Examined {
        what: "tpm device",
        finding: if present {
            Finding::Good
        } else {
            Finding::Weak
        },
        seen: if present {
            "/dev/tpmrm0 is there".to_owned()
        } else {
            "/dev/tpmrm0 is not there".to_owned()
        },
        advice: if present {
            ""
        } else {
            "switch the TPM on in the firmware; until then only the simulator is possible"
        },
    }
}

fn broker(status: &Status) -> Examined {
    let same = status.version == env!("CARGO_PKG_VERSION");
    Examined {
        what: "broker",
        finding: if same { Finding::Good } else { Finding::Weak },
        seen: format!("holdfastd {}", status.version),
        advice: if same {
            ""
        } else {
            "holdfast and holdfastd are of different versions; restart holdfastd after an upgrade"
        },
    }
}

fn grade(status: &Status) -> Examined {
    let (finding, advice) = match status.grade {
        Grade::Hardware => (Finding::Good, ""),
        Grade::Simulated => (
            Finding::Weak,
            "a simulated TPM proves nothing about hardware: use a real one outside development",
        ),
        Grade::Contained => (
            Finding::Weak,
            "your other programs can read and change contained sessions: install Holdfast as a system service \
             to have them kept out",
        ),
    };
    Examined {
        what: "grade",
        finding,
        seen: format!("{} ({})", status.grade, status.tpm),
        advice,
    }
}

fn node(status: &Status) -> Examined {
    let (finding, seen, advice) = match &status.node {
        NodeState::Attested(node) => (Finding::Good, node.spiffe_id.to_string(), ""),
        NodeState::Contained { .. } => (
            Finding::Weak,
            "none: this broker runs without root, and no attestor vouches for it".to_owned(),
            "install Holdfast as a system service for sessions that others can trust",
        ),
        NodeState::NotEnrolled => (
            Finding::Broken,
            "not enrolled with an attestor".to_owned(),
            "`holdfast enroll URL --token-file FILE`",
        ),
        NodeState::NotAttested { why, .. } => (
            Finding::Broken,
            why.clone(),
            "see the attestor's log for the check that refused this host",
        ),
    };
    Examined {
        what: "node identity",
        finding,
        seen,
        advice,
    }
}

fn clock(status: &ClockStatus) -> Examined {
    let (finding, advice) = match status.source {
        Source::System => (Finding::Good, ""),
        Source::Attestor => (
            Finding::Weak,
            "set this host's clock: programs in sessions see it, and so do this host's other services",
        ),
        Source::Unsettled => (
            Finding::Weak,
            "`holdfast status --renew` asks the attestor what time it is",
        ),
        Source::Lost => (
            Finding::Broken,
            "set this host's clock, or see to it that the attestor can be reached",
        ),
    };
    Examined {
        what: "clock",
        finding,
        seen: render::clock::clock(status),
        advice,
    }
}

fn audit(args: &Args) -> Examined {
    let (finding, seen, advice) = match ask(&args.socket, &Request::AuditVerify) {
        Ok(Response::Verified(report)) if report.findings.is_empty() => (
            Finding::Good,
            format!(
                "all is well in {}, {} frozen by the TPM",
                render::counted(report.head.size),
                report.head.checkpointed
            ),
            "",
        ),
        Ok(Response::Verified(report)) => (
            Finding::Broken,
            report.findings.join("; "),
            "keep the state folder as it is for an investigation",
        ),
        Ok(_) | Err(_) => (
            Finding::Broken,
            "the log could not be verified".to_owned(),
            "see holdfastd's log",
        ),
    };
    Examined {
        what: "audit log",
        finding,
        seen,
        advice,
    }
}

/// The human must be in neither group: members reach the TPM and the broker's files directly.
fn membership() -> Examined {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let own: Vec<u32> = rustix::process::getgroups()
        .unwrap_or_default()
        .into_iter()
        .map(rustix::process::Gid::as_raw)
        .collect();
    let member: Vec<&str> = groups
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let gid: u32 = fields.nth(1)?.parse().ok()?;
            (matches!(name, "tss" | "holdfast") && own.contains(&gid)).then_some(name)
        })
        .collect();
    Examined {
        what: "your groups",
        finding: if member.is_empty() {
            Finding::Good
        } else {
            Finding::Weak
        },
        seen: if member.is_empty() {
            "you are in neither `tss` nor `holdfast`".to_owned()
        } else {
            format!("you are in {}", member.join(" and "))
        },
        advice: if member.is_empty() {
            ""
        } else {
            "leave it: your other programs could reach the TPM past the broker"
        },
    }
}
