//! The one task that owns the core: it feeds it, and carries out what comes back.
//!
//! Commands, tray and window only send it messages. It must never decide anything that the core has not.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;
use holdfast_protocol::approval::Surface;
use holdfast_protocol::id::{CallId, SessionId};
use holdfast_protocol::management::SessionAct;
use holdfast_ui::client::{Broker, ClientError};
use holdfast_ui::environment::Automation;
use holdfast_ui::state::{Core, Deed, Effect, Input, Life, Stage};
use holdfast_ui::view::{Screen, screen};
use holdfast_ui::words;
use tauri::AppHandle;
use tauri::ipc::Channel;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use crate::start::Ready;
use crate::tray::Tray;
use crate::window::{Seen, Window};

/// Messages that wait: a human and a poller do not send more at once.
const INBOX: usize = 32;

/// How often time is told to the core.
const TICK: Duration = Duration::from_millis(500);

/// How long to wait before a broker that cannot be reached is asked again.
const RETRY: Duration = Duration::from_secs(2);

/// How long a page may take to ask for its first screen, before that is remarked on.
const FIRST_PAINT: Duration = Duration::from_secs(15);

/// A message to the controller.
pub enum Message {
    /// Something happened.
    Input(Input),
    /// A page has loaded, and listens.
    Watch(Channel<Screen>),
    /// The human acts on a session, from the tray.
    Control(SessionId, SessionAct),
}

/// The way to the controller. Clones are the same.
#[derive(Clone)]
pub struct Controls(mpsc::Sender<Message>);

impl Controls {
    /// A way, and its end.
    pub fn new() -> (Self, mpsc::Receiver<Message>) {
        let (sender, inbox) = mpsc::channel(INBOX);
        (Self(sender), inbox)
    }

    /// Sends a message. A controller that has gone needs none.
    pub async fn send(&self, message: Message) {
        let _ = self.0.send(message).await;
    }

    /// Sends an input.
    pub async fn input(&self, input: Input) {
        self.send(Message::Input(input)).await;
    }

    /// Sends an input from where nobody can wait; a full inbox drops it, and the human does it again.
    pub fn hint(&self, input: Input) {
        self.offer(Message::Input(input));
    }

    /// As [`Controls::hint`], for any message.
    pub fn offer(&self, message: Message) {
        let _ = self.0.try_send(message);
    }
}

/// Runs until the program is to end.
pub async fn run(
    app: AppHandle,
    ready: Ready,
    controls: Controls,
    mut inbox: mpsc::Receiver<Message>,
) {
    let Ready {
        broker,
        life,
        automation,
    } = ready;
    let mut controller = Controller {
        app,
        core: Core::new(life),
        tray: Tray::start(controls.clone()).await,
        window: None,
        windows: 0,
        page: None,
        opened: None,
        work: JoinSet::new(),
        look: Arc::new(Notify::new()),
        broker: broker.clone(),
        controls: controls.clone(),
    };
    // WebDriver knows no window but the first, so that one has to be the real one.
    if life == Life::Resident && automation == Automation::Refused {
        controller.open(Seen::Not);
    }
    let look = controller.look.clone();
    controller.work.spawn(poll(broker, controls, look));
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            message = inbox.recv() => match message {
                Some(message) => controller.take(message).await,
                None => return,
            },
            _ = tick.tick(), if *controller.core.stage() != Stage::Hidden => {
                controller.remark();
                controller.take(Message::Input(Input::Tick)).await;
            }
            // What has ended is not kept.
            Some(_) = controller.work.join_next() => {}
        }
    }
}

struct Controller {
    app: AppHandle,
    core: Core,
    tray: Tray,
    window: Option<Window>,
    /// How many windows there have been.
    windows: u32,
    page: Option<Channel<Screen>>,
    /// When the window was brought up, until its page listens.
    opened: Option<Instant>,
    work: JoinSet<()>,
    /// Makes the poller ask at once.
    look: Arc<Notify>,
    broker: Broker,
    controls: Controls,
}

impl Controller {
    async fn take(&mut self, message: Message) {
        match message {
            Message::Watch(page) => {
                if let Some(opened) = self.opened.take() {
                    // Scenarios count these.
                    tracing::info!(milliseconds = opened.elapsed().as_millis(), "window ready");
                }
                if *self.core.stage() == Stage::Hidden {
                    // It was to warm up, or what it was to show has gone meanwhile.
                    self.carry_out(Effect::Close);
                } else {
                    self.page = Some(page);
                    self.refresh();
                }
            }
            Message::Control(session, act) => {
                let broker = self.broker.clone();
                self.work.spawn(async move {
                    if let Err(error) = broker.control(session, act).await {
                        tracing::warn!(%session, error = words::notice(&error).message, "not done");
                    }
                });
            }
            Message::Input(input) => {
                if let (Input::Lost(notice), None) = (&input, self.core.lost()) {
                    tracing::warn!(why = notice.message, "the broker is lost; asking again");
                }
                let listed = matches!(
                    input,
                    Input::Questions(_) | Input::Sessions(_) | Input::Lost(_)
                );
                for effect in self.core.handle(now(), input) {
                    self.carry_out(effect);
                }
                if listed {
                    self.tray.show(&self.core).await;
                }
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Open => {
                if self.page.is_none() {
                    self.opened.get_or_insert_with(Instant::now);
                }
                self.open(Seen::AtOnce);
                self.refresh();
            }
            Effect::Refresh => self.refresh(),
            Effect::Close => {
                self.page = None;
                self.opened = None;
                if let Some(Err(error)) = self.window.take().map(Window::destroy) {
                    tracing::warn!(%error, "the window does not go");
                }
            }
            Effect::Send {
                call,
                session,
                deed,
            } => {
                let (broker, controls) = (self.broker.clone(), self.controls.clone());
                let surface = self.surface();
                self.work.spawn(async move {
                    let result = send(&broker, call, session, &deed, surface).await;
                    let result = result.map_err(|error| words::notice(&error));
                    controls.input(Input::Answered(call, result)).await;
                });
            }
            Effect::Look => self.look.notify_one(),
            Effect::Quit => self.app.exit(0),
        }
    }

    fn open(&mut self, seen: Seen) {
        let opened = match &self.window {
            Some(window) => window.raise(),
            None => {
                self.windows = self.windows.wrapping_add(1);
                Window::make(&self.app, &self.controls, self.windows, seen)
                    .map(|window| self.window = Some(window))
            }
        };
        if let Err(error) = opened {
            tracing::error!(%error, "no window; use `holdfast-approve` in a terminal");
        }
    }

    fn surface(&self) -> Surface {
        self.window
            .as_ref()
            .map_or(Surface::X11Window, Window::surface)
    }

    fn refresh(&self) {
        let Some(page) = &self.page else { return };
        let shown = screen(&self.core, now(), self.surface());
        if let Err(error) = page.send(shown) {
            tracing::warn!(%error, "the page does not listen");
        }
    }

    /// Says so where a window stays blank.
    fn remark(&mut self) {
        if self
            .opened
            .is_some_and(|opened| opened.elapsed() > FIRST_PAINT)
        {
            self.opened = None;
            tracing::error!(
                "the window stays blank; use `holdfast-approve` in a terminal, or try WEBKIT_DISABLE_DMABUF_RENDERER=1"
            );
        }
    }
}

async fn send(
    broker: &Broker,
    call: CallId,
    session: SessionId,
    deed: &Deed,
    surface: Surface,
) -> Result<(), ClientError> {
    if matches!(deed, Deed::DenyAndPause) {
        // First, so that it cannot run on with its no. A session that has gone cannot be frozen, and its
        // question is denied all the same.
        if let Err(error) = broker.control(session, SessionAct::Pause).await {
            tracing::warn!(%session, error = words::notice(&error).message, "not paused");
        }
    }
    broker.answer(call, words::answer(deed, surface)).await
}

/// Asks the broker for news, for ever.
async fn poll(broker: Broker, controls: Controls, look: Arc<Notify>) {
    let mut known: Option<Vec<CallId>> = None;
    loop {
        let news = match known.take() {
            Some(known) => tokio::select! {
                news = broker.news(known) => news,
                () = look.notified() => broker.questions().await,
            },
            None => broker.questions().await,
        };
        match news {
            Ok(questions) => {
                known = Some(questions.iter().map(|question| question.call).collect());
                controls.input(Input::Questions(questions)).await;
                match broker.sessions().await {
                    Ok(sessions) => controls.input(Input::Sessions(sessions)).await,
                    Err(error) => tracing::debug!(%error, "no sessions listed"),
                }
            }
            Err(error) => {
                controls.input(Input::Lost(words::notice(&error))).await;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
