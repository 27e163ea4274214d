//! `serve`: from configuration to an orderly end.
//!
//! Everything that can be wrong is found before the address is bound and announced.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::{Problem, descriptors, state};
use crate::config::{Config, LogConfig, LogFormat, Shown};
use crate::serve::{BundleEndpoint, EndpointCertificate, Server, Settings, WebCertificate};

const ADDRESS_FILE: &str = "address";
const BUNDLE_ADDRESS_FILE: &str = "bundle-address";

pub(super) async fn run(path: &Path) -> Result<(), Problem> {
    let config = state::configuration(path)?;
    start_log(&config.log)?;
    let authority = state::authority(&config)?;
    let settings = settings(&config)?;
    let cosigner = state::cosigner(&config)?;
    let registry = state::registry(&config).await?;
    let mut signals = Signals::listen()?;

    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        Problem::io(
            &format!("cannot listen on {}", config.listen),
            &error,
            "name another `listen` address in the configuration; port 0 takes a free one",
        )
    })?;
    let mut server = Server::new(listener, authority, cosigner, registry.clone(), settings)?;
    let mut announced = vec![Announced::publish(
        &config.state,
        ADDRESS_FILE,
        server.address(),
    )?];
    if let Some(endpoint) = bundle_endpoint(&config).await? {
        let address = endpoint.address()?;
        announced.push(Announced::publish(
            &config.state,
            BUNDLE_ADDRESS_FILE,
            address,
        )?);
        server = server.with_bundle_endpoint(endpoint);
        tracing::info!(%address, "the bundle is served to other trust domains");
    }
    tracing::info!(
        address = %server.address(),
        trust_domain = %config.trust_domain,
        "ready"
    );

    let stop = CancellationToken::new();
    let serving = server.run(stop.clone());
    tokio::pin!(serving);
    let served = tokio::select! {
        served = &mut serving => served,
        () = signals.told() => {
            tracing::info!("stopping");
            stop.cancel();
            serving.await
        }
    };
    drop(announced);
    registry.close().await;
    tracing::info!("stopped");
    Ok(served?)
}

/// Where the bundle is served to others, where that is wanted.
async fn bundle_endpoint(config: &Config) -> Result<Option<BundleEndpoint>, Problem> {
    let Some((listen, shown)) = config.bundle_endpoint() else {
        return Ok(None);
    };
    let certificate = match shown {
        Shown::Own => EndpointCertificate::Own,
        Shown::Files { certificate, key } => {
            let web = WebCertificate::open(certificate.clone(), key.clone())?;
            EndpointCertificate::Web(Arc::new(web))
        }
    };
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        Problem::io(
            &format!("cannot listen on {listen}"),
            &error,
            "name another `bundle-endpoint.listen` address; port 0 takes a free one",
        )
    })?;
    let hint = config.bundle_endpoint.refresh_hint.duration();
    Ok(Some(BundleEndpoint::new(listener, certificate, hint)))
}

fn settings(config: &Config) -> Result<Settings, Problem> {
    Ok(Settings {
        enrollment: config.enrollment_policy()?,
        policies: config.policies()?,
        jwt_ttl: config.svid.jwt_ttl.duration(),
        server_names: config.server_names.clone(),
        explain: config.explain_refusals,
        run_by: config.run_by,
        mirror: config.mirror.limits(),
        connections: descriptors::room_for(config.max_connections),
        federation: Arc::new(state::federation(config)?),
    })
}

fn start_log(config: &LogConfig) -> Result<(), Problem> {
    let filter = EnvFilter::try_new(&config.level).map_err(|error| {
        Problem::usage(
            format!("`log.level`: {error}"),
            "use a level such as `info`, or `holdfast_attestor=debug`",
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Human => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

/// The signals that end the attestor in order.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Problem> {
        let cannot = |error| Problem::io("signals cannot be waited for", &error, "");
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(cannot)?,
            interrupt: signal(SignalKind::interrupt()).map_err(cannot)?,
        })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// The file that says where a running attestor listens; it goes when the attestor does.
#[derive(Debug)]
struct Announced(PathBuf);

impl Announced {
    fn publish(folder: &Path, name: &str, address: SocketAddr) -> Result<Self, Problem> {
        let path = folder.join(name);
        let draft = folder.join(format!("{name}.draft"));
        // Renamed into place, so that whoever waits for the file finds it whole.
        std::fs::write(&draft, format!("{address}\n"))
            .and_then(|()| std::fs::rename(&draft, &path))
            .map_err(|error| {
                Problem::io(
                    &format!("`{}` cannot be written", path.display()),
                    &error,
                    "check that the state folder's disk has room",
                )
            })?;
        Ok(Self(path))
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::warn!(%error, "the address file could not be removed");
        }
    }
}
