//! How many quotes one core judges: parsed, signature, nonce, selection and PCR digest, beside the signature alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use data_encoding::HEXLOWER;
use holdfast_hardware_tests::harness::{Scratch, Swtpm};
use holdfast_proof::tpm::{
    Attest, Attested, Digest, HashAlg, PcrIndex, PcrSelection, PcrValues, Public, PublicKey,
    Signature, pcr_digest,
};

use crate::table::{Figure, Row};

/// Both are measured for as long, in turns.
const TURNS: u32 = 20;
const TURN: Duration = Duration::from_millis(100);
/// Of the SHA-256 bank: those that the attestor asks for.
const PCRS: [u8; 6] = [0, 2, 4, 7, 9, 11];
const NONCE: [u8; 32] = [7; 32];

/// A quote with all that it is judged by.
struct Quote {
    key: PublicKey,
    attest: Vec<u8>,
    signature: Vec<u8>,
    selection: PcrSelection,
    values: PcrValues,
}

pub fn measure() -> Vec<Row> {
    let quote = Quote::fresh();
    let Ok(Signature::Ecdsa(signature)) = Signature::parse(&quote.signature) else {
        panic!("an ECDSA signature");
    };
    let PublicKey::Ecc(key) = &quote.key else {
        panic!("a key on a curve");
    };
    let der = signature.to_der();
    let raw = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.to_sec1());

    let (mut ours, mut theirs) = (0, 0);
    for _ in 0..TURNS {
        ours += turn(|| quote.judge());
        theirs += turn(|| raw.verify(black_box(&quote.attest), &der).unwrap());
    }
    let rate = |count: u64| Figure::Rate(count as f64 / (TURN * TURNS).as_secs_f64());
    vec![Row {
        name: "quotes judged, one core".to_owned(),
        median: rate(ours),
        p99: None,
        reference: ("P-256 verify alone".to_owned(), rate(theirs)),
        goal: "ratio >= 0.5",
    }]
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

fn turn(mut work: impl FnMut()) -> u64 {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < TURN {
        work();
        count += 1;
    }
    count
}

impl Quote {
    /// From a real TPM, by other people's tools.
    fn fresh() -> Self {
        let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
        let tools = tpm.tools();
        let names = ["ak", "ak.pub", "attest", "signature", "pcrs"];
        let paths = names.map(|name| scratch.join(name).display().to_string());
        let [ak, public, attest, signature, pcrs] = &paths;
        let bank = format!("sha256:{}", PCRS.map(|pcr| pcr.to_string()).join(","));
        let nonce = HEXLOWER.encode(&NONCE);
        let attributes = "restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth";
        let template = ["-G", "ecc256:ecdsa-sha256:null", "-a", attributes];
        let key = ["-C", "e", "-c", ak];
        tools.run("createprimary", key.into_iter().chain(template));
        tools.run("flushcontext", ["-t"]);
        tools.run("readpublic", ["-c", ak, "-o", public]);
        tools.run("flushcontext", ["-t"]);
        let asked = ["-c", ak, "-l", &bank, "-q", &nonce, "-g", "sha256"];
        let out = ["-m", attest, "-s", signature];
        tools.run("quote", asked.into_iter().chain(out));
        tools.run("pcrread", [&bank, "-o", pcrs]);

        let indices = PCRS.map(|pcr| PcrIndex::new(pcr).unwrap());
        let mut values = PcrValues::new();
        for (index, value) in indices.into_iter().zip(read(pcrs).chunks(32)) {
            assert!(values.insert(index, Digest::new(HashAlg::Sha256, value).unwrap()));
        }
        let public = Public::parse_sized(&read(public)).unwrap();
        Self {
            key: public.key().unwrap(),
            attest: read(attest),
            signature: read(signature),
            selection: PcrSelection::of(HashAlg::Sha256, indices),
            values,
        }
    }

    /// As the attestor does.
    fn judge(&self) {
        let signature = Signature::parse(black_box(&self.signature)).unwrap();
        let attest = Attest::parse(black_box(&self.attest)).unwrap();
        self.key.verify(attest.as_bytes(), &signature).unwrap();
        assert_eq!(attest.extra_data(), NONCE);
        let Attested::Quote(quoted) = attest.attested() else {
            panic!("a quote");
        };
        assert!(quoted.selection.iter().eq(self.selection.iter()));
        let digest = pcr_digest(HashAlg::Sha256, &quoted.selection, &self.values).unwrap();
        assert_eq!(digest.as_bytes(), quoted.pcr_digest.as_bytes());
    }
}
