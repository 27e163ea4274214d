//! What can go wrong with a TPM, told apart by who is to blame, and the response codes behind it.
//!
//! A response code is never thrown away and never guessed: whoever handles an error can still ask the TPM's own word for it.

use std::fmt;

use holdfast_proof::tpm::MalformedStructure;

use crate::config::Hierarchy;

/// A TPM operation that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum TpmError {
    /// Environment: no TPM answers, or the connection to it broke. The next call opens it again.
    #[error("no TPM answers at {transport}")]
    Unreachable {
        /// Where it was looked for.
        transport: String,
        /// What the TCTI or ESAPI said.
        #[source]
        source: tss_esapi::Error,
    },
    /// Environment: the owner authorization or endorsement authorization of this TPM is not the configured one.
    #[error("the {hierarchy} authorization of this TPM is not the configured one ({rc})")]
    HierarchyAuth {
        /// Which hierarchy.
        hierarchy: Hierarchy,
        /// The TPM's word.
        rc: ResponseCode,
    },
    /// Environment: this TPM, or what it already holds, cannot serve Holdfast.
    #[error("this TPM cannot serve: {what}")]
    Unsupported {
        /// What is missing or in the way.
        what: &'static str,
    },
    /// Environment: something in the TPM is not what was recorded when this host was provisioned.
    #[error("the {what} in this TPM is not the one of this host's provisioning")]
    Changed {
        /// Which object or index.
        what: &'static str,
    },
    /// Environment: more work is queued than the TPM can do in an acceptable time.
    #[error("too much work is queued for the TPM")]
    Busy,
    /// Environment: the TPM thread has ended, because its owner closed it.
    #[error("the TPM was closed")]
    Closed,
    /// The policy of an object does not hold any more: expired, revoked, restarted, changed, or not this digest.
    #[error("the TPM refused {command}: its policy does not hold ({rc})")]
    PolicyRefused {
        /// The command that was refused.
        command: Command,
        /// The TPM's word.
        rc: ResponseCode,
    },
    /// Caller: the PIN is wrong, and the failure was counted.
    #[error("the PIN is wrong ({rc})")]
    PinWrong {
        /// The TPM's word.
        rc: ResponseCode,
    },
    /// Caller: too many wrong PINs; only the recovery code opens it again.
    #[error("the PIN is locked after too many failures ({rc})")]
    PinLocked {
        /// The TPM's word.
        rc: ResponseCode,
    },
    /// Caller: the recovery code is wrong.
    #[error("the recovery code is wrong ({rc})")]
    RecoveryWrong {
        /// The TPM's word.
        rc: ResponseCode,
    },
    /// Caller: the request makes no sense.
    #[error("{0}")]
    Caller(&'static str),
    /// The TPM refused for another reason.
    #[error("the TPM refused {command} ({rc})")]
    Refused {
        /// The command that was refused.
        command: Command,
        /// The TPM's word.
        rc: ResponseCode,
    },
    /// Peer: what the TPM or the stored state said is not well formed.
    #[error("an answer to {command} is malformed")]
    Malformed {
        /// The command.
        command: Command,
        /// Why.
        #[source]
        source: MalformedStructure,
    },
    /// Us: the TSS wrapper refused what we gave it.
    #[error("the TPM software stack refused {command}")]
    Stack {
        /// The command.
        command: Command,
        /// Why.
        #[source]
        source: tss_esapi::Error,
    },
}

impl TpmError {
    /// Whether the TPM lacks a PCR that was asked for, or its whole bank.
    pub fn is_for_want_of_a_pcr(&self) -> bool {
        matches!(self, Self::Unsupported { what } if *what == crate::pcr::NOT_EVERY_PCR)
    }

    /// The TPM's response code, if the TPM itself refused.
    pub fn response_code(&self) -> Option<ResponseCode> {
        match self {
            Self::HierarchyAuth { rc, .. }
            | Self::PolicyRefused { rc, .. }
            | Self::PinWrong { rc }
            | Self::PinLocked { rc }
            | Self::RecoveryWrong { rc }
            | Self::Refused { rc, .. } => Some(*rc),
            Self::Unreachable { .. }
            | Self::Unsupported { .. }
            | Self::Changed { .. }
            | Self::Busy
            | Self::Closed
            | Self::Caller(_)
            | Self::Malformed { .. }
            | Self::Stack { .. } => None,
        }
    }
}

impl TpmError {
    /// Gives a refusal another blame, where `blame` knows one for its code.
    pub(crate) fn blame(self, blame: impl FnOnce(Command, ResponseCode) -> Option<Self>) -> Self {
        match &self {
            Self::Refused { command, rc } => blame(*command, *rc).unwrap_or(self),
            Self::Unreachable { .. }
            | Self::HierarchyAuth { .. }
            | Self::Unsupported { .. }
            | Self::Changed { .. }
            | Self::Busy
            | Self::Closed
            | Self::PolicyRefused { .. }
            | Self::PinWrong { .. }
            | Self::PinLocked { .. }
            | Self::RecoveryWrong { .. }
            | Self::Caller(_)
            | Self::Malformed { .. }
            | Self::Stack { .. } => self,
        }
    }
}

/// A TPM_RC as the TPM sent it (Part 2 §6.6), without the layer that the software stack adds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResponseCode(u32);

impl ResponseCode {
    /// TPM_RC_POLICY: a PolicyNV or PolicyCounterTimer comparison failed.
    pub const POLICY: Self = Self(0x126);
    /// TPM_RC_PCR_CHANGED: PCRs changed after the policy was checked.
    pub const PCR_CHANGED: Self = Self(0x128);
    /// TPM_RC_POLICY_FAIL.
    pub const POLICY_FAIL: Self = Self(0x09d);
    /// TPM_RC_AUTH_FAIL, counted as a failure.
    pub const AUTH_FAIL: Self = Self(0x08e);
    /// TPM_RC_BAD_AUTH, not counted as a failure.
    pub const BAD_AUTH: Self = Self(0x0a2);
    /// TPM_RC_AUTH_UNAVAILABLE.
    pub const AUTH_UNAVAILABLE: Self = Self(0x12f);
    /// TPM_RC_CURVE: it does not have this one.
    pub const CURVE: Self = Self(0x0a6);
    /// TPM_RC_ASYMMETRIC: it does not have this algorithm.
    pub const ASYMMETRIC: Self = Self(0x081);
    /// TPM_RC_TYPE.
    pub const TYPE: Self = Self(0x08a);
    /// TPM_RC_VALUE.
    pub const VALUE: Self = Self(0x084);
    /// TPM_RC_HANDLE.
    pub const HANDLE: Self = Self(0x08b);
    /// TPM_RC_REFERENCE_H0: the first handle of the command is of something that is not loaded.
    pub const REFERENCE_H0: Self = Self(0x910);
    /// TPM_RC_LOCKOUT.
    pub const LOCKOUT: Self = Self(0x921);
    /// TPM_RC_COMMAND_CODE: it does not have this command.
    pub const COMMAND_CODE: Self = Self(0x143);
    /// TPM_RC_NV_DEFINED: there is an index already.
    pub const NV_DEFINED: Self = Self(0x14c);
    /// TPM_RC_NV_UNINITIALIZED.
    pub const NV_UNINITIALIZED: Self = Self(0x14a);

    /// The code as it was sent, with the number of the handle, session or parameter that it blames.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The code without the number of the handle, session or parameter that it blames.
    #[must_use]
    pub const fn base(self) -> Self {
        // Part 2 §6.6.2: bit 7 marks a format-one code, whose bits 6 and 8 to 11 say what is blamed.
        if self.0 & 0x80 != 0 {
            Self(self.0 & 0xbf)
        } else {
            self
        }
    }

    /// Takes the TPM's code out of what the software stack returned; `None` if a layer above the TPM refused.
    pub(crate) fn of(error: &tss_esapi::Error) -> Option<Self> {
        const LAYER: u32 = 0x00ff_0000;
        const RESOURCE_MANAGER_TPM: u32 = 0x000c_0000;
        match error {
            tss_esapi::Error::TssError(code) => {
                let code = tss_esapi::tss2_esys::TSS2_RC::from(*code);
                let layer = code & LAYER;
                (layer == 0 || layer == RESOURCE_MANAGER_TPM).then_some(Self(code & !LAYER))
            }
            tss_esapi::Error::WrapperError(_) => None,
        }
    }

    /// Whether an authorization failed, rather than something else.
    pub(crate) fn is_auth_failure(self) -> bool {
        [Self::AUTH_FAIL, Self::BAD_AUTH].contains(&self.base())
    }

    fn meaning(self) -> &'static str {
        match self.base() {
            Self::POLICY => "a policy comparison failed",
            Self::PCR_CHANGED => "PCRs changed meanwhile",
            Self::POLICY_FAIL => "policy check failed",
            Self::AUTH_FAIL => "authorization failed",
            Self::BAD_AUTH => "bad authorization",
            Self::AUTH_UNAVAILABLE => "authorization unavailable",
            Self::VALUE => "value out of range",
            Self::HANDLE => "no such handle",
            Self::REFERENCE_H0 => "the object is not loaded",
            Self::LOCKOUT => "the TPM is in dictionary-attack lockout",
            Self::NV_DEFINED => "the NV index is defined already",
            Self::NV_UNINITIALIZED => "the NV index was never written",
            Self(_) => "see TCG TPM 2.0 Part 2 §6.6.3",
        }
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#05x}, {}", self.0, self.meaning())
    }
}

impl fmt::Debug for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseCode({:#05x})", self.0)
    }
}

/// The TPM command that an error is about, by its name in Part 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command(pub(crate) &'static str);

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Gives a result of the software stack its place and its blame.
pub(crate) trait At<T> {
    /// Says which `command` (its name in Part 3, as `TPM2_…`) was tried.
    fn at(self, command: &'static str) -> Result<T, TpmError>;
}

impl<T> At<T> for tss_esapi::Result<T> {
    fn at(self, command: &'static str) -> Result<T, TpmError> {
        self.map_err(|source| {
            let command = Command(command);
            let Some(rc) = ResponseCode::of(&source) else {
                return TpmError::Stack { command, source };
            };
            match rc.base() {
                ResponseCode::POLICY | ResponseCode::POLICY_FAIL | ResponseCode::PCR_CHANGED => {
                    TpmError::PolicyRefused { command, rc }
                }
                ResponseCode(_) => TpmError::Refused { command, rc },
            }
        })
    }
}

impl<T> At<T> for Result<T, MalformedStructure> {
    fn at(self, command: &'static str) -> Result<T, TpmError> {
        self.map_err(|source| TpmError::Malformed {
            command: Command(command),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blamed_handle_session_or_parameter_is_not_part_of_the_base() {
        assert_eq!(ResponseCode(0x99d).base(), ResponseCode::POLICY_FAIL);
        assert_eq!(ResponseCode(0x98e).base(), ResponseCode::AUTH_FAIL);
        assert_eq!(ResponseCode(0x1c4).base(), ResponseCode::VALUE);
        assert_eq!(ResponseCode(0x921).base(), ResponseCode::LOCKOUT);
        assert_eq!(ResponseCode(0x126).base(), ResponseCode::POLICY);
    }
}
