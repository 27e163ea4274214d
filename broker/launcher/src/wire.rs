//! [`Launch`] and [`Answer`] as bytes and descriptors.
//!
//! Little-endian, length-prefixed, every count bounded before anything is allocated for it. It must
//! never accept a message with bytes left over or with a descriptor too many.

use std::ffi::{CString, OsStr};
use std::num::{NonZeroU16, NonZeroU64};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::failure::Refusal;
use crate::message::{
    Access, Answer, CgroupFiles, Child, Described, Greeting, Human, Idmap, Launch, Launched,
    Limits, MAX_DOORS, MAX_MESSAGE, MAX_STRINGS, MAX_TREES, MAX_USUAL, Names, Request, SessionUid,
    Stdio, Told, Tree, Unkept, WindowSize,
};
use crate::place::{Place, ProgramName, UserName};

/// Opens every greeting and launch; the last byte is the version.
const MAGIC: [u8; 4] = *b"HFL\x05";

/// The bytes of a greeting, and its descriptors in order.
pub(crate) fn encode_greeting(greeting: &Greeting) -> (Vec<u8>, Vec<BorrowedFd<'_>>) {
    let mut out = MAGIC.to_vec();
    let Greeting {
        event_log,
        ima_list,
        systemd_log,
    } = greeting;
    let present = u8::from(event_log.is_some())
        | u8::from(ima_list.is_some()) << 1
        | u8::from(systemd_log.is_some()) << 2;
    out.push(present);
    let fds = event_log.iter().chain(ima_list).chain(systemd_log);
    (out, fds.map(AsFd::as_fd).collect())
}

/// Reads a greeting; `None` if it is none, or another version's.
pub(crate) fn decode_greeting(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Greeting> {
    let mut fds = fds.into_iter();
    let [present] = *bytes.strip_prefix(&MAGIC)? else {
        return None;
    };
    let greeting = Greeting {
        event_log: if present & 1 == 0 {
            None
        } else {
            Some(fds.next()?)
        },
        ima_list: if present & 2 == 0 {
            None
        } else {
            Some(fds.next()?)
        },
        systemd_log: if present & 4 == 0 {
            None
        } else {
            Some(fds.next()?)
        },
    };
    (present < 8 && fds.next().is_none()).then_some(greeting)
}

/// The bytes of a launch, and its descriptors in order; `None` if it is too large.
pub(crate) fn encode_launch(launch: &Launch) -> Option<(Vec<u8>, Vec<BorrowedFd<'_>>)> {
    let mut out = MAGIC.to_vec();
    let mut fds = vec![
        launch.human.as_fd(),
        launch.program.as_fd(),
        launch.sockets.as_fd(),
    ];
    match &launch.stdio {
        Stdio::Pipes {
            input,
            output,
            errors,
        } => {
            out.push(0);
            fds.extend([input.as_fd(), output.as_fd(), errors.as_fd()]);
        }
        Stdio::Terminal(size) => {
            out.push(1);
            out.extend(size.rows.to_le_bytes());
            out.extend(size.columns.to_le_bytes());
        }
    }
    out.push(match launch.uid {
        SessionUid::Own => 0,
        SessionUid::Humans => 1,
    });
    put_bytes(&mut out, launch.name.as_str().as_bytes())?;
    put_bytes(&mut out, launch.user.as_str().as_bytes())?;
    put_bytes(&mut out, launch.home.to_string().as_bytes())?;
    put_bytes(&mut out, launch.directory.to_string().as_bytes())?;
    out.extend(launch.bridge.get().to_le_bytes());
    out.extend(u16::try_from(launch.doors.len()).ok()?.to_le_bytes());
    for port in &launch.doors {
        out.extend(port.get().to_le_bytes());
    }
    put_limits(&mut out, launch.limits);
    for strings in [&launch.arguments, &launch.environment] {
        out.extend(u16::try_from(strings.len()).ok()?.to_le_bytes());
        for string in strings {
            put_bytes(&mut out, string.as_bytes())?;
        }
    }
    out.extend(u16::try_from(launch.trees.len()).ok()?.to_le_bytes());
    for tree in &launch.trees {
        fds.push(tree.source.as_fd());
        out.push(match tree.access {
            Access::Public => 0,
            Access::Read => 1,
            Access::Write => 2,
            Access::Keep => 3,
        });
        put_bytes(&mut out, tree.place.to_string().as_bytes())?;
    }
    let fits = out.len() <= MAX_MESSAGE
        && launch.trees.len() <= MAX_TREES
        && launch.doors.len() <= MAX_DOORS
        && launch.arguments.len().max(launch.environment.len()) <= MAX_STRINGS;
    fits.then_some((out, fds))
}

/// Opens what is asked of a session that lives, or of a process; the last byte is the version.
const ASKED: [u8; 4] = *b"HFQ\x02";

/// The bytes of anything but a launch, and its descriptors in order; `None` for a launch.
pub(crate) fn encode_question(request: &Request) -> Option<(Vec<u8>, Vec<BorrowedFd<'_>>)> {
    let mut out = ASKED.to_vec();
    let mut fds = Vec::new();
    let (kind, number) = match request {
        Request::Launch(_) => return None,
        Request::Child { parent } => (0, *parent),
        Request::Remove { cgroup } => (1, *cgroup),
        Request::Describe { process } => {
            fds.push(process.as_fd());
            (2, 0)
        }
        Request::Map { trees } => {
            fds.extend(trees.iter().map(AsFd::as_fd));
            (3, u64::try_from(trees.len()).ok()?)
        }
    };
    out.push(kind);
    out.extend(number.to_le_bytes());
    (fds.len() <= MAX_TREES).then_some((out, fds))
}

/// Reads what the broker asks.
///
/// # Errors
/// As [`decode_launch`].
pub(crate) fn decode_request(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Request, Refusal> {
    let Some(question) = bytes.strip_prefix(&ASKED) else {
        return decode_launch(bytes, fds).map(|launch| Request::Launch(Box::new(launch)));
    };
    let mut input = Reader(question);
    let [kind] = input.array()?;
    let number = u64::from_le_bytes(input.array()?);
    if !input.0.is_empty() {
        return Err(Refusal::Message);
    }
    let mut fds = fds.into_iter();
    let request = match (kind, number) {
        (0, parent) => Request::Child { parent },
        (1, cgroup) => Request::Remove { cgroup },
        (2, 0) => Request::Describe {
            process: fds.next().ok_or(Refusal::Descriptors)?,
        },
        (3, count) => {
            let trees: Vec<OwnedFd> = fds.by_ref().take(MAX_TREES).collect();
            if u64::try_from(trees.len()) != Ok(count) {
                return Err(Refusal::Descriptors);
            }
            Request::Map { trees }
        }
        _ => return Err(Refusal::Message),
    };
    match fds.next() {
        None => Ok(request),
        Some(_) => Err(Refusal::Descriptors),
    }
}

/// Reads a launch.
///
/// # Errors
/// [`Refusal::Message`], or [`Refusal::Descriptors`] if their number is wrong.
pub(crate) fn decode_launch(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<Launch, Refusal> {
    let mut fds = fds.into_iter();
    let mut next = || fds.next().ok_or(Refusal::Descriptors);
    let mut input = Reader(bytes);
    if input.array::<4>()? != MAGIC {
        return Err(Refusal::Message);
    }
    let (human, program, sockets) = (next()?, next()?, next()?);
    let stdio = match input.array::<1>()? {
        [0] => Stdio::Pipes {
            input: next()?,
            output: next()?,
            errors: next()?,
        },
        [1] => Stdio::Terminal(WindowSize {
            rows: u16::from_le_bytes(input.array()?),
            columns: u16::from_le_bytes(input.array()?),
        }),
        _ => return Err(Refusal::Message),
    };
    let uid = match input.array::<1>()? {
        [0] => SessionUid::Own,
        [1] => SessionUid::Humans,
        _ => return Err(Refusal::Message),
    };
    let name = ProgramName::parse(input.text()?).map_err(|_| Refusal::Message)?;
    let user = UserName::parse(input.text()?).map_err(|_| Refusal::Message)?;
    let (home, directory) = (input.place()?, input.place()?);
    let bridge = input.port()?;
    let doors = (0..input.count(MAX_DOORS)?)
        .map(|_| input.port())
        .collect::<Result<_, _>>()?;
    let limits = input.limits()?;
    let (arguments, environment) = (input.strings()?, input.strings()?);
    let count = input.count(MAX_TREES)?;
    let mut trees = Vec::with_capacity(count);
    for _ in 0..count {
        let access = match input.array::<1>()? {
            [0] => Access::Public,
            [1] => Access::Read,
            [2] => Access::Write,
            [3] => Access::Keep,
            _ => return Err(Refusal::Message),
        };
        trees.push(Tree {
            place: input.place()?,
            source: next()?,
            access,
        });
    }
    if !input.0.is_empty() || arguments.is_empty() {
        return Err(Refusal::Message);
    }
    if fds.next().is_some() {
        return Err(Refusal::Descriptors);
    }
    Ok(Launch {
        human,
        program,
        sockets,
        uid,
        stdio,
        name,
        arguments,
        environment,
        user,
        home,
        directory,
        trees,
        bridge,
        doors,
        limits,
    })
}

/// The first byte of an answer that says why nothing was done.
const REFUSED: u8 = 1;

/// The bytes of an answer, and its descriptors in order.
pub(crate) fn encode_answer(answer: &Answer) -> (Vec<u8>, Vec<BorrowedFd<'_>>) {
    match answer {
        Answer::Launched(session) => {
            let mut out = vec![0];
            out.extend(session.uid.to_le_bytes());
            out.extend(session.human.uid.to_le_bytes());
            out.extend(session.human.gid.to_le_bytes());
            let (kind, number) = match session.told {
                Told::Cgroup(id) => (0, id),
                Told::PidNamespace(number) => (1, number),
            };
            out.push(kind);
            out.extend(number.to_le_bytes());
            out.push(u8::from(session.cgroup.is_some()));
            out.push(session.unkept.iter().fold(0, |bits, one| bits | bit(*one)));
            let mut fds = vec![session.pidfd.as_fd()];
            if let Some(cgroup) = &session.cgroup {
                fds.extend(cgroup_files(cgroup));
            }
            fds.extend([
                session.control.as_fd(),
                session.bridge.as_fd(),
                session.last_word.as_fd(),
            ]);
            out.extend(
                u16::try_from(session.doors.len())
                    .unwrap_or(u16::MAX)
                    .to_le_bytes(),
            );
            fds.extend(session.doors.iter().map(AsFd::as_fd));
            let names = &session.names;
            out.extend(
                u16::try_from(names.connections.len())
                    .unwrap_or(u16::MAX)
                    .to_le_bytes(),
            );
            fds.extend([names.datagrams.as_fd(), names.streams.as_fd()]);
            fds.extend(names.connections.iter().map(AsFd::as_fd));
            fds.extend(session.terminal.as_ref().map(AsFd::as_fd));
            (out, fds)
        }
        Answer::Child(child) => {
            let mut out = vec![6];
            out.extend(child.cgroup_id.to_le_bytes());
            let mut fds = cgroup_files(&child.cgroup).to_vec();
            fds.extend([child.processes.as_fd(), child.bridge.as_fd()]);
            (out, fds)
        }
        Answer::Removed => (vec![7], Vec::new()),
        Answer::Described(described) => {
            let path = described.path.as_ref();
            let path = path.map_or(&b""[..], |path| path.as_os_str().as_bytes());
            let mut out = vec![8];
            out.extend_from_slice(path);
            (out, vec![described.executable.as_fd()])
        }
        Answer::Mapped(trees) => {
            let mut out = vec![9];
            out.extend(trees.iter().map(|tree| match tree {
                Idmap::Can => 1,
                Idmap::Cannot => 0,
            }));
            (out, Vec::new())
        }
        Answer::Refused(refusal) => {
            let mut out = vec![REFUSED];
            out.extend(refusal.encode());
            (out, Vec::new())
        }
    }
}

fn cgroup_files(files: &CgroupFiles) -> [BorrowedFd<'_>; 5] {
    let CgroupFiles {
        kill,
        freeze,
        events,
        usage,
        processes,
    } = files;
    [kill, freeze, events, usage, processes].map(AsFd::as_fd)
}

fn taken_cgroup(fds: &mut impl Iterator<Item = OwnedFd>) -> Option<CgroupFiles> {
    Some(CgroupFiles {
        kill: fds.next()?,
        freeze: fds.next()?,
        events: fds.next()?,
        usage: fds.next()?,
        processes: fds.next()?,
    })
}

/// Reads an answer; `None` if it is none.
pub(crate) fn decode_answer(bytes: &[u8], fds: Vec<OwnedFd>) -> Option<Answer> {
    let mut input = Reader(bytes);
    let [kind] = input.array().ok()?;
    if kind == 0 {
        let (mut fds, mut pidfd) = (fds.into_iter(), None);
        return Some(Answer::Launched(Box::new(Launched {
            uid: u32::from_le_bytes(input.array().ok()?),
            human: Human {
                uid: u32::from_le_bytes(input.array().ok()?),
                gid: u32::from_le_bytes(input.array().ok()?),
            },
            told: {
                let [kind] = input.array().ok()?;
                let number = u64::from_le_bytes(input.array().ok()?);
                match kind {
                    0 => Told::Cgroup(number),
                    1 => Told::PidNamespace(number),
                    _ => return None,
                }
            },
            cgroup: match input.array().ok()? {
                [0] => None,
                [1] => {
                    pidfd = fds.next();
                    Some(taken_cgroup(&mut fds)?)
                }
                _ => return None,
            },
            unkept: unkept(input.array().ok()?)?,
            pidfd: match pidfd {
                Some(pidfd) => pidfd,
                None => fds.next()?,
            },
            control: fds.next()?,
            bridge: fds.next()?,
            last_word: fds.next()?,
            doors: (0..input.count(MAX_DOORS).ok()?)
                .map(|_| fds.next())
                .collect::<Option<_>>()?,
            names: Names {
                datagrams: fds.next()?,
                streams: fds.next()?,
                connections: (0..input.count(MAX_USUAL).ok()?)
                    .map(|_| fds.next())
                    .collect::<Option<_>>()?,
            },
            terminal: fds.next(),
        })));
    }
    let mut fds = fds.into_iter();
    match kind {
        6 => {
            return Some(Answer::Child(Child {
                cgroup_id: u64::from_le_bytes(input.array().ok()?),
                cgroup: taken_cgroup(&mut fds)?,
                processes: fds.next()?,
                bridge: fds.next()?,
            }));
        }
        7 => return Some(Answer::Removed),
        8 => {
            let path = Some(OsStr::from_bytes(input.0)).filter(|path| !path.is_empty());
            return Some(Answer::Described(Described {
                executable: fds.next()?,
                path: path.map(PathBuf::from),
            }));
        }
        9 => {
            let trees = input.0.iter().map(|tree| match tree {
                1 => Some(Idmap::Can),
                0 => Some(Idmap::Cannot),
                _ => None,
            });
            return trees.collect::<Option<_>>().map(Answer::Mapped);
        }
        REFUSED => {}
        _ => return None,
    }
    Refusal::decode(input.array().ok()?).map(Answer::Refused)
}

/// Each bound as a number, 0 where there is none.
fn put_limits(out: &mut Vec<u8>, limits: Limits) {
    let Limits {
        processes,
        memory,
        cpu_weight,
        files,
        file_size,
        scratch,
        home,
    } = limits;
    out.extend(processes.map_or(0, |n| n.get()).to_le_bytes());
    out.extend(memory.map_or(0, |n| n.get()).to_le_bytes());
    out.extend(cpu_weight.map_or(0, |n| n.get()).to_le_bytes());
    out.extend(files.map_or(0, |n| n.get()).to_le_bytes());
    for size in [file_size, scratch, home] {
        out.extend(size.map_or(0, |n| n.get()).to_le_bytes());
    }
}

const UNKEPT: [Unkept; 3] = [Unkept::Memory, Unkept::CpuWeight, Unkept::Home];

fn bit(unkept: Unkept) -> u8 {
    match unkept {
        Unkept::Memory => 1,
        Unkept::CpuWeight => 2,
        Unkept::Home => 4,
    }
}

fn unkept([bits]: [u8; 1]) -> Option<Vec<Unkept>> {
    let set = UNKEPT.into_iter().filter(|one| bits & bit(*one) != 0);
    (bits < 8).then(|| set.collect())
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend(u32::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend(bytes);
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Refusal> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Refusal::Message)?;
        self.0 = rest;
        Ok(*head)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Refusal> {
        let length = usize::try_from(u32::from_le_bytes(self.array()?)).unwrap_or(usize::MAX);
        let (head, rest) = self.0.split_at_checked(length).ok_or(Refusal::Message)?;
        self.0 = rest;
        Ok(head)
    }

    fn text(&mut self) -> Result<&'a str, Refusal> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Refusal::Message)
    }

    fn limits(&mut self) -> Result<Limits, Refusal> {
        Ok(Limits {
            processes: u32::from_le_bytes(self.array()?).try_into().ok(),
            memory: self.size()?,
            cpu_weight: u16::from_le_bytes(self.array()?).try_into().ok(),
            files: u32::from_le_bytes(self.array()?).try_into().ok(),
            file_size: self.size()?,
            scratch: self.size()?,
            home: self.size()?,
        })
    }

    fn size(&mut self) -> Result<Option<NonZeroU64>, Refusal> {
        Ok(u64::from_le_bytes(self.array()?).try_into().ok())
    }

    fn place(&mut self) -> Result<Place, Refusal> {
        Place::parse(self.text()?).map_err(|_| Refusal::Message)
    }

    fn port(&mut self) -> Result<NonZeroU16, Refusal> {
        NonZeroU16::new(u16::from_le_bytes(self.array()?)).ok_or(Refusal::Message)
    }

    fn count(&mut self, most: usize) -> Result<usize, Refusal> {
        let count = usize::from(u16::from_le_bytes(self.array()?));
        if count > most {
            return Err(Refusal::Message);
        }
        Ok(count)
    }

    fn strings(&mut self) -> Result<Vec<CString>, Refusal> {
        (0..self.count(MAX_STRINGS)?)
            .map(|_| CString::new(self.bytes()?).map_err(|_| Refusal::Message))
            .collect()
    }
}

#[cfg(test)]
mod tests;
