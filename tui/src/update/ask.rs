//! Which requests a screen needs.

use api::{CompleteParams, HistogramParams, LogsParams, TracesParams};

use super::tail;
use crate::message::{Effect, Request, Slot, SlotKind};
use crate::model::load::Load;
use crate::model::logs::LogStore;
use crate::model::{Follow, Logs, Model, PromptKind, Screen};
use crate::range::RangeChoice;

/// Traces on a page.
const TRACES_PAGE: u64 = 200;
/// Log records on a page.
const LOGS_PAGE: u64 = 1_000;
/// Log records on a page of those that were missed.
const MISSED_PAGE: u64 = 5_000;
/// Buckets wanted of a histogram: about one per column of a wide terminal.
const HISTOGRAM_BUCKETS: u64 = 120;

/// Numbers requests and notes them on what they are for.
struct Asker<'a> {
    entry: u64,
    generation: &'a mut u64,
    effects: &'a mut Vec<Effect>,
}

impl Asker<'_> {
    fn send<T>(&mut self, load: &mut Load<T>, kind: SlotKind, request: Request) {
        *self.generation += 1;
        load.begin(*self.generation);
        self.effects.push(Effect::Fetch {
            slot: Slot {
                entry: self.entry,
                kind,
            },
            generation: *self.generation,
            request,
        });
    }
}

/// Asks for all that the top screen shows.
pub(super) fn ask(model: &mut Model, effects: &mut Vec<Effect>) {
    let shown = model.range_shown().clone();
    let range = shown.to_api();
    let Model {
        stack, generation, ..
    } = model;
    let Some(entry) = stack.last_mut() else {
        return;
    };
    entry.asked = Some(shown.clone());
    let mut asker = Asker {
        entry: entry.id,
        generation,
        effects,
    };
    match &mut entry.screen {
        Screen::Home(home) => {
            asker.send(&mut home.alerts, SlotKind::Alerts, Request::Alerts);
            asker.send(
                &mut home.services,
                SlotKind::Services,
                Request::Services(range),
            );
        }
        Screen::Traces(traces) => {
            traces.more = Load::default();
            let params = TracesParams {
                q: traces.query.clone(),
                range,
                limit: Some(TRACES_PAGE),
                order: traces.order,
                cursor: None,
            };
            asker.send(&mut traces.load, SlotKind::Main, Request::Traces(params));
        }
        Screen::Trace(tree) => {
            asker.send(
                &mut tree.load,
                SlotKind::Main,
                Request::Trace(tree.id.clone()),
            );
        }
        Screen::Story(tree) => {
            asker.send(
                &mut tree.load,
                SlotKind::Main,
                Request::Story(tree.id.clone()),
            );
        }
        Screen::Logs(logs) => ask_logs(&mut asker, logs, &shown),
        Screen::Alerts(alerts) => {
            asker.send(&mut alerts.alerts, SlotKind::Alerts, Request::Alerts);
            asker.send(&mut alerts.rules, SlotKind::Rules, Request::Rules);
        }
        Screen::Help(_) => {}
    }
}

/// Asks for what may have changed while another screen was shown: all of it where the time range
/// did.
pub(super) fn returned(model: &mut Model, effects: &mut Vec<Effect>) {
    let entry = model.top();
    let ranged = matches!(
        entry.screen,
        Screen::Home(_) | Screen::Traces(_) | Screen::Logs(_)
    );
    if ranged && entry.asked.as_ref() != Some(model.range_shown()) {
        ask(model, effects);
    } else {
        tick(model, effects);
    }
}

/// Asks for what the passing of time may have changed: all that a screen shows which changes by
/// itself, and what failed because the server was away.
pub(super) fn tick(model: &mut Model, effects: &mut Vec<Effect>) {
    tail::ask_again(model, effects);
    let screen = &model.top().screen;
    if screen.is_pending() {
        return;
    }
    let failed = screen.failure().is_some_and(|failure| failure.away);
    let changes = matches!(screen, Screen::Home(_) | Screen::Alerts(_));
    if changes || failed {
        ask(model, effects);
        return;
    }
    // Only an outage makes the other screens look at the clock.
    if model.outage.is_none() {
        return;
    }
    model.generation += 1;
    effects.push(Effect::Fetch {
        slot: Slot {
            entry: model.top().id,
            kind: SlotKind::Probe,
        },
        generation: model.generation,
        request: Request::Alerts,
    });
}

/// Asks for the newest of the records that a tail missed, page by page.
pub(super) fn ask_missed(
    entry: u64,
    logs: &mut Logs,
    cursor: Option<String>,
    generation: &mut u64,
    effects: &mut Vec<Effect>,
) {
    let query = logs.query.clone();
    let Some(gap) = logs.follow.as_mut().and_then(|follow| follow.gap.as_mut()) else {
        return;
    };
    let params = LogsParams {
        q: query,
        range: api::Range {
            start: Some(gap.since.to_string()),
            end: None,
        },
        limit: Some(MISSED_PAGE),
        cursor,
        ..LogsParams::default()
    };
    let mut asker = Asker {
        entry,
        generation,
        effects,
    };
    asker.send(&mut gap.load, SlotKind::Missed, Request::Logs(params));
}

/// Asks for the newest page and the counts over time.
fn ask_logs(asker: &mut Asker<'_>, logs: &mut Logs, shown: &RangeChoice) {
    logs.older = Load::default();
    let params = LogsParams {
        q: logs.query.clone(),
        range: shown.to_api(),
        limit: Some(LOGS_PAGE),
        ..LogsParams::default()
    };
    asker.send(&mut logs.load, SlotKind::Main, Request::Logs(params));
    let params = HistogramParams {
        q: logs.query.clone(),
        range: shown.to_api(),
        step: shown.step(HISTOGRAM_BUCKETS),
        by: Some("level".to_owned()),
    };
    asker.send(
        &mut logs.histogram,
        SlotKind::Histogram,
        Request::Histogram(params),
    );
}

/// Asks for the next page where the mark has reached the end of what is known.
pub(super) fn ask_more(model: &mut Model, effects: &mut Vec<Effect>) {
    let range = model.range_shown().to_api();
    let Model {
        stack, generation, ..
    } = model;
    let Some(entry) = stack.last_mut() else {
        return;
    };
    let mut asker = Asker {
        entry: entry.id,
        generation,
        effects,
    };
    match &mut entry.screen {
        Screen::Traces(traces) => {
            let len = traces.load.value.as_ref().map_or(0, Vec::len);
            let at_end = traces.list.cursor + 1 >= len;
            if !at_end || traces.load.pending || traces.more.pending {
                return;
            }
            let Some(cursor) = traces.cursor.clone() else {
                return;
            };
            let params = TracesParams {
                q: traces.query.clone(),
                range,
                limit: Some(TRACES_PAGE),
                order: traces.order,
                cursor: Some(cursor),
            };
            asker.send(&mut traces.more, SlotKind::More, Request::Traces(params));
        }
        Screen::Logs(logs) => {
            if logs.list.cursor > 0 || logs.load.pending || logs.older.pending {
                return;
            }
            let Some(cursor) = logs.cursor.clone() else {
                return;
            };
            let params = LogsParams {
                q: logs.query.clone(),
                range,
                limit: Some(LOGS_PAGE),
                cursor: Some(cursor),
                ..LogsParams::default()
            };
            asker.send(&mut logs.older, SlotKind::More, Request::Logs(params));
        }
        _ => {}
    }
}

/// Asks what could stand at the cursor of the query being typed.
pub(super) fn complete(model: &mut Model, effects: &mut Vec<Effect>) {
    let range = model.range_shown().to_api();
    let Model {
        stack,
        generation,
        prompt,
        ..
    } = model;
    let (Some(entry), Some(prompt)) = (stack.last(), prompt) else {
        return;
    };
    if prompt.kind != PromptKind::Query {
        return;
    }
    let signal = match entry.screen {
        Screen::Traces(_) => "traces",
        _ => "logs",
    };
    let query = prompt.input.value();
    let cursor = query
        .char_indices()
        .nth(prompt.input.cursor())
        .map_or(query.len(), |(at, _)| at);
    let params = CompleteParams {
        q: query.to_owned(),
        cursor: Some(cursor),
        signal: Some(signal.to_owned()),
        range,
    };
    let mut asker = Asker {
        entry: entry.id,
        generation,
        effects,
    };
    asker.send(
        &mut prompt.suggestions,
        SlotKind::Complete,
        Request::Complete(params),
    );
}

/// Begins to follow new log records; the first page is asked for when the tail is open, so that
/// nothing falls between the two.
pub(super) fn follow(model: &mut Model, effects: &mut Vec<Effect>) {
    let Model {
        stack, generation, ..
    } = model;
    let Some(entry) = stack.last_mut() else {
        return;
    };
    let Screen::Logs(logs) = &mut entry.screen else {
        return;
    };
    *generation += 1;
    logs.follow = Some(Follow {
        generation: *generation,
        early: Some(LogStore::default()),
        ..Follow::default()
    });
    effects.push(Effect::Tail {
        entry: entry.id,
        generation: *generation,
        query: logs.query.clone(),
    });
}
