//! A session has no rights and can get none: not by a program of root's, not by a device, not by a
//! descriptor that was left open.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use holdfast_launch_agents::{Access, Ending};

use crate::host::{Host, tree};
use crate::human::HUMAN;
use crate::skip::skipped;

#[tokio::test]
async fn it_has_no_rights_and_can_get_none() {
    let Some(mut host) = Host::new() else { return };
    let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status; \
                  grep -o 'core file size *.*[^ ]' /proc/self/limits | tr -s ' '; cat /proc/self/uid_map";
    let output = host.run(script).await;
    let none = "0000000000000000";
    let expected = [
        format!("CapInh:\t{none}"),
        format!("CapPrm:\t{none}"),
        format!("CapEff:\t{none}"),
        format!("CapBnd:\t{none}"),
        format!("CapAmb:\t{none}"),
        "NoNewPrivs:\t1".to_owned(),
        "Seccomp:\t2".to_owned(),
        "core file size 1 1 bytes".to_owned(),
    ];
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[..8], expected);
    let map: Vec<&str> = lines[8].split_whitespace().collect();
    assert_eq!((map[0], map[2]), (HUMAN.to_string().as_str(), "1"));
}

#[tokio::test]
async fn root_as_the_human_has_no_rights_either() {
    let Some(mut host) = Host::with(&["--allow-root-human"]) else {
        return;
    };
    chown(host.project(), Some(0), Some(0)).unwrap();
    let script = "id -u; grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status | cut -f2 | sort -u; \
                  ls /root; cat /etc/shadow; echo x >mine";
    let running = host
        .start_program(Path::new("/bin/sh"), &["-c", script], 0)
        .await
        .unwrap();
    let output = host.finish(running, "").await;
    assert_eq!(output.stdout, "0\n0000000000000000\n", "{}", output.stderr);
    assert_eq!(fs::metadata(host.project().join("mine")).unwrap().uid(), 0);
}

/// Its output, as the human and outside.
fn outside(host: &Host, program: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(host.project());
    command.uid(HUMAN).gid(HUMAN).output().unwrap()
}

#[tokio::test]
async fn a_setuid_program_makes_nobody_root() {
    let Some(mut host) = Host::new() else { return };
    let tools = host.scratch.path().join("tools");
    fs::create_dir(&tools).unwrap();
    chown(&tools, Some(HUMAN), Some(HUMAN)).unwrap();
    for folder in [host.project(), tools.clone()] {
        let copy = folder.join("id");
        fs::copy("/usr/bin/id", &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
        let said = outside(&host, &copy, &["-u"]).stdout;
        if said != b"0\n" {
            skipped("the folder for temporary files ignores setuid");
            return;
        }
    }
    let script = format!("./id -u; {}/id -u", tools.display());
    let trees = vec![
        tree(&host.project(), Access::Write),
        tree(&tools, Access::Read),
    ];
    let output = host.run_with(&script, trees).await;
    let expected = format!("{HUMAN}\n{HUMAN}\n");
    assert_eq!(output.stdout, expected, "{}", output.stderr);
}

#[tokio::test]
async fn a_device_that_lies_in_the_project_is_not_opened() {
    let Some(mut host) = Host::new() else { return };
    // The human's own, as a TPM's may be: what is lent holds no devices.
    let device = host.project().join("device");
    let made = Command::new("mknod")
        .arg(&device)
        .args(["c", "1", "3"])
        .status();
    assert!(made.unwrap().success());
    chown(&device, Some(HUMAN), Some(HUMAN)).unwrap();
    let cat = outside(&host, Path::new("/bin/cat"), &["device"]);
    if !cat.status.success() {
        skipped("the folder for temporary files has no devices");
        return;
    }
    let output = host
        .run("test -c device && echo there; cat device && echo OPENED")
        .await;
    assert_eq!(output.stdout, "there\n");
    assert!(
        output.stderr.contains("Permission denied"),
        "{}",
        output.stderr
    );
}

#[tokio::test]
async fn a_program_that_fails_leaves_no_core() {
    let Some(mut host) = Host::new() else { return };
    let script = "ulimit -c unlimited 2>/dev/null && echo RAISED; sh -c 'kill -SEGV $$'; \
                  echo $?; kill -ABRT $$";
    let output = host.run(script).await;
    assert_eq!(output.stdout, "139\n", "{}", output.stderr);
    assert!(!output.stderr.contains("dumped"), "{}", output.stderr);
    assert_eq!(output.ending, Ending::Signaled(6));
    assert_eq!(fs::read_dir(host.project()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_program_inherits_its_three_descriptors_and_no_other() {
    let Some(mut host) = Host::new() else { return };
    // Of two at once: nothing of the first is left in what makes the second.
    let first = host.start("sleep 60").await;
    let script = "opendir(my $d, '/proc/self/fd') or die $!; \
                  for (sort { $a <=> $b } grep { /\\d/ } readdir $d) { \
                  my $to = readlink \"/proc/self/fd/$_\"; $to =~ s/\\d+//g; \
                  print \"$_ $to\\n\" unless $to =~ m{^/proc//fd$}; }";
    let running = host
        .start_program(Path::new("/usr/bin/perl"), &["-e", script], HUMAN)
        .await
        .unwrap();
    let output = host.finish(running, "").await;
    let expected = "0 pipe:[]\n1 pipe:[]\n2 pipe:[]\n";
    assert_eq!(output.stdout, expected, "{}", output.stderr);
    host.sessions.end(first.begun.id).unwrap();
    host.next_ended().await;
}
