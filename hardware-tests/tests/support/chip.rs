//! A TPM through `holdfast-tpm`, as broker and job 1 use it, without them.
//!
//! It must be closed before anybody else speaks to the same TPM: a software TPM serves one client at a time.

use std::net::SocketAddr;

use holdfast_proof::tpm::{Digest, HashAlg, PcrIndex, PcrSelection};
use holdfast_tpm::{
    AttestationKey, EndorsementKey, HierarchyAuths, Provisioned, SwtpmAddress, Tpm, TpmConfig,
    TpmOwner, TpmState, Transport,
};

/// A provisioned TPM, and the thread that owns it.
pub struct Chip {
    pub tpm: Provisioned,
    owner: TpmOwner,
}

impl Chip {
    /// Opens the TPM that listens at `address`, for the first time or with what was kept of it.
    pub async fn open(address: SocketAddr, kept: Option<TpmState>) -> Self {
        let config = TpmConfig {
            transport: Transport::Swtpm(SwtpmAddress::Tcp(address)),
            auths: HierarchyAuths::default(),
            endorsement_key: EndorsementKey::Rsa2048,
            attestation_key: AttestationKey::EccP256,
        };
        let (tpm, owner) = Tpm::open(config).await.unwrap();
        let tpm = tpm.provision(kept).await.unwrap();
        Self { tpm, owner }
    }

    /// Lets go of the TPM; what has to be kept of it.
    pub fn close(self) -> TpmState {
        let state = self.tpm.state().clone();
        drop(self.tpm);
        self.owner.close();
        state
    }

    /// The TPM itself is asked: no transient object, no session.
    pub async fn nothing_is_left(&self) {
        let tpm = self.tpm.tpm();
        assert_eq!(tpm.transient_handles().await.unwrap(), 0, "objects");
        assert_eq!(tpm.loaded_sessions().await.unwrap(), 0, "sessions");
    }
}

/// What is extended when this is measured, in every bank that a software TPM has unless somebody turned one off.
pub fn in_every_bank(measured: &[u8]) -> [Digest; 4] {
    [
        HashAlg::Sha1,
        HashAlg::Sha256,
        HashAlg::Sha384,
        HashAlg::Sha512,
    ]
    .map(|bank| bank.digest(measured))
}

/// The SHA-256 bank of these PCRs.
pub fn pcrs(indices: &[u8]) -> PcrSelection {
    PcrSelection::of(HashAlg::Sha256, indices.iter().map(|index| pcr(*index)))
}

pub fn pcr(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}
