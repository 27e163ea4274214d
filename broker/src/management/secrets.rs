//! The caller's own vault over the management socket.
//!
//! A value comes in and none goes out: a listing has names and uses.

use holdfast_issue_credentials::vault::{SealError, StateError, VaultError, Vaults};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::management::{Failure, FailureKind, Response};
use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::{NewVault, SecretName, SecretUse};
use holdfast_protocol::words::with_causes;

/// What there is.
pub fn list(vaults: &Vaults, caller: HumanUid) -> Result<Response, Failure> {
    let listing = vaults.try_listing(caller);
    listing
        .map(Response::Vault)
        .map_err(|error| failure(&error))
}

/// Makes a vault.
pub async fn make(vaults: &Vaults, caller: HumanUid, how: NewVault) -> Result<Response, Failure> {
    let made = vaults.make(caller, how).await;
    made.map(|recovery| Response::VaultMade { recovery })
        .map_err(|error| failure(&error))
}

/// Opens it.
pub async fn open(vaults: &Vaults, caller: HumanUid, share: &Secret) -> Result<Response, Failure> {
    done(vaults, caller, vaults.open(caller, share).await)
}

/// Lets it open under the present software too.
pub async fn recover(
    vaults: &Vaults,
    caller: HumanUid,
    code: &Secret,
) -> Result<Response, Failure> {
    done(vaults, caller, vaults.recover(caller, code).await)
}

/// Puts a secret in.
pub async fn keep(
    vaults: &Vaults,
    caller: HumanUid,
    (name, purpose): (SecretName, SecretUse),
    value: &Secret,
) -> Result<Response, Failure> {
    done(
        vaults,
        caller,
        vaults.keep(caller, name, purpose, value).await,
    )
}

/// Takes one out.
pub async fn remove(
    vaults: &Vaults,
    caller: HumanUid,
    name: &SecretName,
) -> Result<Response, Failure> {
    done(vaults, caller, vaults.remove(caller, name).await)
}

fn done(
    vaults: &Vaults,
    caller: HumanUid,
    done: Result<(), VaultError>,
) -> Result<Response, Failure> {
    // What else may be wrong with the vault does not undo what was done.
    done.map(|()| Response::Vault(vaults.listing(caller)))
        .map_err(|error| failure(&error))
}

fn failure(error: &VaultError) -> Failure {
    let (kind, advice) = match error {
        VaultError::NoVault => (FailureKind::Failed, "`holdfast secrets init` makes one"),
        VaultError::Exists => (
            FailureKind::Failed,
            "`holdfast secrets list` shows what is in it",
        ),
        VaultError::Locked => (
            FailureKind::Failed,
            "`holdfast secrets unlock` opens it with your keyring",
        ),
        VaultError::Shareless => (FailureKind::Usage, "there is nothing to unlock"),
        VaultError::Share(_) => (
            FailureKind::Usage,
            "use a `holdfast` of the same version as holdfastd",
        ),
        VaultError::WrongShare => (
            FailureKind::Failed,
            "see whether your keyring is the one that the vault was made with",
        ),
        VaultError::Value => (
            FailureKind::Usage,
            "give the secret alone, without a line break",
        ),
        VaultError::State(StateError::NoSecret(_)) => (
            FailureKind::Failed,
            "`holdfast secrets list` shows those that there are",
        ),
        VaultError::State(StateError::Full) | VaultError::File(_) => (
            FailureKind::Failed,
            "nothing was changed; see the file of your uid in the folder `vaults` of holdfastd's state",
        ),
        VaultError::State(StateError::Damaged(_)) => (
            FailureKind::Failed,
            "do not trust it: remove it and put it in again",
        ),
        VaultError::Damaged => (
            FailureKind::Failed,
            "nothing was changed; put the file back from a backup",
        ),
        VaultError::Tpm(SealError::Refused(_)) => (
            FailureKind::Failed,
            "if this machine's firmware or Secure Boot has changed and you know why: `holdfast secrets recover`, with the \
             code that `secrets init` printed; on another machine a vault opens never",
        ),
        VaultError::Tpm(SealError::WrongCode) => (
            FailureKind::Failed,
            "type the code that `holdfast secrets init` printed when this vault was made",
        ),
        VaultError::State(StateError::Crypto(_))
        | VaultError::Io(_)
        | VaultError::Tpm(SealError::Failed(_))
        | VaultError::Lease(_)
        | VaultError::NotRecorded(_)
        | VaultError::Randomness(_)
        | VaultError::Crypto(_) => (FailureKind::Failed, "see holdfastd's log"),
    };
    Failure {
        kind,
        message: with_causes(error),
        advice: advice.to_owned(),
    }
}
