//! Command codes (Part 2 §6.5.2) and the hash of a command's parameters (Part 1 §16.7).
//!
//! Lists the commands that policies name; it never marshals a command for a TPM.

use holdfast_protocol::Sha256Digest;

use crate::hash::sha256_of;
use crate::tpm::Name;

/// The code of a TPM command (TPM_CC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandCode(pub(super) u32);

impl CommandCode {
    /// TPM2_NV_UndefineSpaceSpecial.
    pub const NV_UNDEFINE_SPACE_SPECIAL: Self = Self(0x0000_011f);
    /// TPM2_NV_Increment.
    pub const NV_INCREMENT: Self = Self(0x0000_0134);
    /// TPM2_NV_Write.
    pub const NV_WRITE: Self = Self(0x0000_0137);
    /// TPM2_NV_ChangeAuth.
    pub const NV_CHANGE_AUTH: Self = Self(0x0000_013b);
    /// TPM2_ActivateCredential.
    pub const ACTIVATE_CREDENTIAL: Self = Self(0x0000_0147);
    /// TPM2_PolicyNV.
    pub const POLICY_NV: Self = Self(0x0000_0149);
    /// TPM2_NV_Read.
    pub const NV_READ: Self = Self(0x0000_014e);
    /// TPM2_PolicySecret.
    pub const POLICY_SECRET: Self = Self(0x0000_0151);
    /// TPM2_Sign.
    pub const SIGN: Self = Self(0x0000_015d);
    /// TPM2_Unseal.
    pub const UNSEAL: Self = Self(0x0000_015e);
    /// TPM2_PolicySigned.
    pub const POLICY_SIGNED: Self = Self(0x0000_0160);
    /// TPM2_PolicyCpHash.
    pub const POLICY_CP_HASH: Self = Self(0x0000_016e);
    /// TPM2_PolicyAuthorize.
    pub const POLICY_AUTHORIZE: Self = Self(0x0000_016a);
    /// TPM2_PolicyAuthValue.
    pub const POLICY_AUTH_VALUE: Self = Self(0x0000_016b);
    /// TPM2_PolicyCommandCode.
    pub const POLICY_COMMAND_CODE: Self = Self(0x0000_016c);
    /// TPM2_PolicyCounterTimer.
    pub const POLICY_COUNTER_TIMER: Self = Self(0x0000_016d);
    /// TPM2_PolicyOR.
    pub const POLICY_OR: Self = Self(0x0000_0171);
    /// TPM2_GetCapability.
    pub const GET_CAPABILITY: Self = Self(0x0000_017a);
    /// TPM2_PolicyPCR.
    pub const POLICY_PCR: Self = Self(0x0000_017f);
    /// TPM2_NV_Certify.
    pub const NV_CERTIFY: Self = Self(0x0000_0184);

    /// The command of this code.
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// The code.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The cpHash of a command, by SHA-256: its code, the names of the entities in its handle area, and its marshalled
/// parameters without handles and authorizations.
pub fn cp_hash(command: CommandCode, names: &[&Name], parameters: &[u8]) -> Sha256Digest {
    let code = command.0.to_be_bytes();
    let mut parts: Vec<&[u8]> = vec![&code];
    parts.extend(names.iter().map(|name| name.as_bytes()));
    parts.push(parameters);
    sha256_of(&parts)
}
