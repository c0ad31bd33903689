//! The first two rows: where one is, which time range, and how complete the answer is.

use api::{Completeness, SourceKind, SourceState};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::layout::Layout;
use crate::model::{Model, Outage, Prompt, PromptKind, Screen};
use crate::text::{ago, count, sanitise, width};
use crate::theme::Theme;
use crate::widgets::canvas::{columns, put, put_right};

/// Draws both rows.
pub(super) fn draw(frame: &mut Frame<'_>, areas: &Layout, model: &Model, theme: &Theme) {
    draw_breadcrumb(frame, areas, model, theme);
    draw_state(frame, areas, model, theme);
}

fn draw_breadcrumb(frame: &mut Frame<'_>, areas: &Layout, model: &Model, theme: &Theme) {
    let right = when(model);
    let right_width = u16::try_from(width(&right)).unwrap_or(u16::MAX);
    let left = columns(
        areas.header,
        0,
        areas.header.width.saturating_sub(right_width + 1),
    );
    let titles: Vec<String> = model
        .stack
        .iter()
        .map(|entry| sanitise(&entry.screen.title()).into_owned())
        .collect();
    // Where the way is too long to be shown, its end matters most.
    let mut first = 0;
    let room = usize::from(left.width).saturating_sub(4);
    while first + 1 < titles.len()
        && titles[first..]
            .iter()
            .map(|title| width(title) + 3)
            .sum::<usize>()
            > room
    {
        first += 1;
    }
    let buffer = frame.buffer_mut();
    let mut x = if first > 0 {
        put(buffer, left, 1, "… ▸ ", theme.dim)
    } else {
        1
    };
    for (place, title) in titles.iter().enumerate().skip(first) {
        let last = place + 1 == titles.len();
        x = put(
            buffer,
            left,
            x,
            title,
            if last { theme.accent } else { theme.text },
        );
        if !last {
            x = put(buffer, left, x, " ▸ ", theme.dim);
        }
    }
    put_right(buffer, areas.header, &right, theme.text);
}

/// Which time is shown, and in which zone: of a trace or story its day, since the rows tell only
/// the time of day.
fn when(model: &Model) -> String {
    let (time, what) = match &model.top().screen {
        Screen::Trace(tree) | Screen::Story(tree) => {
            match tree
                .load
                .value
                .as_ref()
                .map(|value| value.view.timeline.start)
            {
                Some(start) if start > 0 => (start, model.zone.date(start)),
                _ => (model.now, "any time".to_owned()),
            }
        }
        _ => (model.now, model.range_shown().text(&model.zone)),
    };
    format!("{what} · {} ", model.zone.name(time))
}

fn draw_state(frame: &mut Frame<'_>, areas: &Layout, model: &Model, theme: &Theme) {
    let buffer = frame.buffer_mut();
    let prompted = model
        .prompt
        .as_ref()
        .is_some_and(|prompt| draw_prompted(buffer, areas.state, prompt, theme));
    if prompted {
        return;
    }
    if let Some(outage) = &model.outage {
        draw_outage(buffer, areas.state, model, outage, theme);
        return;
    }
    let screen = &model.top().screen;
    let answers = screen.completeness();
    let lacks = incomplete(&answers, model.now);
    // The work done is of interest only where nothing is lacking.
    let mut left = areas.state;
    if lacks.is_empty() {
        let right = work(&answers);
        put_right(buffer, areas.state, &right, theme.dim);
        let used = u16::try_from(width(&right) + 1).unwrap_or(u16::MAX);
        left = columns(areas.state, 0, areas.state.width.saturating_sub(used));
    }
    let x = draw_progress(buffer, left, screen, theme);
    if let Some(failure) = screen.failure().filter(|_| screen.query().is_none()) {
        let hint = failure
            .hint
            .as_deref()
            .map_or(String::new(), |hint| format!(" ({hint})"));
        let text = format!("✗ {}{hint}", failure.message);
        put(buffer, left, x, &sanitise(&text), theme.error);
    } else if !lacks.is_empty() {
        let text = format!("! incomplete: {}", lacks.join("; "));
        put(buffer, left, x, &sanitise(&text), theme.warn);
    } else if let Some(until) = until(screen, &answers) {
        let dated = model.zone.dated(model.now, [until]);
        let text = format!("complete to {}", model.zone.stamp(until, dated));
        put(buffer, left, x, &text, theme.good);
    }
}

/// What helps with the line that is being typed, if anything does.
fn draw_prompted(buffer: &mut Buffer, row: Rect, prompt: &Prompt, theme: &Theme) -> bool {
    let (text, style) = match (&prompt.error, prompt.kind) {
        (Some(error), _) => (format!("✗ {}", sanitise(error)), theme.error),
        (None, PromptKind::Time) => (crate::range::CHOICES.to_owned(), theme.dim),
        (None, PromptKind::Palette) => {
            let syntax = crate::command::SYNTAX.iter().map(|(syntax, _)| *syntax);
            (syntax.collect::<Vec<_>>().join(" · "), theme.dim)
        }
        (None, PromptKind::Query) => {
            draw_suggestions(buffer, row, prompt, theme);
            return true;
        }
        (None, PromptKind::Search | PromptKind::Filter) => return false,
    };
    put(buffer, row, 1, &text, style);
    true
}

/// What is under way, and what a screen that follows has let go. Returns where it ends.
fn draw_progress(buffer: &mut Buffer, row: Rect, screen: &Screen, theme: &Theme) -> u16 {
    let mut x = 1;
    if let Screen::Logs(logs) = screen {
        if let Some(follow) = &logs.follow {
            let words = super::logs::follow_words(follow);
            x = put(buffer, row, x, &words, theme.accent) + 2;
        }
        if logs.store.evicted > 0 {
            let text = format!("! {} older lines let go", count(logs.store.evicted));
            x = put(buffer, row, x, &text, theme.warn) + 2;
        }
    }
    if screen.is_pending() {
        x = put(buffer, row, x, "loading…", theme.dim) + 2;
    }
    x
}

/// Says that the server is away, since when, and that it is asked again.
fn draw_outage(buffer: &mut Buffer, row: Rect, model: &Model, outage: &Outage, theme: &Theme) {
    let mut x = 1;
    if let Screen::Logs(logs) = &model.top().screen
        && let Some(follow) = &logs.follow
    {
        x = put(
            buffer,
            row,
            x,
            &super::logs::follow_words(follow),
            theme.accent,
        ) + 2;
    }
    let server = model.url.split_once("://").map_or(&*model.url, |url| url.1);
    let text = format!(
        "✗ {server} away for {}, asking again: {}",
        ago(model.now, outage.since),
        outage.reason
    );
    put(buffer, row, x, &sanitise(&text), theme.error);
}

/// What Tab would put in, then what else there is.
fn draw_suggestions(buffer: &mut Buffer, row: Rect, prompt: &Prompt, theme: &Theme) {
    let Some(found) = &prompt.suggestions.value else {
        return;
    };
    let mut x = 1;
    for (place, suggestion) in found.suggestions.iter().enumerate() {
        if x + 4 >= row.width {
            break;
        }
        let style = if place == 0 {
            theme.selected
        } else {
            theme.text
        };
        x = put(buffer, row, x, &sanitise(&suggestion.text), style);
        if suggestion.count > 0 {
            x = put(buffer, row, x + 1, &count(suggestion.count), theme.dim);
        }
        x += 2;
    }
}

/// The work done for what is shown.
fn work(answers: &[&Completeness]) -> String {
    let rows: u64 = answers.iter().map(|answer| answer.stats.rows).sum();
    let slowest = answers
        .iter()
        .map(|answer| answer.stats.elapsed_ms)
        .max()
        .unwrap_or(0);
    if rows == 0 && slowest == 0 {
        return String::new();
    }
    format!("{} rows read · {slowest} ms ", count(rows))
}

/// What the answers lack, in plain words; empty where nothing.
fn incomplete(answers: &[&Completeness], now: u64) -> Vec<String> {
    let mut words = Vec::new();
    let mut say = |text: String| {
        if !words.contains(&text) {
            words.push(text);
        }
    };
    // What is gone comes before what is late, and both before what a narrower query brings.
    for state in [SourceState::Lost, SourceState::Lagging] {
        for source in answers.iter().flat_map(|answer| &answer.complete_to) {
            let kind = match source.kind {
                SourceKind::Agent => "agent",
                SourceKind::Collector => "collector",
            };
            match source.state {
                SourceState::Lost if state == SourceState::Lost => {
                    say(format!("{kind} {} lost", source.source));
                }
                SourceState::Lagging if state == SourceState::Lagging => {
                    say(format!(
                        "{kind} {} lagging {}",
                        source.source,
                        ago(now, source.unix_nano)
                    ));
                }
                _ => {}
            }
        }
    }
    for cut in answers.iter().flat_map(|answer| &answer.cut) {
        // No limit was reached: the first turn of these rules is yet to come.
        if cut.limit == "evaluation" {
            say(format!("rules {} not evaluated yet", cut.value));
            continue;
        }
        let hint = if cut.hint.is_empty() {
            String::new()
        } else {
            format!(" ({})", cut.hint)
        };
        say(format!("limit {} {} reached{hint}", cut.limit, cut.value));
    }
    words
}

/// Up to when what is shown is complete. Alerts are as of the last evaluation of their rules, which
/// says nothing about the services beside them.
fn until(screen: &Screen, answers: &[&Completeness]) -> Option<u64> {
    match screen {
        Screen::Home(home) => complete_to(&[&home.services.completeness]),
        _ => complete_to(answers),
    }
}

fn complete_to(answers: &[&Completeness]) -> Option<u64> {
    answers
        .iter()
        .flat_map(|answer| &answer.complete_to)
        .map(|source| source.unix_nano)
        .min()
}
