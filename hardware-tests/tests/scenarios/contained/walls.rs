//! What an agent inside reaches for and does not get, and where the grade is refused.

use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use holdfast_hardware_tests::harness::bin;
use holdfast_hardware_tests::world::Ran;

use super::human::Human;

/// System calls that no shell makes: prints each that the kernel let through.
const CALLS: &str = r#"
import ctypes, errno, fcntl, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, number, *arguments):
    if libc.syscall(number, *arguments) != -1:
        print("REACHED", name)
tried("io_uring", 425, 8, ctypes.create_string_buffer(256))
tried("keyring", 248, b"user", b"k", b"v", 1, ctypes.c_int(-3))
tried("ptrace init", 101, 16, 1, 0, 0)
tried("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0)
tried("unshare", 272, 0x10000000)
tried("setuid", 105, 0)
try:
    socket.socket(40, 1); print("REACHED vsock")
except OSError: pass
for name in sys.argv[1:]:
    try:
        with socket.socket(socket.AF_UNIX) as abstract:
            abstract.connect("\0" + name); print("REACHED abstract socket")
    except OSError: pass
for wall in ("mnt", "net", "ipc", "uts", "pid"):
    # NS_GET_USERNS: only who is of the owner, or above it, is told whose a namespace is.
    try:
        fcntl.ioctl(os.open("/proc/self/ns/" + wall, os.O_RDONLY), 0xb701); print("REACHED the owner of", wall)
    except OSError: pass
for pid in range(2, 400):
    if pid == os.getpid(): continue
    try:
        if "holdfast" in open(f"/proc/{pid}/comm").read(): print("REACHED process", pid)
    except OSError: pass
"#;

#[test]
fn the_agent_inside_reaches_nothing_that_it_was_not_given() {
    let Some(human) = Human::new(61_004) else {
        return;
    };
    human.git(&["init", "-q", "-b", "main"]);
    let key = human.put(".ssh/id_ed25519", "hunter2 key\n");
    let other = human.put("other/file", "hunter2 other\n");
    human.put("run/bus", "hunter2 bus\n");
    human.put("project/calls.py", CALLS);
    human.put("project/.claude/settings.json", "{}\n");
    let suid = human.project().join("suid/id");
    fs::create_dir(human.project().join("suid")).unwrap();
    fs::copy("/usr/bin/id", &suid).unwrap();
    fs::set_permissions(&suid, fs::Permissions::from_mode(0o4755)).unwrap();
    let outside = Ran::of(human.command(&suid).arg("-u"));
    assert_eq!(outside.stdout, "0\n", "outside it makes root: {outside:#?}");
    let abstract_name = format!("holdfast-contained-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
    let _listening = UnixListener::bind_addr(&address).unwrap();
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        "cat {key} {other} /etc/shadow {home}/run/bus; ls {home}/.local/state/holdfast /run/user /tmp/.X11-unix /root; \
         (exec 3<>/dev/tcp/127.0.0.1/{port}) && echo REACHED network; \
         (exec 3<>/dev/tcp/1.1.1.1/53) && echo REACHED world; \
         python3 calls.py {abstract_name}; \
         touch /usr/x /etc/x /opt/holdfast/bin/x /etc/claude-code/managed-settings.json && echo REACHED system; \
         echo '{{}}' > /etc/claude-code/managed-settings.json && echo REACHED settings; \
         echo x > .claude/settings.json && echo REACHED guarded; \
         echo x > /opt/holdfast/libexec/holdfast-hook && echo REACHED hook; \
         mkdir -p .git/hooks; echo 'touch {home}/ran' > .git/hooks/post-commit; chmod +x .git/hooks/post-commit; \
         git config core.fsmonitor 'touch {home}/ran'; \
         echo \"suid: $(suid/id -u)\"; \
         grep -E '^(NoNewPrivs|Seccomp|CapEff|CapBnd):' /proc/self/status; \
         kill -9 1; sleep 0.2; ls /proc | grep -c '^[0-9]'; echo alive",
        key = key.display(),
        other = other.display(),
        home = human.home().display(),
        port = network.local_addr().unwrap().port(),
    );
    let ran = human.run(&["bash", "-c", &script]);
    for reached in ["REACHED", "hunter2", "root:"] {
        assert!(!ran.stdout.contains(reached), "{reached}: {ran:#?}");
    }
    assert!(ran.stdout.contains("alive"), "{ran:#?}");
    for stands in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
    ] {
        assert!(ran.stdout.contains(stands), "{stands}: {ran:#?}");
    }
    assert!(ran.stdout.contains("suid: 61004"), "{ran:#?}");
    // Its own few processes, and no other.
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let processes: u32 = lines[lines.len() - 2].parse().unwrap();
    assert!(processes <= 6, "{ran:#?}");

    human.git(&["status"]);
    human.git(&["commit", "-q", "--allow-empty", "-m", "outside"]);
    assert!(
        !human.home().join("ran").exists(),
        "what it left ran outside"
    );
}

#[test]
fn two_sessions_of_one_human_are_told_apart() {
    let Some(human) = Human::new(61_005) else {
        return;
    };
    // Each asks by the only socket that it has; who is outside has the same uid and is neither.
    let mut first = human.start(&["sh", "-c", "touch one; exec sleep 60"]);
    let one = human.project().join("one");
    holdfast_hardware_tests::harness::wait_until(
        std::time::Duration::from_secs(60),
        "the first session",
        || one.exists(),
    );
    let sockets = human.home().join("run/holdfast/sessions");
    let folder = fs::read_dir(sockets).unwrap().next().unwrap().unwrap();
    let socket = folder.path().join("session.sock");
    let ask = r#"{"session_id":"s","hook_event_name":"PreToolUse","tool_name":"Bash","tool_use_id":"t","cwd":"/","tool_input":{"command":"ls"}}"#;
    let hook = format!("echo '{ask}' | {} claude", bin("holdfast-hook").display());
    let mut outside = human.command("sh");
    let outside = Ran::of(outside.args(["-c", &hook]).env("HOLDFAST_SOCKET", &socket));
    assert!(!outside.stdout.contains("allow"), "{outside:#?}");
    let inside = format!("echo '{ask}' | /opt/holdfast/libexec/holdfast-hook claude");
    let inside = human.run(&["sh", "-c", &inside]);
    assert!(inside.stdout.contains("allow"), "{inside:#?}");
    let session = human.session();
    human.holdfast(&["sessions", "end", &session]).success();
    first.wait().unwrap();
}

#[test]
fn the_grade_is_refused_to_root_and_where_the_kernel_forbids_its_walls() {
    let Some(human) = Human::new(61_006) else {
        return;
    };
    let root = Ran::of(std::process::Command::new(bin("holdfast-launcher")).arg("--contained"));
    assert_eq!(root.code, 1, "{root:#?}");
    assert!(root.stderr.contains("a human without rights"), "{root:#?}");
    let root = Ran::of(std::process::Command::new(bin("holdfastd")).arg("--contained"));
    assert_eq!(root.code, 1, "{root:#?}");
    assert!(root.stderr.contains("a human without root"), "{root:#?}");

    // A user namespace has that setting for itself.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps -all --inh-caps -all \"$0\" --contained";
    let mut command = human.command("unshare");
    command
        .args([
            "--user",
            "--map-current-user",
            "--keep-caps",
            "sh",
            "-c",
            script,
        ])
        .arg(bin("holdfast-launcher"));
    let forbidden = Ran::of(&mut command);
    assert_eq!(forbidden.code, 1, "{forbidden:#?}");
    assert!(
        forbidden.stderr.contains("max_user_namespaces"),
        "{forbidden:#?}"
    );
}
