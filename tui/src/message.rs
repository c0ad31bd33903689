//! What happens to the model, and what it asks of the world.

use api::{
    AlertView, CompleteAnswer, CompleteParams, Completeness, HistogramAnswer, HistogramParams,
    LogsParams, Range, RuleGroupView, ServiceView, TailEvent, TraceSummary, TracesParams,
};
use crossterm::event::KeyEvent;

use crate::model::TreeValue;
use crate::model::load::Failure;
use crate::model::logs::LogLine;

/// Something that happened.
#[derive(Debug)]
pub enum Message {
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size.
    Resize(u16, u16),
    /// It is this time, in unix nanoseconds, and the screen wanted to know.
    Tick(u64),
    /// A request was answered.
    Answer {
        /// Which request.
        slot: Slot,
        /// Its number.
        generation: u64,
        /// When, in unix nanoseconds.
        now: u64,
        /// The answer.
        answer: Result<Box<Answer>, Failure>,
    },
    /// Something about a tail.
    Tail {
        /// The entry that follows.
        entry: u64,
        /// Number of the tail.
        generation: u64,
        /// When, in unix nanoseconds.
        now: u64,
        /// What.
        event: TailMessage,
    },
    /// Text is on its way to the clipboard, or could not be sent.
    Copied(Result<usize, String>),
}

/// What a tail says.
#[derive(Debug)]
pub enum TailMessage {
    /// It is open: what is stored from now on will be sent.
    Opened,
    /// New lines, and the counts of the event they came with.
    Lines(Vec<LogLine>, TailEvent),
    /// The connection is gone; it is made anew by itself.
    Broken(Failure),
    /// It was refused, and will not be asked for again.
    Ended(Failure),
}

/// A place for one request: a newer one replaces an older one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The entry that asks.
    pub entry: u64,
    /// What it asks for.
    pub kind: SlotKind,
}

/// What an entry can ask for at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// Services.
    Services,
    /// Alerts.
    Alerts,
    /// Rules.
    Rules,
    /// A first page of traces or logs, a trace or a story.
    Main,
    /// A further page.
    More,
    /// Counts over time.
    Histogram,
    /// What could be typed next.
    Complete,
    /// Records that a broken tail missed.
    Missed,
    /// Whether the server is back.
    Probe,
}

/// A request.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Services with their figures.
    Services(Range),
    /// Active alerts.
    Alerts,
    /// Rules.
    Rules,
    /// Traces that match.
    Traces(TracesParams),
    /// One trace.
    Trace(String),
    /// One story.
    Story(String),
    /// Log records that match.
    Logs(LogsParams),
    /// Their counts over time.
    Histogram(HistogramParams),
    /// What could be typed next.
    Complete(CompleteParams),
}

/// The answer to a request, as the model keeps it.
#[derive(Debug)]
pub enum Answer {
    /// To `Services`.
    Services(Vec<ServiceView>, Completeness),
    /// To `Alerts`.
    Alerts(Vec<AlertView>, Completeness),
    /// To `Rules`.
    Rules(Vec<RuleGroupView>, Completeness),
    /// To `Traces`, with where the next page begins.
    Traces(Vec<TraceSummary>, Option<String>, Completeness),
    /// To `Trace` and `Story`.
    Tree(Box<TreeValue>, Completeness),
    /// To `Logs`, oldest first, with where the older page begins.
    Logs(Vec<LogLine>, Option<String>, Completeness),
    /// To `Histogram`.
    Histogram(HistogramAnswer),
    /// To `Complete`.
    Complete(CompleteAnswer),
}

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Send a request; an earlier one in the slot is no longer wanted.
    Fetch {
        /// Where the answer belongs.
        slot: Slot,
        /// Its number.
        generation: u64,
        /// What to ask.
        request: Request,
    },
    /// Forget all requests and the tail of an entry that is gone.
    Abort(u64),
    /// Follow new log records.
    Tail {
        /// The entry that follows.
        entry: u64,
        /// Number of the tail.
        generation: u64,
        /// Native query.
        query: String,
    },
    /// End the tail of an entry.
    StopTail(u64),
    /// Put text on the clipboard.
    Copy(String),
    /// Draw the screen from nothing.
    Redraw,
    /// Go to the shell.
    Suspend,
    /// Leave.
    Quit,
}
