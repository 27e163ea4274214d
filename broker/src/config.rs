//! The broker's configuration: one commented TOML, validated before anything is opened.
//!
//! `holdfastd.toml` beside this crate is its reference, and a test keeps the two alike. It must
//! never hold a secret: hierarchy authorizations are named as files.

mod launch;
mod workloads;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use holdfast_issue_credentials::spares::{InvalidPlan, Plan};
use holdfast_launch_agents::profile::Profile;
use holdfast_protocol::approval::PinOnX11;
use holdfast_protocol::contained::Places;
use holdfast_protocol::id::AgentKind;
use holdfast_tpm::EndorsementKey;
use serde::Deserialize;

pub use self::launch::LaunchConfig;
pub use self::workloads::{WorkloadConfig, WorkloadsConfig};

use crate::limits::LimitsConfig;
use crate::presence::PresenceConfig;

/// The reference configuration, with every default.
pub const REFERENCE: &str = include_str!("../holdfastd.toml");

/// What the broker is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// The folder of all that it keeps.
    pub state: PathBuf,
    /// The folder of its sockets.
    pub run: PathBuf,
    /// Its TPM.
    pub tpm: TpmConfig,
    /// How it stays attested.
    pub attest: AttestConfig,
    /// Its launcher.
    pub launcher: LauncherConfig,
    /// Its sessions.
    pub sessions: SessionsConfig,
    /// What may be launched in them.
    pub launch: LaunchConfig,
    /// What they may take, and how long they may live.
    pub limits: LimitsConfig,
    /// What a human's locked screen and logout mean for them.
    pub presence: PresenceConfig,
    /// Whom it asks about services that it did not launch.
    pub workloads: WorkloadsConfig,
    /// The services that it did not launch and gives identities.
    pub workload: Vec<WorkloadConfig>,
    /// Its management socket.
    pub management: ManagementConfig,
    /// How humans approve.
    pub approvals: ApprovalsConfig,
    /// Its own rules.
    pub policy: PolicyConfig,
    /// Its audit log.
    pub audit: AuditConfig,
    /// Its own log.
    pub log: LogConfig,
    /// Whose it is; said on the command line, never in the file.
    #[serde(skip)]
    pub install: Install,
}

/// Whose the broker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Install {
    /// The host's: a system service, with a launcher that is root's.
    #[default]
    System,
    /// A human's own, without root.
    Contained,
}

/// Which TPM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct TpmConfig {
    /// The device, or the simulator.
    pub device: TpmDevice,
    /// Which EK proves it.
    pub ek: EndorsementKey,
    /// A measurement list that went into this TPM's PCR 10, in place of the kernel's own.
    pub ima_list: Option<PathBuf>,
    /// A log of systemd's measurements into this TPM, in place of this system's own.
    pub systemd_log: Option<PathBuf>,
    /// A file that holds the owner hierarchy's authorization.
    pub owner_auth_file: Option<PathBuf>,
    /// A file that holds the endorsement hierarchy's authorization.
    pub endorsement_auth_file: Option<PathBuf>,
}

/// A TPM device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum TpmDevice {
    /// A private swtpm in the state folder.
    Simulator,
    /// A swtpm that somebody else runs, by its TCP command port.
    Swtpm(SocketAddr),
    /// A character device.
    Device(PathBuf),
}

impl TryFrom<String> for TpmDevice {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let expected = || {
            format!(
                "`{text}` is not a TPM: a path, \"simulator\", or \"swtpm:ADDRESS:PORT\" was expected"
            )
        };
        if text == "simulator" {
            return Ok(Self::Simulator);
        }
        if let Some(address) = text.strip_prefix("swtpm:") {
            return address.parse().map(Self::Swtpm).map_err(|_| expected());
        }
        if !text.starts_with('/') {
            return Err(expected());
        }
        Ok(Self::Device(PathBuf::from(text)))
    }
}

/// How this host stays attested.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AttestConfig {
    /// How often the PCRs are looked at.
    pub pcr_seconds: NonZeroU32,
}

impl Default for AttestConfig {
    fn default() -> Self {
        Self {
            pcr_seconds: NonZeroU32::MIN.saturating_add(299),
        }
    }
}

/// Who makes sealed sessions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LauncherConfig {
    /// The launcher's socket.
    pub socket: PathBuf,
}

/// Which sessions can start while the attestor is away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SessionsConfig {
    /// How many names of each kind are signed ahead.
    pub spares: usize,
    /// Of which kinds, besides those that were launched lately.
    pub spare_kinds: BTreeSet<AgentKind>,
    /// What humans may lend their sessions beside the project.
    pub lend: LendConfig,
}

/// The host's own rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PolicyConfig {
    /// Cedar files that narrow the default policy.
    pub files: Vec<PathBuf>,
}

/// What humans may lend their sessions beside the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LendConfig {
    /// What `--ro` names.
    pub read: Lend,
    /// What `--rw` names.
    pub write: Lend,
    /// Folders that are lent to nobody, for whatever reason.
    pub never: Vec<PathBuf>,
}

/// Whether something is lent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lend {
    /// It is, and recorded.
    #[default]
    Allow,
    /// It is not.
    Refuse,
}

impl SessionsConfig {
    /// As job 3 takes it.
    ///
    /// # Errors
    /// [`InvalidPlan`] if it is more than there may be.
    pub fn plan(&self) -> Result<Plan, InvalidPlan> {
        Plan::new(self.spares, self.spare_kinds.iter().cloned())
    }
}

/// Who may manage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ManagementConfig {
    /// Uids besides root and the broker's own.
    pub uids: Vec<u32>,
}

/// How humans approve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ApprovalsConfig {
    /// Whether a window on X11 may take a PIN.
    pub pin_on_x11: PinOnX11,
}

/// When checkpoints are made.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AuditConfig {
    /// At the latest so many seconds after a record.
    pub checkpoint_seconds: NonZeroU32,
    /// At the latest after so many records.
    pub checkpoint_records: NonZeroU32,
    /// Counter increments in a day.
    pub counter_per_day: u32,
}

/// How the broker logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A tracing filter.
    pub level: String,
}

/// A log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a configuration; the text names line, key, and what was expected.
    #[error("`{path}` is not a configuration of holdfastd:\n{report}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and what.
        report: String,
    },
    /// A human's own broker has nowhere to be.
    #[error("you have no home folder: set HOME to a folder that is there")]
    Homeless,
    /// A value cannot be used.
    #[error("`{path}`: `{key}` {problem}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// A human's own broker, without root: what the file at `places` says, if it is there, with `places` for folders, and a
    /// TPM that is nobody else's.
    ///
    /// # Errors
    /// [`ConfigError`]; the machine's own TPM is not to be named, as the host's broker may use it.
    pub fn contained(places: &Places) -> Result<Self, ConfigError> {
        let mut config = match Self::load(&places.config) {
            Err(ConfigError::Unreadable { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                Self::default()
            }
            loaded => loaded?,
        };
        let untold = TpmConfig::default().device;
        match &config.tpm.device {
            TpmDevice::Simulator | TpmDevice::Swtpm(_) => {}
            device if *device == untold => config.tpm.device = TpmDevice::Simulator,
            TpmDevice::Device(_) => {
                return Err(ConfigError::Value {
                    path: places.config.clone(),
                    key: "tpm.device",
                    problem: "has to be \"simulator\" or a \"swtpm:ADDRESS:PORT\": a broker without root leaves the machine's TPM alone",
                });
            }
        }
        config.state.clone_from(&places.state);
        config.run.clone_from(&places.run);
        config.install = Install::Contained;
        Ok(config)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Invalid {
            path: path.to_owned(),
            report: error.to_string().trim_end().to_owned(),
        })?;
        let value = |key, problem| ConfigError::Value {
            path: path.to_owned(),
            key,
            problem,
        };
        if !config.state.is_absolute() {
            return Err(value("state", "has to be an absolute path"));
        }
        if !config.run.is_absolute() {
            return Err(value("run", "has to be an absolute path"));
        }
        if !config.launcher.socket.is_absolute() {
            return Err(value("launcher.socket", "has to be an absolute path"));
        }
        let relative =
            |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| !path.is_absolute());
        if relative(&config.tpm.ima_list) {
            return Err(value("tpm.ima-list", "has to be an absolute path"));
        }
        if relative(&config.tpm.systemd_log) {
            return Err(value("tpm.systemd-log", "has to be an absolute path"));
        }
        workloads::check(&config).map_err(|(key, problem)| value(key, problem))?;
        match config.sessions.plan() {
            Ok(_) => {}
            Err(InvalidPlan::Each) => {
                return Err(value("sessions.spares", "may be 16 at most"));
            }
            Err(InvalidPlan::Kinds) => {
                return Err(value(
                    "sessions.spare-kinds",
                    "may name 4 kinds of agents at most",
                ));
            }
        }
        let profiles = Profile::built_in().unwrap_or_default();
        let known = |kind: &AgentKind| profiles.iter().any(|profile| profile.kind == *kind);
        if !config.sessions.spare_kinds.iter().all(known) {
            return Err(value(
                "sessions.spare-kinds",
                "names a kind of agent that has no profile",
            ));
        }
        if !config
            .sessions
            .lend
            .never
            .iter()
            .all(|path| path.is_absolute())
        {
            return Err(value("sessions.lend.never", "has to hold absolute paths"));
        }
        if !config.policy.files.iter().all(|path| path.is_absolute()) {
            return Err(value("policy.files", "has to hold absolute paths"));
        }
        if let Some((key, problem)) = config.limits.flaw() {
            return Err(value(key, problem));
        }
        if !config.limits.kinds.keys().all(known) {
            return Err(value(
                "limits.kinds",
                "names a kind of agent that has no profile",
            ));
        }
        config
            .launch
            .check(&profiles)
            .map_err(|(key, problem)| value(key, problem))?;
        if config.audit.counter_per_day > 288 {
            return Err(value(
                "audit.counter-per-day",
                "may be 288 at most: beyond that a TPM wears out within five years",
            ));
        }
        Ok(config)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            state: PathBuf::from("/var/lib/holdfast"),
            run: PathBuf::from("/run/holdfast"),
            tpm: TpmConfig::default(),
            attest: AttestConfig::default(),
            launcher: LauncherConfig::default(),
            sessions: SessionsConfig::default(),
            launch: LaunchConfig::default(),
            limits: LimitsConfig::default(),
            presence: PresenceConfig::default(),
            workloads: WorkloadsConfig::default(),
            workload: Vec::new(),
            management: ManagementConfig::default(),
            approvals: ApprovalsConfig::default(),
            policy: PolicyConfig::default(),
            audit: AuditConfig::default(),
            log: LogConfig::default(),
            install: Install::System,
        }
    }
}

impl Default for TpmConfig {
    fn default() -> Self {
        Self {
            device: TpmDevice::Device(PathBuf::from("/dev/tpmrm0")),
            ek: EndorsementKey::Rsa2048,
            ima_list: None,
            systemd_log: None,
            owner_auth_file: None,
            endorsement_auth_file: None,
        }
    }
}

impl Default for LauncherConfig {
    fn default() -> Self {
        Self {
            socket: PathBuf::from("/run/holdfast-launcher/launcher.sock"),
        }
    }
}

impl Default for SessionsConfig {
    fn default() -> Self {
        // The names of the profiles that come with Holdfast are kinds; a test reads them.
        let kinds = ["claude", "shell"].into_iter();
        Self {
            spares: 4,
            spare_kinds: kinds.filter_map(|kind| kind.parse().ok()).collect(),
            lend: LendConfig::default(),
        }
    }
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            checkpoint_seconds: NonZeroU32::MIN.saturating_add(299),
            checkpoint_records: NonZeroU32::MIN.saturating_add(255),
            counter_per_day: 48,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            level: "info,tss_esapi=off".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/holdfast/holdfastd.toml"))
    }

    #[test]
    fn the_reference_states_the_defaults() {
        assert_eq!(parse(REFERENCE).unwrap(), Config::default());
    }

    #[test]
    fn mistakes_are_named_with_line_and_key() {
        insta::assert_snapshot!(parse("[tpm]\ndevise = \"/dev/tpm0\"\n").unwrap_err(), @r#"
        `/etc/holdfast/holdfastd.toml` is not a configuration of holdfastd:
        TOML parse error at line 2, column 1
          |
        2 | devise = "/dev/tpm0"
          | ^^^^^^
        unknown field `devise`, expected one of `device`, `ek`, `ima-list`, `systemd-log`, `owner-auth-file`, `endorsement-auth-file`
        "#);
        insta::assert_snapshot!(parse("state = \"here\"").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `state` has to be an absolute path");
        insta::assert_snapshot!(parse("[sessions]\nspares = 17").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `sessions.spares` may be 16 at most");
        insta::assert_snapshot!(parse("[sessions]\nspare-kinds = [\"a\", \"b\", \"c\", \"d\", \"e\"]").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `sessions.spare-kinds` may name 4 kinds of agents at most");
        insta::assert_snapshot!(parse("[sessions]\nspare-kinds = [\"emacs\"]").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `sessions.spare-kinds` names a kind of agent that has no profile");
        insta::assert_snapshot!(parse("[[workload]]\nname = \"a\"\nselectors = [\"unix:uid:1\"]").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `workload.selectors` needs a selector that names a unit or a container: systemd:id, docker: or podman:");
        insta::assert_snapshot!(parse("[workloads]\ndocker-socket = \"docker.sock\"").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `workloads.docker-socket` has to be an absolute path");
        insta::assert_snapshot!(parse("[audit]\ncounter-per-day = 9999").unwrap_err(), @"`/etc/holdfast/holdfastd.toml`: `audit.counter-per-day` may be 288 at most: beyond that a TPM wears out within five years");
        insta::assert_snapshot!(parse("[tpm]\nek = \"rsa\"").unwrap_err(), @r#"
        `/etc/holdfast/holdfastd.toml` is not a configuration of holdfastd:
        TOML parse error at line 2, column 6
          |
        2 | ek = "rsa"
          |      ^^^^^
        unknown variant `rsa`, expected one of `rsa2048`, `ecc-p256`, `rsa3072`, `ecc-p384`
        "#);
    }
}
