//! The owner of the jobs: what starts, in which order, and how it all stops.
//!
//! Nothing listens before the TPM is open and the audit log is recording; nothing is closed before
//! everything that uses it has ended. The jobs meet here and nowhere else.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_attest_host::{AttestHost, Host, Kept};
use holdfast_authorize_calls::task::Authorizer;
use holdfast_issue_credentials::bridge::Upstream;
use holdfast_issue_credentials::spares::Spares;
use holdfast_issue_credentials::vault::Vaults;
use holdfast_issue_credentials::{Authority, Issuer};
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::store::Store;
use holdfast_launch_agents::task::{Sessions, Watcher};
use holdfast_protocol::audit::What;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::orders::Instance;
use holdfast_protocol::record::Record;
use holdfast_record_audit::LastStop;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ambient::random_bits;
use crate::approvers::Approvers;
use crate::audit::{OpenAudit, Recorder};
use crate::calls::Calls;
use crate::config::{Config, Install, LauncherConfig};
use crate::contained;
use crate::disks::{Disks, DisksTask};
use crate::listener::listen;
use crate::management::{self, Answers, Managers};
use crate::mirror::Mirroring;
use crate::presence::PresenceTask;
use crate::sessions::{
    self as sealed, Endings, Ground, Guarded, Homes, Lending, Live, NodeAuthority, Own, RecordSvids,
};
use crate::state_folder::{self, StateFolder};
use crate::stops::Stops;
use crate::time;
use crate::tpm::OpenTpm;
use crate::vault;
use crate::warden::{Acting, Charges, NodeLeave, WardenTask};
use crate::workloads::{self, Registered};

/// Runs the broker until it is told to stop, or until one of its parts fails.
pub fn run(config: Config) -> anyhow::Result<()> {
    if config.install == Install::Contained {
        refuse_root()?;
    }
    let state = StateFolder::open(&config.state)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // A TLS handshake with the node key blocks one worker while the TPM signs.
        .worker_threads(2)
        .build()
        .context("the runtime does not start")?;
    runtime.block_on(serve(config, &state))
}

async fn serve(config: Config, state: &StateFolder) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut stop_signals = StopSignals::new()?;
    match config.install {
        Install::System => std::fs::create_dir_all(&config.run),
        Install::Contained => state_folder::make_private(&config.run),
    }
    .with_context(|| format!("`{}` cannot be made", config.run.display()))?;

    let floor = state.join("clock.json");
    let clock = time::open(&floor)?;
    let mut tpm = OpenTpm::open(&config.tpm, state).await?;
    if config.install == Install::Contained {
        tpm.grade = Grade::Contained;
    }
    let OpenAudit {
        log,
        task: audit_task,
        left,
        records,
    } = OpenAudit::open(&config.audit, state, &tpm.provisioned, &clock).await?;
    let record: Arc<dyn Record> = Arc::new(Recorder(log.clone(), clock.clone()));
    // The log stops last, by a token of its own: the other parts record until they have ended.
    let stop_log = CancellationToken::new();
    let mut log_task = JoinSet::new();
    log_task.spawn(audit_task.run(stop_log.clone()));
    if left == LastStop::Unclean {
        record.record(What::LogRecovered { records }).await?;
    }
    record
        .record(What::LogStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            grade: tpm.grade,
        })
        .await?;
    if left == LastStop::New {
        // From its first record on, the TPM remembers that there is a log: one that is deleted is missed.
        log.checkpoint_now().await?;
    }

    let approvers = Approvers::open(
        state.join("approvers.json"),
        tpm.provisioned.clone(),
        Arc::clone(&record),
    )?;
    let vaults = vault::open(
        state,
        tpm.provisioned.clone(),
        Arc::clone(&record),
        clock.clone(),
    )?;
    let (own_launcher, launcher) = match config.install {
        Install::System => (None, Launcher::find(&config.launcher, &clock)?),
        Install::Contained => {
            let contained::Started {
                process,
                sessions,
                watcher,
            } = contained::start(&clock).await?;
            let launcher = Launcher {
                sessions,
                watcher,
                event_log: None,
                ima_list: None,
                systemd_log: None,
            };
            (Some(process), Some(launcher))
        }
    };
    // A simulated TPM has not measured this machine's boot.
    let event_log = launcher
        .as_ref()
        .and_then(|launcher| launcher.event_log.clone())
        .filter(|_| tpm.grade == Grade::Hardware);
    let systemd_log = match &config.tpm.systemd_log {
        Some(path) => {
            let event = |path| What::SystemdLogDeclared { path };
            Some(declared(path, record.as_ref(), event).await?)
        }
        None => launcher
            .as_ref()
            .and_then(|launcher| launcher.systemd_log.clone())
            .filter(|_| tpm.grade == Grade::Hardware),
    };
    let ima_list = match &config.tpm.ima_list {
        Some(path) => {
            let event = |path| What::ImaListDeclared { path };
            Some(declared(path, record.as_ref(), event).await?)
        }
        None => launcher
            .as_ref()
            .and_then(|launcher| launcher.ima_list.clone())
            .filter(|_| tpm.grade == Grade::Hardware),
    };
    let stop = CancellationToken::new();
    let (attest_host, host_task) = AttestHost::new(
        tpm.provisioned.clone(),
        Host {
            name: host_name(),
            grade: tpm.grade,
            event_log,
            ima_list,
            systemd_log,
            pcr_interval: Duration::from_secs(config.attest.pcr_seconds.get().into()),
        },
        Arc::clone(&record),
        Kept {
            enrollment: state.join("enrollment.json"),
            floor,
        },
        Instance(random_bits().context("no randomness is to be had")?),
        clock.clone(),
    )?;
    let leave = Arc::new(NodeLeave(attest_host.node(), clock.clone()));
    let calls = Calls::new(
        (tpm.grade, &config.policy.files),
        Arc::clone(&record),
        approvers.clone(),
        leave,
        clock.clone(),
    )?;
    let live = Live::default();
    let spares = Spares::new(config.sessions.plan()?, clock.clone());
    let (warden, acting) = WardenTask::new(
        attest_host.node(),
        Charges {
            sessions: launcher.as_ref().map(|launcher| launcher.sessions.clone()),
            live: live.clone(),
            spares: spares.clone(),
            vaults: vaults.clone(),
            authorizer: calls.authorizer.clone(),
            tpm: tpm.provisioned.clone(),
            record: Arc::clone(&record),
            clock: clock.clone(),
        },
    );
    let (presence, present) = launcher
        .as_ref()
        .map(|launcher| {
            let stops = Stops::new(launcher.sessions.clone(), Arc::clone(&record));
            PresenceTask::new(config.presence.clone(), stops, acting.clone())
        })
        .unzip();
    let ground = launcher
        .map(|launcher| {
            let authorizer = calls.authorizer.clone();
            let vaults = vaults.clone();
            sessions(
                &config,
                state,
                &attest_host,
                (&record, &clock, tpm.grade),
                launcher,
                (authorizer, vaults),
                (live, spares.clone(), acting),
            )
        })
        .transpose()?;
    let (mirroring, mirror) = Mirroring::open(&log, &attest_host, state, &clock)?;
    let answers = Answers {
        record: Arc::clone(&record),
        sessions: ground.as_ref().map(|(ground, _)| ground.sessions.clone()),
        spares,
        attest_host,
        audit: log,
        mirror,
        authorizer: calls.authorizer.clone(),
        approvers,
        vaults: vaults.clone(),
        approvals: config.approvals.clone(),
        grade: tpm.grade,
        tpm: tpm.words.clone(),
        clock,
        presence: present,
    };
    let listener = open_socket(&config.run.join("management.sock"))?;

    let mut tasks = JoinSet::new();
    let Calls {
        authorizer: _,
        job,
        engine: _engine,
    } = calls;
    tasks.spawn(job.run(stop.clone()));
    if let Some((ground, parts)) = ground {
        let ground = Arc::new(ground);
        parts.start(Arc::clone(&ground), &config.run, &mut tasks, &stop)?;
        services(&config, ground, &mut tasks, &stop)?;
    }
    if let Some(process) = own_launcher {
        tasks.spawn(contained::keep(process, stop.clone()));
    }
    if let Some(presence) = presence {
        tasks.spawn(presence.run(stop.clone()));
    }
    tasks.spawn(host_task.run(stop.clone()));
    tasks.spawn(warden.run(stop.clone()));
    tasks.spawn(mirroring.run(stop.clone()));
    tasks.spawn({
        let stop = stop.clone();
        async move { vaults.run(stop).await }
    });
    tasks.spawn(management::serve(
        listener,
        Managers::new(&config.management.uids),
        Arc::new(answers),
        stop.clone(),
    ));
    tracing::info!(
        grade = %tpm.grade,
        socket = %config.run.join("management.sock").display(),
        milliseconds = started.elapsed().as_millis(),
        "ready"
    );

    // The first that ends, ends all: a broker without one of its parts must not go on.
    let outcome = tokio::select! {
        name = stop_signals.next() => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
        ended = tasks.join_next() => Err(match ended {
            Some(Err(error)) => anyhow::Error::new(error).context("a part of the broker failed"),
            Some(Ok(())) | None => anyhow::anyhow!("a part of the broker ended by itself"),
        }),
        ended = log_task.join_next() => Err(match ended {
            Some(Ok(Err(error))) => anyhow::Error::new(error).context("the audit log failed"),
            Some(Err(error)) => anyhow::Error::new(error).context("the audit log failed"),
            Some(Ok(Ok(()))) | None => anyhow::anyhow!("the audit log ended by itself"),
        }),
    };
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    if let Err(error) = record.record(What::LogStopped).await {
        tracing::error!(%error, "the audit log could not be closed in order");
    }
    drop(record);
    stop_log.cancel();
    while let Some(ended) = log_task.join_next().await {
        if let Ok(Err(error)) = ended {
            tracing::error!(error = %anyhow::Error::new(error), "the audit log did not close in order");
        }
    }
    tpm.close().await;
    outcome
}

/// A broker without root is nobody's but a human's.
fn refuse_root() -> anyhow::Result<()> {
    anyhow::ensure!(
        !rustix::process::geteuid().is_root(),
        "--contained is for a human without root: start holdfastd as a system service instead"
    );
    Ok(())
}

/// The launcher, and what it handed over.
struct Launcher {
    sessions: Sessions,
    watcher: Watcher,
    event_log: Option<Arc<File>>,
    ima_list: Option<Arc<File>>,
    systemd_log: Option<Arc<File>>,
}

/// Opens what the configuration names in place of this machine's own, and records that it did.
async fn declared(
    path: &Path,
    record: &dyn Record,
    event: fn(String) -> What,
) -> anyhow::Result<Arc<File>> {
    let file = File::open(path)
        .with_context(|| format!("what was measured cannot be read from `{}`", path.display()))?;
    let path = path.display().to_string();
    tracing::warn!(
        path,
        "what was measured is not this machine's, by configuration"
    );
    record.record(event(path)).await?;
    Ok(Arc::new(file))
}

impl Launcher {
    /// Connects to the launcher, where there is one.
    fn find(config: &LauncherConfig, clock: &Clock) -> anyhow::Result<Option<Self>> {
        let socket = &config.socket;
        if !socket.exists() {
            tracing::warn!(socket = %socket.display(), "no launcher: no sealed sessions");
            return Ok(None);
        }
        let (sessions, watcher, greeting) = Sessions::connect(socket, clock.clone())
            .with_context(|| format!("the launcher does not answer at `{}`", socket.display()))?;
        Ok(Some(Self {
            sessions,
            watcher,
            event_log: greeting.event_log.map(|log| Arc::new(File::from(log))),
            ima_list: greeting.ima_list.map(|list| Arc::new(File::from(list))),
            systemd_log: greeting.systemd_log.map(|log| Arc::new(File::from(log))),
        }))
    }
}

/// What sessions need.
fn sessions(
    config: &Config,
    state: &StateFolder,
    attest_host: &AttestHost,
    (record, clock, grade): (&Arc<dyn Record>, &Clock, Grade),
    launcher: Launcher,
    (authorizer, vaults): (Authorizer, Vaults),
    (live, spares, acting): (Live, Spares, watch::Receiver<Acting>),
) -> anyhow::Result<(Ground, SessionParts)> {
    let Launcher {
        sessions, watcher, ..
    } = launcher;
    sessions.allow_each(config.limits.each());
    let authority = Arc::new(NodeAuthority::new(attest_host.clone(), clock.clone()));
    let endings = Endings::default();
    let sockets = config.run.join("sessions");
    sealed::sockets_folder(&sockets)
        .with_context(|| format!("`{}` cannot be made", sockets.display()))?;
    let ground = Ground {
        sessions,
        endings: endings.clone(),
        programs: Arc::new(
            Store::open(&state.join("programs"))?.with_bound(config.launch.store_bytes()),
        ),
        profiles: Profile::built_in()?,
        launch: config.launch.policy(),
        issuer: Issuer::new(
            Arc::clone(&authority) as Arc<dyn Authority>,
            Arc::new(RecordSvids(Arc::clone(record))),
            clock.clone(),
        ),
        spares,
        attest_host: attest_host.clone(),
        live,
        acting,
        record: Arc::clone(record),
        homes: Homes::new(state.join("homes")).context("agents' homes cannot be made")?,
        lending: Lending::new(
            [config.state.clone(), config.run.clone()],
            config.sessions.lend.clone(),
        ),
        guarded: Guarded::built_in().context("the table of files that run by themselves")?,
        authorizer,
        vaults,
        upstream: Upstream::new(clock).context("requests cannot leave this host")?,
        own: Own::prepare(&state.join("own")).context("what sessions are shown cannot be made")?,
        limits: config.limits.clone(),
        disks: Disks::default(),
        sockets,
        clock: clock.clone(),
        grade,
    };
    Ok((
        ground,
        SessionParts {
            watcher,
            authority,
            endings,
        },
    ))
}

/// What runs beside sessions.
struct SessionParts {
    watcher: Watcher,
    authority: Arc<NodeAuthority>,
    endings: Endings,
}

impl SessionParts {
    fn start(
        self,
        ground: Arc<Ground>,
        run: &Path,
        tasks: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let Self {
            watcher,
            authority,
            endings,
        } = self;
        let listener = open_socket(&run.join("run.sock"))?;
        // One message for each session that ends; its keeper takes it at once.
        let (tell, ended) = mpsc::channel(16);
        tasks.spawn(endings.pass_on(ended));
        tasks.spawn(watcher.run(tell, stop.clone()));
        tasks.spawn(ground.spares.clone().keep(
            ground.issuer.clone(),
            authority.certificate(),
            stop.clone(),
        ));
        tasks.spawn(authority.follow(stop.clone()));
        let disks = DisksTask::new(
            ground.disks.clone(),
            ground.limits.keep_free(),
            Stops::new(ground.sessions.clone(), Arc::clone(&ground.record)),
            ground.acting.clone(),
        );
        tasks.spawn(disks.run(stop.clone()));
        tasks.spawn(sealed::serve(listener, ground, stop.clone()));
        Ok(())
    }
}

/// The host's own Workload API, where services are registered.
fn services(
    config: &Config,
    ground: Arc<Ground>,
    tasks: &mut JoinSet<()>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let registered = Registered {
        all: config.registered()?,
        docker: config.workloads.docker_socket.clone(),
        podman: config.workloads.podman_socket.clone(),
    };
    if registered.all.is_empty() {
        return Ok(());
    }
    let path = config.run.join("workload.sock");
    let listener = workloads::listen(&path)
        .with_context(|| format!("the socket `{}` cannot be opened", path.display()))?;
    tasks.spawn(workloads::serve(listener, registered, ground, stop.clone()));
    Ok(())
}

fn open_socket(path: &Path) -> anyhow::Result<UnixListener> {
    listen(path).with_context(|| format!("the socket `{}` cannot be opened", path.display()))
}

/// The signals that stop the broker in order.
struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl StopSignals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be listened for");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn host_name() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().chars().take(64).collect()
}
