//! tpm2-tools as peers of this crate: they accept what it quotes, and it opens what they encrypt.
//!
//! The two tools that are used here need no TPM: they compute.

use std::fs;
use std::process::{Command, Output};

use holdfast_proof::hash::sha256;
use holdfast_proof::tpm::{HashAlg, PcrSelection};
use holdfast_tpm::{AttestationKey, EndorsementKey, Evidence, Tpm, TpmConfig};

use crate::swtpm::{Host, Swtpm, measurement};

const KINDS: [(EndorsementKey, AttestationKey); 2] = [
    (EndorsementKey::EccP256, AttestationKey::EccP256),
    (EndorsementKey::Rsa2048, AttestationKey::Rsa2048),
];

async fn host(endorsement_key: EndorsementKey, attestation_key: AttestationKey) -> Host {
    let swtpm = Swtpm::start();
    let config = TpmConfig {
        endorsement_key,
        attestation_key,
        ..swtpm.config()
    };
    let (tpm, owner) = Tpm::open(config).await.unwrap();
    let provisioned = tpm.provision(None).await.unwrap();
    Host {
        swtpm,
        provisioned,
        owner,
    }
}

#[tokio::test]
async fn tpm2_checkquote_accepts_our_quotes_and_no_changed_value() {
    for (ek, ak) in KINDS {
        let host = host(ek, ak).await;
        let index = |number: u8| number.try_into().unwrap();
        host.tpm()
            .extend_pcr(index(7), [measurement()])
            .await
            .unwrap();
        let node_key = host.provisioned.create_node_key().await.unwrap();
        let bound = sha256(b"nonce");
        let selection = PcrSelection::of(HashAlg::Sha256, [0, 4, 7].map(index))
            .with(HashAlg::Sha384, [0, 7].map(index));
        let evidence = host
            .provisioned
            .evidence(&node_key, selection.clone(), bound)
            .await
            .unwrap();
        let ak = host.provisioned.state().attestation_key.to_sized();
        let values: Vec<u8> = selection
            .iter()
            .flat_map(|(alg, index)| {
                let value = evidence.pcr_values.value(alg, index).unwrap();
                value.as_bytes().to_vec()
            })
            .collect();
        let qualification = bound.to_string();
        let accepts = |values: &[u8], qualification: &str| {
            checkquote(&host, &ak, &evidence, values, qualification)
                .status
                .success()
        };
        assert!(accepts(&values, &qualification));
        let mut changed = values.clone();
        changed[64] ^= 1;
        assert!(!accepts(&changed, &qualification));
        assert!(!accepts(&values, &sha256(b"another").to_string()));
        drop(node_key);
        host.nothing_is_left().await;
    }
}

fn checkquote(
    host: &Host,
    ak: &[u8],
    evidence: &Evidence,
    values: &[u8],
    qualification: &str,
) -> Output {
    let folder = host.swtpm.folder();
    for (name, bytes) in [
        ("ak.pub", ak),
        ("said", evidence.quote.statement.as_bytes()),
        ("signed", &evidence.quote.signature.encode()),
        ("values", values),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    tool(host, "tpm2_checkquote")
        .args(["-u", "ak.pub", "-m", "said", "-s", "signed", "-g", "sha256"])
        .args(["-q", qualification, "-f", "values", "-F", "values"])
        .args(["-l", "sha256:0,4,7+sha384:0,7"])
        .output()
        .unwrap()
}

#[tokio::test]
async fn what_tpm2_makecredential_encrypts_opens_here() {
    for (ek, ak) in KINDS {
        let host = host(ek, ak).await;
        let state = host.provisioned.state();
        let folder = host.swtpm.folder();
        let secret = [9; 32];
        fs::write(folder.join("ek.pub"), state.endorsement_key.to_sized()).unwrap();
        fs::write(folder.join("secret"), secret).unwrap();
        let name = state.attestation_key.name().to_string();
        let made = tool(&host, "tpm2_makecredential")
            .args(["-T", "none", "-u", "ek.pub"])
            .args(["-s", "secret", "-n", &name, "-o", "challenge"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        // A magic number and a version stand before the two TPM2B.
        let file = fs::read(folder.join("challenge")).unwrap();
        let (blob, rest) = sized(&file[8..]);
        let (encrypted, rest) = sized(rest);
        assert!(rest.is_empty());
        let opened = host
            .provisioned
            .activate_credential(blob.to_vec(), encrypted.to_vec())
            .await
            .unwrap();
        assert_eq!(opened.as_slice(), secret);
        host.nothing_is_left().await;
    }
}

/// A stock program, in the folder of the host's TPM.
fn tool(host: &Host, name: &str) -> Command {
    let mut command = Command::new(name);
    command
        .current_dir(host.swtpm.folder())
        // A private tpm2-tss that the test runner put in the loader's way is not the tools' own.
        .env_remove("LD_LIBRARY_PATH");
    command
}

fn sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = u16::from_be_bytes([bytes[0], bytes[1]]);
    bytes[2..].split_at(length.into())
}
