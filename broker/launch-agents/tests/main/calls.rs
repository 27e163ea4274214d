//! The kernel's back doors, tried from inside: each is answered with the error that programs expect.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use holdfast_launch_agents::Ending;

use crate::host::Host;
use crate::human::HUMAN;
use crate::skip::skipped;

/// Number on x86-64, number on arm64, arguments, expected error.
const CALLS: &[(&str, u32, u32, &str, u32)] = &[
    ("ptrace", 101, 117, "0,0,0,0", 1),
    ("process_vm_readv", 310, 270, "1,0,0,0,0,0", 1),
    ("pidfd_getfd", 438, 438, "0,0,0", 1),
    ("keyctl", 250, 219, "0,-3,1", 1),
    ("add_key", 248, 217, "0,0,0,0,0", 1),
    ("request_key", 249, 218, "0,0,0,0", 1),
    ("io_uring_setup", 425, 425, "1,0", 1),
    ("io_uring_enter", 426, 426, "0,0,0,0,0,0", 1),
    ("io_uring_register", 427, 427, "0,0,0,0", 1),
    ("process_vm_writev", 311, 271, "1,0,0,0,0,0", 1),
    ("process_madvise", 440, 440, "0,0,0,0,0", 1),
    ("kcmp", 312, 272, "1,1,0,0,0", 1),
    ("unshare(user)", 272, 97, "0x10000000", 1),
    ("unshare(nothing)", 272, 97, "0", 1),
    ("setns", 308, 268, "0,0", 1),
    ("clone(user)", 56, 220, "0x10000011,0,0,0,0", 1),
    ("clone3", 435, 435, "0,0", 38),
    ("mount", 165, 40, "0,0,0,0,0", 1),
    ("open_tree", 428, 428, "-100,0,0", 1),
    ("open_tree_attr", 467, 467, "-100,0,0,0,0", 1),
    ("move_mount", 429, 429, "0,0,0,0,0", 1),
    ("mount_setattr", 442, 442, "-100,0,0,0,0", 1),
    ("pivot_root", 155, 41, "0,0", 1),
    ("umount2", 166, 39, "0,2", 1),
    ("open_by_handle_at", 304, 265, "0,0,0", 1),
    ("fsopen", 430, 430, "0,0", 1),
    ("chroot", 161, 51, "0", 1),
    ("bpf", 321, 280, "0,0,0", 1),
    ("perf_event_open", 298, 241, "0,0,0,0,0", 1),
    ("userfaultfd", 323, 282, "1", 1),
    ("syslog", 103, 116, "10,0,0", 1),
    ("ioctl(TIOCSTI)", 16, 29, "0,0x5412,0", 1),
    ("ioctl(TIOCLINUX)", 16, 29, "0,0x541C,0", 1),
    ("mknodat(device)", 259, 33, "-100,$name,0020600,0x103", 1),
    ("openat2", 437, 437, "-100,0,0,0", 38),
    ("fchmod(setuid)", 91, 52, "0,04755", 1),
    ("fchmodat(setgid)", 268, 53, "-100,0,02755", 1),
    ("fchmodat2(setuid)", 452, 452, "-100,0,04755,0", 1),
    ("openat(create, setuid)", 257, 56, "-100,0,0101,04755", 1),
    ("mknodat(setuid)", 259, 33, "-100,0,0104755,0", 1),
    ("socket(vsock)", 41, 198, "40,1,0", 97),
    ("socket(packet)", 41, 198, "17,3,0", 97),
    ("socket(alg)", 41, 198, "38,5,0", 97),
    ("socket(netfilter)", 41, 198, "16,3,12", 97),
    ("socketpair(tipc)", 53, 199, "30,1,0,0", 97),
];

#[tokio::test]
async fn the_kernels_back_doors_are_shut() {
    let Some(mut host) = Host::new() else { return };
    let perl = Path::new("/usr/bin/perl");
    if !perl.exists() {
        skipped("needs /usr/bin/perl to make system calls");
        return;
    }
    let mut script = String::from("my $name = \"new\\0\"; ");
    let mut expected = String::new();
    for (name, x86, arm, arguments, errno) in CALLS {
        let number = if cfg!(target_arch = "aarch64") {
            arm
        } else {
            x86
        };
        script.push_str(&format!(
            "$!=0; syscall({number},{arguments}); printf \"%s %d\\n\", '{name}', $!;"
        ));
        expected.push_str(&format!("{name} {errno}\n"));
    }
    // Not everything is refused: what agents need works.
    script.push_str(
        "open(my $f, '>', 'x') or die 1; chmod(0755, 'x') or die 2; mkdir('d', 0755) or die 3;",
    );
    let running = host
        .start_program(perl, &["-e", &script], HUMAN)
        .await
        .unwrap();
    let output = host.finish(running, "").await;
    assert_eq!(output.stdout, expected, "{}", output.stderr);
}

#[tokio::test]
async fn x32_calls_are_no_way_around() {
    let Some(mut host) = Host::new() else { return };
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    // getpid under its x32 number: without our filter a kernel with x32 would answer it.
    let script = "$!=0; $r = syscall(0x40000000 + 39); print $r, ' ', $!+0";
    let perl = Path::new("/usr/bin/perl");
    let running = host
        .start_program(perl, &["-e", script], HUMAN)
        .await
        .unwrap();
    assert_eq!(host.finish(running, "").await.stdout, "-1 38");
}

#[tokio::test]
async fn another_architectures_calls_are_no_way_around() {
    let Some(mut host) = Host::new() else { return };
    if !cfg!(target_arch = "x86_64") {
        return;
    }
    // getpid under its 32-bit number and by the 32-bit way in.
    let source = "int main(void) { long r; __asm__ volatile(\"int $0x80\" : \"=a\"(r) : \"a\"(20L) \
                  : \"memory\"); return r > 0 ? 7 : 1; }";
    fs::write(host.project().join("old.c"), source).unwrap();
    let mut compiler = Command::new("cc");
    compiler
        .args(["-o", "old", "old.c"])
        .current_dir(host.project());
    if !compiler.status().is_ok_and(|status| status.success()) {
        skipped("needs cc to make a 32-bit system call");
        return;
    }
    let mut control = Command::new(host.project().join("old"));
    let control = control.uid(HUMAN).gid(HUMAN).status().unwrap();
    if control.code() != Some(7) {
        skipped(&format!("this kernel has no 32-bit calls: {control}"));
        return;
    }
    let output = host.run("exec ./old").await;
    assert_eq!(output.ending, Ending::Signaled(31), "{}", output.stderr);
}
