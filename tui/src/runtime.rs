//! The loop: events and results become messages, messages change the model, and the screen is
//! drawn when something changed and the last frame has left. It never waits for anything but the
//! next message, and never draws by a timer.

#[cfg(test)]
mod tests;

use std::io::IsTerminal as _;
use std::task::Poll;
use std::time::Duration;

use api::{Client, ClientError};
use crossterm::event::{Event, EventStream};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::Instant;

use crate::command::Command;
use crate::effect::{Runner, TerminalEffect, now, osc52};
use crate::message::{Effect, Message};
use crate::model::Model;
use crate::term::Term;
use crate::theme::{ColorLevel, Theme};
use crate::update::{start, update};
use crate::zone::Zone;

/// Messages that wait for the loop.
const CHANNEL: usize = 64;
/// Most messages taken before the screen is drawn.
const BATCH: usize = 256;
/// Shortest time between frames that only data asked for; a key is drawn at once.
const DATA_FRAME: Duration = Duration::from_millis(50);

/// How to begin.
#[derive(Debug, Clone)]
pub struct Options {
    /// Base URL of the query service, e.g. `http://127.0.0.1:4400`.
    pub url: String,
    /// Whether to do without colours, whatever the environment says.
    pub no_color: bool,
    /// Whether times are UTC at first, whatever the system's time zone is.
    pub utc: bool,
    /// What to open first, as the palette reads it; home where it is empty.
    pub open: String,
}

/// Why a session could not begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuiError {
    /// Standard input or output is a pipe or a file.
    #[error(
        "the terminal UI needs a terminal; for pipes use the story, trace, logs and query commands"
    )]
    NotATerminal,
    /// The URL cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What was to be opened first cannot be.
    #[error("{0}")]
    Command(String),
    /// The terminal broke.
    #[error("terminal: {0}")]
    Terminal(#[from] std::io::Error),
}

/// Runs a session until the user leaves.
pub async fn run(options: Options) -> Result<(), TuiError> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return Err(TuiError::NotATerminal);
    }
    let client = Client::new(&options.url)?;
    let level = ColorLevel::detect(options.no_color, |name| std::env::var(name).ok());
    let (mut zone, mut notice) = Zone::system();
    if options.utc {
        zone.set_utc();
        notice = None;
    }
    let initial = match options.open.trim() {
        "" => None,
        line => Some(Command::parse(line, &zone, now()).map_err(TuiError::Command)?),
    };
    let mut term = Term::open()?;
    let mut model = Model::new(client.base_url(), term.size()?, now());
    (model.zone, model.notice) = (zone, notice);
    let (sender, receiver) = mpsc::channel(CHANNEL);
    let session = Session {
        model,
        theme: Theme::new(level),
        runner: Runner::new(client, sender),
        receiver,
        events: EventStream::new().boxed(),
        tmux: std::env::var_os("TMUX").is_some(),
        changed: true,
        urgent: true,
        over: false,
    };
    session.run(&mut term, initial).await
}

struct Session {
    model: Model,
    theme: Theme,
    runner: Runner,
    receiver: Receiver<Message>,
    events: BoxStream<'static, std::io::Result<Event>>,
    tmux: bool,
    /// Whether the screen is older than the model.
    changed: bool,
    /// Whether the user waits for it.
    urgent: bool,
    over: bool,
}

/// What the loop woke up for.
enum Wake {
    Event(Option<std::io::Result<Event>>),
    Message(Message),
    Tick,
    Frame,
    Written(std::io::Result<()>),
    Terminate,
}

impl Session {
    async fn run(mut self, term: &mut Term, initial: Option<Command>) -> Result<(), TuiError> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let effects = start(&mut self.model, initial);
        self.perform(term, effects)?;
        let mut drawn_at = Instant::now();
        let mut tick_at = None;
        while !self.over {
            let due = self.urgent || drawn_at.elapsed() >= DATA_FRAME;
            if self.changed && due && term.is_ready() {
                term.draw(&self.model, &self.theme)?;
                drawn_at = Instant::now();
                (self.changed, self.urgent) = (false, false);
            }
            tick_at = self.next_tick(tick_at);
            let frame_at = (self.changed && term.is_ready()).then_some(drawn_at + DATA_FRAME);
            let wake = tokio::select! {
                event = self.events.next() => Wake::Event(event),
                Some(message) = self.receiver.recv() => Wake::Message(message),
                () = at(tick_at) => Wake::Tick,
                () = at(frame_at) => Wake::Frame,
                outcome = term.written() => Wake::Written(outcome),
                _ = terminate.recv() => Wake::Terminate,
                _ = hang_up.recv() => Wake::Terminate,
            };
            match wake {
                Wake::Event(event) => self.take_events(term, event).await?,
                Wake::Message(message) => self.take_messages(term, message)?,
                Wake::Tick => {
                    tick_at = None;
                    self.take(term, Message::Tick(now()))?;
                }
                Wake::Frame => {}
                Wake::Written(outcome) => outcome?,
                Wake::Terminate => self.over = true,
            }
        }
        Ok(())
    }

    /// When to look at the clock; never on a screen that does not change by itself.
    fn next_tick(&self, tick_at: Option<Instant>) -> Option<Instant> {
        let interval = Duration::from_millis(self.model.tick_ms()?);
        tick_at.or_else(|| Some(Instant::now() + interval))
    }

    /// Takes an event and all that are waiting behind it, so that a held key is drawn once.
    async fn take_events(
        &mut self,
        term: &mut Term,
        first: Option<std::io::Result<Event>>,
    ) -> Result<(), TuiError> {
        let mut next = Some(first);
        for _ in 0..BATCH {
            match next {
                Some(Some(event)) => self.take_event(term, event?)?,
                // The input is closed: nobody is there any more.
                Some(None) => self.over = true,
                None => break,
            }
            if self.over {
                break;
            }
            next = self.ready_event().await;
        }
        Ok(())
    }

    /// The next event if it is already there. The stream remembers the first waker that it is
    /// polled with until an event comes, so it must be this task's own: with any other the loop
    /// would sleep through the next key.
    async fn ready_event(&mut self) -> Option<Option<std::io::Result<Event>>> {
        std::future::poll_fn(|context| {
            Poll::Ready(match self.events.poll_next_unpin(context) {
                Poll::Ready(event) => Some(event),
                Poll::Pending => None,
            })
        })
        .await
    }

    fn take_event(&mut self, term: &mut Term, event: Event) -> Result<(), TuiError> {
        let message = match event {
            Event::Key(key) => Message::Key(key),
            Event::Paste(text) => Message::Paste(text),
            Event::Resize(columns, rows) => Message::Resize(columns, rows),
            Event::FocusGained | Event::FocusLost | Event::Mouse(_) => return Ok(()),
        };
        self.urgent = true;
        self.take(term, message)
    }

    fn take_messages(&mut self, term: &mut Term, first: Message) -> Result<(), TuiError> {
        self.take(term, first)?;
        for _ in 1..BATCH {
            let Ok(message) = self.receiver.try_recv() else {
                break;
            };
            self.take(term, message)?;
        }
        Ok(())
    }

    fn take(&mut self, term: &mut Term, message: Message) -> Result<(), TuiError> {
        let effects = update(&mut self.model, message);
        self.changed = true;
        self.perform(term, effects)
    }

    fn perform(&mut self, term: &mut Term, effects: Vec<Effect>) -> Result<(), TuiError> {
        for effect in effects {
            match self.runner.run(effect) {
                None => {}
                Some(TerminalEffect::Quit) => self.over = true,
                Some(TerminalEffect::Redraw) => term.clear()?,
                Some(TerminalEffect::Suspend) => self.suspend(term)?,
                Some(TerminalEffect::Copy(text)) => {
                    let outcome = osc52(&text, self.tmux).map(|sequence| {
                        term.send(sequence);
                        text.chars().count()
                    });
                    // Copied only sets a notice; it has no effects of its own.
                    update(&mut self.model, Message::Copied(outcome));
                }
            }
        }
        Ok(())
    }

    fn suspend(&mut self, term: &mut Term) -> Result<(), TuiError> {
        // Two readers of one terminal would split its keys between them: the old stream ends
        // before the shell reads. The new one reads nothing until it is first polled.
        self.events = futures::stream::pending().boxed();
        term.suspend()?;
        self.events = EventStream::new().boxed();
        let (columns, rows) = term.size()?;
        update(&mut self.model, Message::Resize(columns, rows));
        self.urgent = true;
        Ok(())
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
