//! The run socket: one connection, one session, as long as both live.
//!
//! The command line that asked for a session keeps its life: when it goes away, the session is
//! ended. Everything that a session held is gone before its end is told.

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use holdfast_issue_credentials::SessionSocket;
use holdfast_issue_credentials::bridge::Bridge;
use holdfast_launch_agents::life::Due;
use holdfast_launch_agents::peer::Peer;
use holdfast_launch_agents::task::Ended;
use holdfast_launch_agents::{PassedSignal, Stopped};
use holdfast_protocol::audit::What;
use holdfast_protocol::bounds::{Bound, Bounds};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::frame;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::run::{RunAim, RunControl, RunEvent};
use holdfast_protocol::words::with_causes;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Ground;
use super::calls::SessionCalls;
use super::describe;
use super::frames::Frames;
use super::launch::{BRIDGE, Made, RunError, attested, make};
use super::peers::OfSession;
use super::shell;
use super::socket::{Request, read_wish};
use super::subs::Subs;
use super::vitals::{Pulse, Vitals};
use super::way_out::WayOut;
use super::words;
use crate::disks::Watched;
use crate::limits::lifetimes;
use crate::stops::Stops;

/// Connections served at once: every live session has one.
const CONNECTIONS: usize = holdfast_launch_agents::state::MAX_LIVE;

/// How long the command line may take to hear how its session ended.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves the run socket until `stop`; sessions end with it. Any human may ask; the launcher refuses
/// who is none.
pub async fn serve(listener: UnixListener, ground: Arc<Ground>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) if connections.len() < CONNECTIONS => {
                connections.spawn(keep(stream, Arc::clone(&ground), stop.clone()));
            }
            Ok(_) => tracing::warn!("too many sessions are asked for at once"),
            Err(error) => {
                tracing::warn!(%error, "the run socket does not accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

/// One connection: makes its session, keeps it, tells how it ended.
async fn keep(stream: UnixStream, ground: Arc<Ground>, stop: CancellationToken) {
    let (mut stream, outcome) = match wish(stream).await {
        Ok((mut stream, Asked::Shell(wish))) => {
            let event = shell::keep(&stream, wish, &ground, &stop).await;
            tell(&mut stream, &event).await;
            return;
        }
        Ok((stream, Asked::Session(wish))) => {
            let wish = *wish;
            let outcome = match wish.request.aim {
                RunAim::Session => live(&stream, wish, &ground, &stop)
                    .await
                    .map(|(ended, bounds)| words::ended(&ended, &bounds)),
                RunAim::Show => describe::world(&ground, wish)
                    .await
                    .map(|world| RunEvent::Shown(Box::new(world))),
                RunAim::Needs => describe::needs(&ground, &wish.request).map(RunEvent::Needs),
            };
            (stream, outcome)
        }
        Err(error) => {
            tracing::debug!(%error, "a wish for a session was not understood");
            return;
        }
    };
    let event = match outcome {
        Ok(event) => event,
        Err(error) => {
            tracing::warn!(error = with_causes(&error), "no session was made");
            words::failed(&error)
        }
    };
    tell(&mut stream, &event).await;
}

async fn tell(stream: &mut UnixStream, event: &RunEvent) {
    let told = async {
        let frame = frame::encode(event).map_err(std::io::Error::other)?;
        stream.write_all(&frame).await
    };
    // A command line that has gone need not be told.
    let _ = tokio::time::timeout(FAREWELL, told).await;
}

/// What a connection asks for.
enum Asked {
    Session(Box<Wish>),
    Shell(shell::Wish),
}

/// What was wished for, by whom.
pub(super) struct Wish {
    pub(super) request: holdfast_protocol::run::RunRequest,
    pub(super) descriptors: Vec<OwnedFd>,
    pub(super) connection: OwnedFd,
    pub(super) human: u32,
}

async fn wish(stream: UnixStream) -> std::io::Result<(UnixStream, Asked)> {
    let std_stream = stream.into_std()?;
    let read = move || -> std::io::Result<_> {
        std_stream.set_nonblocking(false)?;
        let human = Peer::of(&std_stream).map_err(std::io::Error::other)?.uid;
        let (request, descriptors) = read_wish(&std_stream).map_err(std::io::Error::other)?;
        let connection = OwnedFd::from(std_stream.try_clone()?);
        std_stream.set_read_timeout(None)?;
        std_stream.set_nonblocking(true)?;
        let asked = match request {
            Request::Shell(request) => Asked::Shell(shell::Wish {
                request,
                streams: descriptors,
                human,
            }),
            Request::Run(request) => Asked::Session(Box::new(Wish {
                request: *request,
                descriptors,
                connection,
                human,
            })),
        };
        Ok((std_stream, asked))
    };
    let (std_stream, wish) = tokio::task::spawn_blocking(read)
        .await
        .map_err(std::io::Error::other)??;
    Ok((UnixStream::from_std(std_stream)?, wish))
}

/// A session's whole life.
async fn live(
    stream: &UnixStream,
    wish: Wish,
    ground: &Arc<Ground>,
    stop: &CancellationToken,
) -> Result<(Ended, Bounds), RunError> {
    let Made {
        prepared,
        facts,
        identity,
        spare,
        footing,
        folder,
        listener,
        known,
        given,
        widened,
        published,
        passing,
        holds,
        mut disks,
    } = make(ground, wish, (stream, stop)).await?;
    let session = identity.session;
    let bounds = facts.bounds;
    let unkept = prepared.unkept();
    tokio::try_join!(
        ground.record.record(What::SessionStarted {
            session,
            spiffe_id: identity.spiffe_id.clone(),
            human: HumanUid(facts.human),
            program: facts.program,
            package: facts.package.clone(),
            runs_as: facts.runs_as,
            beyond: Box::new(facts.beyond.clone()),
        }),
        ground.record.record(What::SessionBounded {
            session,
            bounds,
            unkept: unkept.clone(),
        }),
    )?;
    if let Some(notice) = ground.notice() {
        ground
            .record
            .record(What::SessionContained {
                session,
                level: facts.level,
                notice: notice.to_owned(),
            })
            .await?;
    }
    let mut ended = ground.endings.of(session);
    // Whatever stopped the host before this line was not told of the session.
    if attested(ground)? != footing {
        return Err(RunError::NotAttested(
            "it was stopped while the session was made".to_owned(),
        ));
    }
    let begun = prepared.begin()?;
    let way_out = WayOut::adopt(&widened, begun.bridge, begun.doors, begun.names);
    let way_out = way_out.map_err(RunError::Host);
    tracing::info!(%session, kind = %facts.kind, human = facts.human, "a session began");

    let credentials = match spare {
        Some(spare) => ground.issuer.session_with(spare),
        None => ground.issuer.session(identity.clone()),
    };
    let place = ground.live.enter(credentials.clone());
    let served = CancellationToken::new();
    let pulse = Pulse::default();
    let subs = Subs::new(
        Arc::clone(ground),
        identity.clone(),
        served.clone(),
        pulse.clone(),
    );
    let terminal = begun.terminal.as_ref().map(OwnedFd::try_clone).transpose();
    let mut vitals = Vitals::new(
        ground.sessions.clone(),
        session,
        lifetimes(&bounds),
        pulse.clone(),
        terminal.map_err(RunError::Host)?,
    );
    if unkept.contains(&Bound::Memory) {
        vitals.bound_memory(bounds.memory);
    }
    let mut socket = JoinSet::new();
    socket.spawn(
        SessionSocket {
            listener,
            session: credentials.clone(),
            peers: Arc::new(OfSession {
                sessions: ground.sessions.clone(),
                session,
                subs: subs.clone(),
                pulse: pulse.clone(),
            }),
            frames: Arc::new(Frames::new(
                ground.authorizer.clone(),
                Arc::clone(&known),
                BRIDGE,
                subs.clone(),
                None,
                pulse.clone(),
            )),
        }
        .serve(served.clone()),
    );
    let WayOut {
        bridge: listener,
        doors,
        names,
    } = way_out?;
    let mut bridge = JoinSet::new();
    bridge.spawn(
        Bridge {
            session,
            granted: given.granted.clone(),
            reveal: Arc::new(ground.vaults.clone()),
            decide: Arc::new(SessionCalls::new(ground.authorizer.clone(), known, pulse)),
            upstream: ground
                .upstream
                .reaching(widened.reaches().cloned().collect()),
            doors,
            names: Some(names),
        }
        .serve(listener, served.clone()),
    );
    let mut shown = JoinSet::new();
    for port in published {
        shown.spawn(port.serve(ground.sessions.clone(), session, served.clone()));
    }
    let started = RunEvent::Started {
        session,
        spiffe_id: identity.spiffe_id,
        notes: given.notes.clone(),
    };
    if tell_started(stream, &started, begun.terminal.as_ref())
        .await
        .is_err()
    {
        end(ground, session);
    }
    let news = News {
        ended: &mut ended,
        stops: begun.stops,
    };
    let signs = (&mut vitals, &mut disks);
    let ended = tend(stream, ground, signs, session, news, stop).await;

    credentials.revoke();
    drop(place);
    drop(given);
    drop(holds);
    ground.authorizer.session_gone(session).await;
    served.cancel();
    while shown.join_next().await.is_some() {}
    while let Some(done) = bridge.join_next().await {
        if let Ok(Err(error)) = done {
            tracing::warn!(%session, error = with_causes(&error), "a session's way out failed");
        }
    }
    while let Some(done) = socket.join_next().await {
        if let Ok(Err(error)) = done {
            tracing::warn!(%session, error = with_causes(&error), "a session's socket failed");
        }
    }
    subs.gone().await;
    drop((folder, passing, vitals, disks));
    let how = words::how(&ended, &bounds);
    tracing::info!(%session, how, "a session ended");
    ground
        .record
        .record(What::SessionEnded { session, how })
        .await?;
    Ok((ended, bounds))
}

/// What is heard of a session.
struct News<'a> {
    ended: &'a mut oneshot::Receiver<Ended>,
    stops: watch::Receiver<Option<Stopped>>,
}

/// Waits for the session's end, and does to it what the human or the broker's end asks.
async fn tend(
    stream: &UnixStream,
    ground: &Ground,
    (vitals, disks): (&mut Vitals, &mut Watched),
    session: SessionId,
    news: News<'_>,
    stop: &CancellationToken,
) -> Ended {
    let News { ended, mut stops } = news;
    let unwatched = Ended::unwatched(session);
    let (orders, mut received) = tokio::sync::mpsc::channel(8);
    let listening = listen_to(stream, orders);
    tokio::pin!(listening);
    let mut listens = true;
    loop {
        tokio::select! {
            ended = &mut *ended => return ended.unwrap_or(unwatched),
            () = stop.cancelled() => {
                end(ground, session);
                return ended.await.unwrap_or(unwatched);
            }
            due = vitals.due() => self::due(stream, ground, session, due).await,
            because = disks.told() => {
                let text = words::standing(because);
                note(stream, &RunEvent::Note { text }).await;
            }
            () = &mut listening, if listens => {
                // The command line is gone.
                listens = false;
                end(ground, session);
            }
            Ok(()) = stops.changed() => {
                let stopped = *stops.borrow_and_update();
                if let Some(Stopped { continued }) = stopped {
                    note(stream, &RunEvent::Stopped { continued }).await;
                }
            }
            Some(order) = received.recv() => {
                if order == RunControl::Continue {
                    vitals.wanted();
                }
                if let Err(error) = ground.sessions.signal(session, signal_of(order)) {
                    tracing::debug!(%session, %error, "a signal did not reach a session");
                }
            }
        }
    }
}

pub(super) fn signal_of(order: RunControl) -> PassedSignal {
    match order {
        RunControl::Interrupt => PassedSignal::Interrupt,
        RunControl::Terminate => PassedSignal::Terminate,
        RunControl::Hangup => PassedSignal::Hangup,
        RunControl::Stop => PassedSignal::Stop,
        RunControl::Continue => PassedSignal::Continue,
    }
}

/// Does what a session's lifetime demands.
async fn due(stream: &UnixStream, ground: &Ground, session: SessionId, due: Due) {
    match due {
        Due::Warn(because, left) => {
            let text = words::warning(because, left);
            tracing::info!(%session, text, "a session is warned");
            note(stream, &RunEvent::Note { text }).await;
        }
        Due::End(because) => {
            let stops = Stops::new(ground.sessions.clone(), Arc::clone(&ground.record));
            stops.end(session, because).await;
        }
    }
}

/// Tells the human something while their session lives, if their command line takes it at once: one
/// that reads nothing must not hold the session's keeper up.
pub(super) async fn note(stream: &UnixStream, event: &RunEvent) {
    let Ok(frame) = frame::encode(event) else {
        return;
    };
    let told = async {
        stream.writable().await?;
        stream.try_write(&frame)
    };
    match tokio::time::timeout(Duration::from_millis(100), told).await {
        Ok(Ok(sent)) if sent == frame.len() => {}
        // A part of a frame cannot occur: a few kilobytes fit a socket's buffer or do not.
        told => tracing::debug!(?told, "a note was not heard"),
    }
}

fn end(ground: &Ground, session: SessionId) {
    if let Err(error) = ground.sessions.end(session) {
        // It ended in the meantime, which serves as well.
        tracing::debug!(%session, %error, "a session was not there to be ended");
    }
}

/// Reads the human's orders until the connection ends.
pub(super) async fn listen_to(
    mut stream: &UnixStream,
    orders: tokio::sync::mpsc::Sender<RunControl>,
) {
    let mut stream = Reading(&mut stream);
    loop {
        match stream.next().await {
            Ok(order) => {
                if orders.send(order).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// The reading side of a shared stream.
struct Reading<'a, 'b>(&'a mut &'b UnixStream);

impl Reading<'_, '_> {
    async fn next(&mut self) -> std::io::Result<RunControl> {
        let mut prefix = [0; frame::PREFIX];
        self.exact(&mut prefix).await?;
        let mut body = vec![0; frame::body_length(prefix).map_err(std::io::Error::other)?];
        self.exact(&mut body).await?;
        frame::decode(&body).map_err(std::io::Error::other)
    }

    async fn exact(&mut self, mut bytes: &mut [u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            self.0.readable().await?;
            match self.0.try_read(bytes) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => bytes = bytes.get_mut(read..).unwrap_or_default(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Sends the first event, with the terminal's other end where there is one.
pub(super) async fn tell_started(
    stream: &UnixStream,
    event: &RunEvent,
    terminal: Option<&OwnedFd>,
) -> std::io::Result<()> {
    let bytes = frame::encode(event).map_err(std::io::Error::other)?;
    let terminal: Vec<BorrowedFd<'_>> = terminal.map(AsFd::as_fd).into_iter().collect();
    stream.writable().await?;
    let sent = stream.try_io(tokio::io::Interest::WRITABLE, || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !terminal.is_empty() {
            ancillary.push(SendAncillaryMessage::ScmRights(&terminal));
        }
        sendmsg(
            stream,
            &[IoSlice::new(&bytes)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )
        .map_err(std::io::Error::from)
    })?;
    // The first message on an empty socket: a few hundred bytes always fit.
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(std::io::ErrorKind::WriteZero.into())
    }
}
