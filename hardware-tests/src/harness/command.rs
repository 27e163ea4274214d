//! The commands of a TPM: names, how many handles come first, what kind of work they are.
//!
//! It must never refuse a command it does not know: the TPM decides what it understands.

use std::fmt;

/// `TPM_CC` (TPM 2.0 Library, Part 2, §6.5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandCode(u32);

/// The work that dominates a command's time on silicon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Hashing, symmetric cryptography, moving bytes.
    Light,
    /// A new key, or a seal: the public template tells.
    Create,
    /// A signature: the signature tells by which kind of key.
    Sign,
    /// A secret is recovered with a decryption key: the encrypted secret's length tells which kind.
    Recover,
    /// A scalar multiplication on a curve.
    Curve,
    /// An RSA private operation.
    Rsa,
    /// Non-volatile memory is written.
    Persist,
}

struct Spec {
    code: u32,
    name: &'static str,
    handles: usize,
    work: Work,
}

const fn spec(code: u32, name: &'static str, handles: usize, work: Work) -> Spec {
    Spec {
        code,
        name,
        handles,
        work,
    }
}

impl CommandCode {
    /// The command with this number.
    pub const fn new(code: u32) -> Self {
        Self(code)
    }

    /// As the library specification calls it, without `TPM2_`; `unknown` for what it does not name.
    pub fn name(self) -> &'static str {
        self.spec().map_or("unknown", |spec| spec.name)
    }

    /// The number on the wire.
    pub fn value(self) -> u32 {
        self.0
    }

    /// How many handles come before the authorizations.
    pub(super) fn handles(self) -> usize {
        self.spec().map_or(0, |spec| spec.handles)
    }

    pub(super) fn work(self) -> Work {
        self.spec().map_or(Work::Light, |spec| spec.work)
    }

    fn spec(self) -> Option<&'static Spec> {
        let at = SPECS.binary_search_by_key(&self.0, |spec| spec.code).ok()?;
        SPECS.get(at)
    }
}

impl fmt::Debug for CommandCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({:#x})", self.name(), self.0)
    }
}

/// Part 3 of the library specification, revision 1.59; sorted by code.
#[rustfmt::skip]
static SPECS: &[Spec] = &[
    spec(0x11f, "NV_UndefineSpaceSpecial", 2, Work::Persist),
    spec(0x120, "EvictControl", 2, Work::Persist),
    spec(0x121, "HierarchyControl", 1, Work::Light),
    spec(0x122, "NV_UndefineSpace", 2, Work::Persist),
    spec(0x124, "ChangeEPS", 1, Work::Persist),
    spec(0x125, "ChangePPS", 1, Work::Persist),
    spec(0x126, "Clear", 1, Work::Persist),
    spec(0x127, "ClearControl", 1, Work::Persist),
    spec(0x128, "ClockSet", 1, Work::Persist),
    spec(0x129, "HierarchyChangeAuth", 1, Work::Persist),
    spec(0x12a, "NV_DefineSpace", 1, Work::Persist),
    spec(0x12b, "PCR_Allocate", 1, Work::Persist),
    spec(0x12c, "PCR_SetAuthPolicy", 1, Work::Persist),
    spec(0x12d, "PP_Commands", 1, Work::Persist),
    spec(0x12e, "SetPrimaryPolicy", 1, Work::Persist),
    spec(0x12f, "FieldUpgradeStart", 2, Work::Light),
    spec(0x130, "ClockRateAdjust", 1, Work::Light),
    spec(0x131, "CreatePrimary", 1, Work::Create),
    spec(0x132, "NV_GlobalWriteLock", 1, Work::Persist),
    spec(0x133, "GetCommandAuditDigest", 2, Work::Sign),
    spec(0x134, "NV_Increment", 2, Work::Persist),
    spec(0x135, "NV_SetBits", 2, Work::Persist),
    spec(0x136, "NV_Extend", 2, Work::Persist),
    spec(0x137, "NV_Write", 2, Work::Persist),
    spec(0x138, "NV_WriteLock", 2, Work::Persist),
    spec(0x139, "DictionaryAttackLockReset", 1, Work::Persist),
    spec(0x13a, "DictionaryAttackParameters", 1, Work::Persist),
    spec(0x13b, "NV_ChangeAuth", 1, Work::Persist),
    spec(0x13c, "PCR_Event", 1, Work::Light),
    spec(0x13d, "PCR_Reset", 1, Work::Light),
    spec(0x13e, "SequenceComplete", 1, Work::Light),
    spec(0x13f, "SetAlgorithmSet", 1, Work::Light),
    spec(0x140, "SetCommandCodeAuditStatus", 1, Work::Persist),
    spec(0x141, "FieldUpgradeData", 0, Work::Light),
    spec(0x142, "IncrementalSelfTest", 0, Work::Light),
    spec(0x143, "SelfTest", 0, Work::Light),
    spec(0x144, "Startup", 0, Work::Light),
    spec(0x145, "Shutdown", 0, Work::Persist),
    spec(0x146, "StirRandom", 0, Work::Light),
    spec(0x147, "ActivateCredential", 2, Work::Recover),
    spec(0x148, "Certify", 2, Work::Sign),
    spec(0x149, "PolicyNV", 3, Work::Light),
    spec(0x14a, "CertifyCreation", 2, Work::Sign),
    spec(0x14b, "Duplicate", 2, Work::Light),
    spec(0x14c, "GetTime", 2, Work::Sign),
    spec(0x14d, "GetSessionAuditDigest", 3, Work::Sign),
    spec(0x14e, "NV_Read", 2, Work::Light),
    spec(0x14f, "NV_ReadLock", 2, Work::Persist),
    spec(0x150, "ObjectChangeAuth", 2, Work::Light),
    spec(0x151, "PolicySecret", 2, Work::Light),
    spec(0x152, "Rewrap", 2, Work::Light),
    spec(0x153, "Create", 1, Work::Create),
    spec(0x154, "ECDH_ZGen", 1, Work::Curve),
    spec(0x155, "HMAC", 1, Work::Light),
    spec(0x156, "Import", 1, Work::Recover),
    spec(0x157, "Load", 1, Work::Light),
    spec(0x158, "Quote", 1, Work::Sign),
    spec(0x159, "RSA_Decrypt", 1, Work::Rsa),
    spec(0x15b, "HMAC_Start", 1, Work::Light),
    spec(0x15c, "SequenceUpdate", 1, Work::Light),
    spec(0x15d, "Sign", 1, Work::Sign),
    spec(0x15e, "Unseal", 1, Work::Light),
    spec(0x160, "PolicySigned", 2, Work::Light),
    spec(0x161, "ContextLoad", 0, Work::Light),
    spec(0x162, "ContextSave", 1, Work::Light),
    spec(0x163, "ECDH_KeyGen", 1, Work::Curve),
    spec(0x164, "EncryptDecrypt", 1, Work::Light),
    spec(0x165, "FlushContext", 0, Work::Light),
    spec(0x167, "LoadExternal", 0, Work::Light),
    spec(0x168, "MakeCredential", 1, Work::Light),
    spec(0x169, "NV_ReadPublic", 1, Work::Light),
    spec(0x16a, "PolicyAuthorize", 1, Work::Light),
    spec(0x16b, "PolicyAuthValue", 1, Work::Light),
    spec(0x16c, "PolicyCommandCode", 1, Work::Light),
    spec(0x16d, "PolicyCounterTimer", 1, Work::Light),
    spec(0x16e, "PolicyCpHash", 1, Work::Light),
    spec(0x16f, "PolicyLocality", 1, Work::Light),
    spec(0x170, "PolicyNameHash", 1, Work::Light),
    spec(0x171, "PolicyOR", 1, Work::Light),
    spec(0x172, "PolicyTicket", 1, Work::Light),
    spec(0x173, "ReadPublic", 1, Work::Light),
    spec(0x174, "RSA_Encrypt", 1, Work::Light),
    spec(0x176, "StartAuthSession", 2, Work::Recover),
    spec(0x177, "VerifySignature", 1, Work::Light),
    spec(0x178, "ECC_Parameters", 0, Work::Light),
    spec(0x179, "FirmwareRead", 0, Work::Light),
    spec(0x17a, "GetCapability", 0, Work::Light),
    spec(0x17b, "GetRandom", 0, Work::Light),
    spec(0x17c, "GetTestResult", 0, Work::Light),
    spec(0x17d, "Hash", 0, Work::Light),
    spec(0x17e, "PCR_Read", 0, Work::Light),
    spec(0x17f, "PolicyPCR", 1, Work::Light),
    spec(0x180, "PolicyRestart", 1, Work::Light),
    spec(0x181, "ReadClock", 0, Work::Light),
    spec(0x182, "PCR_Extend", 1, Work::Light),
    spec(0x183, "PCR_SetAuthValue", 1, Work::Light),
    spec(0x184, "NV_Certify", 3, Work::Sign),
    spec(0x185, "EventSequenceComplete", 2, Work::Light),
    spec(0x186, "HashSequenceStart", 0, Work::Light),
    spec(0x187, "PolicyPhysicalPresence", 1, Work::Light),
    spec(0x188, "PolicyDuplicationSelect", 1, Work::Light),
    spec(0x189, "PolicyGetDigest", 1, Work::Light),
    spec(0x18a, "TestParms", 0, Work::Light),
    spec(0x18b, "Commit", 1, Work::Curve),
    spec(0x18c, "PolicyPassword", 1, Work::Light),
    spec(0x18d, "ZGen_2Phase", 1, Work::Curve),
    spec(0x18e, "EC_Ephemeral", 0, Work::Curve),
    spec(0x18f, "PolicyNvWritten", 1, Work::Light),
    spec(0x190, "PolicyTemplate", 1, Work::Light),
    spec(0x191, "CreateLoaded", 1, Work::Create),
    spec(0x192, "PolicyAuthorizeNV", 3, Work::Light),
    spec(0x193, "EncryptDecrypt2", 1, Work::Light),
    spec(0x194, "AC_GetCapability", 1, Work::Light),
    spec(0x195, "AC_Send", 3, Work::Light),
    spec(0x196, "Policy_AC_SendSelect", 1, Work::Light),
    spec(0x197, "CertifyX509", 2, Work::Sign),
    spec(0x198, "ACT_SetTimeout", 1, Work::Light),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_so_that_the_search_finds_every_row() {
        assert!(SPECS.windows(2).all(|pair| pair[0].code < pair[1].code));
        for spec in SPECS {
            assert_eq!(CommandCode::new(spec.code).name(), spec.name);
        }
    }

    #[test]
    fn commands_outside_the_specification_are_named_unknown_and_taken_as_light() {
        let vendor = CommandCode::new(0x2000_0000);
        assert_eq!(
            (vendor.name(), vendor.handles(), vendor.work()),
            ("unknown", 0, Work::Light)
        );
    }
}
