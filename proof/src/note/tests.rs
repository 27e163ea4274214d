#![allow(clippy::unwrap_used, reason = "tests")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use proptest::prelude::*;

use super::*;
use crate::hash::sha256;
use crate::tpm::{EccCurve, EccPublicKey, PublicKey};

struct Signer {
    pair: EcdsaKeyPair,
    verifier: EcdsaVerifier,
}

impl Signer {
    fn new(name: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = EccPublicKey::from_sec1(EccCurve::P256, pair.public_key().as_ref()).unwrap();
        let verifier = EcdsaVerifier::new(origin(name), &PublicKey::Ecc(point)).unwrap();
        Self { pair, verifier }
    }

    fn line(&self, text: &str) -> SignatureLine {
        let signature = self
            .pair
            .sign(&SystemRandom::new(), text.as_bytes())
            .unwrap();
        self.verifier.signature_line(signature.as_ref().to_vec())
    }

    fn note(&self, text: &str) -> SignedNote {
        SignedNote::new(text.to_owned(), vec![self.line(text)]).unwrap()
    }
}

fn origin(name: &str) -> Origin {
    Origin::new(name).unwrap()
}

fn body(name: &str) -> CheckpointBody {
    CheckpointBody {
        origin: origin(name),
        size: 42,
        root: sha256(b"root"),
    }
}

#[test]
fn a_checkpoint_has_the_specified_text() {
    // The example of C2SP tlog-checkpoint.
    let text =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
    let body = CheckpointBody::parse(text).unwrap();
    assert_eq!(body.origin.as_str(), "example.com/behind-the-sofa");
    assert_eq!(body.size, 20_852_163);
    assert_eq!(body.encode(), text);
}

#[test]
fn each_malformed_checkpoint_is_refused_for_its_reason() {
    let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
    let cases = [
        (format!("o\n1\n{root}"), MalformedCheckpoint::Lines),
        (
            format!("o\n1\n{root}\nextension\n"),
            MalformedCheckpoint::Lines,
        ),
        ("o\n1\n".to_owned(), MalformedCheckpoint::Lines),
        (
            format!("\n1\n{root}\n"),
            MalformedCheckpoint::Origin(InvalidOrigin),
        ),
        (
            format!("a b\n1\n{root}\n"),
            MalformedCheckpoint::Origin(InvalidOrigin),
        ),
        (format!("o\n01\n{root}\n"), MalformedCheckpoint::Size),
        (format!("o\n+1\n{root}\n"), MalformedCheckpoint::Size),
        (format!("o\n\n{root}\n"), MalformedCheckpoint::Size),
        (
            format!("o\n18446744073709551616\n{root}\n"),
            MalformedCheckpoint::Size,
        ),
        ("o\n1\nCsUY\n".to_owned(), MalformedCheckpoint::Root),
        (
            format!("o\n1\n{}\n", root.trim_end_matches('=')),
            MalformedCheckpoint::Root,
        ),
        (format!("o\n1\r\n{root}\n"), MalformedCheckpoint::Size),
    ];
    for (text, expected) in cases {
        assert_eq!(CheckpointBody::parse(&text), Err(expected), "{text:?}");
    }
}

#[test]
fn a_signed_checkpoint_verifies_and_carries_evidence() {
    let signer = Signer::new("example.org/log");
    let text = body("example.org/log").encode();
    let evidence = EvidenceLine::encode(signer.verifier.name(), vec![1, 2, 3]);
    let note = signer.note(&text).with_signature(evidence).unwrap();
    let parsed = SignedNote::parse(&note.to_string()).unwrap();
    assert_eq!(parsed, note);
    assert_eq!(
        signer.verifier.verify_checkpoint(&parsed),
        Ok(body("example.org/log"))
    );
    let found = EvidenceLine::find(signer.verifier.name(), &parsed).unwrap();
    assert_eq!(found, [1, 2, 3]);
    assert_eq!(EvidenceLine::find(&origin("another"), &parsed), None);
}

#[test]
fn a_note_of_another_key_text_or_log_is_refused() {
    let (signer, other) = (Signer::new("log"), Signer::new("log"));
    let text = body("log").encode();
    assert_eq!(
        other.verifier.verify(&signer.note(&text)),
        Err(NoteRefused::Unsigned)
    );
    let moved = SignedNote::new(body("other").encode(), vec![signer.line(&text)]).unwrap();
    assert_eq!(signer.verifier.verify(&moved), Err(NoteRefused::Signature));
    let elsewhere = signer.note(&body("other").encode());
    assert_eq!(
        signer.verifier.verify_checkpoint(&elsewhere),
        Err(NoteRefused::Origin)
    );
    let prose = signer.note("not a checkpoint\n");
    assert_eq!(
        signer.verifier.verify_checkpoint(&prose),
        Err(NoteRefused::Checkpoint(MalformedCheckpoint::Lines))
    );
    // One good line does not excuse a bad one of the same key.
    let both = SignedNote::new(text.clone(), vec![signer.line(&text), signer.line("x\n")]).unwrap();
    assert_eq!(signer.verifier.verify(&both), Err(NoteRefused::Signature));
}

#[test]
fn a_verifier_key_round_trips_and_is_checked() {
    let verifier = Signer::new("example.org/log").verifier;
    let vkey = verifier.to_vkey();
    assert_eq!(EcdsaVerifier::from_vkey(&vkey), Ok(verifier.clone()));
    let other_id = vkey.replacen('+', "+0", 1);
    assert_eq!(EcdsaVerifier::from_vkey(&other_id), Err(InvalidVkey));
    let renamed = vkey.replacen("example", "exam+ple", 1);
    assert_eq!(EcdsaVerifier::from_vkey(&renamed), Err(InvalidVkey));
    // An Ed25519 key of the Go checksum database.
    let ed25519 = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    assert_eq!(EcdsaVerifier::from_vkey(ed25519), Err(InvalidVkey));
}

#[test]
fn malformed_notes_are_refused() {
    let dash = '\u{2014}';
    let good = format!("text\n\n{dash} name AAAAAAE=\n");
    assert!(SignedNote::parse(&good).is_ok());
    let cases = [
        (
            format!("text\n{dash} name AAAAAAE=\n"),
            MalformedNote::Unsigned,
        ),
        ("text\n\n".to_owned(), MalformedNote::Unsigned),
        (good.trim_end().to_owned(), MalformedNote::Unsigned),
        (good.replace(dash, "-"), MalformedNote::Signature(0)),
        (
            good.replace("AAAAAAE=", "AAAAAA=="),
            MalformedNote::Signature(0),
        ),
        (
            good.replace("AAAAAAE=", "AAAAAAE"),
            MalformedNote::Signature(0),
        ),
        (good.replace("name", "na+me"), MalformedNote::Signature(0)),
        (good.replace("text", "te\u{7}xt"), MalformedNote::Text),
        (good.replace("text", "text\n"), MalformedNote::Text),
        (
            good.replace("text", &"x".repeat(SignedNote::MAX_BYTES)),
            MalformedNote::TooLong,
        ),
        (
            format!("text\n\n{}", format!("{dash} name AAAAAAE=\n").repeat(33)),
            MalformedNote::TooLong,
        ),
    ];
    for (note, expected) in cases {
        assert_eq!(SignedNote::parse(&note), Err(expected));
    }
}

proptest! {
    #[test]
    fn parsers_never_panic_and_accept_one_spelling(text in "(\\PC|\n|\u{2014} ){0,200}") {
        if let Ok(note) = SignedNote::parse(&text) {
            prop_assert_eq!(note.to_string(), text.clone());
        }
        if let Ok(body) = CheckpointBody::parse(&text) {
            prop_assert_eq!(body.encode(), text.clone());
        }
        let _ = EcdsaVerifier::from_vkey(&text);
    }

    #[test]
    fn checkpoints_round_trip(size in any::<u64>(), root in any::<[u8; 32]>(), name in "[a-z./-]{1,40}") {
        let body = CheckpointBody { origin: origin(&name), size, root: holdfast_protocol::Sha256Digest::new(root) };
        prop_assert_eq!(CheckpointBody::parse(&body.encode()), Ok(body));
    }
}

#[test]
fn padding_within_base64_is_another_spelling_and_refused() {
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let respelled = "AAAAAA==AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    assert!(CheckpointBody::parse(&format!("log\n1\n{root}\n")).is_ok());
    assert!(CheckpointBody::parse(&format!("log\n1\n{respelled}\n")).is_err());
}
