//! How long a named chip takes, so that a time taken against a software TPM means something.
//!
//! Means of wolfTPM's published benchmarks. They cover signing, RSA private operations and key generation from a
//! seed; nobody publishes figures for quotes, NV writes or context swaps, so those are modelled as said at each. It
//! must never be taken for a measurement of a chip: it is a floor under what the chip would do.

use std::time::Duration;

use super::command::Work;
use super::wire::{Request, Response};

/// The TPM whose times a proxy gives to a software TPM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DelayProfile {
    /// The software TPM's own speed: some 0.5 ms for a signature.
    #[default]
    None,
    /// No chip: every command takes 70 ms, whatever it does. Makes commands, the unit of cost, visible as time.
    SlowChip70ms,
    /// Infineon SLB 9670, SPI: the usual discrete chip of the last decade.
    Slb9670,
    /// Infineon SLB 9672, SPI.
    Slb9672,
    /// Infineon SLB 9673, I²C.
    Slb9673,
    /// ST ST33KTPM.
    St33Ktpm,
    /// Nuvoton NPCT750.
    Npct750,
    /// Nuvoton NPCT650: the slowest with published figures.
    Npct650,
    /// Nations NS350: the fastest discrete chip with published figures.
    Ns350,
    /// A firmware TPM: OP-TEE's on a Jetson Orin.
    OpTeeJetsonOrin,
}

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// ECDSA P-256; also every attestation, and ECDH with a loaded key.
    ecc_private: u64,
    rsa_private: u64,
    ecc_keygen: u64,
    rsa_keygen: u64,
}

/// One NV write: published values run from 34 to 82 ms (TPM 1.2 era).
const NV_WRITE: u64 = 40;

/// Assumed, for want of a figure: transfer and dispatch of a command without asymmetric cryptography.
const LIGHT: u64 = 5;

/// Assumed, for want of a figure: one context command of a resource manager, about 1 KB each way over the bus.
const CONTEXT: u64 = 5;

/// `TPM_ALG_RSA`, `TPM_ALG_ECC`, `TPM_ALG_RSASSA`, `TPM_ALG_RSAPSS`.
const ALG_RSA: u16 = 0x0001;
const ALG_ECC: u16 = 0x0023;
const ALG_RSASSA: u16 = 0x0014;
const ALG_RSAPSS: u16 = 0x0016;

/// A secret encrypted to an RSA-2048 key is 256 bytes; to a P-256 or P-384 point it is about 70 or 100.
const RSA_SECRET: usize = 256;

impl DelayProfile {
    /// How long this exchange takes on the chip, with `context_commands` that its resource manager adds.
    pub(super) fn time(
        self,
        request: &Request<'_>,
        response: &Response<'_>,
        context_commands: u64,
    ) -> Duration {
        let times = match self {
            Self::None => return Duration::ZERO,
            Self::SlowChip70ms => return Duration::from_millis(70),
            Self::Slb9670 => Times {
                ecc_private: 69,
                rsa_private: 163,
                ecc_keygen: 231,
                rsa_keygen: 2_196,
            },
            Self::Slb9672 => Times {
                ecc_private: 36,
                rsa_private: 77,
                ecc_keygen: 136,
                rsa_keygen: 1_568,
            },
            Self::Slb9673 => Times {
                ecc_private: 72,
                rsa_private: 168,
                ecc_keygen: 311,
                rsa_keygen: 1_911,
            },
            Self::St33Ktpm => Times {
                ecc_private: 25,
                rsa_private: 91,
                ecc_keygen: 89,
                rsa_keygen: 1_944,
            },
            Self::Npct750 => Times {
                ecc_private: 56,
                rsa_private: 70,
                ecc_keygen: 84,
                rsa_keygen: 3_409,
            },
            Self::Npct650 => Times {
                ecc_private: 190,
                rsa_private: 541,
                ecc_keygen: 148,
                rsa_keygen: 4_479,
            },
            Self::Ns350 => Times {
                ecc_private: 17,
                rsa_private: 52,
                ecc_keygen: 52,
                rsa_keygen: 2_379,
            },
            Self::OpTeeJetsonOrin => Times {
                ecc_private: 45,
                rsa_private: 12,
                ecc_keygen: 120,
                rsa_keygen: 736,
            },
        };
        let own = if response.code == 0 {
            times.of(request, response)
        } else {
            LIGHT
        };
        Duration::from_millis(own + context_commands * CONTEXT)
    }
}

impl Times {
    fn of(self, request: &Request<'_>, response: &Response<'_>) -> u64 {
        match request.code.work() {
            Work::Light => LIGHT,
            Work::Persist => NV_WRITE,
            Work::Rsa => self.rsa_private,
            Work::Curve => self.ecc_private,
            Work::Create => match created_type(request) {
                Some(ALG_RSA) => self.rsa_keygen,
                Some(ALG_ECC) => self.ecc_keygen,
                // A seal or a symmetric key.
                _no_key_pair => LIGHT,
            },
            Work::Sign => match signature_algorithm(request, response) {
                Some(ALG_RSASSA | ALG_RSAPSS) => self.rsa_private,
                _ecc_or_unknown => self.ecc_private,
            },
            Work::Recover => match encrypted_secret(request) {
                None | Some(0) => LIGHT,
                Some(RSA_SECRET..) => self.rsa_private,
                Some(_point) => self.ecc_private,
            },
        }
    }
}

/// The type in the public template of Create, CreatePrimary and CreateLoaded.
fn created_type(request: &Request<'_>) -> Option<u16> {
    let mut parameters = request.parameters;
    let _sensitive = parameters.sized_u16()?;
    let _public_size = parameters.u16()?;
    parameters.u16()
}

/// The algorithm of the signature that a command answered with.
fn signature_algorithm(request: &Request<'_>, response: &Response<'_>) -> Option<u16> {
    let mut parameters = response.parameters();
    if request.code.name() != "Sign" {
        let _attest = parameters.sized_u16()?;
    }
    parameters.u16()
}

/// The length of the secret that the TPM has to decrypt first.
fn encrypted_secret(request: &Request<'_>) -> Option<usize> {
    let mut parameters = request.parameters;
    let before = match request.code.name() {
        // encryptionKey, objectPublic, duplicate come before inSymSeed.
        "Import" => 3,
        // The credential comes before the secret, the caller's nonce before the salt.
        _activate_or_start => 1,
    };
    for _ in 0..before {
        let _other = parameters.sized_u16()?;
    }
    parameters.sized_u16().map(<[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u16, code: u32, body: &[&[u8]]) -> Vec<u8> {
        [&tag.to_be_bytes()[..], &[0; 4], &code.to_be_bytes()]
            .into_iter()
            .chain(body.iter().copied())
            .flatten()
            .copied()
            .collect()
    }

    fn millis(request: &[u8], response: &[u8]) -> u128 {
        let (request, response) = (
            Request::parse(request).unwrap(),
            Response::parse(response).unwrap(),
        );
        DelayProfile::Slb9670
            .time(&request, &response, 0)
            .as_millis()
    }

    fn create(kind: u16) -> Vec<u8> {
        let handle_and_no_authorizations = [0x40, 0, 0, 1, 0, 0, 0, 0];
        message(
            0x8002,
            0x131,
            &[
                &handle_and_no_authorizations,
                &[0, 2, 0xff, 0xff],
                &[0, 2],
                &kind.to_be_bytes(),
            ],
        )
    }

    #[test]
    fn key_generation_costs_by_the_template() {
        let done = message(0x8002, 0, &[]);
        assert_eq!(millis(&create(ALG_RSA), &done), 2_196);
        assert_eq!(millis(&create(ALG_ECC), &done), 231);
        assert_eq!(millis(&create(0x0008), &done), 5);
    }

    #[test]
    fn signature_costs_by_its_algorithm() {
        let quote = message(0x8002, 0x158, &[&[0x81, 0, 0, 2, 0, 0, 0, 0]]);
        let answer = |algorithm: u16| {
            message(
                0x8002,
                0,
                &[&[0, 0, 0, 9], &[0, 3, 1, 2, 3], &algorithm.to_be_bytes()],
            )
        };
        assert_eq!(millis(&quote, &answer(ALG_RSASSA)), 163);
        assert_eq!(millis(&quote, &answer(0x0018)), 69);
    }

    #[test]
    fn salt_costs_by_the_key_that_opens_it_and_nothing_without_one() {
        let start = |salt: &[u8]| {
            let length = u16::try_from(salt.len()).unwrap().to_be_bytes();
            message(0x8001, 0x176, &[&[0; 8], &[0, 1, 7], &length, salt])
        };
        let done = message(0x8001, 0, &[]);
        assert_eq!(millis(&start(&[0; 256]), &done), 163);
        assert_eq!(millis(&start(&[0; 68]), &done), 69);
        assert_eq!(millis(&start(&[]), &done), 5);
    }

    #[test]
    fn refused_command_does_not_cost_the_work() {
        assert_eq!(millis(&create(ALG_RSA), &message(0x8001, 0x9a2, &[])), 5);
    }
}
