//! Where the TPM is, what its hierarchies ask for, and which kinds of keys this host uses.
//!
//! Values only: nothing here opens anything. Hierarchy authorizations are given, used, and never set.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use tss_esapi::tcti_ldr::{DeviceConfig, TctiNameConf, TpmSimulatorConfig};
use zeroize::Zeroizing;

/// All that is needed to open a TPM.
#[derive(Debug)]
pub struct TpmConfig {
    /// How the TPM is reached.
    pub transport: Transport,
    /// The authorizations of its hierarchies, where an administrator has set them.
    pub auths: HierarchyAuths,
    /// Which EK this host is known by; fixed per host group.
    pub endorsement_key: EndorsementKey,
    /// The kind of attestation key to create.
    pub attestation_key: AttestationKey,
}

/// How a TPM is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A character device; `/dev/tpmrm0` has the kernel's resource manager, which is what a system should use.
    Device(PathBuf),
    /// A software TPM behind a socket.
    Swtpm(SwtpmAddress),
}

/// Where a software TPM listens. It has no resource manager, so it must be ours alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SwtpmAddress {
    /// TCP; the control channel is at the next port.
    Tcp(SocketAddr),
    /// A UNIX socket; the control channel is at the same path with `.ctrl` behind it.
    Unix(PathBuf),
}

impl Transport {
    pub(crate) fn tcti(&self) -> Result<TctiNameConf, tss_esapi::Error> {
        Ok(match self {
            Self::Device(path) => {
                TctiNameConf::Device(path.to_string_lossy().parse::<DeviceConfig>()?)
            }
            Self::Swtpm(SwtpmAddress::Tcp(address)) => {
                TctiNameConf::Swtpm(TpmSimulatorConfig::Tcp {
                    host: tss_esapi::tcti_ldr::ServerAddress::Ip(address.ip()),
                    port: address.port(),
                })
            }
            Self::Swtpm(SwtpmAddress::Unix(path)) => {
                TctiNameConf::Swtpm(TpmSimulatorConfig::Unix {
                    path: path.to_string_lossy().into_owned(),
                })
            }
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "`{}`", path.display()),
            Self::Swtpm(SwtpmAddress::Tcp(address)) => write!(f, "the simulator at `{address}`"),
            Self::Swtpm(SwtpmAddress::Unix(path)) => {
                write!(f, "the simulator at `{}`", path.display())
            }
        }
    }
}

/// The authorizations of the hierarchies; empty unless an administrator has set them.
#[derive(Default)]
pub struct HierarchyAuths {
    /// Of the owner (storage) hierarchy.
    pub owner: AuthValue,
    /// Of the endorsement hierarchy.
    pub endorsement: AuthValue,
}

impl fmt::Debug for HierarchyAuths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HierarchyAuths(..)")
    }
}

/// An authorization value: zeroized when dropped, never printed.
#[derive(Clone, Default)]
pub struct AuthValue(Zeroizing<Vec<u8>>);

impl AuthValue {
    /// The longest value, in bytes: a SHA-256 digest's, which every TPM takes.
    pub const MAX: usize = 32;

    /// Takes at most [`Self::MAX`] bytes; `None` if there are more.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        (bytes.len() <= Self::MAX).then_some(Self(bytes))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthValue(..)")
    }
}

/// The hierarchies that Holdfast works in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// Storage: SRK, NV indices, persistent handles.
    Owner,
    /// Privacy: the EK.
    Endorsement,
}

impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Endorsement => "endorsement",
        })
    }
}

/// A standard EK (TCG EK Credential Profile 2.5, B.3 and B.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndorsementKey {
    /// Template L-1, which nearly every TPM has a certificate for.
    Rsa2048,
    /// Template L-2.
    EccP256,
    /// Template H-6.
    Rsa3072,
    /// Template H-3.
    EccP384,
}

/// How an EK is authorized, which its template's range decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EkRange {
    /// By its policy alone: the endorsement hierarchy's authorization.
    Low,
    /// By its own authorization too, which is empty.
    High,
}

impl EndorsementKey {
    pub(crate) fn range(self) -> EkRange {
        match self {
            Self::Rsa2048 | Self::EccP256 => EkRange::Low,
            Self::Rsa3072 | Self::EccP384 => EkRange::High,
        }
    }
}

/// The kind of the attestation key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttestationKey {
    /// ECDSA on P-256.
    EccP256,
    /// RSASSA, 2048 bits: for TPMs whose ECC is slow.
    Rsa2048,
}
