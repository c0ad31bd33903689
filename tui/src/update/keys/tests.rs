use crate::action::ScreenKind;
use crate::command::Command;
use crate::message::{Effect, Message, Request, TailMessage};
use crate::model::logs::lines;
use crate::model::{Model, PromptKind, Screen};
use crate::testdata::{Server, TRACE, log, respond};
use crate::update::tests::{marked, opened, press, press_all, requests, type_text};
use crate::update::update;

/// The text of the marked log record.
fn marked_text(model: &Model) -> String {
    let Screen::Logs(logs) = &model.top().screen else {
        panic!("not logs")
    };
    logs.store.get(logs.list.cursor).unwrap().text.to_string()
}

fn typed(model: &Model) -> Option<(PromptKind, &str)> {
    let prompt = model.prompt.as_ref()?;
    Some((prompt.kind, prompt.input.value()))
}

#[test]
fn a_key_right_behind_esc_is_not_lost() {
    // A terminal sends the same bytes for Esc, then j, and for Alt with j.
    let mut model = opened(Command::Trace(TRACE.into()));
    press(&mut model, "enter");
    press(&mut model, "alt-j");
    assert!(model.top().detail.is_none(), "Esc closed the details");
    assert_eq!(marked(&model), 1, "and j went down");
    // Out of a prompt, on with a key of the screen.
    let mut model = opened(Command::Logs(String::new()));
    press(&mut model, "/");
    type_text(&mut model, "level");
    press(&mut model, "alt-w");
    assert!(model.prompt.is_none());
    let Screen::Logs(logs) = &model.top().screen else {
        panic!("not logs")
    };
    assert!(logs.wrap && logs.query.is_empty());
    // Back, then open.
    press(&mut model, "alt-enter");
    assert_eq!(model.top().screen.kind(), ScreenKind::Home);
    assert!(model.top().detail.is_some());
}

#[test]
fn alt_still_goes_by_words_where_text_is_typed() {
    let mut model = opened(Command::Home);
    press(&mut model, ":");
    type_text(&mut model, "story one two");
    press_all(&mut model, &["alt-b", "alt-backspace"]);
    assert_eq!(typed(&model), Some((PromptKind::Palette, "story two")));
}

#[test]
fn logs_are_searched_among_the_lines_that_are_here() {
    let mut model = opened(Command::Logs(String::new()));
    if let Screen::Logs(logs) = &mut model.top_mut().screen {
        logs.store.append(lines(&[
            log(910, 9, "cart", "first Needle"),
            log(920, 9, "cart", "hay"),
            log(930, 9, "needlework", "opened"),
            log(940, 9, "cart", "hay again"),
        ]));
    }
    press_all(&mut model, &["G", "n"]);
    assert_eq!(
        model.notice.as_deref(),
        Some("nothing to search for; f asks")
    );
    press(&mut model, "f");
    type_text(&mut model, "needle");
    assert!(
        requests(&press(&mut model, "enter")).is_empty(),
        "nobody is asked"
    );
    assert_eq!(marked_text(&model), "opened", "the newest, by its service");
    press(&mut model, "N");
    assert_eq!(marked_text(&model), "first Needle");
    press_all(&mut model, &["n", "n"]);
    assert_eq!(marked_text(&model), "first Needle", "around the end");
    press(&mut model, "f");
    type_text(&mut model, "nowhere");
    press(&mut model, "enter");
    assert_eq!(model.notice.as_deref(), Some("no match for \"nowhere\""));
    assert_eq!(marked_text(&model), "first Needle");
    // Nothing ends the search, and says nothing.
    press_all(&mut model, &["f", "enter"]);
    assert_eq!(model.notice, None);
}

#[test]
fn a_match_that_is_looked_at_is_not_pushed_away_by_new_records() {
    let mut model = opened(Command::Logs(String::new()));
    let effects = press(&mut model, "F");
    let Some(&Effect::Tail {
        entry, generation, ..
    }) = effects.first()
    else {
        panic!("no tail")
    };
    let mut tell = |event| {
        let tail = Message::Tail {
            entry,
            generation,
            now: 0,
            event,
        };
        let effects = update(&mut model, tail);
        respond(&mut model, effects, &Server::Whole);
    };
    tell(TailMessage::Opened);
    press(&mut model, "f");
    let first = {
        let Screen::Logs(logs) = &model.top().screen else {
            panic!("not logs")
        };
        logs.store.get(0).unwrap().text.to_string()
    };
    type_text(&mut model, &first);
    press(&mut model, "enter");
    assert_eq!(marked(&model), 0);
    let new = lines(&[log(950, 9, "email", "new")]);
    let tail = Message::Tail {
        entry,
        generation,
        now: 0,
        event: TailMessage::Lines(new, api::TailEvent::default()),
    };
    update(&mut model, tail);
    assert_eq!(marked(&model), 0);
}

#[test]
fn home_is_filtered_while_one_types_and_esc_shows_all_again() {
    let mut model = opened(Command::Home);
    let all = model.top().screen.len();
    press(&mut model, "/");
    type_text(&mut model, "check");
    assert!(model.top().screen.len() < all, "before Enter");
    press(&mut model, "enter");
    let kept = model.top().screen.len();
    assert!(kept > 0 && kept < all);
    // It holds when the answer is renewed, and for what Enter opens.
    let effects = press(&mut model, "r");
    respond(&mut model, effects, &Server::Whole);
    assert_eq!(model.top().screen.len(), kept);
    press(&mut model, "esc");
    assert_eq!(model.top().screen.len(), all);
    // A filter that is left while it is typed is forgotten.
    press(&mut model, "/");
    type_text(&mut model, "nothing of this name");
    assert_eq!(model.top().screen.len(), 0);
    press(&mut model, "esc");
    assert_eq!(model.top().screen.len(), all);
}

#[test]
fn services_keep_the_mark_when_their_order_changes() {
    let mut model = opened(Command::Home);
    press(&mut model, "G");
    let name = |model: &Model| {
        let Screen::Home(home) = &model.top().screen else {
            panic!("not home")
        };
        format!("{:?}", home.marked_key())
    };
    let before = name(&model);
    for order in ["errors", "rate", "p99", "name"] {
        press(&mut model, "o");
        assert_eq!(model.notice, Some(format!("services by {order}")));
        assert_eq!(name(&model), before);
    }
}

#[test]
fn local_times_are_of_the_zone_shown() {
    let mut model = opened(Command::Home);
    let zone = jiff::tz::TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    model.zone = crate::zone::Zone::local(zone);
    press(&mut model, ":");
    type_text(&mut model, "time 2023-11-14 23:05..23:20");
    press(&mut model, "enter");
    assert_eq!(model.range.text(&model.zone), "2023-11-14 23:05..23:20");
    press(&mut model, "z");
    assert_eq!(model.range.text(&model.zone), "2023-11-14 22:05..22:20");
    // The prompt for a time reads the same forms.
    press(&mut model, "t");
    type_text(&mut model, "22:05");
    press(&mut model, "enter");
    assert_eq!(model.range.text(&model.zone), "2023-11-14 22:05..");
}

#[test]
fn help_is_of_the_screen_below() {
    let mut model = opened(Command::Logs(String::new()));
    press(&mut model, "?");
    let Screen::Help(help) = &model.top().screen else {
        panic!("not help")
    };
    assert_eq!(help.of, ScreenKind::Logs);
    press(&mut model, "?");
    assert_eq!(model.top().screen.kind(), ScreenKind::Logs);
}

#[test]
fn a_screen_that_one_comes_back_to_is_of_the_range_that_is_named() {
    let mut model = opened(Command::Traces(String::new()));
    press(&mut model, "3");
    press(&mut model, "t");
    type_text(&mut model, "2h..1h");
    let effects = press(&mut model, "enter");
    respond(&mut model, effects, &Server::Whole);
    let start = Some("now-2h".to_owned());
    let effects = press(&mut model, "esc");
    assert!(
        matches!(&requests(&effects)[..], [Request::Traces(asked)] if asked.range.start == start),
        "{effects:?}"
    );
    respond(&mut model, effects, &Server::Whole);
    let effects = press(&mut model, "esc");
    assert!(
        requests(&effects)
            .iter()
            .any(|asked| matches!(asked, Request::Services(range) if range.start == start)),
        "{effects:?}"
    );
    // With the range as it was nothing is asked but what changes by itself.
    let mut model = opened(Command::Traces(String::new()));
    press(&mut model, "3");
    assert!(requests(&press(&mut model, "esc")).is_empty());
}

#[test]
fn alerts_are_looked_at_whatever_the_range() {
    let mut model = opened(Command::Home);
    press(&mut model, "t");
    type_text(&mut model, "2h..1h");
    press(&mut model, "enter");
    assert_eq!(model.tick_ms(), Some(5_000));
}
