//! What the marked row is about, and where one can go from it.

use super::open;
use crate::action::Action;
use crate::message::Effect;
use crate::model::detail::{Detail, Jump};
use crate::model::home::HomeRow;
use crate::model::subject::{Subject, term};
use crate::model::{Model, Screen};

/// The details of the marked row.
pub(super) fn detail(model: &Model) -> Option<Detail> {
    let zone = &model.zone;
    match &model.top().screen {
        Screen::Home(home) => match home.marked()? {
            HomeRow::Alert(alert) => Some(Detail::of_alert(alert, zone)),
            HomeRow::Service(_) => None,
        },
        Screen::Trace(tree) | Screen::Story(tree) => {
            let view = &tree.load.value.as_ref()?.view;
            view.timeline
                .detail(view.marked()?)
                .map(|row| Detail::of_row(&row, zone))
        }
        Screen::Logs(logs) => logs
            .store
            .get(logs.list.cursor)?
            .record()
            .map(|log| Detail::of_log(&log, zone)),
        Screen::Alerts(alerts) => {
            let place = alerts.list.cursor;
            match alerts
                .alerts
                .value
                .as_ref()
                .and_then(|known| known.get(place))
            {
                Some(alert) => Some(Detail::of_alert(alert, zone)),
                None => {
                    let place = place.checked_sub(alerts.alert_count())?;
                    alerts.rule(place).map(Detail::of_rule)
                }
            }
        }
        Screen::Traces(_) | Screen::Help(_) => None,
    }
}

/// Where Enter leads from the list, on screens whose rows are not shown in a pane.
pub(super) fn enter(model: &Model) -> Option<Jump> {
    match &model.top().screen {
        Screen::Traces(traces) => {
            let trace = traces.load.value.as_ref()?.get(traces.list.cursor)?;
            Some(Jump::Trace(trace.trace_id.clone(), None))
        }
        Screen::Home(home) => match home.marked()? {
            HomeRow::Alert(_) => None,
            HomeRow::Service(service) => Some(Jump::Traces(term("service", &service.name))),
        },
        _ => None,
    }
}

/// What the marked row is about.
fn subject(model: &Model) -> Option<Subject> {
    match &model.top().screen {
        Screen::Home(home) => Some(match home.marked()? {
            HomeRow::Alert(alert) => Subject::of_alert(alert),
            HomeRow::Service(service) => Subject {
                service: service.name.clone(),
                ..Subject::default()
            },
        }),
        Screen::Traces(traces) => {
            let trace = traces.load.value.as_ref()?.get(traces.list.cursor)?;
            Some(Subject {
                trace_id: trace.trace_id.clone(),
                ..Subject::default()
            })
        }
        Screen::Trace(tree) | Screen::Story(tree) => {
            let view = &tree.load.value.as_ref()?.view;
            view.timeline
                .detail(view.marked()?)
                .map(|row| Subject::of_row(&row))
        }
        Screen::Logs(logs) => logs
            .store
            .get(logs.list.cursor)?
            .record()
            .map(|log| Subject::of_log(&log)),
        Screen::Alerts(alerts) => alerts
            .alerts
            .value
            .as_ref()?
            .get(alerts.list.cursor)
            .map(Subject::of_alert),
        Screen::Help(_) => None,
    }
}

/// Goes from the marked row to its logs, trace or story.
pub(super) fn to(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    let on_logs = matches!(model.top().screen, Screen::Logs(_));
    let jump = subject(model).and_then(|subject| target(&subject, action, on_logs));
    match jump {
        Some(jump) => open::jump(model, jump, effects),
        None => {
            let what = match action {
                Action::ToLogs => "logs",
                Action::ToTrace => "a trace",
                _ => "a story",
            };
            model.notice = Some(format!("this row does not lead to {what}"));
        }
    }
}

fn target(subject: &Subject, action: Action, on_logs: bool) -> Option<Jump> {
    let trace = (!subject.trace_id.is_empty()).then(|| subject.trace_id.clone());
    let span = (!subject.span_id.is_empty()).then(|| subject.span_id.clone());
    let service = (!subject.service.is_empty()).then(|| term("service", &subject.service));
    match action {
        // From a span its own logs are meant; from a log record those of the whole trace.
        Action::ToLogs if on_logs => subject.all_logs().map(Jump::Logs),
        Action::ToLogs => subject.logs().map(Jump::Logs),
        Action::ToTrace => match trace {
            Some(trace) => Some(Jump::Trace(trace, span)),
            None => subject.correlated().or(service).map(Jump::Traces),
        },
        Action::ToStory => subject
            .correlation
            .first()
            .cloned()
            .or(trace)
            .map(Jump::Story),
        _ => None,
    }
}

/// Copies what the mark is on: a line of the details, or the id of the row.
pub(super) fn copy(model: &mut Model, effects: &mut Vec<Effect>) {
    let entry = model.top();
    let text = match &entry.detail {
        Some(detail) if entry.detail_focused => {
            let marked = detail.list.cursor;
            match detail.items.get(marked).map(|item| &item.jump) {
                Some(Some(Jump::Copy(text))) => Some(text.clone()),
                _ => detail.value(marked),
            }
        }
        _ => subject(model).and_then(|subject| {
            let ids = [subject.span_id, subject.trace_id].into_iter();
            let mut all = ids.chain(subject.correlation).chain([subject.service]);
            all.find(|text| !text.is_empty())
        }),
    };
    match text.filter(|text| !text.is_empty()) {
        Some(text) => effects.push(Effect::Copy(text)),
        None => model.notice = Some("this row has no id".to_owned()),
    }
}

/// The shell command that shows what the screen shows.
pub(super) fn command_line(model: &Model) -> String {
    let url = quote(&model.url);
    match &model.top().screen {
        Screen::Trace(tree) => format!("throughline trace {} --url {url}", quote(&tree.id)),
        Screen::Story(tree) => format!("throughline story {} --url {url}", quote(&tree.id)),
        Screen::Logs(logs) => format!("throughline logs {} --url {url}", quote(&logs.query)),
        _ => format!("throughline tui --url {url}"),
    }
}

/// Quotes a word for a POSIX shell.
fn quote(text: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=@".contains(c);
    if !text.is_empty() && text.chars().all(safe) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
