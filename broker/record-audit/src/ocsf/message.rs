//! An event in one line, for the people who read a log.
//!
//! The line repeats what the record's fields say and adds nothing; programs read the fields. It must never be made of an
//! agent's own words (arguments, purposes), and text from outside is cut to a length that leaves it one line.

use holdfast_protocol::approval::{PinRecovery, Surface};
use holdfast_protocol::audit::{HeldOutcome, What};
use holdfast_protocol::decision::{DeniedBy, Verdict};
use holdfast_protocol::grade::SessionUid;
use holdfast_protocol::id::SpiffeId;
use holdfast_protocol::management::SessionAct;
use holdfast_protocol::vault::Sharing;

/// How much of a text from outside a line shows, in characters; all of it stands in the record's fields.
const SHOWN: usize = 160;

/// The `message` of an event.
pub(super) fn message(what: &What) -> String {
    match what {
        What::LogStarted { version, grade } => {
            format!("holdfastd {version} started ({grade})")
        }
        What::LogStopped => "holdfastd stopped in order".to_owned(),
        What::LogRecovered { records } => {
            format!("holdfastd had not stopped in order; the log was found with {records} records")
        }
        What::ImaListDeclared { path } => {
            format!(
                "the measurement list is read from {}, by configuration",
                cut(path)
            )
        }
        What::SystemdLogDeclared { path } => {
            format!("systemd's log is read from {}, by configuration", cut(path))
        }
        What::TimeTaken { system, attestor } => {
            let apart = system.since(*attestor).max(attestor.since(*system));
            let way = if system < attestor {
                "behind"
            } else {
                "ahead of"
            };
            format!(
                "this host's clock is {} s {way} the attestor's, which is gone by",
                apart.as_secs()
            )
        }
        What::HostEnrolled { attestor, host } => {
            format!("enrolled with {} as host {host}", cut(attestor))
        }
        What::HostAttested {
            spiffe_id, serial, ..
        } => format!("attested as {spiffe_id}, certificate {}", cut(serial)),
        What::HostNotAttested { why } => format!("not attested: {}", cut(why)),
        What::HostHeld { why, .. } => format!("this host may do nothing: {}", cut(why)),
        What::HostFreed => "this host may act again".to_owned(),
        What::SessionHeld { session, outcome } => match outcome {
            HeldOutcome::Frozen => format!("session {session} was frozen with its host"),
            HeldOutcome::Killed => {
                format!("session {session} would not freeze with its host and was killed")
            }
        },
        What::SessionFreed { session } => format!("session {session} goes on with its host"),
        What::EpochAdvanced { epoch } => {
            format!("leases made before revocation epoch {epoch} are dead in the TPM")
        }
        What::SessionStarted {
            session,
            spiffe_id: _,
            human,
            program: _,
            package,
            runs_as,
            beyond,
        } => {
            let with = package.as_ref().map_or(String::new(), |package| {
                let name = package.name.as_ref();
                let name = name.map_or(&*package.script, |name| name.as_str());
                format!(", with {name}")
            });
            let under = under(*runs_as);
            let given = match cut(&beyond.to_string()) {
                none if none.is_empty() => none,
                given => format!(", given {given}"),
            };
            format!(
                "session {session} started by uid {}{with}{under}{given}",
                human.0
            )
        }
        What::LaunchRefused {
            human,
            kind,
            program,
            package,
        } => {
            let digest = package.as_ref().map_or(program, |package| &package.digest);
            format!(
                "{kind} {digest} was not launched for uid {}: it is not listed",
                human.0
            )
        }
        What::SessionControlled {
            session,
            human,
            act,
        } => {
            let act = match act {
                SessionAct::Pause => "pauses",
                SessionAct::Resume => "resumes",
                SessionAct::End => "ends",
            };
            format!("uid {} {act} session {session}", human.0)
        }
        What::SessionContained { session, level, .. } => {
            format!("session {session} is contained, made without root: level {level:?}")
        }
        What::SessionBounded {
            session, unkept, ..
        } if unkept.is_empty() => format!("session {session} has its bounds"),
        What::SessionBounded {
            session, unkept, ..
        } => {
            let unkept: Vec<String> = unkept.iter().map(ToString::to_string).collect();
            let unkept = unkept.join(", ");
            format!(
                "session {session} has its bounds, but for what this host cannot bound: {unkept}"
            )
        }
        What::SessionStopped {
            session,
            act,
            because,
        } => {
            let done = match act {
                SessionAct::Pause => "frozen",
                SessionAct::Resume => "let go on",
                SessionAct::End => "ended",
            };
            format!("session {session} is {done}: {because}")
        }
        What::ShellOpened { session, human } => {
            format!("shell opened by uid {} in session {session}", human.0)
        }
        What::SessionEnded { session, how } => format!("session {session} ended: {}", cut(how)),
        What::SubAgentStarted {
            session,
            spiffe_id,
            parent,
            wish: _,
        } => format!(
            "session {session} made sub-agent {} of {}",
            agent(spiffe_id),
            agent(parent)
        ),
        What::SubAgentControlled {
            session,
            sub,
            human,
        } => format!("uid {} ends {sub} of session {session}", human.0),
        What::SubAgentEnded { session, spiffe_id } => {
            format!("sub-agent {} of session {session} ended", agent(spiffe_id))
        }
        What::WorkloadRefused { uid, level, why } => format!(
            "a process of uid {uid} has no identity here ({level:?}): {}",
            cut(why)
        ),
        What::SvidIssued {
            session, audience, ..
        } => format!("session {session} was given an SVID for {}", cut(audience)),
        What::FactorEnrolled { human, key } => {
            format!("approval key {key} enrolled for uid {}", human.0)
        }
        What::FactorRecovered { human, act } => {
            let done = match act {
                PinRecovery::Unlock => "unlocked",
                PinRecovery::Remove => "given up",
            };
            format!(
                "approval key of uid {} {done} by its recovery code",
                human.0
            )
        }
        What::VaultMade { human, sharing } => {
            let sharing = match sharing {
                Sharing::Keyring => "shared with a keyring",
                Sharing::Headless => "opened by this TPM alone, as declared",
            };
            format!("vault of uid {} made, {sharing}", human.0)
        }
        What::VaultOpened { human } => format!("vault of uid {} opened", human.0),
        What::VaultRecovered { human } => format!(
            "vault of uid {} opens under this machine's present software, by its recovery code",
            human.0
        ),
        What::SecretKept { human, name, .. } => {
            format!("uid {} puts secret {name} into the vault", human.0)
        }
        What::SecretRemoved { human, name } => {
            format!("uid {} takes secret {name} out of the vault", human.0)
        }
        What::SecretLeased { session, name, .. } => {
            format!("session {session} was given the use of secret {name}")
        }
        What::PinTyped {
            call,
            human,
            surface,
        } => {
            let place = match surface {
                Surface::Terminal => "in a terminal",
                Surface::File => "from a file",
                Surface::WaylandWindow => "in a window",
                Surface::X11Window => "in a window on X11, where others can watch",
            };
            format!("uid {} gave a PIN {place} for call {call}", human.0)
        }
        What::CallDecided { call, verdict, .. } => {
            let (answer, because) = match verdict {
                Verdict::Allow { because } => ("allowed".to_owned(), because),
                Verdict::StepUp { tier, because } => (format!("asks for {tier:?}"), because),
                Verdict::Deny { by, because } => (format!("denied by {}", name(*by)), because),
            };
            format!(
                "{} of {} in session {}: {answer}: {}",
                call.tool.as_str(),
                call.caller.kind,
                call.caller.session,
                cut(&because.text)
            )
        }
        What::CallApproved { receipt } => format!(
            "uid {} approved call {}",
            receipt.consent.human.0, receipt.consent.call
        ),
        What::CallEnded { call, outcome, .. } => format!("call {call} ended: {}", cut(outcome)),
    }
}

/// What is said of a session's uid where it is not its own.
fn under(runs_as: SessionUid) -> &'static str {
    match runs_as {
        SessionUid::Own => "",
        SessionUid::Humans => ", under that uid (a lower grade)",
    }
}

/// A name without its host's.
fn agent(id: &SpiffeId) -> &str {
    id.path()
        .split_once("/agent/")
        .map_or(id.path(), |(_, agent)| agent)
}

fn name(by: DeniedBy) -> &'static str {
    match by {
        DeniedBy::Policy => "policy",
        DeniedBy::PolicyError => "a policy that could not be evaluated",
        DeniedBy::Human => "the human",
        DeniedBy::Silence => "silence",
        DeniedBy::Audit => "the audit log",
        DeniedBy::Session => "the session's end",
    }
}

/// The beginning of `text`, with line breaks and tabs as spaces.
fn cut(text: &str) -> String {
    let mut characters = text.chars();
    let mut line: String = characters
        .by_ref()
        .take(SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if characters.next().is_some() {
        line.push('…');
    }
    line
}
