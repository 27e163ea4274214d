//! Other trust domains fetch this one's bundle by the profiles of SPIFFE Federation, with programs of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use holdfast_hardware_tests::harness::{Scratch, wait_until};
use holdfast_hardware_tests::world::Attestor;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn the_bundle_is_fetched_by_the_web_s_certificates_and_follows_the_keys() {
    let scratch = Scratch::new();
    let (certificate, key) = web_certificate(&scratch);
    let tables = format!(
        "[bundle-endpoint]\nlisten = \"127.0.0.1:0\"\nprofile = \"https_web\"\n\
         certificate-file = \"{certificate}\"\nkey-file = \"{key}\"\n"
    );
    let attestor = Attestor::start_with(&scratch, &tables);
    let url = format!("https://localhost:{}/", port(&scratch));
    let trusted = ["--cacert", &certificate];
    let fetched = || -> Value {
        let output = curl(&[&trusted[..], &[&url]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let shown =
        || -> Value { serde_json::from_str(&attestor.run(&["bundle", "show", "--json"])).unwrap() };
    assert_eq!(fetched(), shown());
    assert_eq!(fetched()["keys"].as_array().unwrap().len(), 2);
    attestor.run(&["authority", "prepare"]);
    wait_until(PATIENCE, "the next keys are published", || {
        fetched()["spiffe_sequence"] == 2
    });
    assert_eq!(fetched(), shown());

    // Nothing else is there, and nobody is believed who is not trusted.
    for (arguments, status) in [
        (vec!["--data", "x", &url], "405"),
        (vec![&*format!("{url}keys")], "404"),
        (vec!["--head", &url], "200"),
    ] {
        let told = ["--output", "/dev/null", "--write-out", "%{http_code}"];
        let output = curl(&[&trusted[..], &told, &arguments].concat());
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            status,
            "{arguments:?}"
        );
    }
    assert!(
        !curl(&[&url]).status.success(),
        "the system knows no such authority"
    );
}

#[test]
fn the_bundle_is_fetched_by_the_attestor_s_own_svid() {
    let scratch = Scratch::new();
    let attestor = Attestor::start_with(&scratch, "[bundle-endpoint]\nlisten = \"127.0.0.1:0\"\n");
    let known = scratch.write("bundle.pem", attestor.run(&["bundle", "show"]));
    let place = format!("127.0.0.1:{}", port(&scratch));

    // Whoever has the bundle of before verifies the server by it, and by its SPIFFE ID.
    let answer = s_client(&place, &known, "GET / HTTP/1.1\r\nHost: attestor\r\n\r\n");
    let body = answer.split_once("\r\n\r\n").expect(&answer).1;
    let bundle: Value = serde_json::from_str(body).unwrap();
    assert_eq!(bundle["spiffe_sequence"], 1, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let certificate = format!(
        "openssl s_client -connect {place} </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName"
    );
    let names = Command::new("sh")
        .args(["-c", &certificate])
        .output()
        .unwrap();
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    assert!(
        names.contains("URI:spiffe://world.test/attestor"),
        "{names}"
    );
}

#[test]
fn a_bundle_endpoint_that_contradicts_itself_is_named() {
    let scratch = Scratch::new();
    let attestor = Attestor::start(&scratch);
    let config = fs::read_to_string(attestor.config()).unwrap();
    let wrong = "[bundle-endpoint]\nlisten = \"127.0.0.1:0\"\nprofile = \"https_web\"\n";
    let path = scratch.write("wrong.toml", config + wrong);
    let output = Command::new(holdfast_hardware_tests::harness::bin("holdfast-attestor"))
        .args(["config", "--check", "--config"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(
        words.contains("needs `certificate-file` and `key-file`"),
        "{words}"
    );
}

/// Where the endpoint listens.
fn port(scratch: &Scratch) -> String {
    let file = scratch.join("attestor/bundle-address");
    wait_until(PATIENCE, "the endpoint is announced", || file.exists());
    let address = fs::read_to_string(file).unwrap();
    address.trim().rsplit(':').next().unwrap().to_owned()
}

/// A certificate for `localhost` and its key, as files.
fn web_certificate(scratch: &Scratch) -> (String, String) {
    let [certificate, key] = ["web.crt", "web.key"].map(|name| scratch.join(name));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    (certificate.display().to_string(), key.display().to_string())
}

fn curl(arguments: &[&str]) -> Output {
    Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "20",
        ])
        .args(arguments)
        .output()
        .unwrap()
}

/// What a server says to `request` that `trusted` vouches for.
fn s_client(place: &str, trusted: &Path, request: &str) -> String {
    use std::io::Write;
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-connect",
            place,
            "-CAfile",
        ])
        .arg(trusted)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(request.as_bytes()).unwrap();
    let output = client.wait_with_output().unwrap();
    drop(input);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
