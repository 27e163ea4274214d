//! What tpm2_getsessionauditdigest signs is the digest that we compute of the session's commands and their answers.

use std::fs;

use holdfast_proof::audit::{rp_hash, session_digest};
use holdfast_proof::policy::{CommandCode, cp_hash};
use holdfast_proof::tpm::{Attest, Attested, Signature};

use crate::swtpm::Swtpm;

/// How many bytes each command of a session asks for.
const SESSIONS: [&[u16]; 3] = [&[8], &[1, 32], &[16, 16, 5]];

#[test]
fn what_stock_tools_audit_has_the_digest_that_we_compute() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    tpm.run("tpm2_createek -G ecc -c ek.ctx -u ek.pub");
    tpm.run("tpm2_createak -C ek.ctx -c ak.ctx -G ecc -g sha256 -s ecdsa -u ak.pub");
    let ak = tpm.public("ak");
    let random = CommandCode::new(0x0000_017b);
    for asked in SESSIONS {
        tpm.run("tpm2_startauthsession --audit-session -S audit.ctx");
        let mut seen = Vec::new();
        for count in asked {
            tpm.run(&format!("tpm2_getrandom {count} -S audit.ctx -o random"));
            let bytes = fs::read(tpm.path().join("random")).unwrap();
            let answer = [&count.to_be_bytes(), bytes.as_slice()].concat();
            seen.push((
                cp_hash(random, &[], &count.to_be_bytes()),
                rp_hash(random, &answer),
            ));
        }
        tpm.run(
            "tpm2_getsessionauditdigest -c ak.ctx -S audit.ctx -g sha256 -q aabb -m said -s signed",
        );
        tpm.run("tpm2_flushcontext audit.ctx");
        let read = |file: &str| fs::read(tpm.path().join(file)).unwrap();
        let statement = Attest::parse(&read("said")).unwrap();
        let signature = Signature::parse(&read("signed")).unwrap();
        let key = ak.key().unwrap();
        key.verify(statement.as_bytes(), &signature).unwrap();
        assert_eq!(statement.extra_data(), [0xaa, 0xbb]);
        let Attested::SessionAudit(audited) = statement.attested() else {
            panic!("not a session's audit");
        };
        let signed = audited.session_digest.as_bytes();
        assert_eq!(signed, session_digest(&seen).as_bytes());
        let (_, but_one) = seen.split_last().unwrap();
        assert_ne!(signed, session_digest(but_one).as_bytes());
    }
}
