//! A human's secrets lie encrypted under keys of this TPM and come back by no way but a lease: no file has them, no edit
//! of the file goes unnoticed, and another TPM opens nothing.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use holdfast_hardware_tests::harness::{
    CountingProxy, DelayProfile, GitRemote, Guarded, Swtpm, git, wait_until,
};
use holdfast_hardware_tests::world::{Broker, World};
use holdfast_protocol::frame::{self, PREFIX};
use holdfast_protocol::management::{Failure, Request, Response};
use holdfast_protocol::secret::Secret;
use holdfast_protocol::vault::{
    GitUser, NewVault, SecretName, SecretUse, Sharing, VaultListing, VaultState,
};
use holdfast_tpm::{LeaseKey, LeaseTerms, Priority};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::support::{Chip, pcrs};

/// Seen nowhere else.
const VALUE: &str = "glpat-Zq7Wn3Vx9Ld2Rk5Tb8Yc";

/// How long a session may take to its next step; a key in use is fetched again within that, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What somebody does to a vault's file.
type Edit = fn(&mut Value);

const HEADLESS: VaultState = VaultState::Open {
    sharing: Sharing::Headless,
};

#[test]
fn what_is_kept_stands_in_no_file_no_record_and_no_log() {
    let mut world = World::start();
    let recovery = make(&world.broker, NewVault::Headless);
    let listing = keep(&world.broker, "forge", VALUE);
    assert_eq!(listing.state, HEADLESS);
    assert_eq!(listing.secrets[0].name.as_str(), "forge");
    let records = world.broker.holdfast(&["audit", "tail"]).success();
    let export = world.broker.holdfast(&["audit", "export"]).success();
    assert!(records.contains("forge"), "{records}");
    let log = world.broker.log();
    world.broker.stop();

    let recovery = recovery.expose().to_string();
    let plain = [VALUE, recovery.as_str()];
    let forms: Vec<String> = plain
        .iter()
        .flat_map(|text| {
            let bytes = text.as_bytes();
            [
                (*text).to_owned(),
                BASE64.encode(bytes),
                HEXLOWER.encode(bytes),
            ]
        })
        .collect();
    let files = files(world.broker.state());
    assert!(files.len() > 3, "{files:?}");
    let mut read: Vec<(String, Vec<u8>)> = vec![
        ("audit tail".to_owned(), records.into_bytes()),
        ("audit export".to_owned(), export.into_bytes()),
        ("the log".to_owned(), log.into_bytes()),
    ];
    read.extend(
        files
            .iter()
            .map(|path| (path.display().to_string(), fs::read(path).unwrap())),
    );
    for (place, bytes) in &read {
        for form in &forms {
            assert!(!contains(bytes, form.as_bytes()), "{form} is in {place}");
        }
    }
    // The search finds what is there: the name is in the vault and on record.
    assert!(contains(&fs::read(vault_file(&world)).unwrap(), b"forge"));
    let permissions = fs::metadata(vault_file(&world)).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
}

#[test]
fn an_edited_entry_is_named_and_an_edited_vault_is_not_opened() {
    let mut world = World::start();
    make(&world.broker, NewVault::Headless);
    keep(&world.broker, "forge", VALUE);
    world.broker.stop();
    let path = vault_file(&world);
    let good = fs::read(&path).unwrap();

    let entry: [(&str, &str, Edit); 4] = [
        ("the place it goes to", "forge", |file| {
            file["secrets"][0]["use"]["remote"] = json!("https://evil.example/org");
        }),
        ("the user there", "forge", |file| {
            file["secrets"][0]["use"]["username"] = json!("eve");
        }),
        ("its name", "stolen", |file| {
            file["secrets"][0]["name"] = json!("stolen")
        }),
        ("its ciphertext", "forge", |file| {
            flip(&mut file["secrets"][0]["sealed"])
        }),
    ];
    for (what, name, edit) in entry {
        rewrite(&path, &good, edit);
        world.broker.resume(&world.scratch);
        // The vault opens, and goes on taking secrets; the one that was edited is named.
        keep(&world.broker, "another", "x");
        let failure = refused(&world.broker, &Request::Secrets);
        let words = format!("the secret `{name}` was changed or damaged in the vault's file");
        assert_eq!(failure.message, words, "{what}");
        world.broker.stop();
    }

    let whole: [(&str, &str, Edit); 6] = [
        (
            "the box that shows the key",
            "its key does not fit it",
            |file| flip(&mut file["check"]),
        ),
        ("the root, sealed", "the TPM", |file| {
            let text = BASE64.decode(file["root"].as_str().unwrap().as_bytes());
            let mut root: Value = serde_json::from_slice(&text.unwrap()).unwrap();
            let mut private = root["blob"]["private"].as_str().unwrap().to_owned();
            let last = if private.pop() == Some('0') { '1' } else { '0' };
            private.push(last);
            root["blob"]["private"] = json!(private);
            file["root"] = json!(BASE64.encode(&serde_json::to_vec(&root).unwrap()));
        }),
        ("the version", "not a vault of this version", |file| {
            file["version"] = json!(2)
        }),
        ("a word more", "not a vault of this version", |file| {
            file["note"] = json!("hello")
        }),
        ("its human", "it is the vault of uid 4242", |file| {
            file["human"] = json!(4242)
        }),
        ("whether a share is needed", "locked", |file| {
            file["sharing"] = json!("keyring")
        }),
    ];
    for (what, words, edit) in whole {
        rewrite(&path, &good, edit);
        let edited = fs::read(&path).unwrap();
        world.broker.resume(&world.scratch);
        let failure = refused(&world.broker, &request_to_keep("another", "x"));
        assert!(failure.message.contains(words), "{what}: {failure:?}");
        assert!(!failure.advice.is_empty(), "{what}");
        world.broker.stop();
        assert_eq!(fs::read(&path).unwrap(), edited, "{what}: nothing is lost");
    }

    fs::write(&path, &good).unwrap();
    world.broker.resume(&world.scratch);
    assert_eq!(keep(&world.broker, "another", "x").secrets.len(), 2);
}

#[test]
fn a_headless_vault_survives_the_broker_and_the_tpm() {
    let mut world = World::start();
    make(&world.broker, NewVault::Headless);
    keep(&world.broker, "first", VALUE);
    world.broker.kill();
    world.broker.resume(&world.scratch);
    assert_eq!(keep(&world.broker, "second", VALUE).secrets.len(), 2);
    world.broker.stop();
    world.tpm.restart();
    world.broker.resume(&world.scratch);
    assert_eq!(keep(&world.broker, "third", VALUE).secrets.len(), 3);
    // All three came through under their own names.
    let listing = vault(ask(&world.broker, &Request::Secrets));
    assert_eq!(listing.secrets.len(), 3);
    let name = "second".parse().unwrap();
    let listing = vault(ask(&world.broker, &Request::RemoveSecret { name }));
    let names: Vec<_> = listing
        .secrets
        .iter()
        .map(|secret| secret.name.as_str())
        .collect();
    assert_eq!(names, ["first", "third"]);
}

#[test]
fn a_keyring_vault_waits_for_its_share_and_takes_no_other() {
    let mut world = World::start();
    let share = |byte: u8| secret(&BASE64.encode(&[byte; 32]));
    let open = |broker: &Broker, byte| ask(broker, &Request::OpenVault { share: share(byte) });
    make(&world.broker, NewVault::Keyring { share: share(1) });
    keep(&world.broker, "forge", VALUE);
    world.broker.stop();
    assert!(!contains(
        &fs::read(vault_file(&world)).unwrap(),
        BASE64.encode(&[1; 32]).as_bytes()
    ));
    world.broker.resume(&world.scratch);
    let listing = vault(ask(&world.broker, &Request::Secrets));
    assert_eq!(listing.state, VaultState::Locked);
    let failure = refused(&world.broker, &request_to_keep("more", "x"));
    assert!(
        failure.advice.contains("holdfast secrets unlock"),
        "{failure:?}"
    );
    let Response::Failed(failure) = open(&world.broker, 2) else {
        panic!("another share opened it");
    };
    assert_eq!(failure.message, "the share does not open your vault");
    let listing = vault(open(&world.broker, 1));
    let keyring = VaultState::Open {
        sharing: Sharing::Keyring,
    };
    assert_eq!(listing.state, keyring);
    keep(&world.broker, "more", "x");
}

#[test]
fn another_tpm_does_not_open_a_stolen_vault() {
    let mut here = World::start();
    make(&here.broker, NewVault::Headless);
    keep(&here.broker, "forge", VALUE);
    here.broker.stop();
    let mut there = World::start();
    fs::copy(vault_file(&here), vault_file(&there)).unwrap();
    let failure = refused(&there.broker, &request_to_keep("more", "x"));
    assert!(
        failure
            .message
            .contains("your vault's key is not to be had: the TPM refuses to open it"),
        "{failure:?}"
    );
    there.broker.stop();
    for kind in ["handles-transient", "handles-loaded-session"] {
        assert_eq!(there.tpm.tools().text("getcap", [kind]), "", "{kind}");
    }
}

#[tokio::test]
async fn keeping_costs_no_tpm_command_once_the_vault_is_open() {
    let mut world = World::start();
    let mut table = Vec::new();
    let mut line = |proxy: &CountingProxy, what: &str, budget: u64| {
        table.push((what.to_owned(), proxy.total(), budget));
        proxy.reset();
    };
    world.proxy.reset();
    make(&world.broker, NewVault::Headless);
    line(&world.proxy, "make a vault", 14);
    keep(&world.broker, "forge", VALUE);
    keep(&world.broker, "other", VALUE);
    ask(&world.broker, &Request::Secrets);
    line(&world.proxy, "keep two secrets, list them", 0);
    world.broker.stop();
    world.broker.resume(&world.scratch);
    world.proxy.reset();
    keep(&world.broker, "third", VALUE);
    line(&world.proxy, "keep one, the vault not open yet", 11);

    // What the first grant and a refresh of its key ask of a TPM.
    let tpm = Swtpm::bare();
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let chip = Chip::open(proxy.ports().command(), None).await;
    proxy.reset();
    let clock = chip.tpm.tpm().clock().await.unwrap();
    let terms = LeaseTerms {
        deadline_ms: clock.clock_ms + 3_600_000,
        pcrs: pcrs(&[7]),
    };
    let key = LeaseKey::new(Zeroizing::new([7; 32]));
    let lease = chip.tpm.make_lease(terms, &key, Priority::Interactive);
    let lease = lease.await.unwrap();
    line(&proxy, "first grant: the lease, and its clock", 7);
    let opened = chip.tpm.unseal_lease(&lease, Priority::Background);
    opened.await.unwrap();
    line(&proxy, "each minute of use: the key again", 10);
    chip.nothing_is_left().await;

    for (what, spent, budget) in &table {
        println!("{what:<40} {spent:>3} of {budget:>2}");
    }
    for (what, spent, budget) in table {
        assert!(
            spent <= budget && (spent == 0) == (budget == 0),
            "{what}: {spent}"
        );
    }
}

/// A private repository's user and what the session does there: once, some times more, and once after the power cut.
const USER: &str = "agent";
const LOOKS: &str = "git ls-remote origin && touch first
    while [ ! -e more ]; do sleep 0.1; done
    for n in 1 2 3 4 5; do git ls-remote origin || exit 1; done; touch second
    while [ ! -e again ]; do sleep 0.1; done
    git ls-remote origin && echo all seen";

#[test]
fn a_session_uses_a_secret_without_the_tpm_and_through_its_power_cut() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    let remote = GitRemote::start(&world.scratch, USER, VALUE, Guarded::Everything);
    let project = world.scratch.folder("project");
    git(&project, &["init", "--quiet", "-b", "main"]);
    git(&project, &["remote", "add", "origin", &remote.url()]);
    make(&world.broker, NewVault::Headless);
    let request = Request::KeepSecret {
        name: "origin".parse().unwrap(),
        purpose: SecretUse::Git {
            remote: remote.url().parse().unwrap(),
            username: USER.parse().unwrap(),
        },
        value: secret(VALUE),
    };
    vault(ask(&world.broker, &request));
    let mut session = world.broker.holdfast_command();
    let session = session
        .current_dir(&project)
        .args(["run", "--project"])
        .arg(&project)
        .args(["--", "sh", "-c", LOOKS])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let served = || {
        let wanted = format!("{USER}:{VALUE}");
        let requests = remote.requests().into_iter();
        requests
            .filter(|request| request.status == 200 && request.credential.as_ref() == Some(&wanted))
            .count()
    };

    wait_until(PATIENCE, "the first look", || {
        project.join("first").exists()
    });
    let each = served();
    assert!(each > 0, "{:#?}", remote.requests());
    world.proxy.reset();
    fs::write(project.join("more"), "").unwrap();
    wait_until(PATIENCE, "more looks", || project.join("second").exists());
    assert_eq!(served(), 6 * each);
    println!("five uses of a secret: {:?}", world.proxy.counts());
    assert_eq!(world.proxy.total(), 0, "{:?}", world.proxy.counts());

    // Another boot: what the TPM was to keep is over. The broker finds out when it fetches the key once more.
    world.proxy.record();
    world.tpm.power_cut();
    world.proxy.reset();
    let refusal = || {
        let trace = world.proxy.trace();
        let mut codes = trace.iter().filter_map(|exchange| {
            let timed = exchange.name() == "PolicyCounterTimer";
            timed.then(|| HEXLOWER.encode(&exchange.response[6..10]))
        });
        codes.find(|code| code != "00000000")
    };
    wait_until(3 * PATIENCE, "the key to be fetched again", || {
        refusal().is_some()
    });
    // TPM_RC_POLICY: the old lease belongs to a boot that is over, says the TPM.
    assert_eq!(refusal().unwrap(), "00000126");
    fs::write(project.join("again"), "").unwrap();
    let output = session.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        words.contains("all seen"),
        "{output:?}\n{}",
        world.broker.log()
    );
    assert_eq!(served(), 7 * each);
    // It came out of the vault and under a lease of this boot.
    println!("after the power cut: {:?}", world.proxy.counts());
    assert_eq!(world.proxy.count("Unseal"), 0);
    assert_eq!(world.proxy.count("Create"), 1);

    // So does what a session is given that begins in this boot.
    let looks = ["git", "ls-remote", "--quiet", "origin"];
    world.broker.run(&project, &looks).success();
    assert!(served() > 7 * each, "{:#?}", remote.requests());

    // And a whole machine that starts anew, as after any night.
    world.broker.stop();
    world.tpm.restart();
    world.broker.resume(&world.scratch);
    world.attested();
    let before = served();
    world.broker.run(&project, &looks).success();
    assert!(served() > before, "{:#?}", remote.requests());
    let records = world
        .broker
        .holdfast(&["audit", "tail", "-n", "200"])
        .success();
    assert!(!records.contains(VALUE), "{records}");
    world.broker.holdfast(&["audit", "verify"]).success();
}

fn make(broker: &Broker, how: NewVault) -> Secret {
    let answer = ask(broker, &Request::MakeVault(how));
    let Response::VaultMade { recovery } = answer else {
        panic!("{answer:?}");
    };
    recovery
}

fn keep(broker: &Broker, name: &str, value: &str) -> VaultListing {
    vault(ask(broker, &request_to_keep(name, value)))
}

fn request_to_keep(name: &str, value: &str) -> Request {
    let name: SecretName = name.parse().unwrap();
    let username: GitUser = "x-access-token".parse().unwrap();
    Request::KeepSecret {
        name,
        purpose: SecretUse::Git {
            remote: "https://git.example/org".parse().unwrap(),
            username,
        },
        value: secret(value),
    }
}

fn refused(broker: &Broker, request: &Request) -> Failure {
    let answer = ask(broker, request);
    let Response::Failed(failure) = answer else {
        panic!("{answer:?}");
    };
    failure
}

fn vault(response: Response) -> VaultListing {
    let answer = response;
    let Response::Vault(listing) = answer else {
        panic!("{answer:?}");
    };
    listing
}

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.to_owned()))
}

/// One request past the command line, which keeps its own manners.
fn ask(broker: &Broker, request: &Request) -> Response {
    let mut stream = UnixStream::connect(broker.socket()).unwrap();
    stream.write_all(&frame::encode(request).unwrap()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    frame::decode(&answer[PREFIX..]).unwrap()
}

fn vault_file(world: &World) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let folder = world.broker.state().join("vaults");
    folder.join(format!("{uid}.json"))
}

fn rewrite(path: &Path, good: &[u8], edit: impl FnOnce(&mut Value)) {
    let mut file = serde_json::from_slice(good).unwrap();
    edit(&mut file);
    fs::write(path, serde_json::to_vec(&file).unwrap()).unwrap();
}

/// One bit of a box.
fn flip(boxed: &mut Value) {
    let mut bytes = BASE64.decode(boxed.as_str().unwrap().as_bytes()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    *boxed = json!(BASE64.encode(&bytes));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.is_file())
        .collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
