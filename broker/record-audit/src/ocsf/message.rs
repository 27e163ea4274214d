//! An event in one line, for the people who read a log.
//!
//! The line repeats what the record's fields say and adds nothing; programs read the fields. It must never be made of an
//! agent's own words (arguments, purposes), and text from outside is cut to a length that leaves it one line.

use holdfast_protocol::approval::{PinRecovery, Surface};
use holdfast_protocol::audit::{HeldOutcome, What};
use holdfast_protocol::decision::{DeniedBy, Verdict};
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
        } => format!("session {session} started by uid {}", human.0),
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
        What::ShellOpened { session, human } => {
            format!("shell opened by uid {} in session {session}", human.0)
        }
        What::SessionEnded { session, how } => format!("session {session} ended: {}", cut(how)),
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
