//! The attestor's configuration: one commented TOML, validated before anything is opened.
//!
//! `attestor.toml` beside this crate is its reference, and a test keeps the two alike. It must never
//! hold a secret: keys are made in the state folder, and their passphrase is in a file of its own.

mod authority;
mod bundle;
mod canary;
mod federation;
mod group;
mod ima;
mod keys;
mod load;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_protocol::id::TrustDomain;
use holdfast_protocol::management::RunBy;
use serde::Deserialize;

use crate::certify::{KeyFolder, ServerName, UpstreamFiles};
use crate::ek_roots::Filed;
use crate::enroll_host::{EnrollmentPolicy, UnknownHosts};
use crate::federation::Source;
use crate::group::{GroupName, Policies};
use crate::mirror_audit::Limits;
use crate::registry::EkFingerprint;
use crate::store::sql::Home;
use crate::verify_host::{
    EventLogPolicy, EvidencePolicy, Learning, Required, SecureBootPolicy, SystemdLogPolicy,
    Unexplained, UnquotedBanks,
};
pub use authority::AuthorityConfig;
pub use bundle::{BundleEndpointConfig, Shown};
pub use canary::Brake;
pub use federation::FederationConfig;
pub use group::{GroupConfig, Preset};
pub use ima::{ImaConfig, ImaMode};
pub use keys::KeysConfig;
pub use load::ConfigError;
pub use value::{
    BlockingPcrs, CrlMode, Explain, FirmwareVersion, InvalidValue, LogFormat, RequiredPcrs,
    SimulatedTpms, Ttl,
};

/// The reference configuration.
pub const REFERENCE: &str = include_str!("../../attestor.toml");

/// The registry's file in the state folder.
const REGISTRY_FILE: &str = "registry.sqlite";

/// What the attestor is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The trust domain that it speaks for.
    pub trust_domain: TrustDomain,
    /// The folder of all that it keeps.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// Where it listens.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How many connections it keeps at once.
    #[serde(default = "default_max_connections")]
    pub max_connections: NonZeroU32,
    /// Names for its TLS certificate, beside its SPIFFE ID.
    #[serde(default)]
    pub server_names: Vec<ServerName>,
    /// Who runs it.
    #[serde(default)]
    pub run_by: RunBy,
    /// Whether a refused host learns why.
    #[serde(default)]
    pub explain_refusals: Explain,
    /// Whom it lets in.
    #[serde(default)]
    pub enrollment: EnrollmentConfig,
    /// What it signs.
    #[serde(default)]
    pub svid: SvidConfig,
    /// What it wants of evidence.
    #[serde(default)]
    pub policy: PolicyConfig,
    /// What it wants of groups of hosts otherwise.
    #[serde(default)]
    pub group: BTreeMap<GroupName, GroupConfig>,
    /// How its private keys lie on the disk.
    #[serde(default)]
    pub keys: KeysConfig,
    /// Who signs its authorities.
    #[serde(default)]
    pub authority: AuthorityConfig,
    /// Where it serves its bundle to other trust domains.
    #[serde(default)]
    pub bundle_endpoint: BundleEndpointConfig,
    /// The other trust domains that it federates with.
    #[serde(default)]
    pub federation: BTreeMap<TrustDomain, FederationConfig>,
    /// What it takes of hosts' audit logs.
    #[serde(default)]
    pub mirror: MirrorConfig,
    /// Where it keeps what it knows.
    #[serde(default)]
    pub store: StoreConfig,
    /// How it logs.
    #[serde(default)]
    pub log: LogConfig,
}

/// Whom the attestor lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct EnrollmentConfig {
    /// Whether hosts with a simulated TPM may join.
    pub accept_simulated: SimulatedTpms,
    /// The folder of the vendors' roots.
    pub ek_roots: Option<PathBuf>,
    /// The folder of the vendors' intermediates.
    pub ek_intermediates: Option<PathBuf>,
    /// The folder of the vendors' revocation lists.
    pub ek_crls: Option<PathBuf>,
    /// What is asked of them.
    pub crl: CrlMode,
    /// EKs that an operator listed.
    pub ek_allow_list: Vec<EkFingerprint>,
    /// What becomes of hosts that nothing vouches for.
    pub unknown_hosts: UnknownHosts,
}

/// How long SVIDs live.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SvidConfig {
    /// X.509-SVIDs.
    pub x509_ttl: Ttl,
    /// JWT-SVIDs.
    pub jwt_ttl: Ttl,
}

/// What the attestor wants of evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct PolicyConfig {
    /// The PCRs that a quote has to cover.
    pub required_pcrs: RequiredPcrs,
    /// What becomes of a host that does not prove that all its active banks are quoted; where nothing is said, it depends on
    /// whether all have to be.
    pub unquoted_banks: Option<UnquotedBanks>,
    /// Those whose change is a refusal.
    pub block: BlockingPcrs,
    /// What becomes of values that have no reference.
    pub learn: Learning,
    /// What becomes of a change that no event log explains.
    pub unexplained: Unexplained,
    /// Firmware that is refused.
    pub refused_firmware: Vec<FirmwareVersion>,
    /// Whether hosts have to show their firmware's event log.
    pub event_log: EventLogPolicy,
    /// Whether Secure Boot has to be on.
    pub secure_boot: SecureBootPolicy,
    /// What becomes of systemd's log.
    pub systemd_log: SystemdLogPolicy,
    /// What kernels may have measured.
    pub ima: ImaConfig,
}

/// What the attestor takes of hosts' audit logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MirrorConfig {
    /// The most mebibytes of one log.
    pub mib_per_log: NonZeroU32,
}

impl MirrorConfig {
    /// As the mirror takes them.
    pub fn limits(&self) -> Limits {
        Limits {
            bytes_per_log: u64::from(self.mib_per_log.get()) << 20,
        }
    }
}

/// Where the attestor keeps what it knows of its hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StoreConfig {
    /// The file that holds the URL of a PostgreSQL database; without one it is SQLite, in the state folder.
    pub postgres_url_file: Option<PathBuf>,
}

/// How the attestor logs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// A tracing filter.
    pub level: String,
}

/// The certificates in a file, DER or PEM.
///
/// # Errors
/// [`ConfigError`] if it cannot be read, or holds none or something beside them.
pub fn certificates_of(path: &Path) -> Result<Vec<Filed>, ConfigError> {
    load::certificates_of(path)
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// [`ConfigError`] naming file, line and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        load::load(path)
    }

    /// Whom policy lets in, with the certificates that it names read.
    ///
    /// # Errors
    /// [`ConfigError`] if one of its folders cannot be read, or has a file that is no certificate.
    pub fn enrollment_policy(&self) -> Result<EnrollmentPolicy, ConfigError> {
        load::enrollment_policy(&self.enrollment)
    }

    /// The roots that EK certificates may lead to, with their files; `None` where no folder is named.
    ///
    /// # Errors
    /// [`ConfigError`] if the folder cannot be read, or has a file that is no certificate.
    pub fn ek_roots(&self) -> Result<Option<Vec<Filed>>, ConfigError> {
        let folder = self.enrollment.ek_roots.as_deref();
        folder.map(load::certificates_in).transpose()
    }

    /// Where the registry lives.
    ///
    /// # Errors
    /// [`ConfigError`] if the file with the database's URL cannot be read, is open to others, or holds something else.
    pub fn home(&self) -> Result<Home, ConfigError> {
        match &self.store.postgres_url_file {
            None => Ok(Home::Sqlite(self.state.join(REGISTRY_FILE))),
            Some(file) => load::postgres_url(file).map(Home::Postgres),
        }
    }

    /// Where the private keys are and how they lie there, with their passphrase read.
    ///
    /// # Errors
    /// [`ConfigError`] if the passphrase's file cannot be read, is open to others, or holds something else.
    pub fn key_folder(&self) -> Result<KeyFolder, ConfigError> {
        Ok(KeyFolder::new(&self.state, self.keys.at_rest()?))
    }

    /// Who signs the authorities that are made, where they do not sign themselves.
    pub fn upstream(&self) -> Option<UpstreamFiles> {
        // That the table is whole was seen when it was loaded.
        self.authority.upstream().ok().flatten()
    }

    /// Where the bundle is served, and whose certificate is shown there.
    pub fn bundle_endpoint(&self) -> Option<(SocketAddr, Shown<'_>)> {
        // That the table does not contradict itself was seen when it was loaded.
        let shown = self.bundle_endpoint.shown().ok()?;
        Some((self.bundle_endpoint.listen?, shown))
    }

    /// The trust domains that it federates with, and where their bundles come from.
    pub fn federation(&self) -> BTreeMap<TrustDomain, Source> {
        let sources = self.federation.iter().filter_map(|(name, table)| {
            // That no table contradicts itself was seen when it was loaded.
            Some((name.clone(), table.source(name).ok()?))
        });
        sources.collect()
    }

    /// What every host is held to.
    ///
    /// # Errors
    /// As [`Config::evidence_policy`].
    pub fn policies(&self) -> Result<Policies, ConfigError> {
        group::policies(self)
    }

    /// How long the longest-lived SVID is valid, of any group's hosts.
    pub fn longest_ttl(&self) -> Duration {
        let groups = self.group.values().filter_map(|group| group.x509_ttl);
        let all = [self.svid.x509_ttl, self.svid.jwt_ttl].into_iter();
        let all = all.chain(groups).map(|ttl| ttl.duration());
        all.max().unwrap_or_default()
    }

    /// How long the X.509-SVIDs of a group's hosts live.
    pub fn x509_ttl(&self, group: Option<&GroupName>) -> Duration {
        let group = group.and_then(|group| self.group.get(group));
        let ttl = group.and_then(|group| group.x509_ttl);
        ttl.unwrap_or(self.svid.x509_ttl).duration()
    }

    /// What policy wants of evidence, with the allow lists and certificates that it names read.
    ///
    /// # Errors
    /// [`ConfigError`] naming the file, and the line of an allow list.
    pub fn evidence_policy(&self) -> Result<EvidencePolicy, ConfigError> {
        let ima = ima::policy(&self.policy.ima)?;
        let required = &self.policy.required_pcrs.0;
        Ok(EvidencePolicy {
            required: ima::required(required, &ima),
            unquoted_banks: self.policy.unquoted_banks.unwrap_or(match required {
                Required::Active(_) => UnquotedBanks::Refuse,
                Required::Banks(_) => UnquotedBanks::Note,
            }),
            event_log: self.policy.event_log,
            secure_boot: self.policy.secure_boot,
            systemd_log: self.policy.systemd_log,
            ima,
            blocking: self.policy.block.0.clone(),
            learning: self.policy.learn,
            unexplained: self.policy.unexplained,
            refused_firmware: self
                .policy
                .refused_firmware
                .iter()
                .map(|version| version.0)
                .collect(),
        })
    }
}

fn default_state() -> PathBuf {
    PathBuf::from("/var/lib/holdfast-attestor")
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8443))
}

fn default_max_connections() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(16 * 1024 - 1)
}

impl Default for SvidConfig {
    fn default() -> Self {
        Self {
            x509_ttl: Ttl::from_minutes(60),
            jwt_ttl: Ttl::from_minutes(5),
        }
    }
}

impl Default for MirrorConfig {
    fn default() -> Self {
        Self {
            mib_per_log: NonZeroU32::MIN.saturating_add(16 * 1024 - 1),
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Human,
            level: "info".to_owned(),
        }
    }
}
