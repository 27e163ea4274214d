//! Opening the TPM that the configuration names, with this host's keys in it.
//!
//! The only place where the broker chooses a TPM; a simulated one is announced loudly.

use std::path::Path;

use anyhow::{Context, bail};
use holdfast_attest_host::durable;
use holdfast_protocol::grade::Grade;
use holdfast_tpm::{
    AttestationKey, AuthValue, HierarchyAuths, Provisioned, SwtpmAddress, Tpm, TpmConfig, TpmOwner,
    TpmState, Transport,
};
use zeroize::Zeroizing;

use crate::config::{self, TpmDevice};
use crate::simulator::Simulator;
use crate::state_folder::StateFolder;

/// The largest state file that is read.
const MAX_STATE: u64 = 256 * 1024;

/// The TPM, open, with all that keeps it so.
pub struct OpenTpm {
    /// This host's keys and counters.
    pub provisioned: Provisioned,
    /// What kind of installation this makes.
    pub grade: Grade,
    /// The TPM, in words.
    pub words: String,
    owner: TpmOwner,
    simulator: Option<Simulator>,
}

impl OpenTpm {
    /// Opens and provisions the configured TPM.
    pub async fn open(config: &config::TpmConfig, state: &StateFolder) -> anyhow::Result<Self> {
        let (transport, simulator, grade) = match &config.device {
            TpmDevice::Device(path) => {
                if !path.exists() {
                    bail!(
                        "there is no TPM at `{}`: switch it on in the firmware, name another device \
                         under `tpm.device`, or run with --simulator for development",
                        path.display()
                    );
                }
                (Transport::Device(path.clone()), None, Grade::Hardware)
            }
            TpmDevice::Swtpm(address) => {
                tracing::warn!("SIMULATED TPM: this proves nothing about hardware");
                let address = SwtpmAddress::Tcp(*address);
                (Transport::Swtpm(address), None, Grade::Simulated)
            }
            TpmDevice::Simulator => {
                tracing::warn!("SIMULATED TPM: this proves nothing about hardware");
                let simulator = Simulator::start(&state.join("tpm")).await?;
                let address = SwtpmAddress::Unix(simulator.socket().to_owned());
                (Transport::Swtpm(address), Some(simulator), Grade::Simulated)
            }
        };
        let words = transport.to_string();
        let (tpm, owner) = Tpm::open(TpmConfig {
            transport,
            auths: HierarchyAuths {
                owner: auth(config.owner_auth_file.as_deref())?,
                endorsement: auth(config.endorsement_auth_file.as_deref())?,
            },
            endorsement_key: config.ek,
            attestation_key: AttestationKey::EccP256,
        })
        .await
        .context("the TPM could not be opened")?;

        let path = state.join("tpm.json");
        let previous = load(&path)?;
        let known = previous.is_some();
        let provisioned = tpm
            .provision(previous)
            .await
            .context("the TPM has not got this host's keys, and could not be given them")?;
        if !known {
            let text = serde_json::to_vec_pretty(provisioned.state())?;
            durable::replace(&path, &text)
                .with_context(|| format!("`{}` cannot be written", path.display()))?;
        }
        Ok(Self {
            provisioned,
            grade,
            words,
            owner,
            simulator,
        })
    }

    /// Closes the TPM once every handle to it is gone, then ends the simulator.
    pub async fn close(self) {
        let Self {
            provisioned,
            owner,
            simulator,
            ..
        } = self;
        drop(provisioned);
        // Joins the owner's thread, which flushes what it holds.
        if tokio::task::spawn_blocking(move || owner.close())
            .await
            .is_err()
        {
            tracing::warn!("the TPM's thread did not end in order");
        }
        if let Some(simulator) = simulator {
            simulator.stop().await;
        }
    }
}

fn load(path: &Path) -> anyhow::Result<Option<TpmState>> {
    let kept = durable::load(path, MAX_STATE)
        .with_context(|| format!("`{}` cannot be read", path.display()))?;
    let Some(text) = kept else {
        return Ok(None);
    };
    serde_json::from_slice(&text)
        .map(Some)
        .with_context(|| format!("`{}` is not what this broker keeps there", path.display()))
}

fn auth(path: Option<&Path>) -> anyhow::Result<AuthValue> {
    let Some(path) = path else {
        return Ok(AuthValue::default());
    };
    let bytes = std::fs::read(path)
        .map(Zeroizing::new)
        .with_context(|| format!("the authorization in `{}` cannot be read", path.display()))?;
    AuthValue::new(bytes).with_context(|| {
        format!(
            "the authorization in `{}` is longer than {} bytes",
            path.display(),
            AuthValue::MAX
        )
    })
}
