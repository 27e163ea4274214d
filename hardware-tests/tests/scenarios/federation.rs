//! Two trust domains that federate, and a third that is only followed: agents verify each other's identities through stock
//! SPIFFE clients, while keys change and servers go away.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::{Scratch, bin, free_port, wait_until};
use holdfast_hardware_tests::world::{Attestor, World};
use serde_json::Value;

use crate::support::install_spiffe;

/// Bundles are fetched every ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says for which trust domains there are bundles, by each call that gives them, and whether `token` is valid.
const JUDGE: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
names = lambda bundles: ','.join(sorted(b.trust_domain.name for b in bundles))
with WorkloadApiClient() as client:
    x509 = client.fetch_x509_bundles().bundles
    print(names(x509), ' ', sum(len(b.x509_authorities) for b in x509))
    print(names(client.fetch_jwt_bundles().bundles))
    print(names(client.fetch_x509_context().x509_bundle_set.bundles))
    try:
        print(client.validate_jwt_svid(open('token').read(), 'api.example').spiffe_id)
    except Exception as error:
        print('refused', error)
";

const TOKEN: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_jwt_svid(audience={'api.example'}).token)
";

#[test]
fn agents_verify_other_trust_domains_by_bundles_that_follow_their_keys() {
    let (endpoint, own_endpoint) = (free_port(), free_port());
    let Some(mut other) = World::sealed_under(|scratch| {
        Attestor::start_of(scratch, "other.test", &served_at(endpoint))
    }) else {
        return;
    };
    other.enroll().success();
    let third = Scratch::new();
    let (web, web_url) = web_attestor(&third);
    let world = World::sealed_under(|scratch| {
        let tables = served_at(own_endpoint)
            + &followed(scratch, "other.test", endpoint, &other.attestor)
            + &format!(
                "[federation.\"web.test\"]\nurl = \"{web_url}\"\nprofile = \"https_web\"\nca-file = \"{}\"\n",
                third.join("web-ca.crt").display()
            );
        Attestor::start_of(scratch, "world.test", &tables)
    });
    let Some(world) = world else { return };
    world.enroll().success();
    // Both ways: the other knows the first only now.
    let back = followed(&other.scratch, "world.test", own_endpoint, &world.attestor);
    let config = fs::read_to_string(other.attestor.config()).unwrap();
    fs::write(other.attestor.config(), config + &back).unwrap();
    other.attestor.kill();
    other.attestor.resume(&other.scratch);
    wait_until(PATIENCE, "both know each other", || {
        line(&world.attestor, "other.test")["sequence"] == 1
            && line(&world.attestor, "web.test")["sequence"] == 1
            && line(&other.attestor, "world.test")["sequence"] == 1
    });
    assert_eq!(
        world.attestor.run(&["bundle", "show", "other.test"]),
        other.attestor.run(&["bundle", "show"])
    );

    let [project, others] = [&world, &other].map(|world| world.scratch.folder("project"));
    if !install_spiffe(&project.join("site")) || !install_spiffe(&others.join("site")) {
        return;
    }
    fs::write(project.join("client.py"), JUDGE).unwrap();
    fs::write(others.join("client.py"), TOKEN).unwrap();
    let python = ["/usr/bin/python3", "-S", "client.py"];
    let token = || {
        other
            .broker
            .run(&others, &python)
            .success()
            .trim()
            .to_owned()
    };
    let judged = |token: &str| {
        fs::write(project.join("token"), token).unwrap();
        let told = world.broker.run(&project, &python).success();
        told.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let all = "other.test,web.test,world.test";
    let first = token();
    let theirs = "spiffe://other.test/host/";
    wait_until(PATIENCE, "the agent knows the others", || {
        judged(&first)[0] == format!("{all}   3")
    });
    let lines = judged(&first);
    assert_eq!(lines[1..3], [all, all], "{lines:#?}");
    assert!(lines[3].starts_with(theirs), "{lines:#?}");

    // The other's keys change, and this side follows each step without anybody's doing.
    let followed_to = |sequence: u64| {
        wait_until(PATIENCE, "the change is followed", || {
            line(&world.attestor, "other.test")["sequence"] == sequence
        });
    };
    other.attestor.run(&["authority", "prepare"]);
    followed_to(2);
    other.attestor.run(&["authority", "activate", "--now"]);
    followed_to(3);
    let second = token();
    wait_until(PATIENCE, "both keys' tokens are valid", || {
        judged(&second)[3].starts_with(theirs) && judged(&first)[3].starts_with(theirs)
    });
    other.attestor.run(&["authority", "retire", "--now"]);
    followed_to(4);
    wait_until(PATIENCE, "the old key's are not", || {
        judged(&first)[3].contains("refused")
    });
    assert!(judged(&second)[3].starts_with(theirs));
    assert_eq!(judged(&second)[0], format!("{all}   3"));

    // What cannot be fetched stays as it was, and the operator reads why.
    drop(web);
    wait_until(PATIENCE, "the third is missed", || {
        line(&world.attestor, "web.test")["error"].is_string()
    });
    let missed = line(&world.attestor, "web.test");
    assert!(
        missed["error"].as_str().unwrap().contains("no connection"),
        "{missed:#}"
    );
    assert_eq!(judged(&second)[0], format!("{all}   3"));
    let told = world.attestor.run(&["bundle", "list"]);
    assert!(
        told.contains("other.test  sequence 4, 1 X.509 authorities, 1 JWT keys"),
        "{told}"
    );
    assert!(told.contains("last error: "), "{told}");
}

#[test]
fn an_endpoint_of_another_id_or_an_older_bundle_is_not_followed() {
    let endpoint = free_port();
    let theirs = Scratch::new();
    let other = Attestor::start_of(&theirs, "other.test", &served_at(endpoint));
    other.run(&["authority", "prepare"]);
    let scratch = Scratch::new();
    let table = followed(&scratch, "other.test", endpoint, &other);
    let wrong = table.replace("/attestor\"", "/bundles\"");
    let mut world = Attestor::start_of(&scratch, "world.test", &wrong);
    wait_until(PATIENCE, "the endpoint is refused", || {
        line(&world, "other.test")["error"].is_string()
    });
    let refused = line(&world, "other.test");
    let words = refused["error"].as_str().unwrap();
    assert!(
        words.contains("`spiffe://other.test/attestor`, not `spiffe://other.test/bundles`"),
        "{words}"
    );
    assert_eq!(
        refused["sequence"], 2,
        "what the operator gave stays: {refused:#}"
    );

    // The right one; then it serves what was before, as from an old backup.
    let config = fs::read_to_string(world.config()).unwrap();
    fs::write(world.config(), config.replace("/bundles\"", "/attestor\"")).unwrap();
    world.kill();
    world.resume(&scratch);
    wait_until(PATIENCE, "it is fetched", || {
        line(&world, "other.test")["error"].is_null()
    });
    let state = theirs.join("attestor");
    let kept = fs::read_to_string(state.join("authorities.json")).unwrap();
    fs::write(
        state.join("authorities.json"),
        kept.replace("\"sequence\": 2", "\"sequence\": 1"),
    )
    .unwrap();
    wait_until(PATIENCE, "the older one is refused", || {
        line(&world, "other.test")["error"].is_string()
    });
    let refused = line(&world, "other.test");
    assert!(
        refused["error"]
            .as_str()
            .unwrap()
            .contains("went back from 2 to 1"),
        "{refused:#}"
    );
    assert_eq!(refused["sequence"], 2);
}

#[test]
fn a_federation_that_contradicts_itself_is_named() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let config = fs::read_to_string(attestor.config()).unwrap();
    for (table, words) in [
        (
            "[federation.\"world.test\"]\nbundle-file = \"/x\"\n",
            "has a table for this very trust domain",
        ),
        (
            "[federation.\"other.test\"]\nurl = \"https://x/\"\n",
            "has a `url` without a `profile`",
        ),
        (
            "[federation.\"other.test\"]\nurl = \"http://x/\"\nprofile = \"https_web\"\n",
            "is not the url of a bundle endpoint",
        ),
        (
            "[federation.\"other.test\"]\n",
            "takes `bundle-file` and nothing else",
        ),
    ] {
        let path = scratch.write("wrong.toml", format!("{config}{table}"));
        let output = Command::new(bin("holdfast-attestor"))
            .args(["config", "--check", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains(words), "{told}");
    }
}

fn served_at(endpoint: SocketAddr) -> String {
    format!("[bundle-endpoint]\nlisten = \"{endpoint}\"\nrefresh-hint = \"10s\"\n")
}

/// The table of who follows an attestor's endpoint by its SVID, with the bundle of now to begin with.
fn followed(scratch: &Scratch, name: &str, endpoint: SocketAddr, attestor: &Attestor) -> String {
    let initial = attestor.run(&["bundle", "show", "--json"]);
    let file = scratch.write(format!("{name}.json"), initial);
    format!(
        "[federation.\"{name}\"]\nurl = \"https://{endpoint}/\"\nprofile = \"https_spiffe\"\n\
         endpoint-spiffe-id = \"spiffe://{name}/attestor\"\nbundle-file = \"{}\"\n",
        file.display()
    )
}

/// An attestor whose endpoint shows a certificate of `openssl`'s CA, for `localhost`.
fn web_attestor(scratch: &Scratch) -> (Attestor, String) {
    let script = format!(
        "set -e; umask 077; cd '{}'
        openssl req -x509 -newkey rsa:2048 -nodes -keyout web-ca.key -out web-ca.crt -days 30 -subj '/CN=web ca'
        openssl req -newkey rsa:2048 -nodes -keyout web.key -out web.csr -subj '/CN=localhost'
        printf 'subjectAltName=DNS:localhost\\nextendedKeyUsage=serverAuth\\n' > web.ext
        openssl x509 -req -in web.csr -CA web-ca.crt -CAkey web-ca.key -CAcreateserial -days 20 -extfile web.ext -out web.crt",
        scratch.path().display()
    );
    let made = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    private(&scratch.join("web.key"));
    let endpoint = free_port();
    let tables = served_at(endpoint)
        + &format!(
            "profile = \"https_web\"\ncertificate-file = \"{}\"\nkey-file = \"{}\"\n",
            scratch.join("web.crt").display(),
            scratch.join("web.key").display()
        );
    let attestor = Attestor::start_of(scratch, "web.test", &tables);
    (attestor, format!("https://localhost:{}/", endpoint.port()))
}

fn private(file: &Path) {
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What `bundle list` says of a trust domain.
fn line(attestor: &Attestor, name: &str) -> Value {
    let list: Vec<Value> =
        serde_json::from_str(&attestor.run(&["bundle", "list", "--json"])).unwrap();
    let found = list.into_iter().find(|line| line["trust-domain"] == name);
    found.unwrap_or_default()
}
