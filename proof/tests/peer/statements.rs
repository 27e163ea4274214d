//! What tpm2_quote, tpm2_certify and tpm2_nvcertify make verifies, under every kind of AK; the same bytes under another
//! key, or with another PCR value, do not.

use std::fs;

use holdfast_proof::tpm::{
    Attest, Attested, Digest, HashAlg, NvPublic, PcrIndex, PcrSelection, PcrValues, Public,
    Signature, pcr_digest,
};

use crate::swtpm::Swtpm;

/// A kind of AK: EK's and AK's algorithm, scheme, hash.
const KEYS: [(&str, &str, HashAlg); 6] = [
    ("ecc", "ecdsa", HashAlg::Sha256),
    ("ecc", "ecdsa", HashAlg::Sha384),
    ("rsa", "rsassa", HashAlg::Sha256),
    ("rsa", "rsassa", HashAlg::Sha384),
    ("rsa", "rsapss", HashAlg::Sha256),
    ("rsa", "rsapss", HashAlg::Sha384),
];

/// PCRs of banks, in the order in which they are asked for.
const SELECTIONS: [&[(HashAlg, &[u8])]; 5] = [
    &[(HashAlg::Sha256, &[7])],
    &[(HashAlg::Sha256, &[0, 2, 4, 7, 9, 11])],
    &[(HashAlg::Sha384, &[0, 2, 4, 7, 9, 11])],
    &[(HashAlg::Sha384, &[4, 23]), (HashAlg::Sha256, &[0, 7, 16])],
    &[(HashAlg::Sha256, &[0, 7]), (HashAlg::Sha384, &[0, 7])],
];

const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

#[test]
fn what_stock_tools_attest_verifies() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    for alg in ["rsa", "ecc"] {
        tpm.run(&format!(
            "tpm2_createek -G {alg} -c ek_{alg}.ctx -u ek_{alg}.pub"
        ));
    }
    tpm.run("tpm2_createprimary -C o -G ecc -c node.ctx");
    tpm.run("tpm2_readpublic -c node.ctx -o node.pub");
    tpm.run("tpm2_nvdefine 0x01800001 -C o -a authread|authwrite|no_da|nt=counter -s 8");
    tpm.run("tpm2_nvincrement 0x01800001 -C 0x01800001");
    let (a, b) = ("a".repeat(64), "b".repeat(96));
    tpm.run(&format!("tpm2_pcrextend 0:sha256={a},sha384={b}"));
    tpm.run(&format!("tpm2_pcrextend 7:sha256={a} 4:sha384={b}"));

    let mut last: Option<Public> = None;
    for (alg, scheme, hash) in KEYS {
        let name = hash_name(hash);
        tpm.run(&format!(
            "tpm2_createak -C ek_{alg}.ctx -c ak.ctx -G {alg} -g {name} -s {scheme} -u ak.pub"
        ));
        let ak = tpm.public("ak");
        assert!(ak.attributes().is_attestation_key());
        for selection in SELECTIONS {
            quoted(&tpm, &ak, scheme, hash, selection);
        }
        certified(&tpm, &ak, scheme, hash);
        let statement = counted(&tpm, &ak, scheme, hash);
        if let Some(other) = last.replace(ak) {
            let signature = signature(&tpm);
            let other = other.key().unwrap();
            assert!(other.verify(statement.as_bytes(), &signature).is_err());
        }
    }
}

fn quoted(tpm: &Swtpm, ak: &Public, scheme: &str, hash: HashAlg, asked: &[(HashAlg, &[u8])]) {
    let list = list(asked);
    tpm.run(&format!("tpm2_pcrread {list} -o values"));
    tpm.run(&format!(
        "tpm2_quote -c ak.ctx -l {list} -q {NONCE} -g {} --scheme {scheme} -m said -s signed",
        hash_name(hash)
    ));
    let statement = verified(tpm, ak, hash);
    assert_eq!(
        data_encoding::HEXLOWER.encode(statement.extra_data()),
        NONCE
    );
    let Attested::Quote(quoted) = statement.attested() else {
        panic!("not a quote");
    };
    let selection = asked
        .iter()
        .fold(PcrSelection::none(), |selection, (alg, indices)| {
            selection.with(*alg, indices.iter().copied().map(pcr))
        });
    assert_eq!(quoted.selection, selection);

    // The tool writes the values one after the other, in the order of the selection.
    let bytes = fs::read(tpm.path().join("values")).unwrap();
    let values = |bytes: &[u8]| {
        let (mut values, mut rest) = (PcrValues::new(), bytes);
        for (alg, index) in selection.iter() {
            let (value, behind) = rest.split_at(alg.digest_len());
            assert!(values.insert(index, Digest::new(alg, value).unwrap()));
            rest = behind;
        }
        assert!(rest.is_empty());
        pcr_digest(hash, &selection, &values).unwrap()
    };
    assert_eq!(quoted.pcr_digest.as_bytes(), values(&bytes).as_bytes());
    let mut changed = bytes;
    *changed.last_mut().unwrap() ^= 1;
    assert_ne!(quoted.pcr_digest.as_bytes(), values(&changed).as_bytes());
}

fn certified(tpm: &Swtpm, ak: &Public, scheme: &str, hash: HashAlg) {
    let hash_name = hash_name(hash);
    tpm.run(&format!(
        "tpm2_certify -c node.ctx -C ak.ctx -g {hash_name} --scheme {scheme} -o said -s signed"
    ));
    let statement = verified(tpm, ak, hash);
    let Attested::Certify(certified) = statement.attested() else {
        panic!("not a certification");
    };
    assert_eq!(certified.name, tpm.public("node").name());
}

fn counted(tpm: &Swtpm, ak: &Public, scheme: &str, hash: HashAlg) -> Attest {
    tpm.run(&format!(
        "tpm2_nvcertify -C ak.ctx -g {} -s {scheme} -f tss --attestation said -o signed -q {NONCE} \
         -c 0x01800001 --size 8 0x01800001",
        hash_name(hash)
    ));
    let statement = verified(tpm, ak, hash);
    let Attested::NvCertify(counter) = statement.attested() else {
        panic!("not a certified index");
    };
    assert_eq!(counter.counter_value(), Some(1));
    // no_da, authread, authwrite, counter, written: as the index was defined and then used.
    let area = [
        &[0x01, 0x80, 0x00, 0x01][..],
        &[0x00, 0x0b],
        &[0x22, 0x04, 0x00, 0x14],
        &[0x00, 0x00, 0x00, 0x08],
    ];
    let area = NvPublic::parse(&area.concat()).unwrap();
    assert_eq!(counter.index_name, area.name());
    statement
}

fn verified(tpm: &Swtpm, ak: &Public, hash: HashAlg) -> Attest {
    let statement = Attest::parse(&fs::read(tpm.path().join("said")).unwrap()).unwrap();
    let signature = signature(tpm);
    let found = match &signature {
        Signature::Ecdsa(signature) => signature.hash(),
        Signature::Rsa(signature) => signature.hash(),
    };
    assert_eq!(found, hash);
    let key = ak.key().unwrap();
    key.verify(statement.as_bytes(), &signature).unwrap();
    let mut changed = statement.as_bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    assert!(key.verify(&changed, &signature).is_err());
    statement
}

fn signature(tpm: &Swtpm) -> Signature {
    Signature::parse(&fs::read(tpm.path().join("signed")).unwrap()).unwrap()
}

fn list(asked: &[(HashAlg, &[u8])]) -> String {
    let banks = asked.iter().map(|(alg, indices)| {
        let indices: Vec<_> = indices.iter().map(u8::to_string).collect();
        format!("{}:{}", hash_name(*alg), indices.join(","))
    });
    banks.collect::<Vec<_>>().join("+")
}

fn hash_name(alg: HashAlg) -> String {
    format!("{alg:?}").to_lowercase()
}

fn pcr(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}
