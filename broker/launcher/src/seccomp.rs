//! What no process of a session may ask of the kernel.
//!
//! Namespaces alone leave tracing, keyrings, io_uring, nested namespaces and the VM's host channel
//! within reach. These filters answer with an error number that programs expect; they must never
//! let a system call through under another number (x32) or another architecture's.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::failure::{Refusal, Stage};

/// Refused whatever their arguments: `EPERM`.
const DENIED: &[libc::c_long] = &[
    // Other processes' memory and descriptors.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Keyrings are not in any namespace.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // io_uring goes around every other filter.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // Mounts and namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Wide kernel surface that no agent needs.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_open_by_handle_at,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_lookup_dcookie,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// `open_tree_attr` (Linux 6.15): the same number on every architecture.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// The namespaces that `clone` could make; CLONE_NEWTIME's bit is part of its exit signal.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Address families that a session may open: the rest is answered as if the kernel had none of it.
const FAMILIES: [libc::c_int; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// Applies all filters to this process; its children inherit them.
pub(crate) fn apply() -> Result<(), Refusal> {
    let refused = Refusal::Host {
        stage: Stage::Seccomp,
        errno: libc::EINVAL,
    };
    let programs = build().map_err(|_| refused)?;
    for program in &programs {
        apply_filter(program).map_err(|_| refused)?;
    }
    Ok(())
}

fn build() -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let mut denied: Rules = DENIED.iter().map(|&number| (number, vec![])).collect();
    let making = NAMESPACES
        .iter()
        .map(|&flag| {
            let flag = u64::from(flag.cast_unsigned());
            SeccompRule::new(vec![SeccompCondition::new(
                0,
                Len::Qword,
                Op::MaskedEq(flag),
                flag,
            )?])
        })
        .collect::<Result<_, _>>()?;
    denied.insert(libc::SYS_clone, making);
    // Typing into a terminal on behalf of its user.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX]
        .iter()
        .map(|&request| {
            let equals = SeccompCondition::new(1, Len::Dword, Op::Eq, request)?;
            SeccompRule::new(vec![equals])
        })
        .collect::<Result<_, _>>()?;
    denied.insert(libc::SYS_ioctl, typing);

    denied.extend(privileged_modes()?);

    // Their flags lie in memory that a filter cannot read; without them, libraries use clone and
    // openat.
    let absent: Rules = [(libc::SYS_clone3, vec![]), (libc::SYS_openat2, vec![])].into();

    let foreign = FAMILIES
        .iter()
        .map(|&family| {
            let family = u64::from(family.cast_unsigned());
            SeccompCondition::new(0, Len::Dword, Op::Ne, family)
        })
        .collect::<Result<_, _>>()?;
    // Of netlink only routing: what programs list interfaces with.
    let netlink = u64::from(libc::AF_NETLINK.cast_unsigned());
    let other_netlink = vec![
        SeccompCondition::new(0, Len::Dword, Op::Eq, netlink)?,
        SeccompCondition::new(2, Len::Dword, Op::Ne, 0)?,
    ];
    let families = vec![SeccompRule::new(foreign)?, SeccompRule::new(other_netlink)?];
    let sockets: Rules = [
        (libc::SYS_socket, families.clone()),
        (libc::SYS_socketpair, families),
    ]
    .into();

    let mut programs = vec![
        filter(denied, libc::EPERM)?,
        filter(absent, libc::ENOSYS)?,
        filter(sockets, libc::EAFNOSUPPORT)?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(refuse_x32());
    }
    Ok(programs)
}

/// Setuid and setgid files: on the host they would run as the human, or as the broker that keeps a
/// home. The session's own mounts ignore these bits; the host's need not.
fn privileged_modes() -> Result<Rules, seccompiler::BackendError> {
    /// Where the mode is, and, for calls that may create, where the flags are that say so.
    type Modes = &'static [(libc::c_long, u8, Option<u8>)];
    const FCHMODAT2: libc::c_long = 452;
    // O_TMPFILE without the bit that it shares with O_DIRECTORY.
    const NAMELESS: libc::c_int = libc::O_TMPFILE & !libc::O_DIRECTORY;
    #[cfg(target_arch = "x86_64")]
    const OLD: Modes = &[
        (libc::SYS_chmod, 1, None),
        (libc::SYS_mknod, 1, None),
        (libc::SYS_creat, 1, None),
        (libc::SYS_open, 2, Some(1)),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const OLD: Modes = &[];
    const EVERYWHERE: Modes = &[
        (libc::SYS_fchmod, 1, None),
        (libc::SYS_fchmodat, 2, None),
        (FCHMODAT2, 2, None),
        (libc::SYS_mknodat, 2, None),
        (libc::SYS_openat, 3, Some(2)),
    ];
    let has =
        |argument, bit: u64| SeccompCondition::new(argument, Len::Dword, Op::MaskedEq(bit), bit);
    let mut rules = Rules::new();
    for &(number, mode, flags) in EVERYWHERE.iter().chain(OLD) {
        let mut refused = Vec::new();
        for bit in [libc::S_ISUID, libc::S_ISGID].map(u64::from) {
            match flags {
                None => refused.push(SeccompRule::new(vec![has(mode, bit)?])?),
                // Without creating, the mode is whatever the register held.
                Some(flags) => {
                    for creating in [libc::O_CREAT, NAMELESS] {
                        let creating = has(flags, u64::from(creating.cast_unsigned()))?;
                        refused.push(SeccompRule::new(vec![creating, has(mode, bit)?])?);
                    }
                }
            }
        }
        rules.insert(number, refused);
    }
    Ok(rules)
}

type Rules = BTreeMap<libc::c_long, Vec<SeccompRule>>;

/// `errno` for what `rules` match, and no answer of its own for the rest; another architecture's
/// calls kill the process.
fn filter(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = if cfg!(target_arch = "aarch64") {
        TargetArch::aarch64
    } else {
        TargetArch::x86_64
    };
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.cast_unsigned()),
        arch,
    )?
    .try_into()
}

/// x32 calls have x86-64's architecture and numbers with bit 30: the other filters would miss them.
fn refuse_x32() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    let op = |code, jt, jf, k| sock_filter { code, jt, jf, k };
    let code = |code: u32| u16::try_from(code).unwrap_or(u16::MAX);
    vec![
        // The number is the first word of `struct seccomp_data`.
        op(code(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS), 0, 0, 0),
        op(code(libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K), 0, 1, X32),
        op(
            code(libc::BPF_RET | libc::BPF_K),
            0,
            0,
            libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned(),
        ),
        op(
            code(libc::BPF_RET | libc::BPF_K),
            0,
            0,
            libc::SECCOMP_RET_ALLOW,
        ),
    ]
}
