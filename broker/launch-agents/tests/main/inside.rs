//! What a session sees, and what it cannot do: probes from inside.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use holdfast_launch_agents::peer::{Peer, PeerError};
use holdfast_launch_agents::{Access, Ending, Place, Told, Tree};

use crate::host::{Host, tree};
use crate::human::HUMAN;
use crate::skip::skipped;

#[tokio::test]
async fn a_command_runs_as_the_human_and_as_nobody_else() {
    let Some(mut host) = Host::new() else { return };
    let script = "id -u; id -g; id -un; pwd; echo $HOME; echo ${SECRET-none}; echo $TERM; \
                  hostname; umask; exit 7";
    let output = host.run(script).await;
    let project = host.project();
    let expected = format!(
        "{HUMAN}\n{HUMAN}\nalice\n{}\n/home/alice\nnone\ndumb\nholdfast\n0022\n",
        project.display()
    );
    assert_eq!(output.stdout, expected, "{}", output.stderr);
    assert_eq!(output.ending, Ending::Exited(7));
}

#[tokio::test]
async fn what_it_writes_in_the_project_is_the_humans() {
    let Some(mut host) = Host::new() else { return };
    let script = "echo hi >file && mkdir -p a/b && mv file a/b/ && stat -c %u a/b/file && \
                  echo x >~/private && echo y >/tmp/t && echo z >/dev/shm/s && echo err >/dev/stderr";
    let output = host.run(script).await;
    assert_eq!(output.stdout, format!("{HUMAN}\n"), "{}", output.stderr);
    assert_eq!(output.stderr, "err\n");
    let file = fs::metadata(host.project().join("a/b/file")).unwrap();
    assert_eq!((file.uid(), file.gid()), (HUMAN, HUMAN));
    assert!(!Path::new("/home/alice/private").exists() && !Path::new("/tmp/t").exists());
}

#[tokio::test]
async fn the_host_is_absent() {
    let Some(mut host) = Host::new() else { return };
    // A secret beside the project, which everybody on the host may read.
    fs::write(host.scratch.path().join("secret"), "s").unwrap();
    let probes = format!(
        "for p in /root /mnt /srv /boot /run/user /run/dbus /sys/fs/cgroup /sys/class /etc/shadow \
         /etc/machine-id {0}/secret {0}/launcher.sock {0}/store; do test -e $p && echo $p; done; \
         ls /home; ls /run; ls -A /sys; ls /dev | tr '\\n' ' '; echo; \
         ls /proc | grep -c '^[0-9]'; test -e /proc/1 && echo pid1; \
         cat /proc/keys /proc/cmdline /proc/kallsyms | wc -c; ls /proc/bus /proc/fs /proc/acpi; \
         grep -c . /proc/self/mountinfo >/dev/null; grep cgroup /proc/self/mountinfo; \
         cat /proc/self/cgroup | grep 0::",
        host.scratch.path().display()
    );
    let output = host.run(&probes).await;
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], "alice", "{}", output.stdout);
    assert_eq!(lines[1], "holdfast");
    assert_eq!(
        lines[2].trim(),
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"
    );
    let processes: u32 = lines[3].parse().unwrap();
    assert!(processes <= 4, "{processes} processes visible");
    assert_eq!(lines[4], "0", "{}", output.stdout);
    assert_eq!(output.stdout.lines().last(), Some("0::/"));
    assert!(!output.stdout.contains("pid1"));
}

#[tokio::test]
async fn nothing_that_is_the_systems_can_be_written() {
    let Some(mut host) = Host::new() else { return };
    let script = "for p in / /usr /etc /etc/passwd /opt/holdfast/bin/sh /run/holdfast /proc/sys/kernel \
                  /proc/sys/kernel/hostname /proc/1/mem /sys /home /var /proc/sysrq-trigger; do \
                  test -w $p && test $p != /proc/sysrq-trigger && echo $p; done; \
                  echo x >>/opt/holdfast/bin/sh; echo x >/usr/x; mkdir /x; ln -s a /run/x; echo done";
    let output = host.run(script).await;
    assert_eq!(output.stdout, "done\n", "{}", output.stderr);
    assert!(!Path::new("/usr/x").exists());
}

#[tokio::test]
async fn the_only_way_out_is_the_bridge() {
    let Some(mut host) = Host::new() else { return };
    let outside = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = outside.local_addr().unwrap().port();
    let script = format!(
        "use Socket; sub try {{ my ($h,$p)=@_; socket(my $s, AF_INET, SOCK_STREAM, 0) or die; \
         my $ok = connect($s, sockaddr_in($p, inet_aton($h))); print $ok ? 'yes' : $!+0, \"\\n\"; \
         syswrite($s, 'hello') if $ok; }} \
         try('127.0.0.1', {port}); try('192.0.2.1', 80); try('127.0.0.1', 3128); \
         open(my $f, '/proc/net/dev'); print scalar(grep /:/, <$f>), \"\\n\";"
    );
    let perl = Path::new("/usr/bin/perl");
    let running = host
        .start_program(perl, &["-e", &script], HUMAN)
        .await
        .unwrap();
    let bridge: TcpListener = running.begun.bridge.try_clone().unwrap().into();
    let heard = std::thread::spawn(move || {
        let (mut stream, peer) = bridge.accept().unwrap();
        assert!(peer.ip().is_loopback());
        std::io::read_to_string(&mut stream).unwrap()
    });
    let output = host.finish(running, "").await;
    // Refused, unreachable, and through; one interface.
    assert_eq!(output.stdout, "111\n101\nyes\n1\n", "{}", output.stderr);
    assert_eq!(heard.join().unwrap(), "hello");
    outside.set_nonblocking(true).unwrap();
    assert!(outside.accept().is_err());
}

#[tokio::test]
async fn a_call_from_inside_names_its_session() {
    let Some(mut host) = Host::new() else { return };
    let path = host.scratch.path().join("sockets/broker.sock");
    let socket = UnixListener::bind(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let script = "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; \
                  connect($s, sockaddr_un('/run/holdfast/broker.sock')) or die $!; <$s>;";
    let perl = Path::new("/usr/bin/perl");
    let running = host
        .start_program(perl, &["-e", script], HUMAN)
        .await
        .unwrap();
    let (stream, _) = socket.accept().unwrap();
    let peer = Peer::of(&stream).unwrap();
    assert_eq!(host.sessions.who(peer).unwrap().session, running.begun.id);
    let elsewhere = Peer {
        told: Some(Told::Cgroup(1)),
        ..peer
    };
    assert!(matches!(
        host.sessions.who(elsewhere),
        Err(PeerError::Stranger(_))
    ));
    drop(stream);
    host.finish(running, "").await;
    // The same evidence after its end is nobody's.
    assert!(matches!(
        host.sessions.who(peer),
        Err(PeerError::Stranger(_))
    ));
}

#[tokio::test]
async fn trees_give_what_they_say_and_no_more() {
    let Some(mut host) = Host::new() else { return };
    let at = |name: &str| host.scratch.path().join(name);
    for (name, owner) in [("tools", HUMAN), ("shared", HUMAN), ("kept", 0)] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("file"), name).unwrap();
        for path in [at(name), at(name).join("file")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
            std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
        }
    }
    let home = Tree {
        place: Place::parse("/home/alice").unwrap(),
        ..tree(&at("kept"), Access::Keep)
    };
    let trees = vec![
        home,
        tree(&host.project(), Access::Write),
        tree(&at("tools"), Access::Read),
        tree(&at("shared"), Access::Public),
    ];
    let script = format!(
        "cat {0}/tools/file; touch {0}/tools/new; cat {0}/shared/file; cat ~/file; echo y >~/new; \
         stat -c %u ~/new",
        host.scratch.path().display()
    );
    let output = host.run_with(&script, trees).await;
    assert_eq!(
        output.stdout,
        format!("toolskept{HUMAN}\n"),
        "{}",
        output.stderr
    );
    assert_eq!(output.stderr.lines().count(), 2, "{}", output.stderr);
    assert!(!host.scratch.path().join("tools/new").exists());
    assert_eq!(
        fs::metadata(host.scratch.path().join("kept/new"))
            .unwrap()
            .uid(),
        0
    );
}

#[tokio::test]
async fn git_and_builds_work_in_the_project() {
    let Some(mut host) = Host::new() else { return };
    let script = "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x \
                  && git log --format=%s && printf '#!/bin/sh\necho built\n' >tool && chmod +x tool \
                  && ./tool && mv tool ~/tool && ~/tool";
    let output = host.run(script).await;
    assert_eq!(output.stdout, "x\nbuilt\nbuilt\n", "{}", output.stderr);
    let head = fs::metadata(host.project().join(".git/HEAD")).unwrap();
    assert_eq!(head.uid(), HUMAN);
}

#[tokio::test]
async fn it_cannot_even_signal_its_first_process() {
    let Some(mut host) = Host::new() else { return };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut parts = release
        .split(['.', '-'])
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap(), parts.next().unwrap());
    if version < (6, 12) {
        eprintln!("SKIPPED: Landlock keeps signals in from Linux 6.12 on; this is {release}");
        return;
    }
    let output = host.run("kill -0 1 2>&1 || echo refused").await;
    assert!(output.stdout.ends_with("refused\n"), "{}", output.stdout);
}

#[tokio::test]
async fn the_runtimes_that_agents_are_written_in_work() {
    let Some(mut host) = Host::new() else { return };
    let node = "const fs=require('fs'),os=require('os'); fs.writeFileSync('n','1'); \
                const r=require('child_process').execSync('echo child').toString().trim(); \
                console.log(r, os.homedir(), os.userInfo().username, os.cpus().length>0)";
    let python = "import os,subprocess,tempfile,threading; open('p','w').write('1'); \
                  t=threading.Thread(target=lambda: None); t.start(); t.join(); \
                  print(subprocess.check_output(['echo','child'],text=True).strip(), \
                  os.path.expanduser('~'), os.environ['USER'], os.cpu_count()>0)";
    for (program, flag, script) in [
        ("/usr/bin/node", "-e", node),
        ("/usr/bin/python3", "-c", python),
    ] {
        let program = Path::new(program);
        if !program.exists() {
            skipped(&format!("this host has no {}", program.display()));
            continue;
        }
        let running = host
            .start_program(program, &[flag, script], HUMAN)
            .await
            .unwrap();
        let output = host.finish(running, "").await;
        let expected = "child /home/alice alice true\n";
        assert_eq!(output.stdout.to_lowercase(), expected, "{}", output.stderr);
    }
}
