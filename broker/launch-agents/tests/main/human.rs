//! Acting as a human of this host, in a thread of its own: credentials are a thread's.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::fs::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// A uid that no account of this host has.
pub const HUMAN: u32 = 4242;

/// Runs `act` with the uid and gid of `uid`, and no other rights.
pub fn act_as<T: Send + 'static>(uid: u32, act: impl FnOnce() -> T + Send + 'static) -> T {
    let acting = thread::spawn(move || {
        let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
        set_thread_groups(&[]).unwrap();
        set_thread_res_gid(group, group, group).unwrap();
        set_thread_res_uid(user, user, user).unwrap();
        act()
    });
    acting.join().unwrap()
}

/// A connection as the broker would have accepted it from this uid.
pub fn connection(uid: u32) -> OwnedFd {
    act_as(uid, || UnixStream::pair().unwrap().0.into())
}
