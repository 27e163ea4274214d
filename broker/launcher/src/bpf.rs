//! One listener for every TCP port of the synthetic range: an `sk_lookup` program of 27 instructions.
//!
//! Linux `Documentation/bpf/prog_sk_lookup.rst` (5.9). Where a connection begins inside, the program
//! gives those to 198.18.0.0/15 to the listener in its map, and leaves all others alone, and those to
//! ports of sub-agents' bridges: a sub-agent may connect to its own bridge's port, whatever the address,
//! and must not leave by its session's names on it. It sees nothing else of the session, and is gone
//! when its link is closed or its network namespace ends.
#![expect(unsafe_code, reason = "bpf(2) has no safe wrapper")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::network::BRIDGES;

// Linux UAPI linux/bpf.h: `enum bpf_cmd`, `bpf_map_type`, `bpf_prog_type`, `bpf_attach_type`.
const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const PROG_LOAD: libc::c_int = 5;
const LINK_CREATE: libc::c_int = 28;
const MAP_TYPE_SOCKMAP: u32 = 15;
const PROG_TYPE_SK_LOOKUP: u32 = 30;
const ATTACH_SK_LOOKUP: u32 = 36;

/// Leads what connects to the synthetic range in the network namespace `netns` to `listener`, as long
/// as the link that this gives stays open.
pub(crate) fn lead_all(listener: BorrowedFd<'_>, netns: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let map = create(
        MAP_CREATE,
        &MapCreate {
            map_type: MAP_TYPE_SOCKMAP,
            key_size: 4,
            value_size: 8,
            max_entries: 1,
        },
    )?;
    let (key, value) = (0_u32, u64::from(listener.as_raw_fd().cast_unsigned()));
    call(
        MAP_UPDATE_ELEM,
        &MapUpdate {
            map: map.as_raw_fd().cast_unsigned(),
            padding: 0,
            key: ptr::from_ref(&key) as u64,
            value: ptr::from_ref(&value) as u64,
            flags: 0,
        },
    )?;
    let program = program(map.as_raw_fd());
    let loaded = create(
        PROG_LOAD,
        &ProgLoad {
            prog_type: PROG_TYPE_SK_LOOKUP,
            count: u32::try_from(program.len()).map_err(io::Error::other)?,
            instructions: program.as_ptr() as u64,
            license: c"Apache-2.0".as_ptr() as u64,
            log: [0; 2],
            log_buffer: 0,
            version: 0,
            flags: 0,
            name: *b"holdfast_names\0\0",
            ifindex: 0,
            expected_attach_type: ATTACH_SK_LOOKUP,
        },
    )?;
    create(
        LINK_CREATE,
        &LinkCreate {
            program: loaded.as_raw_fd().cast_unsigned(),
            target: netns.as_raw_fd().cast_unsigned(),
            attach_type: ATTACH_SK_LOOKUP,
            flags: 0,
        },
    )
}

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction {
        code,
        registers: if cfg!(target_endian = "little") {
            to | from << 4
        } else {
            to << 4 | from
        },
        offset,
        immediate,
    }
}

/// In the words of the kernel's `samples/bpf`: with `ctx` in r6, the socket in r7.
fn program(map: RawFd) -> [Instruction; 27] {
    const LOAD: u8 = 0x61; // r = *(u32 *)(r + offset)
    const MOVE: u8 = 0xbf;
    const SET: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const NOT_EQUAL: u8 = 0x56; // 32 bits, against the immediate
    const BELOW: u8 = 0xa6; // the same, unsigned
    let count = i32::try_from(BRIDGES.len()).unwrap_or(i32::MAX);
    // Network order, as `local_ip4` is; both fit 32-bit operations whatever the host's order.
    let (range, mask) = (
        i32::from_ne_bytes([198, 18, 0, 0]),
        i32::from_ne_bytes([255, 254, 0, 0]),
    );
    [
        op(MOVE, 6, 1, 0, 0),
        op(LOAD, 2, 6, 8, 0), // family
        op(NOT_EQUAL, 2, 0, 22, libc::AF_INET),
        op(LOAD, 2, 6, 12, 0), // protocol
        op(NOT_EQUAL, 2, 0, 20, libc::IPPROTO_TCP),
        op(LOAD, 2, 6, 40, 0),   // local_ip4: where the connection goes
        op(0x54, 2, 0, 0, mask), // r2 &= mask
        op(NOT_EQUAL, 2, 0, 17, range),
        op(LOAD, 2, 6, 60, 0), // local_port, in the host's order
        op(0x14, 2, 0, 0, i32::from(*BRIDGES.start())), // r2 -= the first, in 32 bits
        op(BELOW, 2, 0, 14, count),
        op(0x62, 10, 0, -4, 0), // *(u32 *)(fp - 4) = 0: the key
        op(0x18, 1, 1, 0, map), // r1 = map, in two instructions
        op(0, 0, 0, 0, 0),
        op(MOVE, 2, 10, 0, 0),
        op(0x07, 2, 0, 0, -4), // r2 += -4
        op(CALL, 0, 0, 0, 1),  // bpf_map_lookup_elem
        op(0x15, 0, 0, 7, 0),  // if none: as ever
        op(MOVE, 7, 0, 0, 0),
        op(MOVE, 1, 6, 0, 0),
        op(MOVE, 2, 0, 0, 0),
        op(SET, 3, 0, 0, 0),
        op(CALL, 0, 0, 0, 124), // bpf_sk_assign
        op(MOVE, 1, 7, 0, 0),
        op(CALL, 0, 0, 0, 86), // bpf_sk_release
        op(SET, 0, 0, 0, 1),   // SK_PASS
        op(0x95, 0, 0, 0, 0),  // exit
    ]
}

// The parts of `union bpf_attr` that each command reads.

#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct MapUpdate {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log: [u32; 2],
    log_buffer: u64,
    version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

fn create<T>(command: libc::c_int, attributes: &T) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the commands that this is used for return a new descriptor, that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn call<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes, which outlive the call, as do the key, value,
    // program and license that they point to; none of these commands writes through a pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            ptr::from_ref(attributes),
            size_of::<T>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}
