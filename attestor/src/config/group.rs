//! What the configuration says of groups of hosts, over `[policy]` and `[svid]`.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use holdfast_proof::tpm::PcrIndex;
use serde::Deserialize;

use super::canary;
use super::{BlockingPcrs, Brake, Config, ConfigError, Ttl};
use crate::group::{GroupName, HostPolicy, Policies};
use crate::verify_host::{
    EventLogPolicy, EvidencePolicy, Learning, SecureBootPolicy, SystemdLogPolicy, Unexplained,
};

/// What is said of a group; where nothing is, its preset counts, and then what is said of all hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct GroupConfig {
    /// What its hosts are.
    pub policy: Option<Preset>,
    /// The PCRs whose change is a refusal.
    pub block: Option<BlockingPcrs>,
    /// What becomes of values that have no reference.
    pub learn: Option<Learning>,
    /// What becomes of a change that no event log explains.
    pub unexplained: Option<Unexplained>,
    /// Whether its hosts have to show their firmware's event log.
    pub event_log: Option<EventLogPolicy>,
    /// Whether Secure Boot has to be on.
    pub secure_boot: Option<SecureBootPolicy>,
    /// What becomes of systemd's log.
    pub systemd_log: Option<SystemdLogPolicy>,
    /// How long X.509-SVIDs live.
    pub x509_ttl: Option<Ttl>,
    /// The group whose hosts take an update first.
    pub canary: Option<GroupName>,
    /// How long they have to run it without a failure.
    pub canary_hold: Option<Ttl>,
    /// How many of them have to; all unless it is said.
    pub canary_hosts: Option<NonZeroU32>,
    /// How many failures stop a rollout.
    pub brake: Option<Brake>,
}

/// What hosts are, and so what they are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// People update them: Secure Boot has to be on and PCR 7 blocks; other changes are recorded if a log explains them.
    Workstation,
    /// Nobody is there: every PCR blocks, and first values are proposed.
    Edge,
}

impl Preset {
    fn apply(self, policy: &mut EvidencePolicy) {
        match self {
            Self::Workstation => {
                policy.secure_boot = SecureBootPolicy::Require;
                policy.unexplained = Unexplained::Ask;
                policy.blocking = PcrIndex::new(7).into_iter().collect();
            }
            Self::Edge => {
                policy.learning = Learning::Propose;
                policy.blocking = policy.required.indices();
            }
        }
    }
}

/// Everybody's policies.
pub(super) fn policies(config: &Config) -> Result<Policies, ConfigError> {
    let rest = HostPolicy {
        evidence: config.evidence_policy()?,
        x509_ttl: config.svid.x509_ttl.duration(),
    };
    let groups: BTreeMap<_, _> = config
        .group
        .iter()
        .map(|(name, group)| (name.clone(), over(&rest, group)))
        .collect();
    Ok(Policies { rest, groups })
}

fn over(rest: &HostPolicy, group: &GroupConfig) -> HostPolicy {
    let GroupConfig {
        policy: preset,
        block,
        learn,
        unexplained,
        event_log,
        secure_boot,
        systemd_log,
        x509_ttl,
        // Of rollouts, which go by what was said when they began.
        canary: _,
        canary_hold: _,
        canary_hosts: _,
        brake: _,
    } = group;
    let mut policy = rest.clone();
    let evidence = &mut policy.evidence;
    if let Some(preset) = preset {
        preset.apply(evidence);
    }
    if let Some(block) = block {
        evidence.blocking.clone_from(&block.0);
    }
    evidence.learning = learn.unwrap_or(evidence.learning);
    evidence.unexplained = unexplained.unwrap_or(evidence.unexplained);
    evidence.event_log = event_log.unwrap_or(evidence.event_log);
    evidence.secure_boot = secure_boot.unwrap_or(evidence.secure_boot);
    evidence.systemd_log = systemd_log.unwrap_or(evidence.systemd_log);
    if let Some(ttl) = x509_ttl {
        policy.x509_ttl = ttl.duration();
    }
    policy
}

/// What is wrong with what is said of groups.
pub(super) fn problem(config: &Config, required: &BTreeSet<PcrIndex>) -> Option<&'static str> {
    let groups = config.group.values();
    let own = groups.into_iter().find_map(|group| {
        let seven = PcrIndex::new(7).is_some_and(|seven| required.contains(&seven));
        let block = group.block.as_ref();
        if block.is_some_and(|block| !block.0.is_subset(required)) {
            return Some("has a `block` that names a PCR which `policy.required-pcrs` does not");
        }
        if group.policy == Some(Preset::Workstation) && block.is_none() && !seven {
            return Some("is for workstations, whose PCR 7 `policy.required-pcrs` has to name");
        }
        let ttl = group.x509_ttl.map(Ttl::duration);
        ttl.filter(|ttl| !super::load::X509_TTL.contains(ttl))
            .map(|_| "has an `x509-ttl` that is not from 1m to 72h")
    });
    own.or_else(|| canary::problem(&config.group))
}
