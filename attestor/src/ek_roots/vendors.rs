//! The roots under which the makers of TPMs certify endorsement keys, by their fingerprints.
//!
//! It helps an operator to tell a maker's root from any other; it must never make one trusted: that does the folder alone.
//!
//! Each fingerprint was computed from the certificate itself, as it is published in Microsoft's `TrustedTpm.cab`
//! (2024-12-24), Keylime's `tpm_cert_store`, loicsikidi/tpm-ca-certificates, or google/go-tpm-tools. Roots that a maker has
//! bought (VeriSign, GlobalSign) stand under that maker. Whoever relies on one compares it with what its maker publishes.

use holdfast_protocol::Sha256Digest;

/// A maker's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRoot {
    /// Whose TPMs it is for.
    pub vendor: &'static str,
    /// What it calls itself.
    pub name: &'static str,
    /// SHA-256 over the certificate in DER, in hex.
    pub fingerprint: &'static str,
}

/// The root with this fingerprint, if it is a known one.
pub fn known(fingerprint: &Sha256Digest) -> Option<&'static KnownRoot> {
    let wanted = fingerprint.to_string();
    KNOWN.iter().find(|root| root.fingerprint == wanted)
}

const fn root(vendor: &'static str, name: &'static str, fingerprint: &'static str) -> KnownRoot {
    KnownRoot {
        vendor,
        name,
        fingerprint,
    }
}

/// By maker and name.
#[rustfmt::skip]
pub const KNOWN: &[KnownRoot] = &[
    root("AMD", "AMDTPM (ECC)", "14aac9fd58471a612afd75d8c0955daf99f091b1863702f9e0d4113faf234f9d"),
    root("AMD", "AMDTPM (RSA)", "67bd2472a546751caca5f358a78f80727531671338960a9bcfdfbe6a34d0c6a1"),
    root("AMD", "AMD Pluton Global Factory ICA", "593a1794f9e17476c7ad427d2908a97c451451c9e0939fdc80d5d662c232d401"),
    root("Atmel", "Atmel TPM Root Signing Module", "3784884ec83a8d7edbfb928ac878dc75c11451381c6a0cb27aaffb3171e0d33f"),
    root("Google", "EK/AK CA Root (Google Cloud)", "594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2"),
    root("Google", "tpm_ek_v1_cloud_host_root", "9bd5285f8fb18502a7947e621ffd470266f49fcd3b73e19a190f690ad32a7caf"),
    root("Infineon", "IFX TPM EK Root CA", "7df2c3751c03ce003e99174d9cb2559f57a1b05b1920dd30bb6f8dfcf17f5e62"),
    root("Infineon", "Infineon OPTIGA(TM) ECC Root CA", "cfeb02fecd55ad7a73c6e1d11985d4c47dee248ab63dcb66091a2489660443c3"),
    root("Infineon", "Infineon OPTIGA(TM) ECC Root CA 2", "ee0c827555c4e9012037df4257bb8aaa26084a17b13ede41cd7895c8d6c11190"),
    root("Infineon", "Infineon OPTIGA(TM) ECC Root CA 3", "5a84cc3476221cce5be81af8d755d175fea03d208b3412a231710c56774542fd"),
    root("Infineon", "Infineon OPTIGA(TM) RSA Root CA", "899e35474c9807eb4c7f2f7a12da0028fb250cd02154d0009fca7d9c66574f3b"),
    root("Infineon", "Infineon OPTIGA(TM) RSA Root CA 2", "b413c71580af3ec5efe83fad31db2d4af4612355e3b01e50903b10763d738894"),
    root("Infineon", "Infineon OPTIGA(TM) RSA Root CA 3", "976b0579c016741b0003bf8055e920ab08f72abc819547b3480b0c141e956b70"),
    root("Infineon", "Infineon TPM CA 008", "2f93344342aba756229c5b854b4e234ca3d4cb0fd14a50bbff43bec9f0d507b5"),
    root("Infineon", "VeriSign Trusted Platform Module Root CA", "967bb3d4544ea2740fce338077e1f5a9ea3085667246e6b968294aa045a57549"),
    root("Intel", "OnDie CA Root", "beb40bb7507b33967226aa80e084749fbb6593893c642e818d682e9a8d07fc24"),
    root("Intel", "TPM EK root", "2e1b3ba79af56d758be51697621bc4b9e8cee0983db3e749c55eb9b37c6d2ae0"),
    root("Microsoft", "Microsoft Pluton Root CA 2021", "32ab5fe7cb4396659fcb621ca14c6fb8fc2420f64050637d77e45a86c5d3916e"),
    root("Microsoft", "Microsoft TPM Root Certificate Authority 2014", "870c7a35ceab3d59979f2c6a524042d404cb71518004350925fb2ced79a999da"),
    root("NationZ", "NSING TPM ECC ROOT CA 001", "6ccf8a8a803d07a002a15d4889ffa0b125e4a82a1fe4211db3c6e8592919f9dc"),
    root("NationZ", "NSING TPM RSA ROOT CA 001", "72ca00612395af027cd84c5514219f110e964dfa0bfc1efbb3ac147e3b173971"),
    root("NationZ", "Nations TPM ECC ROOT CA 001", "31e7a6de95991cfcca3e7c1680be3ba96de8b2c4bca72da1072ee699da23b2d2"),
    root("NationZ", "Nations TPM RSA ROOT CA 001", "00608b414f9c522c5d30366c4b751681c3fd10b7ea0027e0f3877742c477c5a7"),
    root("NationZ", "Nationz TPM Root CA", "1293d71d6f61c86b98102fd3d4085ff12538f108e925489c0d545059e5f89c36"),
    root("Nuvoton", "NPCTxxx ECC521 RootCA", "083e7bd13e8fe0bb9b0c64db9e0c8356681df65714d2d5c4925eb98ae1369d40"),
    root("Nuvoton", "NTC TPM EK Root CA 01", "56b67007f448bd5c5746299fcdea9323971bbdaaefd8e3b9b84773abc888c90e"),
    root("Nuvoton", "NTC TPM EK Root CA 02", "8fac94b462b37acb84431bdc71395585caf518c17f656051ff9c4347a4726ed9"),
    root("Nuvoton", "NTC TPM EK Root CA ARSUF 01", "9e0434093fd0d4f8b927af1f4f6cffbd75f0584af4ade939bbd6851227fa4263"),
    root("Nuvoton", "Nuvoton TPM Root CA 0100", "887bc9658ffc6ad7f4eeb85c8819772ff609ee64c4dac4a6dca654a39e94b289"),
    root("Nuvoton", "Nuvoton TPM Root CA 1013", "38f8c5012d1b1321e833376611612b5b1cde466574cabc67fd2262e3b8da2f6d"),
    root("Nuvoton", "Nuvoton TPM Root CA 1014", "ad392726a92f62e5b7b112460c4e89f9fcbd523d08f39dcb928210ce8d4f676f"),
    root("Nuvoton", "Nuvoton TPM Root CA 1110", "2782e51a95e86d9557fe4204316cf805bd6f5898f81f9732e944d742bcdc5f54"),
    root("Nuvoton", "Nuvoton TPM Root CA 1111", "e38c280f7c0e0b49f31efc7531032bb6a86c3fba4eb89beb1d510eaa4510ae4a"),
    root("Nuvoton", "NuvotonTPMRootCA1210", "ba70a6ea7b77c7fee8947a07b1e70e0b26d39ce5e6307f63d5e4b9507f19a157"),
    root("Nuvoton", "Nuvoton TPM Root CA 2010", "970b1cb098896f0d31be45dd299ed31f1640689f7c1618d7370cd71b6eb97560"),
    root("Nuvoton", "Nuvoton TPM Root CA 2011", "ab6005053c48534c46f54d2afbbd300a99f7b0e3ab1786034cb0785ca081a7ba"),
    root("Nuvoton", "Nuvoton TPM Root CA 2012", "dc79aaba3d09f42a9da4ecd91db0289214e56c16e4201be6ae67433ad273c6dc"),
    root("Nuvoton", "Nuvoton TPM Root CA 2110", "4aebe77a51ed29959a7f9f5e07a24a558dee8167f3985d724995a541c258dfda"),
    root("Nuvoton", "Nuvoton TPM Root CA 2111", "cd8185ff8995ed09811970090a8c36fafab34ef87f47fa51fdb9ecf95c9c2e04"),
    root("Nuvoton", "Nuvoton TPM Root CA 2112", "66e3a1013d4f697700f731e7d68c69b58351f90ec9580d85862d020ab4abf1af"),
    root("Nuvoton", "NuvotonTPMRootCA2210", "fc61abbc18100f460205ebe09d8c3e6995ac2be2234344a7facb62e15f9a7584"),
    root("Nuvoton", "NuvotonTPMRootCA2211", "2bbc5db224b8f28a6d2cf336d4da7ab21c8c490e3d60ef497801dc0b6ac00227"),
    root("Qualcomm", "Qualcomm WES Secure Provisioning Root v2", "87c849b6ca87a58a0af4031531e49216d149e62a52ebea5df1805819cf44250e"),
    root("STMicroelectronics", "GlobalSign Trusted Platform Module ECC Root CA", "5a8c7b5eb888cfce9322068e80e82b28b554ffeb7fdc9638dcb3763077401d26"),
    root("STMicroelectronics", "GlobalSign Trusted Platform Module Root CA", "f27bf02c6e00c73d915eeb6a6a2f5fbf0c31ae0393149e6b5c31e41b113841c3"),
    root("STMicroelectronics", "STM TPM ECC Root CA 01", "c541d7e5b9e3f935621acbd403896225ec641036c9ae3b5f7ac793a606ff9b79"),
    root("STMicroelectronics", "STM TPM EK Root CA", "f8e37a86b689a20a6cc0c40cc3f81fb130fa9f44ce7ffa60d62590aaf87273a9"),
    root("STMicroelectronics", "STSAFE ECC Root CA 02", "fd1e7b68accd825636b27b3177c67402d463a7f04c97b6c47ab705fcdc1a04f6"),
    root("STMicroelectronics", "STSAFE RSA Root CA 02", "c8f179943356e13d9d84b100201cefabbf408880241e5329e60d950ce1dea623"),
];
