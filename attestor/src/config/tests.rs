//! The reference states the defaults, and mistakes are named so that they can be mended.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use holdfast_proof::ek_certificate::Revocation;
use holdfast_proof::tpm::{HashAlg, PcrIndex, PcrSelection};

use super::load::parse;
use super::{Config, ConfigError, REFERENCE};
use crate::verify_host::{
    EventLogPolicy, Learning, Required, SecureBootPolicy, SystemdLogPolicy, Unexplained,
    UnquotedBanks,
};

fn load(text: &str) -> Result<Config, ConfigError> {
    parse(text, Path::new("/etc/holdfast/attestor.toml"))
}

fn complaint(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

#[test]
fn the_reference_states_the_defaults() {
    assert_eq!(
        load(REFERENCE).unwrap(),
        load("trust-domain = \"example.org\"").unwrap()
    );
}

#[test]
fn mistakes_are_named_with_line_and_key() {
    insta::assert_snapshot!(complaint(""), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 1, column 1
      |
    1 | 
      | ^
    missing field `trust-domain`
    "#);
    insta::assert_snapshot!(complaint("trust-domain = \"Example.org\""), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 1, column 16
      |
    1 | trust-domain = "Example.org"
      |                ^^^^^^^^^^^^^
    `Example.org` is not a SPIFFE trust domain
    "#);
    insta::assert_snapshot!(complaint("trust-domain = \"a\"\n[policy]\nrequired_pcrs = \"\""), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 3, column 1
      |
    3 | required_pcrs = ""
      | ^^^^^^^^^^^^^
    unknown field `required_pcrs`, expected one of `required-pcrs`, `unquoted-banks`, `block`, `learn`, `unexplained`, `refused-firmware`, `event-log`, `secure-boot`, `systemd-log`, `ima`
    "#);
    insta::assert_snapshot!(complaint("trust-domain = \"a\"\n[policy]\nrequired-pcrs = \"sha256:24\""), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 3, column 17
      |
    3 | required-pcrs = "sha256:24"
      |                 ^^^^^^^^^^^
    `sha256:24` is not a selection of PCRs such as `active:0,2,4,7`, `sha256:0,2,4,7` or `sha1:0+sha256:7`
    "#);
    insta::assert_snapshot!(complaint("trust-domain = \"a\"\n[svid]\nx509-ttl = \"an hour\""), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 3, column 12
      |
    3 | x509-ttl = "an hour"
      |            ^^^^^^^^^
    `an hour` is not a duration such as `15m`, `1h` or `1h 30m`
    "#);
    insta::assert_snapshot!(complaint("trust-domain = \"a\"\nserver-names = [\"a b\"]"), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 2, column 16
      |
    2 | server-names = ["a b"]
      |                ^^^^^^^
    `a b` is neither a dns name nor an ip address
    "#);
}

#[test]
fn values_that_contradict_are_refused() {
    let with = |text: &str| complaint(&format!("trust-domain = \"a\"\n{text}"));
    insta::assert_snapshot!(with("state = \"here\""), @"`/etc/holdfast/attestor.toml`: `state` has to be an absolute path");
    insta::assert_snapshot!(with("[svid]\nx509-ttl = \"73h\""), @"`/etc/holdfast/attestor.toml`: `svid.x509-ttl` has to be from 1m to 72h");
    insta::assert_snapshot!(with("[svid]\njwt-ttl = \"30s\""), @"`/etc/holdfast/attestor.toml`: `svid.jwt-ttl` has to be from 1m to 1h");
    insta::assert_snapshot!(with("[policy]\nblock = [8]"), @"`/etc/holdfast/attestor.toml`: `policy.block` names a PCR that `policy.required-pcrs` does not");
    insta::assert_snapshot!(with("[enrollment]\ncrl = \"require\""), @r#"`/etc/holdfast/attestor.toml`: `enrollment.crl` needs the folder `enrollment.ek-crls`, and that folder needs a `crl` other than "off""#);
    insta::assert_snapshot!(with("[enrollment]\nek-crls = \"/etc/crls\""), @r#"`/etc/holdfast/attestor.toml`: `enrollment.crl` needs the folder `enrollment.ek-crls`, and that folder needs a `crl` other than "off""#);
    insta::assert_snapshot!(with("[enrollment]\ncrl = \"maybe\""), @r#"
    `/etc/holdfast/attestor.toml` is not a configuration of holdfast-attestor:
    TOML parse error at line 3, column 7
      |
    3 | crl = "maybe"
      |       ^^^^^^^
    unknown variant `maybe`, expected one of `off`, `where-there-is-one`, `require`
    "#);
    insta::assert_snapshot!(with("[log]\nlevel = \"a=b=c\""), @"`/etc/holdfast/attestor.toml`: `log.level` is not a tracing filter");
}

#[test]
fn a_folder_of_certificates_has_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = load(&format!(
        "trust-domain = \"a\"\n[enrollment]\nek-roots = \"{}\"",
        folder.path().display()
    ))
    .unwrap();
    assert!(config.enrollment_policy().unwrap().roots.is_empty());

    let key = rcgen::KeyPair::generate().unwrap();
    let root = rcgen::CertificateParams::default()
        .self_signed(&key)
        .unwrap();
    std::fs::write(folder.path().join("a.pem"), root.pem().repeat(2)).unwrap();
    std::fs::write(folder.path().join("b.der"), root.der()).unwrap();
    assert_eq!(config.enrollment_policy().unwrap().roots.len(), 3);

    std::fs::write(folder.path().join("c.pem"), "notes").unwrap();
    assert!(matches!(
        config.enrollment_policy(),
        Err(ConfigError::NoCertificate { .. })
    ));
}

#[test]
fn a_folder_of_revocation_lists_has_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let policy = |mode: &str| {
        let text = format!(
            "trust-domain = \"a\"\n[enrollment]\ncrl = \"{mode}\"\nek-crls = \"{}\"",
            folder.path().display()
        );
        load(&text).unwrap().enrollment_policy()
    };
    let count = |mode: &str| match policy(mode).unwrap().revocation {
        Revocation::Require(lists) | Revocation::WhereThereIsOne(lists) => lists.len(),
        Revocation::Off => panic!("{mode} is not off"),
    };
    assert_eq!(count("require"), 0);
    let der = include_bytes!("../../../proof/testdata/ek/good.crl");
    let pem = pem("X509 CRL", der);
    std::fs::write(folder.path().join("a.crl"), der).unwrap();
    std::fs::write(folder.path().join("b.pem"), pem.repeat(2)).unwrap();
    assert_eq!((count("require"), count("where-there-is-one")), (3, 3));

    // A list that cannot be read would be one that revokes nothing, so nothing starts.
    for spoiled in ["notes".to_owned(), pem.replace("MII", "MIJ"), String::new()] {
        std::fs::write(folder.path().join("c.pem"), spoiled).unwrap();
        let error = policy("where-there-is-one").unwrap_err();
        assert!(
            matches!(&error, ConfigError::RevocationList { path, .. } if path.ends_with("c.pem")),
            "{error}"
        );
    }
}

/// Bytes as a PEM block.
fn pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn measurement_policy_is_read_at_the_start_and_its_mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let allow = folder.path().join("allow");
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    let config = |mode: &str| {
        let text = format!(
            "trust-domain = \"a\"\n[policy.ima]\nmode = \"{mode}\"\nallow = [\"{}\"]\nkeys = \"{}\"\nexclude = [\"/tmp/*\"]\n",
            allow.display(),
            keys.display()
        );
        load(&text).unwrap().evidence_policy()
    };
    let required = |mode: &str| {
        let policy = config(mode).unwrap();
        let indices = policy.required.indices();
        indices.iter().map(|index| index.get()).collect::<Vec<_>>()
    };
    // Nothing that is off is opened.
    assert_eq!(required("off"), [0, 2, 4, 7, 9, 11]);
    assert!(matches!(
        config("record"),
        Err(ConfigError::Unreadable { .. })
    ));
    std::fs::write(&allow, format!("# tools\n{}  /bin/true\n", "0".repeat(64))).unwrap();
    assert_eq!(required("record"), [0, 2, 4, 7, 9, 10, 11]);
    assert_eq!(required("enforce"), [0, 2, 4, 7, 9, 10, 11]);
    std::fs::write(&allow, "# tools\nsha256:00  /bin/true\n").unwrap();
    let error = config("enforce").unwrap_err();
    assert_eq!(
        holdfast_protocol::words::with_causes(&error),
        format!(
            "`{}` is not an allow list: line 2: its digest has the length of no algorithm",
            allow.display()
        )
    );
    std::fs::write(&allow, "").unwrap();
    std::fs::write(keys.join("a.pem"), "notes").unwrap();
    assert!(matches!(config("enforce"), Err(ConfigError::ImaKey { .. })));

    let with = |text: &str| complaint(&format!("trust-domain = \"a\"\n{text}"));
    assert_eq!(
        with("[policy]\nrequired-pcrs = \"active:7,10\""),
        with("[policy]\nrequired-pcrs = \"sha256:7,10\"")
    );
    insta::assert_snapshot!(with("[policy]\nrequired-pcrs = \"sha256:7,10\""), @"`/etc/holdfast/attestor.toml`: `policy.required-pcrs` names PCR 10, which has no fixed value: `policy.ima` asks for it");
}

fn groups(text: &str) -> crate::group::Policies {
    load(&format!("trust-domain = \"a\"\n{text}"))
        .unwrap()
        .policies()
        .unwrap()
}

#[test]
fn a_group_is_held_to_what_is_said_of_it_then_its_preset_then_all() {
    let policies = groups(
        "[policy]\nevent-log = \"require\"\n\
         [group.desks]\npolicy = \"workstation\"\nsystemd-log = \"require\"\n\
         [group.edge]\npolicy = \"edge\"\nblock = [4, 7]\nx509-ttl = \"24h\"\n\
         [group.plain]\n",
    );
    let of = |name: &str| policies.of(Some(&name.parse().unwrap()));
    let rest = policies.of(None).unwrap();
    assert_eq!(of("plain"), Some(rest));
    let desks = &of("desks").unwrap().evidence;
    assert_eq!(desks.secure_boot, SecureBootPolicy::Require);
    assert_eq!(desks.unexplained, Unexplained::Ask);
    assert_eq!(desks.event_log, EventLogPolicy::Require);
    assert_eq!(desks.systemd_log, SystemdLogPolicy::Require);
    assert_eq!(rest.evidence.systemd_log, SystemdLogPolicy::WhereThereIsOne);
    let edge = of("edge").unwrap();
    assert_eq!(edge.evidence.learning, Learning::Propose);
    assert_eq!(edge.evidence.blocking.len(), 2);
    assert_eq!(edge.x509_ttl.as_secs(), 24 * 3600);
    assert_eq!(rest.x509_ttl.as_secs(), 3600);
    // What is never said of a group is what all are held to, and nothing at all holds a group that is not there.
    assert_eq!(edge.evidence.required, rest.evidence.required);
    assert_eq!(of("gone"), None);
    let all = groups("[group.edge]\npolicy = \"edge\"");
    let edge = all.of(Some(&"edge".parse().unwrap())).unwrap();
    assert_eq!(edge.evidence.blocking.len(), 6);
}

#[test]
fn what_is_wrong_with_a_group_is_named() {
    let with = |text: &str| complaint(&format!("trust-domain = \"a\"\n{text}"));
    insta::assert_snapshot!(with("[group.a]\nblock = [8]"), @"`/etc/holdfast/attestor.toml`: `group` has a `block` that names a PCR which `policy.required-pcrs` does not");
    insta::assert_snapshot!(with("[group.a]\nx509-ttl = \"73h\""), @"`/etc/holdfast/attestor.toml`: `group` has an `x509-ttl` that is not from 1m to 72h");
    assert!(with("[group.\"A b\"]").contains("a group's name is"));
    assert!(with("[group.a]\nrequired-pcrs = \"sha256:7\"").contains("unknown field"));
}

#[test]
fn a_group_has_canaries_and_a_brake() {
    let rules = |keys: &str, canaries: u32, hosts: u32| {
        let text = format!("trust-domain = \"a\"\n[group.edge]\n{keys}\n[group.first]\n");
        let group = load(&text).unwrap().group[&"edge".parse().unwrap()].clone();
        let number = |number| std::num::NonZeroU32::new(number).unwrap();
        let rules = group.rules(number(canaries), number(hosts))?;
        let (canary, general) = (rules.canary_limit.get(), rules.general_limit.get());
        Some((rules.needed.get(), rules.hold.as_secs(), canary, general))
    };
    let hour = 3600;
    assert_eq!(rules("", 3, 9), Some((3, 24 * hour, 1, 1)));
    let some = "canary = \"first\"\ncanary-hosts = 2\ncanary-hold = \"1h\"\nbrake = 4";
    assert_eq!(rules(some, 3, 9), Some((2, hour, 3, 4)));
    assert_eq!(rules(some, 1, 9), None);
    let share = "canary = \"first\"\nbrake = \"2%\"";
    assert_eq!(rules(share, 3, 149), Some((3, 24 * hour, 1, 3)));
    assert_eq!(
        rules("canary = \"first\"\nbrake = \"100%\"", 3, 9)
            .unwrap()
            .3,
        9
    );

    let with = |text: &str| complaint(&format!("trust-domain = \"a\"\n{text}"));
    let edge = |keys: &str| with(&format!("[group.edge]\n{keys}\n[group.first]"));
    insta::assert_snapshot!(edge("canary = \"edge\""), @"`/etc/holdfast/attestor.toml`: `group` has itself as its `canary`");
    insta::assert_snapshot!(edge("canary = \"last\""), @"`/etc/holdfast/attestor.toml`: `group` has a `canary` that is no group of this configuration");
    insta::assert_snapshot!(edge("brake = 2"), @"`/etc/holdfast/attestor.toml`: `group` has a `canary-hold`, `canary-hosts` or `brake`, and no `canary`");
    insta::assert_snapshot!(edge("canary = \"first\"\ncanary-hold = \"2161h\""), @"`/etc/holdfast/attestor.toml`: `group` has a `canary-hold` that is longer than 90 days");
    insta::assert_snapshot!(with("[group.a]\ncanary = \"b\"\n[group.b]\ncanary = \"c\"\n[group.c]"), @"`/etc/holdfast/attestor.toml`: `group` has a `canary` that has canaries of its own");
    for wrong in ["0", "-1", "\"0%\"", "\"101%\"", "\"2\"", "1.5"] {
        let said = edge(&format!("canary = \"first\"\nbrake = {wrong}"));
        assert!(said.contains("a number of hosts from 1 on"), "{said}");
    }
    assert!(edge("canary = \"first\"\ncanary-hosts = 0").contains("nonzero"));
}

/// The overlap of two generations of keys hangs on it: nothing that is signed may outlive it.
#[test]
fn the_longest_life_is_that_of_any_group() {
    let longest = |tables: &str| {
        let config = load(&format!("trust-domain = \"a\"\n{tables}"));
        config.unwrap().longest_ttl().as_secs()
    };
    assert_eq!(longest(""), 3600);
    assert_eq!(longest("[svid]\njwt-ttl = \"1h\"\nx509-ttl = \"5m\""), 3600);
    let groups = "[group.edge]\nx509-ttl = \"72h\"\n[group.desk]\nx509-ttl = \"10m\"";
    assert_eq!(longest(groups), 72 * 3600);
}

#[test]
fn the_passphrase_is_in_a_file_of_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("passphrase");
    let text = format!(
        "trust-domain = \"a\"\n[keys]\npassphrase-file = \"{}\"",
        path.display()
    );
    let refused = || {
        let words = load(&text).unwrap().key_folder().unwrap_err().to_string();
        words.replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(refused(), "`FILE` cannot be read");
    let write = |content: &[u8], mode| {
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    };
    write(b"correct horse battery staple\n", 0o604);
    assert_eq!(
        refused(),
        "`FILE` holds a password and may be readable by its owner alone, not by mode 0604"
    );
    write(b"fifteen letters\n", 0o600);
    assert_eq!(
        refused(),
        "`FILE`: `keys.passphrase-file` names this file, which has to hold a passphrase of 16 to 1024 bytes"
    );
    write(b"correct horse battery staple\n", 0o400);
    load(&text).unwrap().key_folder().unwrap();
    assert!(!format!("{:?}", load(&text).unwrap().key_folder()).contains("horse"));
}

#[test]
fn the_banks_are_all_active_ones_or_those_that_are_named() {
    let policy = |keys: &str| {
        let text = format!("trust-domain = \"a\"\n[policy]\n{keys}\n");
        load(&text).unwrap().evidence_policy().unwrap()
    };
    let indices = |numbers: &[u8]| -> BTreeSet<PcrIndex> {
        let found = numbers.iter().map(|number| PcrIndex::new(*number).unwrap());
        found.collect()
    };
    let default = policy("");
    let usual = indices(&[0, 2, 4, 7, 9, 11]);
    assert_eq!(default.required, Required::Active(usual));
    assert_eq!(default.unquoted_banks, UnquotedBanks::Refuse);
    let lenient = policy("required-pcrs = \"active:0, 7\"\nunquoted-banks = \"note\"");
    assert_eq!(lenient.required, Required::Active(indices(&[0, 7])));
    assert_eq!(lenient.unquoted_banks, UnquotedBanks::Note);
    let named = policy("required-pcrs = \"sha384:0,7+sha1:7\"");
    let selection = PcrSelection::of(HashAlg::Sha384, indices(&[0, 7]));
    let selection = selection.with(HashAlg::Sha1, indices(&[7]));
    assert_eq!(named.required, Required::Banks(selection));
    assert_eq!(named.unquoted_banks, UnquotedBanks::Note);
    let strict = policy("required-pcrs = \"sha256:7\"\nunquoted-banks = \"refuse\"");
    assert_eq!(strict.unquoted_banks, UnquotedBanks::Refuse);
    assert_ne!(
        strict.digest(),
        policy("required-pcrs = \"sha256:7\"").digest()
    );
    assert_ne!(
        default.digest(),
        policy("unquoted-banks = \"note\"").digest()
    );

    let with = |text: &str| {
        complaint(&format!(
            "trust-domain = \"a\"\n[policy]\nrequired-pcrs = \"{text}\""
        ))
    };
    assert!(with("sha1:0,7").contains("names the SHA-1 bank alone"));
    for wrong in [
        "active:",
        "active:24",
        "active:0+sha256:7",
        "active",
        "all:0",
        "sha256:0+active:7",
    ] {
        assert!(
            with(wrong).contains("is not a selection of PCRs"),
            "{wrong}"
        );
    }
}

#[test]
fn another_trust_domain_s_bundle_comes_in_one_of_three_ways() {
    use crate::federation::Source;

    let load = |table: &str| {
        load(&format!(
            "trust-domain = \"a\"\n[federation.\"b.example\"]\n{table}"
        ))
    };
    let source = |table: &str| {
        let sources = load(table).unwrap().federation();
        sources.into_values().next().unwrap()
    };
    assert!(matches!(source("bundle-file = \"/b\""), Source::File(_)));
    let web = "url = \"https://b.example/\"\nprofile = \"https_web\"\n";
    assert!(matches!(source(web), Source::Web { ca_file: None, .. }));
    let spiffe =
        "url = \"https://1.2.3.4:8444/\"\nprofile = \"https_spiffe\"\nbundle-file = \"/b\"\n";
    let with_id = format!("{spiffe}endpoint-spiffe-id = \"spiffe://b.example/x\"\n");
    assert!(matches!(source(&with_id), Source::Spiffe { .. }));
    for (table, words) in [
        (
            spiffe.to_owned(),
            "takes `endpoint-spiffe-id` and `bundle-file`",
        ),
        (
            with_id.replace("b.example/x", "c.example/x"),
            "outside that trust domain",
        ),
        (format!("{with_id}ca-file = \"/r\"\n"), "no `ca-file`"),
        (
            format!("{web}bundle-file = \"/b\"\n"),
            "takes a `ca-file` at most",
        ),
        (
            "bundle-file = \"/b\"\nca-file = \"/r\"".to_owned(),
            "and nothing else",
        ),
    ] {
        let told = load(&table).unwrap_err().to_string();
        assert!(told.contains(words), "{told}");
    }
    let many: String = (0..17)
        .map(|n| format!("[federation.\"b{n}\"]\nbundle-file = \"/b\"\n"))
        .collect();
    let told = self::load(&format!("trust-domain = \"a\"\n{many}"));
    assert!(told.unwrap_err().to_string().contains("more than 16"));
}

#[test]
fn an_upstream_authority_is_named_whole_or_not_at_all() {
    let all = "trust-domain = \"a\"\n[authority]\nupstream-certificate = \"/c\"\nupstream-key = \"/k\"\nupstream-bundle = \"/b\"\n";
    assert!(load(all).unwrap().upstream().is_some());
    for part in ["upstream-certificate", "upstream-key", "upstream-bundle"] {
        let without: String = all
            .lines()
            .filter(|line| !line.starts_with(part))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(
            complaint(&without).contains("names a part of an upstream"),
            "{part}"
        );
    }
}
