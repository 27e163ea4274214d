//! Promise 1, of the banks that a quote leaves out: the TPM itself says which it keeps, each is quoted, and none that the
//! firmware left blank is believed. Real TPMs, the real attestor.

use holdfast_hardware_tests::harness::{Banks, Scratch, Swtpm};
use holdfast_hardware_tests::world::Attestor;
use holdfast_proof::audit::banks_digest;
use holdfast_proof::tpm::{ActiveBanks, Attest, Attested, HashAlg, PcrSelection};
use holdfast_protocol::evidence::Check;
use holdfast_protocol::wire::attestor::{Evidence, NodeSvid};
use holdfast_tpm::QuotedPcrs;
use serde_json::Value;
use tonic::Status;

use crate::support::{Draft, Prover, pcr};

const REQUIRED: [u8; 6] = [0, 2, 4, 7, 9, 11];

/// What TPMs leave the factory with, and what is quoted of them.
const KEPT: [(Banks, &[HashAlg]); 4] = [
    (Banks::Sha256, &[HashAlg::Sha256]),
    (Banks::Sha384, &[HashAlg::Sha384]),
    (Banks::Sha1AndSha256, &[HashAlg::Sha1, HashAlg::Sha256]),
    (Banks::Sha256AndSha384, &[HashAlg::Sha256, HashAlg::Sha384]),
];

fn shown(attestor: &Attestor, host: &str) -> Value {
    serde_json::from_str(&attestor.run(&["host", "show", host, "--json"])).unwrap()
}

/// What the last verdict says of a check.
fn said(attestor: &Attestor, host: &str, check: Check) -> (String, String) {
    let shown = shown(attestor, host);
    let checks = &shown["verdicts"][0]["judged"]["appraisal"]["checks"];
    let mut checks = checks.as_array().unwrap().iter();
    let found = checks.find(|checked| checked["check"] == serde_json::json!(check));
    let found = found.unwrap_or_else(|| panic!("{check} in {shown}"));
    let text = |key: &str| found[key].as_str().unwrap().to_owned();
    (text("finding"), text("detail"))
}

#[tokio::test]
async fn every_active_bank_is_quoted_whichever_they_are() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    for (banks, algs) in KEPT {
        let tpm = Swtpm::keeping(banks);
        let prover = Prover::enrolled(&tpm, &attestor).await;
        let mut visit = prover.visit().await.unwrap();
        let evidence = prover.evidence(&visit.draft).await;
        let quoted: Vec<_> = evidence.pcrs.iter().map(|value| value.bank).collect();
        let expected = algs.iter().flat_map(|alg| [u32::from(alg.id()); 6]);
        assert_eq!(quoted, expected.collect::<Vec<_>>(), "{banks:?}");
        visit.show(evidence).await.unwrap();
        let (finding, detail) = said(&attestor, &prover.host, Check::PcrBanks);
        assert_eq!(finding, "passed", "{banks:?}: {detail}");
        prover.chip.nothing_is_left().await;
    }
}

#[tokio::test]
async fn a_tpm_with_sha1_alone_is_refused_with_what_to_do() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let tpm = Swtpm::keeping(Banks::Sha1);
    let prover = Prover::enrolled(&tpm, &attestor).await;
    let refused = prover.attest().await.unwrap_err();
    assert_eq!(refused.message(), "evidence refused: pcr-banks");
    let (_, detail) = said(&attestor, &prover.host, Check::PcrBanks);
    assert!(
        detail.contains("turn one on in the firmware's setup"),
        "{detail}"
    );
}

/// A host whose firmware measured into SHA-256 and left SHA-384, which is on, to whoever comes.
struct Careless {
    prover: Prover,
    attestor: Attestor,
    _tpm: Swtpm,
    _scratch: Scratch,
}

impl Careless {
    async fn start(policy: &str) -> Self {
        let scratch = Scratch::new();
        let attestor = Attestor::start_with(&scratch, policy);
        let tpm = Swtpm::keeping(Banks::Sha256AndSha384);
        for index in REQUIRED {
            let measured = "5a".repeat(32);
            let extension = format!("{index}:sha256={measured}");
            tpm.tools().run("pcrextend", [extension]);
        }
        let prover = Prover::enrolled(&tpm, &attestor).await;
        Self {
            prover,
            attestor,
            _tpm: tpm,
            _scratch: scratch,
        }
    }

    /// Root makes the blank bank look as a good boot does.
    async fn forge(&self) {
        let tpm = self.prover.chip.tpm.tpm();
        for index in REQUIRED {
            let good = [HashAlg::Sha384.digest(b"what a good boot measures")];
            tpm.extend_pcr(pcr(index), good).await.unwrap();
        }
    }

    async fn show(
        &self,
        pcrs: Option<QuotedPcrs>,
        lie: impl FnOnce(&mut Evidence),
    ) -> Result<NodeSvid, Status> {
        let mut visit = self.prover.visit().await.unwrap();
        let pcrs = pcrs.unwrap_or_else(|| visit.draft.pcrs.clone());
        let draft = Draft {
            pcrs,
            ..visit.draft.clone()
        };
        let mut evidence = self.prover.evidence(&draft).await;
        lie(&mut evidence);
        visit.show(evidence).await
    }

    fn refused(&self, check: Check, answer: Result<NodeSvid, Status>) {
        let status = answer.unwrap_err();
        assert_eq!(status.message(), format!("evidence refused: {check}"));
        let (finding, detail) = said(&self.attestor, &self.prover.host, check);
        assert_eq!(finding, "refused");
        assert!(!detail.is_empty());
    }
}

fn of(bank: HashAlg) -> QuotedPcrs {
    PcrSelection::of(bank, REQUIRED.map(pcr)).into()
}

#[tokio::test]
async fn a_bank_that_firmware_left_blank_is_no_carte_blanche() {
    let host = Careless::start("").await;
    // Honest evidence shows the blank bank, and says so.
    host.refused(Check::BlankBank, host.show(None, |_| {}).await);

    // Forged, it is shown alone: the TPM tells of the other.
    host.forge().await;
    let forged = Some(of(HashAlg::Sha384));
    host.refused(Check::PcrSelection, host.show(forged.clone(), |_| {}).await);
    // So the other is hidden, or nothing is said of banks at all.
    let hidden = |evidence: &mut Evidence| {
        let kept = PcrSelection::of(HashAlg::Sha384, (0..24).map(pcr));
        let proven = evidence.banks.as_mut().unwrap();
        assert_ne!(proven.banks, kept.encode());
        proven.banks = kept.encode();
    };
    host.refused(Check::PcrBanks, host.show(forged.clone(), hidden).await);
    let silent = |evidence: &mut Evidence| evidence.banks = None;
    host.refused(Check::PcrBanks, host.show(forged, silent).await);
    // The proof of before, or of another TPM with the banks that one would like to have.
    let before = host.prover.visit().await.unwrap();
    let before = host.prover.evidence(&before.draft).await.banks;
    let again = |evidence: &mut Evidence| evidence.banks = before;
    host.refused(Check::Binding, host.show(None, again).await);
    let tpm = Swtpm::keeping(Banks::Sha384);
    let other = Prover::enrolled(&tpm, &host.attestor).await;
    let mut visit = host.prover.visit().await.unwrap();
    let draft = Draft {
        pcrs: of(HashAlg::Sha384),
        ..visit.draft.clone()
    };
    let mut evidence = host.prover.evidence(&draft).await;
    evidence.banks = other.evidence(&draft).await.banks;
    host.refused(Check::Signature, visit.show(evidence).await);
    host.prover.chip.nothing_is_left().await;
}

#[tokio::test]
async fn a_bank_that_is_not_named_is_noted_and_one_can_ask_for_its_refusal() {
    let named = "[policy]\nrequired-pcrs = \"sha256:0,2,4,7,9,11\"\n";
    let host = Careless::start(named).await;
    host.show(None, |_| {}).await.unwrap();
    let (finding, detail) = said(&host.attestor, &host.prover.host, Check::PcrBanks);
    assert_eq!(finding, "noted");
    assert!(detail.ends_with(": sha384"), "{detail}");
    // A broker of before sends no proof.
    host.show(None, |evidence| evidence.banks = None)
        .await
        .unwrap();
    let (finding, detail) = said(&host.attestor, &host.prover.host, Check::PcrBanks);
    assert_eq!(finding, "noted");
    assert!(detail.contains("update the host's broker"), "{detail}");

    let strict = format!("{named}unquoted-banks = \"refuse\"\n");
    let host = Careless::start(&strict).await;
    host.refused(Check::PcrBanks, host.show(None, |_| {}).await);
}

#[tokio::test]
async fn an_attestor_that_asks_for_more_banks_than_before_keeps_its_references() {
    for learn in ["first-boot", "propose"] {
        let scratch = Scratch::new();
        let before = format!(
            "[policy]\nlearn = \"{learn}\"\nblock = [0, 2, 4, 7, 9, 11]\nrequired-pcrs = \"sha256:0,2,4,7,9,11\"\n"
        );
        let mut attestor = Attestor::start_with(&scratch, &before);
        let tpm = Swtpm::keeping(Banks::Sha256AndSha384);
        let prover = Prover::enrolled(&tpm, &attestor).await;
        if learn == "propose" {
            prover.attest().await.unwrap_err();
            let show = attestor.run(&["host", "reference", "diff", &prover.host, "--json"]);
            let show: Value = serde_json::from_str(&show).unwrap();
            let proposal = show["proposal"].as_str().unwrap();
            attestor.run(&["host", "reference", "approve", &prover.host, proposal]);
        }
        prover.attest().await.unwrap();

        attestor.kill();
        let config = std::fs::read_to_string(attestor.config()).unwrap();
        std::fs::write(attestor.config(), config.replace("sha256:", "active:")).unwrap();
        attestor.resume(&scratch);
        prover.attest().await.unwrap();
        let (_, detail) = said(&attestor, &prover.host, Check::PcrReference);
        assert_eq!(detail, "learned as reference: sha384:0,2,4,7,9,11");
        prover.attest().await.unwrap();
        let (finding, _) = said(&attestor, &prover.host, Check::PcrReference);
        assert_eq!(finding, "passed");
        // From now on it is held to that bank, too.
        let changed = [HashAlg::Sha384.digest(b"another program")];
        let chip = prover.chip.tpm.tpm();
        chip.extend_pcr(pcr(11), changed).await.unwrap();
        let refused = prover.attest().await.unwrap_err();
        assert_eq!(refused.message(), "evidence refused: pcr-reference");
    }
}

/// What the TPM signed of its banks is what anybody can compute who knows them.
#[tokio::test]
async fn the_proof_is_the_tpms_own() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let tpm = Swtpm::keeping(Banks::Sha1AndSha256);
    let prover = Prover::enrolled(&tpm, &attestor).await;
    let visit = prover.visit().await.unwrap();
    let proven = prover.evidence(&visit.draft).await.banks.unwrap();
    let banks = ActiveBanks::parse(&proven.banks).unwrap();
    assert!(banks.known().eq([HashAlg::Sha1, HashAlg::Sha256]));
    let statement = Attest::parse(&proven.audited.unwrap().attest).unwrap();
    let Attested::SessionAudit(audited) = statement.attested() else {
        panic!("not a session's audit");
    };
    let digest = banks_digest(&banks);
    assert_eq!(audited.session_digest.as_bytes(), digest.as_bytes());
}
