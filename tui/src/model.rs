//! The state of the whole UI: plain data, changed only by `update`, read by the views.

pub mod detail;
pub mod home;
pub mod list;
pub mod load;
pub mod logs;
mod otlp;
pub mod subject;
pub mod timeline;

use api::{
    AlertView, CompleteAnswer, Completeness, HistogramAnswer, Hub, Join, RuleGroupView, TraceOrder,
    TraceSummary,
};
use tui_input::Input;

use crate::action::ScreenKind;
use crate::range::RangeChoice;
use crate::zone::Zone;
use detail::Detail;
use home::Home;
use list::ListState;
use load::{Failure, Load};
use logs::{LogLine, LogStore};
use timeline::TimelineView;

/// Deepest stack of screens; the oldest but the first is let go beyond it.
pub const STACK_MAX: usize = 32;
/// Most lines kept of what was typed.
pub const HISTORY_MAX: usize = 100;

/// The state.
#[derive(Debug)]
pub struct Model {
    /// Terminal width and height.
    pub size: (u16, u16),
    /// The query service.
    pub url: String,
    /// The last known time in unix nanoseconds; 0 before the first.
    pub now: u64,
    /// In which time zone times are shown.
    pub zone: Zone,
    /// The time range that the screens share.
    pub range: RangeChoice,
    /// Screens from the first to the one shown; never empty.
    pub stack: Vec<Entry>,
    /// What is being typed.
    pub prompt: Option<Prompt>,
    /// Keys of an unfinished chord.
    pub pending_keys: String,
    /// That the server is away, and since when.
    pub outage: Option<Outage>,
    /// A line for the user until the next key.
    pub notice: Option<String>,
    /// What was typed before, oldest first.
    pub history: Vec<(PromptKind, String)>,
    /// Number of the last request.
    pub generation: u64,
    /// Number of the last entry.
    pub last_entry: u64,
}

/// The server is away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When it was first noticed, in unix nanoseconds.
    pub since: u64,
    /// What the connection said.
    pub reason: String,
}

/// One screen on the stack.
#[derive(Debug)]
pub struct Entry {
    /// Tells this entry from every other of the session.
    pub id: u64,
    /// The screen.
    pub screen: Screen,
    /// The time range that it was last asked for.
    pub asked: Option<RangeChoice>,
    /// The detail pane, where open.
    pub detail: Option<Detail>,
    /// Whether keys go to the detail pane.
    pub detail_focused: bool,
}

/// A screen with its state.
#[derive(Debug)]
pub enum Screen {
    /// Alerts and services.
    Home(Home),
    /// List of traces.
    Traces(Traces),
    /// One trace.
    Trace(Tree),
    /// Log records.
    Logs(Box<Logs>),
    /// One story.
    Story(Tree),
    /// Alerts and rules.
    Alerts(Alerts),
    /// Keys.
    Help(Help),
}

/// State of the help screen.
#[derive(Debug)]
pub struct Help {
    /// The screen that it was opened from.
    pub of: ScreenKind,
    /// Where the list stands.
    pub list: ListState,
}

/// State of the list of traces.
#[derive(Debug, Default)]
pub struct Traces {
    /// Native query.
    pub query: String,
    /// A time range of its own, where it was opened for an id.
    pub range: Option<RangeChoice>,
    /// Order asked for.
    pub order: TraceOrder,
    /// Found traces.
    pub load: Load<Vec<TraceSummary>>,
    /// The next page, while it is under way.
    pub more: Load<()>,
    /// Where the next page begins.
    pub cursor: Option<String>,
    /// Where the list stands.
    pub list: ListState,
}

/// State of a trace or story.
#[derive(Debug, Default)]
pub struct Tree {
    /// The id asked for.
    pub id: String,
    /// Span to be marked when it arrives.
    pub focus: Option<String>,
    /// What was found.
    pub load: Load<TreeValue>,
    /// The last text searched for.
    pub search: String,
}

/// A trace or story.
#[derive(Debug, Default)]
pub struct TreeValue {
    /// Its rows.
    pub view: TimelineView,
    /// Why each part belongs to it.
    pub joins: Vec<Join>,
    /// Values shared by too many traces to be followed.
    pub hubs: Vec<Hub>,
    /// Alerts active in its time.
    pub alerts: Vec<AlertView>,
    /// How many exemplars point into it.
    pub exemplars: usize,
}

/// State of the logs screen.
#[derive(Debug, Default)]
pub struct Logs {
    /// Native query.
    pub query: String,
    /// A time range of its own, where it was opened for an id.
    pub range: Option<RangeChoice>,
    /// The newest page.
    pub load: Load<()>,
    /// An older page, while it is under way.
    pub older: Load<()>,
    /// Where the older page begins.
    pub cursor: Option<String>,
    /// The lines.
    pub store: LogStore,
    /// Counts over time.
    pub histogram: Load<HistogramAnswer>,
    /// Following, where it is on.
    pub follow: Option<Follow>,
    /// Whether long lines are wrapped.
    pub wrap: bool,
    /// The last text searched for.
    pub search: String,
    /// Where the list stands.
    pub list: ListState,
}

/// Following new records.
#[derive(Debug, Default)]
pub struct Follow {
    /// Number of the tail.
    pub generation: u64,
    /// Whether the list stays where it is.
    pub paused: bool,
    /// Lines that arrived while paused.
    pub unseen: u64,
    /// Records that the server dropped because this reader was slow.
    pub dropped: u64,
    /// Those of them that earlier connections counted.
    pub dropped_before: u64,
    /// Sources that are away.
    pub lost: Vec<String>,
    /// Lines that arrived before the page that comes before them did.
    pub early: Option<LogStore>,
    /// Whether it is broken, and why.
    pub broken: Option<Failure>,
    /// What it missed while it was broken.
    pub gap: Option<Gap>,
    /// Records brought in after it was broken.
    pub caught_up: u64,
    /// Whether more were missed than are shown.
    pub lacks: bool,
    /// Why it ended.
    pub failure: Option<Failure>,
}

/// Records missed by a broken tail, while they are asked for, newest page first.
#[derive(Debug, Default)]
pub struct Gap {
    /// Time from which records may be missing, in unix nanoseconds.
    pub since: u64,
    /// The request for a page.
    pub load: Load<()>,
    /// What arrived, newest page first.
    pub pages: Vec<Vec<LogLine>>,
}

impl Follow {
    /// Whether missed records could not be had while the tail goes on.
    pub(crate) fn has_failed_gap(&self) -> bool {
        let has_failed = |gap: &Gap| !gap.load.pending && gap.load.failure.is_some();
        self.broken.is_none() && self.gap.as_ref().is_some_and(has_failed)
    }
}

/// State of the alerts screen.
#[derive(Debug, Default)]
pub struct Alerts {
    /// Active alerts.
    pub alerts: Load<Vec<AlertView>>,
    /// Rules by group.
    pub rules: Load<Vec<RuleGroupView>>,
    /// Alerts first, then rules.
    pub list: ListState,
}

impl Alerts {
    /// A rule by its place among all groups.
    pub fn rule(&self, place: usize) -> Option<&api::RuleView> {
        self.rules
            .value
            .iter()
            .flatten()
            .flat_map(|group| &group.rules)
            .nth(place)
    }

    /// Number of active alerts.
    pub fn alert_count(&self) -> usize {
        self.alerts.value.as_ref().map_or(0, Vec::len)
    }

    /// Number of rules.
    pub fn rule_count(&self) -> usize {
        self.rules
            .value
            .iter()
            .flatten()
            .map(|group| group.rules.len())
            .sum()
    }
}

/// What a prompt is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptKind {
    /// A command.
    Palette,
    /// The query of the screen.
    Query,
    /// The time range.
    Time,
    /// Text to search for.
    Search,
    /// Text that rows must contain.
    Filter,
}

/// What is being typed.
#[derive(Debug)]
pub struct Prompt {
    /// What for.
    pub kind: PromptKind,
    /// Text and cursor.
    pub input: Input,
    /// What is wrong with it.
    pub error: Option<String>,
    /// What could stand at the cursor, best first.
    pub suggestions: Load<CompleteAnswer>,
    /// How far back in the history it stands; 0 is not in it.
    pub recalled: usize,
}

impl Prompt {
    /// A prompt that begins with a text.
    pub fn new(kind: PromptKind, text: &str) -> Self {
        Self {
            kind,
            input: Input::new(text.to_owned()),
            error: None,
            suggestions: Load::default(),
            recalled: 0,
        }
    }
}

impl Screen {
    /// Which screen it is.
    pub fn kind(&self) -> ScreenKind {
        match self {
            Self::Home(_) => ScreenKind::Home,
            Self::Traces(_) => ScreenKind::Traces,
            Self::Trace(_) => ScreenKind::Trace,
            Self::Logs(_) => ScreenKind::Logs,
            Self::Story(_) => ScreenKind::Story,
            Self::Alerts(_) => ScreenKind::Alerts,
            Self::Help(_) => ScreenKind::Help,
        }
    }

    /// Its name in the breadcrumb.
    pub fn title(&self) -> String {
        match self {
            Self::Home(home) if home.filter.is_empty() => "home".to_owned(),
            Self::Home(home) => format!("home /{}", crate::text::cut(&home.filter, 20)),
            Self::Traces(_) => "traces".to_owned(),
            Self::Trace(tree) => format!("trace {}", crate::text::cut(&tree.id, 9)),
            Self::Logs(_) => "logs".to_owned(),
            Self::Story(tree) => format!("story {}", crate::text::cut(&tree.id, 21)),
            Self::Alerts(_) => "alerts".to_owned(),
            Self::Help(_) => "help".to_owned(),
        }
    }

    /// Number of rows of its list.
    pub fn len(&self) -> usize {
        match self {
            Self::Home(home) => home.len(),
            Self::Traces(traces) => traces.load.value.as_ref().map_or(0, Vec::len),
            Self::Trace(tree) | Self::Story(tree) => tree
                .load
                .value
                .as_ref()
                .map_or(0, |value| value.view.visible().len()),
            Self::Logs(logs) => logs.store.len(),
            Self::Alerts(alerts) => alerts.alert_count() + alerts.rule_count(),
            Self::Help(help) => crate::help::rows(help.of).len(),
        }
    }

    /// Whether its list has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where its list stands, where there is one.
    pub fn list(&self) -> Option<&ListState> {
        match self {
            Self::Home(home) => Some(&home.list),
            Self::Traces(traces) => Some(&traces.list),
            Self::Trace(tree) | Self::Story(tree) => {
                tree.load.value.as_ref().map(|value| &value.view.list)
            }
            Self::Logs(logs) => Some(&logs.list),
            Self::Alerts(alerts) => Some(&alerts.list),
            Self::Help(help) => Some(&help.list),
        }
    }

    /// The same, to be moved.
    pub fn list_mut(&mut self) -> Option<&mut ListState> {
        match self {
            Self::Home(home) => Some(&mut home.list),
            Self::Traces(traces) => Some(&mut traces.list),
            Self::Trace(tree) | Self::Story(tree) => {
                tree.load.value.as_mut().map(|value| &mut value.view.list)
            }
            Self::Logs(logs) => Some(&mut logs.list),
            Self::Alerts(alerts) => Some(&mut alerts.list),
            Self::Help(help) => Some(&mut help.list),
        }
    }

    /// The query bar's text, on screens that have one.
    pub fn query(&self) -> Option<&str> {
        match self {
            Self::Traces(traces) => Some(&traces.query),
            Self::Logs(logs) => Some(&logs.query),
            _ => None,
        }
    }

    /// Whether any answer is under way.
    pub fn is_pending(&self) -> bool {
        match self {
            Self::Home(home) => home.alerts.pending || home.services.pending,
            Self::Traces(traces) => traces.load.pending || traces.more.pending,
            Self::Trace(tree) | Self::Story(tree) => tree.load.pending,
            Self::Logs(logs) => logs.load.pending || logs.older.pending,
            Self::Alerts(alerts) => alerts.alerts.pending || alerts.rules.pending,
            Self::Help(_) => false,
        }
    }

    /// What failed last, the most important first.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Home(home) => home
                .alerts
                .failure
                .as_ref()
                .or(home.services.failure.as_ref()),
            Self::Traces(traces) => traces
                .load
                .failure
                .as_ref()
                .or(traces.more.failure.as_ref()),
            Self::Trace(tree) | Self::Story(tree) => tree.load.failure.as_ref(),
            Self::Logs(logs) => logs
                .load
                .failure
                .as_ref()
                .or(logs.older.failure.as_ref())
                .or(logs
                    .follow
                    .as_ref()
                    .and_then(|follow| follow.failure.as_ref()))
                .or(logs.histogram.failure.as_ref()),
            Self::Alerts(alerts) => alerts
                .alerts
                .failure
                .as_ref()
                .or(alerts.rules.failure.as_ref()),
            Self::Help(_) => None,
        }
    }

    /// What the answers shown said about themselves.
    pub fn completeness(&self) -> Vec<&Completeness> {
        match self {
            Self::Home(home) => vec![&home.services.completeness, &home.alerts.completeness],
            Self::Traces(traces) => vec![&traces.load.completeness, &traces.more.completeness],
            Self::Trace(tree) | Self::Story(tree) => vec![&tree.load.completeness],
            Self::Logs(logs) => vec![
                &logs.load.completeness,
                &logs.older.completeness,
                &logs.histogram.completeness,
            ],
            Self::Alerts(alerts) => vec![&alerts.alerts.completeness, &alerts.rules.completeness],
            Self::Help(_) => Vec::new(),
        }
    }
}

impl Logs {
    /// Marks a line that was looked for; new ones must not push it away.
    pub fn go_to(&mut self, line: usize) {
        self.list.cursor = line;
        if let Some(follow) = &mut self.follow {
            follow.paused = true;
        }
    }
}

impl Model {
    /// A session that begins at home; nothing is asked for yet.
    pub fn new(url: &str, size: (u16, u16), now: u64) -> Self {
        let home = Entry {
            id: 0,
            screen: Screen::Home(Home::default()),
            asked: None,
            detail: None,
            detail_focused: false,
        };
        Self {
            size,
            url: url.to_owned(),
            now,
            zone: Zone::utc(),
            range: RangeChoice::default(),
            stack: vec![home],
            prompt: None,
            pending_keys: String::new(),
            outage: None,
            notice: None,
            history: Vec::new(),
            generation: 0,
            last_entry: 0,
        }
    }

    /// The entry shown.
    pub fn top(&self) -> &Entry {
        self.stack
            .last()
            .expect("the stack begins with home, which is never popped")
    }

    /// The entry shown, to be changed.
    pub fn top_mut(&mut self) -> &mut Entry {
        self.stack
            .last_mut()
            .expect("the stack begins with home, which is never popped")
    }

    /// The time range of the screen shown.
    pub fn range_shown(&self) -> &RangeChoice {
        let own = match &self.top().screen {
            Screen::Logs(logs) => logs.range.as_ref(),
            Screen::Traces(traces) => traces.range.as_ref(),
            _ => None,
        };
        own.unwrap_or(&self.range)
    }

    /// Whether missed records are to be asked for again.
    fn has_failed_gap(&self) -> bool {
        let logs = self.stack.iter().filter_map(|entry| match &entry.screen {
            Screen::Logs(logs) => logs.follow.as_ref(),
            _ => None,
        });
        logs.into_iter().any(Follow::has_failed_gap)
    }

    /// How often the screen shown wants to be asked for anew, in milliseconds; none where
    /// nothing changes by itself.
    pub fn tick_ms(&self) -> Option<u64> {
        match self.top().screen {
            _ if self.outage.is_some() || self.has_failed_gap() => Some(2_000),
            Screen::Home(_) | Screen::Alerts(_) => Some(5_000),
            _ => None,
        }
    }
}
