//! `holdfast-old-kernel WHAT CMD…`: runs a program as if the kernel were older.
//!
//! A seccomp filter answers the questions that the older kernel does not know with the error numbers
//! that it would give. Nothing in the program is made for it.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// x86-64's and arm64's numbers differ.
#[cfg(target_arch = "x86_64")]
const CALLS: (TargetArch, i64, i64, i64) = (TargetArch::x86_64, 55, 54, 16);
#[cfg(target_arch = "aarch64")]
const CALLS: (TargetArch, i64, i64, i64) = (TargetArch::aarch64, 209, 208, 29);

const SOL_SOCKET: u64 = 1;
const SO_PASSPIDFD: u64 = 76;
const SO_PEERPIDFD: u64 = 77;
/// _IOWR(0xFF, 11, struct pidfd_info): its type and number, whatever the size of the struct.
const PIDFD_GET_INFO: u64 = 0xff0b;
const ENOPROTOOPT: u32 = 92;
const ENOTTY: u32 = 25;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let lacks = arguments.next();
    let filters = match lacks.as_ref().and_then(|lacks| lacks.to_str()) {
        // Linux 6.5; what came later came on top.
        Some("peer-pidfd") => filter_options().and_then(|first| Ok(vec![first, filter_info()?])),
        // Linux 6.13.
        Some("pidfd-info") => filter_info().map(|filter| vec![filter]),
        Some(_) | None => {
            eprintln!("usage: holdfast-old-kernel peer-pidfd|pidfd-info CMD…");
            return ExitCode::from(2);
        }
    };
    let applied = filters
        .map_err(|error| error.to_string())
        .and_then(|filters| {
            let mut filters = filters.iter();
            filters.try_for_each(|filter| apply_filter(filter).map_err(|error| error.to_string()))
        });
    let (Ok(()), Some(program)) = (applied, arguments.next()) else {
        eprintln!("holdfast-old-kernel: no filter, or no program");
        return ExitCode::from(2);
    };
    let error = Command::new(program).args(arguments).exec();
    eprintln!("holdfast-old-kernel: {error}");
    ExitCode::from(126)
}

fn filter_options() -> Result<BpfProgram, BackendError> {
    let (arch, getsockopt, setsockopt, _) = CALLS;
    let option = |number| {
        SeccompRule::new(vec![
            SeccompCondition::new(1, Len::Dword, Op::Eq, SOL_SOCKET)?,
            SeccompCondition::new(2, Len::Dword, Op::Eq, number)?,
        ])
    };
    let rules = BTreeMap::from([
        (getsockopt, vec![option(SO_PEERPIDFD)?]),
        (setsockopt, vec![option(SO_PASSPIDFD)?]),
    ]);
    filter(arch, rules, ENOPROTOOPT)
}

fn filter_info() -> Result<BpfProgram, BackendError> {
    let (arch, _, _, ioctl) = CALLS;
    let number = SeccompCondition::new(1, Len::Dword, Op::MaskedEq(0xffff), PIDFD_GET_INFO)?;
    let rules = BTreeMap::from([(ioctl, vec![SeccompRule::new(vec![number])?])]);
    filter(arch, rules, ENOTTY)
}

fn filter(
    arch: TargetArch,
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: u32,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno),
        arch,
    )?
    .try_into()
}
