//! The few system calls that no safe wrapper exists for.
//!
//! Each function is safe to call from the launcher's one thread; it must never hold a decision.
#![expect(unsafe_code, reason = "raw system calls, each with its own argument")]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::process::Pid;

use crate::peer::Sender;

/// Which side of a fork this is.
pub(crate) enum Side {
    /// The caller; the child's pid and pidfd.
    Parent(Pid, OwnedFd),
    /// The new process.
    Child,
}

/// Forks into new namespaces (`flags` are `CLONE_NEW…`) and, if given, into a cgroup.
///
/// The launcher has one thread, so the child may run ordinary code.
pub(crate) fn clone_into(flags: libc::c_int, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all-zero is a valid `clone_args`: plain integers that mean "none".
    let mut args: libc::clone_args = unsafe { MaybeUninit::zeroed().assume_init() };
    args.flags = u64::from((flags | libc::CLONE_PIDFD).cast_unsigned());
    args.pidfd = ptr::from_mut(&mut pidfd) as u64;
    args.exit_signal = u64::from(libc::SIGCHLD.cast_unsigned());
    if let Some(cgroup) = cgroup {
        // libc's constant of this name does not fit its type.
        args.flags |= 0x2_0000_0000;
        args.cgroup = u64::from(cgroup.as_raw_fd().cast_unsigned());
    }
    // SAFETY: without CLONE_VM the child has its own copy of this one-threaded process, as after
    // fork; `args` and `pidfd` outlive the call, and the size is that of `args`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw mut args,
            size_of::<libc::clone_args>(),
        )
    };
    match pid {
        0 => Ok(Side::Child),
        -1 => Err(io::Error::last_os_error()),
        pid => {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // SAFETY: on success the kernel stored a new descriptor here, that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            pid.map(|pid| Side::Parent(pid, pidfd))
                .ok_or_else(|| io::Error::from_raw_os_error(libc::EPROTO))
        }
    }
}

/// Changes the attributes of the mount that `tree` is the root of; `recursive` reaches those below.
pub(crate) fn mount_setattr(
    tree: BorrowedFd<'_>,
    set: u64,
    idmap: Option<BorrowedFd<'_>>,
    flags: libc::c_int,
) -> io::Result<()> {
    let attr = libc::mount_attr {
        attr_set: set
            | if idmap.is_some() {
                libc::MOUNT_ATTR_IDMAP
            } else {
                0
            },
        attr_clr: 0,
        propagation: 0,
        userns_fd: idmap.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: the path is a C string, `attr` outlives the call and its size is its own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | flags,
            &raw const attr,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result)
}

/// Sets an interface's flags to up and running.
pub(crate) fn interface_up(socket: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: all-zero is a valid `ifreq`: an empty name, flags of zero.
    let mut request: libc::ifreq = unsafe { MaybeUninit::zeroed().assume_init() };
    for (slot, byte) in request.ifr_name.iter_mut().zip(name.to_bytes()) {
        *slot = byte.cast_signed();
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an `ifreq`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    check(result.into())
}

/// Blocks `signals` and returns a descriptor that they are read from.
pub(crate) fn signal_descriptor(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    let set = signal_set(signals);
    // SAFETY: `set` is initialized and outlives both calls; no old mask is asked for.
    let fd = unsafe {
        if libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor, that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads one signal number from a [`signal_descriptor`].
pub(crate) fn read_signal(fd: BorrowedFd<'_>) -> Option<libc::c_int> {
    let mut buffer = [0; size_of::<libc::signalfd_siginfo>()];
    let read = rustix::io::read(fd, &mut buffer).ok()?;
    // `ssi_signo` is the first field, a u32.
    let (number, _) = buffer.get(..read)?.split_first_chunk::<4>()?;
    Some(u32::from_ne_bytes(*number).cast_signed())
}

/// Gives every signal its default action and blocks none: what a program expects to start with.
pub(crate) fn reset_signals() -> io::Result<()> {
    let empty = signal_set(&[]);
    // SAFETY: SIG_DFL installs no handler; numbers that cannot be changed are refused, which is
    // fine; `empty` is initialized.
    let result = unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, ptr::null_mut())
    };
    check(result.into())
}

/// Signals every process of this pid namespace but this one, its first; that there is none is no error.
pub(crate) fn signal_all(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: takes two numbers.
    match check(unsafe { libc::kill(-1, signal) }.into()) {
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(()),
        other => other,
    }
}

/// Forks; 0 in the child.
pub(crate) fn fork() -> io::Result<libc::pid_t> {
    // SAFETY: this process has one thread, so the child may run ordinary code.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(pid),
    }
}

/// Closes every descriptor but 0, 1, 2 and `keep`.
///
/// Only for a process that will not return: owners of the closed descriptors must never be dropped.
pub(crate) fn close_all_but(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut keep: Vec<u32> = keep
        .iter()
        .map(|fd| fd.as_raw_fd().cast_unsigned())
        .collect();
    keep.extend([0, 1, 2]);
    keep.sort_unstable();
    let ends = keep.iter().skip(1).copied().chain([u32::MAX]);
    for (&low, high) in keep.iter().zip(ends) {
        let (first, last) = (
            low.saturating_add(1),
            high.saturating_sub(u32::from(high != u32::MAX)),
        );
        if first <= last {
            // SAFETY: takes numbers only; the caller's contract covers what they belonged to.
            check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
    }
    Ok(())
}

/// Replaces this process; returns only on failure.
pub(crate) fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings
            .iter()
            .map(|string| string.as_ptr())
            .chain([ptr::null()])
            .collect()
    };
    let (argv, envp) = (pointers(arguments), pointers(environment));
    // SAFETY: three NUL-terminated things, which outlive the call.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    io::Error::last_os_error()
}

/// Waits for a signal.
pub(crate) fn pause() {
    // SAFETY: takes nothing, touches nothing.
    unsafe { libc::pause() };
}

/// Ends this process at once, without running anything of its parent's.
pub(crate) fn exit_now(code: libc::c_int) -> ! {
    // SAFETY: always sound; skips destructors on purpose.
    unsafe { libc::_exit(code) }
}

/// `SO_PEERCRED`: uid and gid of whoever made the connection; the pid is of no use to us.
///
/// Not rustix's, whose pid cannot be the 0 that the kernel gives for a process it cannot name here.
pub(crate) fn peer_credentials(socket: impl AsFd) -> io::Result<(u32, u32)> {
    // SAFETY: all-zero is a valid `ucred`: three integers.
    let mut credentials: libc::ucred = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the option writes one `ucred`, whose address and size are given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    check(result.into())?;
    Ok((credentials.uid, credentials.gid))
}

/// Leaves the creator's cgroup namespace for one that is rooted in the current cgroup.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: takes a flag only, and changes nothing that memory safety rests on.
    check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into())
}

/// Leaves the creator's user namespace for a new one inside it.
pub(crate) fn new_user_namespace() -> io::Result<()> {
    // SAFETY: takes a flag only, and changes nothing that memory safety rests on.
    check(unsafe { libc::unshare(libc::CLONE_NEWUSER) }.into())
}

/// `SO_PEERPIDFD`: the process that made the connection (Linux 6.5).
pub(crate) fn peer_pidfd(socket: impl AsFd) -> io::Result<OwnedFd> {
    // Linux UAPI asm-generic/socket.h; libc has no name for it yet.
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut fd: RawFd = -1;
    let mut length = size_of::<RawFd>() as libc::socklen_t;
    // SAFETY: the option writes one int, whose address and size are given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut length,
        )
    };
    check(result.into())?;
    // SAFETY: a new descriptor, that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `SO_PASSPIDFD`: each message comes with its sender's pidfd (Linux 6.5).
pub(crate) fn pass_pidfd(socket: impl AsFd) -> io::Result<()> {
    // Linux UAPI asm-generic/socket.h; libc has no name for it yet.
    const SO_PASSPIDFD: libc::c_int = 76;
    let on: libc::c_int = 1;
    // SAFETY: the option reads one int, whose address and size are given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSPIDFD,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(result.into())
}

/// One message, or the part of it that fits, with its `SCM_CREDENTIALS` and `SCM_PIDFD`.
///
/// Not rustix's, which knows no `SCM_PIDFD` and would leave its descriptor open.
pub(crate) fn receive_marked(
    socket: impl AsFd,
    bytes: &mut [u8],
    flags: libc::c_int,
) -> io::Result<(usize, Sender)> {
    // Linux UAPI linux/socket.h; libc has no name for it yet.
    const SCM_PIDFD: libc::c_int = 0x04;
    /// Room for credentials and a pidfd, aligned as a `cmsghdr`. Descriptors that come along take the
    /// pidfd's place: such a message names no process, and so is nobody's.
    #[repr(C, align(8))]
    struct Space([u8; 64]);
    let mut space = Space([0; 64]);
    let mut into = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all-zero is a valid `msghdr`: no name, no buffers.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut into;
    header.msg_iovlen = 1;
    header.msg_control = space.0.as_mut_ptr().cast();
    header.msg_controllen = space.0.len() as _;
    let flags = flags | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: `header` and what it points to outlive the call, with their own sizes.
    let received = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
    let Ok(received) = usize::try_from(received) else {
        return Err(io::Error::last_os_error());
    };
    let mut sender = Sender::default();
    // SAFETY: the kernel has filled the control buffer that `header` points to, and set its length.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !next.is_null() {
        // SAFETY: not null, so it is a whole header inside the buffer; what follows is as long as
        // its kind says, which the length shows before it is read; unaligned reads are allowed for.
        unsafe {
            let (kind, length) = ((*next).cmsg_type, (*next).cmsg_len as usize);
            let data = libc::CMSG_DATA(next);
            let of_socket = (*next).cmsg_level == libc::SOL_SOCKET;
            let fits = |size: u32| length >= libc::CMSG_LEN(size) as usize;
            match kind {
                libc::SCM_CREDENTIALS if of_socket && fits(size_of::<libc::ucred>() as u32) => {
                    sender.uid = Some(data.cast::<libc::ucred>().read_unaligned().uid);
                }
                SCM_PIDFD if of_socket && fits(size_of::<RawFd>() as u32) => {
                    // An error number stands there if the process is gone.
                    let fd = data.cast::<RawFd>().read_unaligned();
                    sender.process = (fd >= 0).then(|| OwnedFd::from_raw_fd(fd));
                }
                libc::SCM_RIGHTS if of_socket => {
                    let count =
                        length.saturating_sub(libc::CMSG_LEN(0) as usize) / size_of::<RawFd>();
                    for n in 0..count {
                        // Closed when dropped: nobody may put descriptors into this process.
                        drop(OwnedFd::from_raw_fd(
                            data.cast::<RawFd>().add(n).read_unaligned(),
                        ));
                    }
                }
                _ => {}
            }
            next = libc::CMSG_NXTHDR(&raw const header, next);
        }
    }
    Ok((received, sender))
}

/// The first 64 bytes of `struct pidfd_info` (Linux UAPI linux/pidfd.h, 6.13).
#[repr(C)]
#[derive(Default)]
pub(crate) struct PidfdInfo {
    pub(crate) mask: u64,
    pub(crate) cgroup_id: u64,
    ids: [u32; 12],
}

/// `PIDFD_GET_INFO`, asking for the cgroup id.
pub(crate) fn pidfd_info(pidfd: impl AsFd) -> io::Result<PidfdInfo> {
    const PIDFD_INFO_CGROUPID: u64 = 1 << 2;
    // _IOWR(0xFF, 11, struct pidfd_info) with the size of the first version, 64.
    const PIDFD_GET_INFO: libc::Ioctl = 0xC040_FF0B;
    const { assert!(size_of::<PidfdInfo>() == 64) };
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_CGROUPID,
        ..PidfdInfo::default()
    };
    // SAFETY: the request encodes the size of `info`, which outlives the call.
    let result = unsafe { libc::ioctl(pidfd.as_fd().as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    check(result.into())?;
    if info.mask & PIDFD_INFO_CGROUPID == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(info)
}

/// What is to become of a lock on one byte.
#[derive(Clone, Copy)]
pub(crate) enum ByteLock {
    /// It is taken, if nobody else has it.
    Take,
    /// It is given back.
    GiveBack,
}

/// Takes or gives back the lock on one byte of a file that is open for writing (fcntl(2), open file
/// description locks); `EAGAIN` if another process has it. The kernel gives it back with the last
/// copy of the descriptor.
pub(crate) fn lock_byte(file: BorrowedFd<'_>, byte: u32, act: ByteLock) -> io::Result<()> {
    // SAFETY: all-zero is a valid `flock`: plain integers.
    let mut lock: libc::flock = unsafe { MaybeUninit::zeroed().assume_init() };
    lock.l_type = match act {
        ByteLock::Take => libc::F_WRLCK as libc::c_short,
        ByteLock::GiveBack => libc::F_UNLCK as libc::c_short,
    };
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = byte.into();
    lock.l_len = 1;
    // SAFETY: F_OFD_SETLK reads one `flock`, which outlives the call.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    check(result.into())
}

/// Takes ownership of a descriptor that this process was started with.
pub(crate) fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes numbers only; it fails on a descriptor that is not open.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: it is open, and the caller takes over what the service manager passed, once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn signal_set(signals: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: `sigemptyset` initializes the set before it is used.
    unsafe {
        let mut set = MaybeUninit::uninit();
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
