//! The words of `holdfast secrets`.
//!
//! No argument may ever hold a secret's value: others on the machine can read arguments.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use holdfast_protocol::url::HttpUrl;
use holdfast_protocol::vault::{GitUser, SecretName};

/// Secrets.
#[derive(Clone, Debug, Subcommand)]
pub enum Secrets {
    /// List them, by name and use; the default.
    List,
    /// Make your vault, and print the code that recovers it.
    ///
    /// It opens with this machine's TPM together with a random share that your keyring keeps.
    Init {
        /// Without a keyring: this TPM alone opens the vault, also when you are not logged in; recorded.
        #[arg(long)]
        headless: bool,
    },
    /// Put a secret into the vault; one of the same name is replaced.
    ///
    /// The secret is typed without being shown, or read from --value-file, or from a pipe.
    Add(Box<AddSecret>),
    /// Take in secrets that lie on this machine already.
    Import(Import),
    /// Take a secret out of the vault, and from every session that was given it.
    Remove {
        /// Its name.
        name: SecretName,
    },
    /// Open the vault with the share in your keyring; other commands do so by themselves.
    Unlock,
    /// Let the vault open again after this machine's firmware or Secure Boot has changed, by its recovery code.
    ///
    /// Only if you know what changed: the vault then opens under this state as well as under those before it. The code
    /// is the one that `secrets init` printed; it is typed without being shown, or read from --code-file, or from a pipe.
    Recover {
        /// A file that holds the code and that only you can read.
        #[arg(long, value_name = "FILE")]
        code_file: Option<PathBuf>,
    },
}

/// A new secret.
#[derive(Clone, Debug, Args)]
pub struct AddSecret {
    /// Its name: a-z, 0-9, `.`, `_`, `-`.
    pub name: SecretName,
    #[command(flatten)]
    pub kind: Kind,
    /// Where the Anthropic API is, if it is a gateway's.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://api.anthropic.com",
        conflicts_with = "git"
    )]
    pub base_url: HttpUrl,
    /// The user's name at the remote; services that go by the token take any.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "x-access-token",
        conflicts_with_all = ["anthropic_key", "anthropic_token"]
    )]
    pub username: GitUser,
    /// A file that holds the secret and that only you may read.
    #[arg(long, value_name = "FILE")]
    pub value_file: Option<PathBuf>,
}

/// What a secret is for: exactly one of these.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Kind {
    /// An API key of Anthropic's.
    #[arg(long)]
    pub anthropic_key: bool,
    /// A Claude subscription's long-lived token (`claude setup-token`).
    #[arg(long)]
    pub anthropic_token: bool,
    /// A password or token for a git remote, or for all that lies below its URL.
    #[arg(long, value_name = "URL")]
    pub git: Option<HttpUrl>,
}

/// What to import.
#[derive(Clone, Debug, Args)]
pub struct Import {
    /// Where to look [default: everywhere].
    pub source: Option<Source>,
    /// Say what there is, and take nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
}

/// Where secrets lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Source {
    /// Claude Code's: the environment, ~/.claude/.credentials.json.
    Claude,
    /// Git's: ~/.git-credentials, ~/.config/git/credentials.
    Git,
}
