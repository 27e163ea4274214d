//! A session that waits for its human before it begins: what for, how they answer, and how they take it back.
//!
//! It must never go away without the broker's word that the question is gone, unless it is told to twice.

use std::os::fd::OwnedFd;

use holdfast_protocol::grade::Tier;
use holdfast_protocol::run::{RunControl, RunEvent, RunWaiting};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;

use super::host;
use crate::job::{self, Whole};
use crate::outcome::Problem;
use crate::render::{printable, time};
use crate::run_client::RunConnection;

/// How long a signal may lie before it is looked at, where it does not end the wait by itself.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What became of the wish: the first event that is not that it waits.
pub fn until_decided(
    connection: &RunConnection,
    signals: &mut Signals,
) -> Result<(RunEvent, Option<OwnedFd>), Problem> {
    let mut event = connection.next().map_err(|error| host(&error))?;
    while let (RunEvent::Waiting(waiting), _) = &event {
        for line in words(waiting) {
            eprintln!("holdfast: {line}");
        }
        answered(connection, signals)?;
        event = connection.next().map_err(|error| host(&error))?;
    }
    Ok(event)
}

/// Waits until the broker says something; Ctrl-C has it take the question back.
fn answered(connection: &RunConnection, signals: &mut Signals) -> Result<(), Problem> {
    let mut taken_back = false;
    loop {
        let mut connections = [PollFd::new(connection, PollFlags::IN)];
        match poll(&mut connections, Some(&GLANCE)) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(host(&errno.into())),
        }
        match Said::of(&signals.pending().collect::<Vec<_>>()) {
            Said::Nothing => {}
            // The question waits on, as a job of the background does.
            Said::Stop if job::has_a_shell() => job::stop(Whole::Process),
            Said::Stop => {}
            // The broker sees that this end is gone, which takes the question back as well.
            Said::End if taken_back => {
                return Err(Problem::failed(
                    "interrupted before holdfastd had said that the question is gone",
                    "`holdfast approvals` lists what waits",
                ));
            }
            Said::End => {
                taken_back = true;
                connection
                    .tell(RunControl::Interrupt)
                    .map_err(|error| host(&error))?;
            }
        }
    }
}

/// What signals say to a command that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Nothing,
    Stop,
    End,
}

impl Said {
    /// By those that came since it was last looked.
    fn of(signals: &[i32]) -> Self {
        let ends = |signal: &i32| matches!(*signal, SIGHUP | SIGINT | SIGTERM);
        if signals.iter().any(ends) {
            Self::End
        } else if signals.contains(&SIGTSTP) && !signals.contains(&SIGCONT) {
            Self::Stop
        } else {
            // As in the kernel, what lets a job go on outdoes what would have stopped it.
            Self::Nothing
        }
    }
}

fn words(waiting: &RunWaiting) -> Vec<String> {
    let RunWaiting {
        call,
        headline,
        effects,
        why,
        tier,
        deadline,
    } = waiting;
    let mut lines = vec![
        format!("nothing runs yet: {}", printable(why)),
        format!("  {}?", printable(headline)),
    ];
    if effects.len() > 1 {
        lines.extend(
            effects
                .iter()
                .map(|effect| format!("  - {}", printable(effect))),
        );
    }
    let proof = match tier {
        Tier::R0 | Tier::R1 => "a click",
        Tier::R2 => "your PIN",
        Tier::R3 => "two proofs",
    };
    lines.push(format!(
        "answer with {proof} in the tray, with `holdfast-approve`, or here in another terminal:"
    ));
    lines.push(format!("  holdfast approvals approve {call}   (or: deny)"));
    lines.push(format!(
        "waiting until {}; Ctrl-C takes the question back",
        time(*deadline)
    ));
    lines
}

#[cfg(test)]
mod tests {
    use holdfast_protocol::Timestamp;
    use holdfast_protocol::id::CallId;
    use signal_hook::consts::SIGWINCH;

    use super::*;

    #[test]
    fn a_stop_is_no_withdrawal() {
        let said = [
            (&[] as &[i32], Said::Nothing),
            (&[SIGWINCH], Said::Nothing),
            (&[SIGTSTP, SIGWINCH], Said::Stop),
            (&[SIGCONT], Said::Nothing),
            (&[SIGTSTP, SIGCONT], Said::Nothing),
            (&[SIGINT], Said::End),
            (&[SIGTERM, SIGTSTP], Said::End),
            (&[SIGHUP, SIGCONT], Said::End),
        ];
        for (signals, said) in said {
            assert_eq!(Said::of(signals), said, "{signals:?}");
        }
    }

    #[test]
    fn it_says_that_it_waits_for_what_and_how_to_answer() {
        let waiting = RunWaiting {
            call: CallId::from_random([1; 16]),
            headline: "Lend `/home/ann/data` writable to claude in `/home/ann/app`".to_owned(),
            effects: vec!["Lend `/home/ann/data` writable".to_owned()],
            why: "it widens what a session may change or reach".to_owned(),
            tier: Tier::R1,
            deadline: Timestamp::from_millis(1_700_000_000_000),
        };
        let more = RunWaiting {
            effects: vec!["one".to_owned(), "another \u{1b}[2J".to_owned()],
            tier: Tier::R2,
            ..waiting.clone()
        };
        let told = [words(&waiting), words(&more)].concat().join("\n");
        insta::assert_snapshot!(told, @r"
        nothing runs yet: it widens what a session may change or reach
          Lend `/home/ann/data` writable to claude in `/home/ann/app`?
        answer with a click in the tray, with `holdfast-approve`, or here in another terminal:
          holdfast approvals approve aeaqcaibaeaqcaibaeaqcaibae   (or: deny)
        waiting until 2023-11-14 22:13:20Z; Ctrl-C takes the question back
        nothing runs yet: it widens what a session may change or reach
          Lend `/home/ann/data` writable to claude in `/home/ann/app`?
          - one
          - another \u{1b}[2J
        answer with your PIN in the tray, with `holdfast-approve`, or here in another terminal:
          holdfast approvals approve aeaqcaibaeaqcaibaeaqcaibae   (or: deny)
        waiting until 2023-11-14 22:13:20Z; Ctrl-C takes the question back
        ");
    }
}
