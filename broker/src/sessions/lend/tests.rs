#![allow(clippy::unwrap_used, reason = "tests")]
use std::fs::File;

use super::*;

fn lending(config: LendConfig) -> Lending {
    Lending::new([PathBuf::from("/srv/broker/state")], config)
}

fn judge(config: LendConfig, path: &str, access: RunAccess) -> Result<(), NotLent> {
    let asked = Asked {
        place: Path::new(path),
        access,
        why: Why::Named,
    };
    lending(config).judge_path(Path::new("/home/ann"), asked, Path::new(path))
}

#[test]
fn what_is_never_lent_is_refused_whatever_is_said() {
    for path in [
        "/",
        "/home",
        "/home/ann",
        "/srv",
        "/srv/broker",
        "/srv/broker/state",
        "/srv/broker/state/homes/1000",
        "/etc/holdfast",
        "/etc",
        "/var",
        "/var/lib/holdfast/vault",
        "/run/user/1000",
        "/dev/shm",
        "/proc/1",
        "/sys/fs",
        "/home/ann/.config/holdfast",
        "/home/ann/.config/holdfast/profiles",
        "/home/ann/.config",
        "/home/ann/.local",
        "/home/ann/.ssh",
        "/home/ann/.ssh/id_ed25519",
        "/home/ann/.aws/credentials",
        "/home/ann/.cargo",
        "/home/ann/.cargo/credentials.toml",
        "/home/ann/.npmrc",
        "/home/ann/.docker",
        "/home/ann/.claude",
        "/home/bob/.ssh",
        "/home/ann/app/.env",
    ] {
        for access in [RunAccess::Read, RunAccess::Write] {
            assert!(
                judge(LendConfig::default(), path, access).is_err(),
                "{path}"
            );
        }
    }
}

#[test]
fn what_a_day_needs_is_lent() {
    for path in [
        "/home/ann/data",
        "/home/ann/.cargo/bin",
        "/home/ann/.rustup/toolchains",
        "/home/ann/.claude/skills",
        "/home/ann/.claude/CLAUDE.md",
        "/home/ann/.config/nvim",
        "/opt/node",
        "/mnt/models",
    ] {
        assert!(
            judge(LendConfig::default(), path, RunAccess::Read).is_ok(),
            "{path}"
        );
    }
}

#[test]
fn a_host_may_refuse_what_its_humans_name() {
    let config = |read, write| LendConfig {
        read,
        write,
        never: vec![PathBuf::from("/mnt/customers")],
    };
    let strict = config(Lend::Allow, Lend::Refuse);
    assert!(judge(strict.clone(), "/home/ann/data", RunAccess::Read).is_ok());
    let refused = judge(strict, "/home/ann/data", RunAccess::Write);
    assert!(matches!(refused, Err(NotLent::Policy(_))));
    for path in ["/mnt", "/mnt/customers", "/mnt/customers/a"] {
        let refused = judge(config(Lend::Allow, Lend::Allow), path, RunAccess::Read);
        assert!(matches!(refused, Err(NotLent::Policy(_))), "{path}");
    }
}

#[test]
fn a_project_is_no_home_no_place_of_secrets_and_nothing_that_a_host_never_lends() {
    let config = LendConfig {
        never: vec![PathBuf::from("/mnt/customers")],
        ..LendConfig::default()
    };
    let judge = |path: &str| {
        let asked = Asked {
            place: Path::new(path),
            access: RunAccess::Write,
            why: Why::Project,
        };
        let lending = lending(config.clone());
        lending.judge_path(Path::new("/home/ann"), asked, Path::new(path))
    };
    for path in [
        "/home/ann",
        "/home/ann/.ssh",
        "/mnt/customers/a",
        "/srv/broker/state/x",
    ] {
        assert!(judge(path).is_err(), "{path}");
    }
    for path in ["/home/ann/app", "/home/ann/.config/nvim", "/srv/site"] {
        assert!(judge(path).is_ok(), "{path}");
    }
}

#[test]
fn a_descriptor_is_judged_by_where_it_leads() {
    let folder = tempfile::tempdir().unwrap();
    let (state, home) = (folder.path().join("state"), folder.path().join("home"));
    for made in [&state, &home.join("data"), &home.join(".ssh")] {
        std::fs::create_dir_all(made).unwrap();
    }
    let lending = Lending::new([state.clone()], LendConfig::default());
    let own = rustix::process::getuid().as_raw();
    let judge = |place: &Path, real: &Path, access, human| {
        let asked = Asked {
            place,
            access,
            why: Why::Needed,
        };
        let source = File::open(real).unwrap().into();
        lending.judge(human, &home, asked, &source)
    };
    let data = home.join("data");
    assert!(judge(&data, &data, RunAccess::Write, own).is_ok());
    // Under a harmless name.
    for hidden in [&state, &home.join(".ssh"), &home] {
        assert!(judge(&data, hidden, RunAccess::Read, own).is_err());
    }
    let foreign = judge(&data, &data, RunAccess::Write, own + 1);
    assert!(matches!(foreign, Err(NotLent::Foreign { .. })));
}
