//! Objects that are not what they are called, or hold what no tree may: refused, and nothing else lost.

use std::fs;

use super::Stage;

/// Makes a tree by hand (git's own tools refuse to) and a commit of it on the branch `$1`; `$2` is the entry's name.
const FORGE: &str = r#"
forge() {
    blob=$(echo evil | git hash-object -w --stdin)
    tree=$(/usr/bin/python3 -S - "$blob" "$2" <<'END' | git hash-object -w --literally -t tree --stdin
import sys
blob, name = sys.argv[1:]
sys.stdout.buffer.write(b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob))
END
)
    git update-ref refs/heads/$1 $(git commit-tree -p main -m evil $tree)
}
echo good > good; git add good; git commit -qm Good; git branch kept
"#;

#[test]
fn a_tree_that_would_write_into_git_is_refused_and_the_rest_comes() {
    let Some(stage) = Stage::set() else { return };
    let forged = "forge dotgit .git; forge upper .GIT; forge dotdot ..; forge slash a/b; forge hfs '.g\u{200c}it'; \
                  forge ntfs 'git~1'; forge modules '.gitmodules '; git branch -D modules";
    let ran = stage.session(&format!("{FORGE}{forged}"));
    assert_eq!(ran.code, 0, "{ran:#?}");
    let refs = stage.git(&["for-each-ref", "--format=%(refname:short) %(subject)"]);
    assert_eq!(refs, "kept Good\nmain Good", "{ran:#?}");
    for branch in ["dotgit", "upper", "dotdot", "slash", "hfs", "ntfs"] {
        assert!(
            ran.stderr.contains(&format!("`{branch}` is refused")),
            "{ran:#?}"
        );
    }
    stage.git(&["fsck", "--strict"]);
    // What was refused is still to be had, and the way there is said.
    assert_eq!(stage.kept().len(), 1);
    assert!(ran.stderr.contains("holdfast git recover"), "{ran:#?}");
    let again = stage.holdfast(&["git", "recover"]);
    assert_eq!(again.code, 1, "{again:#?}");
    assert_eq!(
        stage.git(&["for-each-ref", "--format=%(refname:short) %(subject)"]),
        refs
    );
}

#[test]
fn broken_objects_and_wrong_names_are_refused_and_the_rest_comes() {
    let Some(stage) = Stage::set() else { return };
    let secret = stage.world.scratch.folder("secret");
    super::begin(&secret);
    fs::write(secret.join("key"), "hunter2\n").unwrap();
    let hidden = holdfast_hardware_tests::harness::git(&secret, &["hash-object", "-w", "key"]);
    let script = format!(
        r#"{FORGE}
path() {{ echo .git/objects/${{1:0:2}}/${{1:2}}; }}
# A blob under the name of another.
git checkout -qb swapped; echo one-thing > a; git add a; git commit -qm Swapped
real=$(git rev-parse :a); other=$(echo another | git hash-object -w --stdin)
chmod u+w $(path $real); cp $(path $other) $(path $real)
# A commit whose bytes are none.
git checkout -qf main 2> /dev/null || git symbolic-ref HEAD refs/heads/main
broken=$(git commit-tree -p main -m Broken main^{{tree}}); git update-ref refs/heads/broken $broken
chmod u+w $(path $broken); echo garbage > $(path $broken)
# A branch that is nowhere.
mkdir -p .git/refs/heads; echo 1234567890123456789012345678901234567890 > .git/refs/heads/nowhere
# An object of another repository of the human's, by name, through a list of further folders.
echo {elsewhere} >> .git/objects/info/alternates
echo {hidden} > .git/refs/tags/stolen
# A pack that is none, under a pack's name, with somebody else's index.
echo PACK > .git/objects/pack/pack-1234567890123456789012345678901234567890.pack
# Refs that are none.
ln -s /etc/passwd .git/refs/heads/link; mkfifo .git/refs/heads/pipe; echo 'ref: ../../config' > .git/refs/heads/sym
echo x > ".git/refs/heads/a b"; true
"#,
        elsewhere = secret.join(".git/objects").display(),
        hidden = hidden.trim(),
    );
    let ran = stage.session(&script);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let refs = stage.git(&["for-each-ref", "--format=%(refname:short) %(subject)"]);
    assert_eq!(refs, "kept Good\nmain Good", "{ran:#?}");
    for name in ["swapped", "broken", "nowhere", "stolen"] {
        assert!(ran.stderr.contains(name), "{name}: {ran:#?}");
    }
    stage.git(&["fsck", "--strict"]);
    assert!(super::fails(
        &stage.project,
        &["cat-file", "-e", hidden.trim()]
    ));
}

#[test]
fn refs_that_bend_git_or_a_shell_are_kept_aside() {
    let Some(stage) = Stage::set() else { return };
    let ran = stage.session(
        "one=$(git rev-parse main~1); git update-ref refs/heads/-x main
         git update-ref 'refs/heads/$(id)' $one; git update-ref refs/other/x $one; git replace main $one",
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    let refs = stage.git(&["for-each-ref", "--format=%(refname)"]);
    let aside: Vec<_> = refs
        .lines()
        .filter(|name| name.starts_with("refs/holdfast/"))
        .collect();
    assert_eq!(aside.len(), 4, "{refs}");
    assert_eq!(refs.lines().count(), 5, "{refs}");
    assert_eq!(stage.git(&["log", "-1", "--format=%s"]), "Go on");
}
