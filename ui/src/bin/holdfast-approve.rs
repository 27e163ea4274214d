//! `holdfast-approve`: the approval window's terminal sibling.
//!
//! It shows what waits and carries an answer to the broker. A PIN is typed without echo, is never an
//! argument, and comes from no file: `holdfast approvals approve --pin-file` is for scripts.
#![forbid(unsafe_code)]

use std::io::{BufRead, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use holdfast_protocol::Timestamp;
use holdfast_protocol::approval::{HumanAnswer, Question, Surface};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::CallId;
use holdfast_protocol::secret::Secret;
use holdfast_ui::client::{Broker, ClientError};
use holdfast_ui::terminal;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// The longest line that is read.
const MAX_LINE: u64 = 256;

/// Shows the questions that wait for you, and answers one of them.
///
/// Without an ID it lists them. With one it shows that question whole and asks: what is of low risk
/// takes a yes; what is of high impact takes your PIN, under which the TPM signs your consent to
/// exactly that call. Anything but a clear yes leaves the question waiting; --deny denies it.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast-approve",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 4 left unanswered."
)]
struct Args {
    /// The broker's management socket.
    #[arg(
        long,
        value_name = "PATH",
        env = "HOLDFAST_SOCKET",
        default_value = "/run/holdfast/management.sock"
    )]
    socket: PathBuf,
    /// Deny it, without asking further.
    #[arg(long, requires = "id")]
    deny: bool,
    /// The question.
    id: Option<CallId>,
}

/// Why nothing was answered.
enum Trouble {
    /// The broker did not do it.
    Broker(ClientError),
    /// There is nobody to ask, or nothing to ask about.
    Usage(String),
    /// The terminal fails.
    Terminal(std::io::Error),
    /// The human did not say yes.
    Unanswered,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let code = match run(&args).await {
        Ok(()) => 0,
        Err(Trouble::Broker(error)) => {
            let notice = holdfast_ui::words::notice(&error);
            eprintln!(
                "holdfast-approve: {}\n  next: {}",
                notice.message, notice.advice
            );
            1
        }
        Err(Trouble::Terminal(error)) => {
            eprintln!("holdfast-approve: the terminal cannot be used: {error}");
            1
        }
        Err(Trouble::Usage(message)) => {
            eprintln!("holdfast-approve: {message}");
            2
        }
        Err(Trouble::Unanswered) => {
            eprintln!("holdfast-approve: left unanswered; without an answer it is denied");
            4
        }
    };
    ExitCode::from(code)
}

async fn run(args: &Args) -> Result<(), Trouble> {
    let broker = Broker::at(&args.socket);
    let questions = broker.questions().await.map_err(Trouble::Broker)?;
    let Some(id) = args.id else {
        return say(&terminal::list(&questions, now()));
    };
    let question = questions
        .into_iter()
        .find(|question| question.call == id)
        .ok_or_else(|| Trouble::Usage(format!("no question {id} waits for you")))?;
    let answer = if args.deny {
        HumanAnswer::Deny
    } else {
        say(&terminal::question(&question, now()))?;
        consent(&question)?
    };
    let said = if matches!(answer, HumanAnswer::Deny) {
        "denied"
    } else {
        "approved"
    };
    broker.answer(id, answer).await.map_err(Trouble::Broker)?;
    say(said)
}

/// Asks the human; gives their yes, or the lack of one.
fn consent(question: &Question) -> Result<HumanAnswer, Trouble> {
    if !std::io::stdin().is_terminal() {
        return Err(Trouble::Usage(
            "run it in a terminal: it has to ask you".to_owned(),
        ));
    }
    match question.tier {
        Tier::R0 | Tier::R1 => {
            prompt("Approve? [y/N] ")?;
            let line = line().map_err(Trouble::Terminal)?;
            match line.trim() {
                "y" | "Y" | "yes" => Ok(HumanAnswer::Click),
                _ => Err(Trouble::Unanswered),
            }
        }
        Tier::R2 => {
            let pin = hidden("PIN (empty leaves it unanswered): ")?;
            if pin.is_empty() {
                return Err(Trouble::Unanswered);
            }
            Ok(HumanAnswer::Pin {
                pin: Secret::new(pin),
                surface: Surface::Terminal,
            })
        }
        Tier::R3 => Err(Trouble::Usage(
            "it cannot be approved here; `holdfast-approve --deny ID` denies it".to_owned(),
        )),
    }
}

/// Reads a line without showing it, and gives the terminal back as it was.
fn hidden(question: &str) -> Result<Zeroizing<String>, Trouble> {
    let failed = |error: rustix::io::Errno| Trouble::Terminal(error.into());
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).map_err(failed)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(failed)?;
    let read = prompt(question).and_then(|()| line().map_err(Trouble::Terminal));
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(failed);
    eprintln!();
    restored.and(read)
}

fn line() -> std::io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::with_capacity(256));
    std::io::stdin()
        .lock()
        .take(MAX_LINE)
        .read_line(&mut text)?;
    Ok(Zeroizing::new(
        text.trim_end_matches(['\r', '\n']).to_owned(),
    ))
}

fn prompt(text: &str) -> Result<(), Trouble> {
    eprint!("{text}");
    std::io::stderr().flush().map_err(Trouble::Terminal)
}

fn say(text: &str) -> Result<(), Trouble> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // A reader that has gone (`| head`) wants no more.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Trouble::Terminal(error))
        }
        _ => Ok(()),
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
