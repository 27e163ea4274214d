//! The command line of `holdfast-ui`.

use std::path::PathBuf;

use clap::Parser;

/// Shows what agents ask of you, and carries your answers to the broker.
///
/// It waits in the background, with an icon in the tray where the desktop has one, and opens a window
/// when an agent wants something that needs you. The window shows what would happen, as Holdfast
/// understands it; Deny has the focus, and Esc puts the question aside. What is of high impact takes
/// your PIN, under which the TPM signs your consent to exactly that call: `holdfast factors enroll`
/// makes one. It decides nothing itself, and without it nothing is approved.
///
/// On X11, where every program can watch the keys, the broker takes no PIN from this window unless
/// `pin-on-x11 = "allow"` is declared in holdfastd.toml; each use is recorded. `holdfast-approve`
/// does the same in a terminal.
#[derive(Debug, Parser)]
#[command(
    name = "holdfast-ui",
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage."
)]
pub struct Args {
    /// The broker's management socket.
    #[arg(
        long,
        value_name = "PATH",
        env = "HOLDFAST_SOCKET",
        default_value = "/run/holdfast/management.sock"
    )]
    pub socket: PathBuf,

    /// Show what waits now, and end with the window.
    #[arg(long)]
    pub once: bool,

    /// Let WebDriver drive the window: for tests, and refused unless the broker runs on a simulated TPM.
    #[arg(long)]
    pub allow_automation: bool,
}
