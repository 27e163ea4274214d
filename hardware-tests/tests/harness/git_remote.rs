//! The git service, held against the real git.

use std::fs;
use std::path::Path;

use holdfast_hardware_tests::harness::{GitRemote, Guarded, Scratch, git, plain_git};

const USER: &str = "agent";
const TOKEN: &str = "glpat-not-a-real-one";

/// The remote's address with the credential in it.
fn with_token(remote: &GitRemote) -> String {
    let credential = format!("http://{USER}:{TOKEN}@");
    remote.url().replacen("http://", &credential, 1)
}

fn commit(folder: &Path, name: &str, content: &[u8]) {
    fs::write(folder.join(name), content).unwrap();
    git(folder, &["add", "."]);
    git(folder, &["commit", "--quiet", "-m", name]);
}

#[test]
fn git_pushes_fetches_and_clones_with_the_token() {
    let scratch = Scratch::new();
    let remote = GitRemote::start(&scratch, USER, TOKEN, Guarded::Everything);
    let (url, first) = (with_token(&remote), scratch.folder("first"));
    git(&first, &["init", "--quiet", "-b", "main"]);
    // Larger than git's buffer, and not to be compressed: it goes in chunks.
    let noise: Vec<u8> = (0..400_000_u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    commit(&first, "noise", &noise);
    let small = ["-c", "http.postBuffer=65536"];
    git(
        &first,
        &[&small[..], &["push", "--quiet", &url, "main"]].concat(),
    );
    let head = git(&first, &["rev-parse", "main"]).trim().to_owned();
    assert_eq!(remote.refs()["refs/heads/main"], head);
    let pushed = remote.requests();
    assert!(
        pushed
            .iter()
            .any(|request| request.encodings == ["chunked"]),
        "{pushed:#?}"
    );

    // So many wants that git compresses them.
    for number in 0..40 {
        commit(&first, "count", number.to_string().as_bytes());
        git(&first, &["tag", &format!("t{number}")]);
    }
    git(&first, &["push", "--quiet", "--tags", &url, "main"]);
    let second = scratch.join("second").display().to_string();
    git(scratch.path(), &["clone", "--quiet", &url, &second]);
    git(Path::new(&second), &["fsck", "--strict"]);
    let cloned = git(Path::new(&second), &["rev-parse", "origin/main", "t7"]);
    assert_eq!(cloned, git(&first, &["rev-parse", "main", "t7"]));
    let fetched = remote.requests();
    assert!(
        fetched.iter().any(|request| request.encodings == ["gzip"]),
        "{fetched:#?}"
    );
    let credential = format!("{USER}:{TOKEN}");
    for request in remote.requests() {
        let right = request.credential.as_deref() == Some(&*credential);
        assert_eq!(request.status, if right { 200 } else { 401 }, "{request:?}");
    }
}

#[test]
fn without_the_token_nothing_is_to_be_had() {
    let scratch = Scratch::new();
    let remote = GitRemote::start(&scratch, USER, TOKEN, Guarded::Everything);
    let wrong = remote.url().replacen("http://", "http://agent:hf_x@", 1);
    for url in [remote.url(), wrong] {
        let refused = plain_git(scratch.path())
            .args(["ls-remote", &url])
            .output()
            .unwrap();
        assert!(!refused.status.success(), "{url}: {refused:?}");
    }
    assert!(
        remote
            .requests()
            .iter()
            .all(|request| request.status == 401)
    );
}

#[test]
fn a_public_repository_asks_only_who_pushes() {
    let scratch = Scratch::new();
    let remote = GitRemote::start(&scratch, USER, TOKEN, Guarded::Pushes);
    let folder = scratch.folder("work");
    git(&folder, &["init", "--quiet", "-b", "main"]);
    commit(&folder, "file", b"content");
    let refused = plain_git(&folder)
        .args(["push", &remote.url(), "main"])
        .output()
        .unwrap();
    assert!(!refused.status.success(), "{refused:?}");
    assert!(remote.refs().is_empty());
    git(&folder, &["push", "--quiet", &with_token(&remote), "main"]);
    let listed = git(&folder, &["ls-remote", &remote.url(), "main"]);
    assert!(
        listed.contains(&remote.refs()["refs/heads/main"]),
        "{listed}"
    );
}
