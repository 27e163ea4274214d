//! A real TPM implementation opens the challenges that `make_credential` makes, and only those for its own object.

use std::fs;

use holdfast_proof::credential::{Challenge, make_credential};
use holdfast_proof::tpm::Name;

use crate::swtpm::Swtpm;

/// How a parent key is authorized.
#[derive(Clone, Copy)]
enum Auth {
    /// PolicySecret(endorsement), as every standard EK.
    EkPolicy,
    /// An empty authValue.
    Empty,
}

#[test]
fn a_tpm_opens_our_challenges() {
    let Some(tpm) = Swtpm::start() else {
        return;
    };
    tpm.run("tpm2_createek -G rsa -c ek_rsa.ctx -u ek_rsa.pub");
    tpm.check("ek_rsa", Auth::EkPolicy, 32);
    tpm.run("tpm2_createek -G ecc -c ek_ecc.ctx -u ek_ecc.pub");
    tpm.check("ek_ecc", Auth::EkPolicy, 16);
    // The larger algorithms of the high-range templates; tpm2_createek does not know those.
    let attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|decrypt";
    for (name, algorithm, hash, length) in [
        ("p384", "ecc384:null:aes256cfb", "sha384", 48),
        ("rsa3072", "rsa3072:null:aes256cfb", "sha384", 48),
    ] {
        tpm.run(&format!(
            "tpm2_createprimary -C e -G {algorithm} -g {hash} -a {attributes} -c {name}.ctx"
        ));
        tpm.run(&format!("tpm2_readpublic -c {name}.ctx -o {name}.pub"));
        tpm.check(name, Auth::Empty, length);
    }
}

impl Swtpm {
    /// Makes two objects under the TPM, challenges the first, and lets both try to open the challenge.
    fn check(&self, parent: &str, auth: Auth, length: usize) {
        let base = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|restricted|sign";
        // Primaries of one template are one key: an attribute more makes another.
        for (ak, attributes) in [("ak", base.to_owned()), ("other", format!("{base}|noda"))] {
            self.run(&format!(
                "tpm2_createprimary -C o -G ecc256:ecdsa-sha256:null -a {attributes} -c {ak}.ctx"
            ));
            self.run(&format!("tpm2_readpublic -c {ak}.ctx -o {ak}.pub"));
        }
        let name = self.public("ak").name();
        assert_ne!(name, self.public("other").name());
        let secret: Vec<u8> = (1..=length).map(|byte| byte as u8).collect();
        let challenge = make_credential(&self.public(parent), &name, &secret).unwrap();

        assert!(self.activate(parent, auth, "ak", &challenge), "{parent}");
        assert_eq!(fs::read(self.path().join("opened")).unwrap(), secret);
        assert!(
            !self.activate(parent, auth, "other", &challenge),
            "{parent}"
        );
        let elsewhere =
            make_credential(&self.public(parent), &Name::endorsement(), &secret).unwrap();
        assert!(!self.activate(parent, auth, "ak", &elsewhere), "{parent}");
    }

    fn activate(&self, parent: &str, auth: Auth, ak: &str, challenge: &Challenge) -> bool {
        // The file format of tpm2-tools: a magic number and a version in front of the two TPM2B.
        let mut file = vec![0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1];
        for part in [&challenge.credential_blob, &challenge.encrypted_secret] {
            file.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
            file.extend_from_slice(part);
        }
        fs::write(self.path().join("challenge"), file).unwrap();
        let command =
            format!("tpm2_activatecredential -c {ak}.ctx -C {parent}.ctx -i challenge -o opened");
        let opened = match auth {
            Auth::Empty => self.try_run(&command).0,
            Auth::EkPolicy => {
                self.run("tpm2_startauthsession --policy-session -S session.ctx");
                self.run("tpm2_policysecret -S session.ctx -c e");
                let opened = self.try_run(&format!("{command} -P session:session.ctx")).0;
                self.try_run("tpm2_flushcontext session.ctx");
                opened
            }
        };
        self.try_run("tpm2_flushcontext -t");
        opened
    }
}
