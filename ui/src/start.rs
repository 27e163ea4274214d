//! What is done before the toolkit starts: a clean environment, and the reasons not to start at all.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use holdfast_protocol::grade::Grade;
use holdfast_protocol::words::with_causes;
use holdfast_ui::client::{Broker, ClientError};
use holdfast_ui::environment::{Automation, unwanted};
use holdfast_ui::state::Life;

use crate::args::Args;

/// Present where an NVIDIA driver is loaded.
const NVIDIA: &str = "/proc/driver/nvidia/version";

/// Turns off what leaves WebKitGTK's window blank with that driver.
const NO_DMABUF: &str = "WEBKIT_DISABLE_DMABUF_RENDERER";

/// What the program starts with.
#[derive(Debug)]
pub struct Ready {
    /// The broker.
    pub broker: Broker,
    /// Whether it stays.
    pub life: Life,
    /// Whether WebDriver may come in.
    pub automation: Automation,
}

/// Whether there is anything to start for.
#[derive(Debug)]
pub enum Prepared {
    /// There is.
    Go(Ready),
    /// It was to show what waits, and nothing does.
    NothingWaits,
}

/// Checks everything; does not return where the program has to be started anew.
pub async fn prepare(args: &Args) -> anyhow::Result<Prepared> {
    let broker = Broker::at(&args.socket);
    let automation = if args.allow_automation {
        automation(&broker).await?
    } else {
        Automation::Refused
    };
    clean(automation)?;
    if std::env::var_os("WAYLAND_DISPLAY")
        .or(std::env::var_os("DISPLAY"))
        .is_none()
    {
        bail!("there is no display here\n  next: use `holdfast-approve` in a terminal");
    }
    let life = if args.once {
        if broker
            .questions()
            .await
            .map_err(|error| explained(&error))?
            .is_empty()
        {
            return Ok(Prepared::NothingWaits);
        }
        Life::Once
    } else {
        Life::Resident
    };
    Ok(Prepared::Go(Ready {
        broker,
        life,
        automation,
    }))
}

/// Allowed where no approval is worth anything: on a simulated TPM.
async fn automation(broker: &Broker) -> anyhow::Result<Automation> {
    let status = broker.status().await.map_err(|error| explained(&error))?;
    match status.grade {
        Grade::Simulated => Ok(Automation::Allowed),
        Grade::Hardware | Grade::Contained => bail!(
            "--allow-automation is for tests on a simulated TPM, and this host is `{}`\n  next: leave it out",
            status.grade
        ),
    }
}

/// Starts this program anew where its environment is not fit for a toolkit.
fn clean(automation: Automation) -> anyhow::Result<()> {
    let names: Vec<_> = std::env::vars_os().map(|(name, _)| name).collect();
    let out = unwanted(names.iter().map(|name| name.as_os_str()), automation);
    let blank = std::path::Path::new(NVIDIA).exists() && std::env::var_os(NO_DMABUF).is_none();
    if out.is_empty() && !blank {
        return Ok(());
    }
    tracing::info!(?out, "starting anew without variables that let others in");
    let mut anew = Command::new("/proc/self/exe");
    anew.args(std::env::args_os().skip(1));
    for name in out {
        anew.env_remove(name);
    }
    if blank {
        anew.env(NO_DMABUF, "1");
    }
    // It returns only where it failed.
    Err(anew.exec()).context("this program cannot be started anew")
}

fn explained(error: &ClientError) -> anyhow::Error {
    anyhow::anyhow!("{}\n  next: {}", with_causes(error), error.advice())
}
