//! Stands between a client and a software TPM: counts commands, keeps a trace if asked, and gives a chip's times.
//!
//! It must never alter a byte on its way, and never answer in the TPM's place.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::command::CommandCode;
use super::delay::DelayProfile;
use super::ports::PortPair;
use super::space::Space;
use super::swtpm::Swtpm;
use super::tools::Tools;
use super::wire::{self, Request, Response};

/// More than any scenario sends while it records; a trace that grows past it is a mistake.
const LONGEST_TRACE: usize = 100_000;

/// One command and its answer, as they passed.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Which command.
    pub code: CommandCode,
    /// The whole command, header included.
    pub request: Vec<u8>,
    /// The whole response, header included.
    pub response: Vec<u8>,
}

impl Exchange {
    /// The command's name, without `TPM2_`.
    pub fn name(&self) -> &'static str {
        self.code.name()
    }

    /// Whether these bytes crossed the bus in the clear, in either direction.
    pub fn shows(&self, secret: &[u8]) -> bool {
        [&self.request, &self.response]
            .into_iter()
            .any(|bytes| bytes.windows(secret.len()).any(|w| w == secret))
    }
}

/// A TCP proxy for one TPM, on ports of its own. Ended with all its threads when dropped.
#[derive(Debug)]
pub struct CountingProxy {
    ports: PortPair,
    shared: Arc<Shared>,
    acceptors: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: PortPair,
    tally: Mutex<Tally>,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<CommandCode, u64>,
    context_commands: u64,
    time: Duration,
    profile: DelayProfile,
    trace: Option<Vec<Exchange>>,
}

/// The connections and who serves them.
#[derive(Debug, Default)]
struct Links {
    streams: BTreeMap<u64, [TcpStream; 2]>,
    next: u64,
    servers: Vec<JoinHandle<()>>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    Closed,
}

impl CountingProxy {
    /// A proxy for `tpm`, with that chip's times. It stays of use when the TPM restarts.
    ///
    /// # Panics
    /// When no ports are free.
    pub fn start(tpm: &Swtpm, profile: DelayProfile) -> Self {
        let (ports, command, control) = PortPair::bound();
        let shared = Arc::new(Shared {
            upstream: tpm.ports(),
            tally: Mutex::new(Tally {
                profile,
                ..Tally::default()
            }),
            links: Mutex::default(),
        });
        let acceptors = vec![
            accept(
                command,
                Arc::clone(&shared),
                |shared| shared.upstream.command(),
                serve_commands,
            ),
            accept(
                control,
                Arc::clone(&shared),
                |shared| shared.upstream.control(),
                serve_control,
            ),
        ];
        Self {
            ports,
            shared,
            acceptors,
        }
    }

    /// The TCTI configuration that reaches the TPM through this proxy.
    pub fn tcti(&self) -> String {
        self.ports.tcti()
    }

    /// Where it listens.
    pub fn ports(&self) -> PortPair {
        self.ports
    }

    /// tpm2-tools that go through this proxy.
    pub fn tools(&self, folder: &Path) -> Tools {
        Tools::new(self.tcti(), folder.to_owned())
    }

    /// Commands since the start or the last [`CountingProxy::reset`], by name without `TPM2_`. A command is counted
    /// before it goes to the TPM, so whoever has its answer finds it here.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        let mut by_name = BTreeMap::new();
        for (code, count) in &self.shared.tally().counts {
            *by_name.entry(code.name()).or_default() += count;
        }
        by_name
    }

    /// How often the command of this name came; zero if never.
    pub fn count(&self, name: &str) -> u64 {
        self.counts().get(name).copied().unwrap_or_default()
    }

    /// All commands since the start or the last [`CountingProxy::reset`].
    pub fn total(&self) -> u64 {
        self.shared.tally().counts.values().sum()
    }

    /// How many commands the kernel's resource manager would have added to these. A model; not part of the counts.
    pub fn context_commands(&self) -> u64 {
        self.shared.tally().context_commands
    }

    /// How long the chip of this profile takes for these commands: by its published figures, whatever this machine took.
    pub fn time(&self) -> Duration {
        self.shared.tally().time
    }

    /// Counts from zero again, and forgets the trace.
    pub fn reset(&self) {
        let mut tally = self.shared.tally();
        tally.counts.clear();
        tally.context_commands = 0;
        tally.time = Duration::ZERO;
        if let Some(trace) = &mut tally.trace {
            trace.clear();
        }
    }

    /// Keeps every exchange from now on.
    pub fn record(&self) {
        self.shared.tally().trace.get_or_insert_default();
    }

    /// What has passed since [`CountingProxy::record`], in order.
    ///
    /// # Panics
    /// When nothing was recorded, for then a test would look at nothing.
    pub fn trace(&self) -> Vec<Exchange> {
        self.shared
            .tally()
            .trace
            .clone()
            .expect("a trace: call record() first")
    }

    /// Takes another chip's times from the next command on.
    pub fn set_delay(&self, profile: DelayProfile) {
        self.shared.tally().profile = profile;
    }

    /// Cuts every connection. New ones are served.
    pub fn sever(&self) {
        self.shared.links().sever();
    }
}

impl Drop for CountingProxy {
    fn drop(&mut self) {
        let servers = {
            let mut links = self.shared.links();
            links.state = State::Closed;
            links.sever();
            std::mem::take(&mut links.servers)
        };
        // Wakes the acceptors, which then see that it is over.
        for address in [self.ports.command(), self.ports.control()] {
            let _woken = TcpStream::connect(address);
        }
        // A thread that panicked has said so on stderr; a second panic here would hide the test's own.
        for thread in self.acceptors.drain(..).chain(servers) {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    fn sever(&mut self) {
        for stream in std::mem::take(&mut self.streams).into_values().flatten() {
            // Fails when the other side was first.
            let _gone = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    upstream: fn(&Shared) -> SocketAddr,
    serve: fn(&Shared, TcpStream, TcpStream) -> io::Result<()>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        for client in listener.incoming() {
            if shared.links().state == State::Closed {
                return;
            }
            // A TPM that is gone: the client finds its connection closed, as it would without a proxy.
            let Some((client, tpm)) = client
                .and_then(|client| pair(client, upstream(&shared)))
                .ok()
            else {
                continue;
            };
            let (Ok(client_twin), Ok(tpm_twin)) = (client.try_clone(), tpm.try_clone()) else {
                continue;
            };
            let mut links = shared.links();
            if links.state == State::Closed {
                return;
            }
            let id = links.next;
            links.next += 1;
            links.streams.insert(id, [client_twin, tpm_twin]);
            links.servers.retain(|server| !server.is_finished());
            let worker = Arc::clone(&shared);
            links.servers.push(thread::spawn(move || {
                // Whatever ended it, both sides see the end; what was wrong shows in what the client then says.
                let _ended = serve(&worker, client, tpm);
                worker.links().streams.remove(&id);
            }));
        }
    })
}

fn pair(client: TcpStream, upstream: SocketAddr) -> io::Result<(TcpStream, TcpStream)> {
    let tpm = TcpStream::connect(upstream)?;
    // Messages are written whole; waiting for more would only add time that no chip takes.
    client.set_nodelay(true)?;
    tpm.set_nodelay(true)?;
    Ok((client, tpm))
}

/// A TPM answers each command before it takes the next, so one thread suffices.
fn serve_commands(shared: &Shared, client: TcpStream, tpm: TcpStream) -> io::Result<()> {
    let mut space = Space::default();
    while let Some(command) = wire::read_message(&mut &client)? {
        let arrived = Instant::now();
        let request = Request::parse(&command).ok_or(io::ErrorKind::InvalidData)?;
        *shared.tally().counts.entry(request.code).or_default() += 1;

        (&tpm).write_all(&command)?;
        let answer = wire::read_message(&mut &tpm)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let response = Response::parse(&answer).ok_or(io::ErrorKind::InvalidData)?;

        let context_commands = space.follow(&request, &response);
        let time = shared
            .tally()
            .note(&request, &response, context_commands, &command, &answer);
        thread::sleep(time.saturating_sub(arrived.elapsed()));
        (&client).write_all(&answer)?;
    }
    Ok(())
}

impl Tally {
    fn note(
        &mut self,
        request: &Request<'_>,
        response: &Response<'_>,
        context_commands: u64,
        command: &[u8],
        answer: &[u8],
    ) -> Duration {
        self.context_commands += context_commands;
        if let Some(trace) = &mut self.trace {
            assert!(
                trace.len() < LONGEST_TRACE,
                "a trace of {LONGEST_TRACE} commands"
            );
            trace.push(Exchange {
                code: request.code,
                request: command.to_vec(),
                response: answer.to_vec(),
            });
        }
        let time = self.profile.time(request, response, context_commands);
        self.time += time;
        time
    }
}

/// swtpm's control messages are not TPM commands: they pass as they are.
fn serve_control(_shared: &Shared, client: TcpStream, tpm: TcpStream) -> io::Result<()> {
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ended = io::copy(&mut &tpm, &mut &client);
            let _gone = client.shutdown(Shutdown::Both);
        });
        let ended = io::copy(&mut &client, &mut &tpm);
        let _gone = tpm.shutdown(Shutdown::Both);
        ended.map(|_bytes| ())
    })
}
