use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;

use crate::command::Command;
use crate::message::{Answer, Effect, Message, Request, Slot, SlotKind, TailMessage};
use crate::model::logs::lines;
use crate::model::{Model, PromptKind, STACK_MAX, Screen};
use crate::testdata::{Server, T0, TRACE, log, respond, tree, whole};
use crate::update::{start, update};

/// The key that the registry calls so.
fn key(name: &str) -> KeyEvent {
    let (modifiers, name) = match name.split_once('-') {
        Some(("ctrl", rest)) => (KeyModifiers::CONTROL, rest),
        Some(("alt", rest)) => (KeyModifiers::ALT, rest),
        _ => (KeyModifiers::NONE, name),
    };
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        other => KeyCode::Char(other.chars().next().unwrap()),
    };
    KeyEvent::new(code, modifiers)
}

pub(crate) fn press(model: &mut Model, name: &str) -> Vec<Effect> {
    update(model, Message::Key(key(name)))
}

pub(crate) fn press_all(model: &mut Model, names: &[&str]) -> Vec<Effect> {
    names.iter().flat_map(|name| press(model, name)).collect()
}

pub(crate) fn type_text(model: &mut Model, text: &str) {
    for character in text.chars() {
        update(
            model,
            Message::Key(KeyEvent::new(KeyCode::Char(character), KeyModifiers::NONE)),
        );
    }
}

pub(crate) fn opened(command: Command) -> Model {
    let mut model = Model::new("http://h:1", (80, 24), T0);
    let effects = start(&mut model, Some(command));
    respond(&mut model, effects, &Server::Whole);
    model
}

pub(crate) fn requests(effects: &[Effect]) -> Vec<Request> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Fetch { request, .. } => Some(request.clone()),
            _ => None,
        })
        .collect()
}

pub(crate) fn marked(model: &Model) -> usize {
    model.top().screen.list().unwrap().cursor
}

#[test]
fn jumps_lead_where_the_row_points() {
    let story = |id: &str| Request::Story(id.to_owned());
    let trace = |id: &str| Request::Trace(id.to_owned());
    let logs = |effects: &[Effect]| {
        requests(effects)
            .into_iter()
            .find_map(|request| match request {
                Request::Logs(params) => Some((params.q, params.range)),
                _ => None,
            })
    };
    let any = api::Range::default;
    // Trace: the marked span is the first.
    let mut model = opened(Command::Trace(TRACE.into()));
    let effects = press_all(&mut model, &["g", "l"]);
    let query =
        format!("(trace_id:{TRACE} span_id:0000000000000001) OR (correlation:ord-42 -trace_id:*)");
    assert_eq!(logs(&effects), Some((query, any())));
    let mut model = opened(Command::Trace(TRACE.into()));
    assert_eq!(
        requests(&press_all(&mut model, &["g", "s"])),
        [story("ord-42")]
    );
    // Logs: the mark is on the newest record, which has no span.
    let mut model = opened(Command::Logs(String::new()));
    assert_eq!(
        requests(&press_all(&mut model, &["g", "t"])),
        [trace(TRACE)]
    );
    let mut model = opened(Command::Logs(String::new()));
    assert_eq!(
        requests(&press_all(&mut model, &["g", "s"])),
        [story("ord-42")]
    );
    let mut model = opened(Command::Logs(String::new()));
    let effects = press_all(&mut model, &["g", "l"]);
    let query = format!("trace_id:{TRACE} OR (correlation:ord-42 -trace_id:*)");
    assert_eq!(logs(&effects), Some((query, any())));
    // Alerts: by the service label.
    let mut model = opened(Command::Alerts);
    let effects = press_all(&mut model, &["g", "l"]);
    assert_eq!(logs(&effects).unwrap().0, "service:payment");
    // Home: below the two alerts stand the services.
    let mut model = opened(Command::Home);
    let effects = press_all(&mut model, &["j", "j", "enter"]);
    assert!(matches!(&requests(&effects)[..], [Request::Traces(p)] if p.q == "service:checkout"));
    // Traces: Enter opens.
    let mut model = opened(Command::Traces(String::new()));
    assert_eq!(
        requests(&press(&mut model, "enter")),
        [trace(&format!("{:032x}", 10))]
    );
    // A span made up from logs leads to the records of its service.
    let mut model = opened(Command::Trace(TRACE.into()));
    press_all(&mut model, &["/"]);
    type_text(&mut model, "legacy");
    let effects = press_all(&mut model, &["enter", "g", "l"]);
    let query =
        format!("service:legacy-billing (trace_id:{TRACE} OR (correlation:ord-42 -trace_id:*))");
    assert_eq!(logs(&effects), Some((query, any())));
    // Rules lead nowhere, and say so.
    let mut model = opened(Command::Alerts);
    let effects = press_all(&mut model, &["G", "g", "s"]);
    assert!(effects.is_empty());
    assert_eq!(
        model.notice.as_deref(),
        Some("this row does not lead to a story")
    );
}

#[test]
fn a_record_without_a_trace_leads_on_by_what_it_is_correlated_by() {
    let mut record = log(900, 9, "ledger", "booked");
    record.trace_id = String::new();
    record.span_id = String::new();
    let open = || {
        let mut model = opened(Command::Logs(String::new()));
        if let Screen::Logs(logs) = &mut model.top_mut().screen {
            logs.store.append(lines(std::slice::from_ref(&record)));
        }
        press(&mut model, "G");
        model
    };
    let mut model = open();
    let effects = press_all(&mut model, &["g", "t"]);
    assert!(matches!(&requests(&effects)[..], [Request::Traces(params)]
            if params.q == "correlation:ord-42" && params.range == api::Range::default()));
    let mut model = open();
    let effects = press_all(&mut model, &["g", "l"]);
    assert!(
        matches!(&requests(&effects)[0], Request::Logs(params) if params.q == "correlation:ord-42")
    );
}

#[test]
fn a_log_record_marks_its_span_in_the_trace() {
    let mut model = opened(Command::Logs(String::new()));
    let effects = press_all(&mut model, &["k", "g", "t"]);
    respond(&mut model, effects, &Server::Whole);
    let Screen::Trace(tree) = &model.top().screen else {
        panic!("not a trace")
    };
    let view = &tree.load.value.as_ref().unwrap().view;
    let row = view.timeline.rows()[view.marked().unwrap() as usize];
    assert_eq!(row.span_id, 4);
}

#[test]
fn a_link_in_the_details_opens_the_linked_trace() {
    let mut model = opened(Command::Trace(TRACE.into()));
    press_all(&mut model, &["e", "enter", "enter"]);
    assert!(model.top().detail_focused);
    let items = &model.top().detail.as_ref().unwrap().items;
    let link = items.iter().position(|item| item.label == "trace").unwrap();
    for _ in 0..link {
        press(&mut model, "j");
    }
    assert_eq!(
        requests(&press(&mut model, "enter")),
        [Request::Trace("f".repeat(32))]
    );
    press_all(&mut model, &["esc", "esc"]);
    assert!(model.top().detail.is_none());
    assert_eq!(model.top().screen.kind(), crate::action::ScreenKind::Trace);
}

#[test]
fn errors_are_walked_and_folds_opened() {
    let mut model = opened(Command::Trace(TRACE.into()));
    press(&mut model, "-");
    let hidden = model.top().screen.len();
    press(&mut model, "e");
    assert!(model.top().screen.len() > hidden);
    press(&mut model, "e");
    assert_eq!(model.notice.as_deref(), Some("no error below"));
    let mut model = opened(Command::Traces(String::new()));
    press(&mut model, "e");
    assert_eq!(marked(&model), 2);
    press(&mut model, "E");
    assert_eq!(marked(&model), 0);
    let mut model = opened(Command::Logs(String::new()));
    press(&mut model, "E");
    assert_eq!(marked(&model), 2);
}

#[test]
fn search_finds_rows_of_the_tree() {
    let mut model = opened(Command::Story("ord-42".into()));
    press(&mut model, "/");
    type_text(&mut model, "RETRYING");
    press(&mut model, "enter");
    let at = marked(&model);
    assert!(at > 0);
    press(&mut model, "n");
    assert_eq!(marked(&model), at);
    press(&mut model, "/");
    type_text(&mut model, "nowhere");
    press(&mut model, "enter");
    assert_eq!(model.notice.as_deref(), Some("no match for \"nowhere\""));
}

#[test]
fn stale_answers_change_nothing() {
    let mut model = opened(Command::Traces("a".into()));
    let first = press(&mut model, "r");
    let second = press(&mut model, "r");
    let Effect::Fetch {
        slot, generation, ..
    } = first[0]
    else {
        panic!("no request")
    };
    let late = || Ok(Box::new(Answer::Traces(Vec::new(), None, whole())));
    update(
        &mut model,
        Message::Answer {
            slot,
            generation,
            now: T0,
            answer: late(),
        },
    );
    assert!(model.top().screen.is_pending());
    assert_eq!(model.top().screen.len(), 3);
    respond(&mut model, second, &Server::Failing);
    assert_eq!(model.top().screen.len(), 3, "the last good value stays");
    assert!(model.top().screen.failure().is_some());
    // An answer of another kind than was asked for is a failure, not a crash.
    let effects = press(&mut model, "r");
    let Effect::Fetch {
        slot, generation, ..
    } = effects[0]
    else {
        panic!("no request")
    };
    let wrong = Ok(Box::new(Answer::Tree(Box::new(tree(false)), whole())));
    update(
        &mut model,
        Message::Answer {
            slot,
            generation,
            now: T0,
            answer: wrong,
        },
    );
    assert!(model.top().screen.failure().is_some());
}

#[test]
fn pages_are_asked_for_at_the_end_and_once() {
    let mut model = opened(Command::Traces(String::new()));
    let effects = press(&mut model, "G");
    assert!(matches!(&requests(&effects)[..], [Request::Traces(p)] if p.cursor.is_some()));
    assert!(press(&mut model, "G").is_empty(), "one page at a time");
    respond(&mut model, effects, &Server::Whole);
    assert_eq!(model.top().screen.len(), 6);
    assert!(press(&mut model, "G").is_empty(), "there is no third page");
    let mut model = opened(Command::Logs(String::new()));
    let effects = press_all(&mut model, &["g", "g"]);
    respond(&mut model, effects, &Server::Whole);
    assert_eq!(
        (model.top().screen.len(), marked(&model)),
        (8, 4),
        "the mark keeps its line"
    );
}

#[test]
fn a_tail_opens_before_the_page_is_asked_for_and_pauses_upwards() {
    let mut model = opened(Command::Logs(String::new()));
    let effects = press(&mut model, "F");
    let [
        Effect::Tail {
            entry, generation, ..
        },
    ] = effects[..]
    else {
        panic!("{effects:?}")
    };
    let tell = |model: &mut Model, event| {
        update(
            model,
            Message::Tail {
                entry,
                generation,
                now: T0,
                event,
            },
        )
    };
    let effects = tell(&mut model, TailMessage::Opened);
    let early = lines(&[
        crate::testdata::logs()[3].clone(),
        log(600, 9, "email", "new"),
    ]);
    tell(
        &mut model,
        TailMessage::Lines(early, api::TailEvent::default()),
    );
    respond(&mut model, effects, &Server::Whole);
    assert_eq!(
        model.top().screen.len(),
        5,
        "what the page and the tail share is there once"
    );
    assert_eq!(marked(&model), 4);
    press(&mut model, "k");
    let more = || lines(&[log(700, 9, "email", "newer")]);
    tell(
        &mut model,
        TailMessage::Lines(more(), api::TailEvent::default()),
    );
    assert_eq!(marked(&model), 3, "paused");
    press(&mut model, "G");
    tell(
        &mut model,
        TailMessage::Lines(more(), api::TailEvent::default()),
    );
    assert_eq!(marked(&model), 6, "resumed");
    // A new query follows anew, and the old tail's lines are no longer taken.
    press(&mut model, "/");
    type_text(&mut model, "level:error");
    let effects = press(&mut model, "enter");
    assert!(effects.contains(&Effect::StopTail(entry)));
    assert!(
        effects
            .iter()
            .any(|e| matches!(e, Effect::Tail { query, .. } if query == "level:error"))
    );
    tell(
        &mut model,
        TailMessage::Lines(more(), api::TailEvent::default()),
    );
    assert_eq!(model.top().screen.len(), 7);
}

#[test]
fn prompts_check_before_they_act() {
    let mut model = opened(Command::Home);
    press(&mut model, "t");
    type_text(&mut model, "soon");
    assert!(press(&mut model, "enter").is_empty());
    assert!(model.prompt.as_ref().unwrap().error.is_some());
    press(&mut model, "ctrl-u");
    type_text(&mut model, "6h");
    let effects = press(&mut model, "enter");
    assert_eq!(model.range.text(&model.zone), "6h");
    assert!(requests(&effects).iter().any(
        |request| matches!(request, Request::Services(range) if range.start.as_deref() == Some("now-6h"))
    ));
    press_all(&mut model, &["t", "up"]);
    assert_eq!(model.prompt.as_ref().unwrap().input.value(), "6h");
    press_all(&mut model, &["down", "esc"]);
    assert!(model.prompt.is_none());
    update(&mut model, Message::Paste(format!(" {TRACE}\n")));
    assert_eq!(model.prompt.as_ref().unwrap().kind, PromptKind::Palette);
    assert_eq!(
        requests(&press(&mut model, "enter")),
        [Request::Trace(TRACE.to_owned())]
    );
}

#[test]
fn tab_completes_what_is_typed() {
    let mut model = opened(Command::Traces(String::new()));
    press(&mut model, "/");
    type_text(&mut model, "ser");
    press(&mut model, "tab");
    assert_eq!(
        model.prompt.as_ref().unwrap().input.value(),
        "ser",
        "nothing is known yet"
    );
    let effects = press(&mut model, "v");
    let [Request::Complete(params)] = &requests(&effects)[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((params.q.as_str(), params.cursor), ("serv", Some(4)));
    assert_eq!(params.signal.as_deref(), Some("traces"));
    respond(&mut model, effects, &Server::Whole);
    press(&mut model, "tab");
    assert_eq!(model.prompt.as_ref().unwrap().input.value(), "service:");
    let effects = press(&mut model, "x");
    respond(&mut model, effects, &Server::Whole);
    press_all(&mut model, &["ctrl-n", "tab"]);
    assert_eq!(model.prompt.as_ref().unwrap().input.value(), "se rvice é:");
}

#[test]
fn the_way_back_forgets_what_was_asked() {
    let mut model = opened(Command::Home);
    for _ in 0..STACK_MAX * 2 {
        press(&mut model, "3");
    }
    assert_eq!(model.stack.len(), STACK_MAX);
    let top = model.top().id;
    assert!(press(&mut model, "esc").contains(&Effect::Abort(top)));
    press(&mut model, "1");
    assert_eq!(model.stack.len(), 1);
    assert!(press(&mut model, "esc").is_empty());
    assert!(model.notice.is_some());
    assert_eq!(press(&mut model, "Q"), [Effect::Quit]);
    // An answer for a screen that is gone finds nobody.
    let slot = Slot {
        entry: top,
        kind: SlotKind::Main,
    };
    let answer = Ok(Box::new(Answer::Alerts(Vec::new(), whole())));
    update(
        &mut model,
        Message::Answer {
            slot,
            generation: 1,
            now: T0,
            answer,
        },
    );
}

#[test]
fn ticks_ask_anew_only_where_something_can_change() {
    let mut model = opened(Command::Home);
    assert_eq!(
        requests(&update(&mut model, Message::Tick(T0 + 1))).len(),
        2
    );
    assert!(
        update(&mut model, Message::Tick(T0 + 2)).is_empty(),
        "the answer is under way"
    );
    let model = opened(Command::Trace(TRACE.into()));
    assert_eq!(model.tick_ms(), None);
}

#[test]
fn copies_ids_and_commands() {
    let mut model = opened(Command::Trace(TRACE.into()));
    assert_eq!(
        press(&mut model, "y"),
        [Effect::Copy("0000000000000001".into())]
    );
    let mut model = opened(Command::Logs("a:'b c'".into()));
    let command = "throughline logs 'a:'\\''b c'\\''' --url http://h:1";
    assert_eq!(press(&mut model, "Y"), [Effect::Copy(command.into())]);
}

fn any_key() -> impl Strategy<Value = KeyEvent> {
    let names = [
        "enter",
        "esc",
        "tab",
        "space",
        "up",
        "down",
        "left",
        "right",
        "home",
        "end",
        "pageup",
        "pagedown",
        "backspace",
        "delete",
        "ctrl-d",
        "ctrl-u",
        "ctrl-w",
        "ctrl-k",
        "ctrl-y",
        "alt-j",
        "alt-/",
        "alt-b",
        "alt-enter",
        "g",
        "e",
        "E",
        "n",
        "N",
        "f",
        "/",
        ":",
        "t",
        "F",
        "w",
        "-",
        "+",
        "J",
        "o",
        "1",
        "2",
        "3",
        "4",
        "?",
        "G",
        "l",
        "s",
        "a",
        "r",
        "y",
        "Y",
        "j",
        "k",
        "h",
    ];
    prop_oneof![
        4 => proptest::sample::select(names.to_vec()).prop_map(key),
        1 => any::<char>().prop_map(|c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Key(KeyEvent),
    Paste(String),
    Resize(u16, u16),
    Open(u8),
    Tail(Vec<String>),
    Tick,
}

fn any_step() -> impl Strategy<Value = Step> {
    let text = || proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter);
    prop_oneof![
        20 => any_key().prop_map(Step::Key),
        1 => text().prop_map(Step::Paste),
        2 => (1u16..=300, 1u16..=100).prop_map(|(columns, rows)| Step::Resize(columns, rows)),
        2 => (0u8..4).prop_map(Step::Open),
        2 => proptest::collection::vec(text(), 0..4).prop_map(Step::Tail),
        1 => Just(Step::Tick),
    ]
}

/// Answers and tails with text that nobody would send on purpose.
fn play(model: &mut Model, steps: &[Step], draw: &mut dyn FnMut(&Model)) {
    for step in steps {
        let effects = match step {
            Step::Key(key) => update(model, Message::Key(*key)),
            Step::Paste(text) => update(model, Message::Paste(text.clone())),
            Step::Resize(columns, rows) => update(model, Message::Resize(*columns, *rows)),
            Step::Tick => update(model, Message::Tick(T0)),
            Step::Open(0) => press_all(model, &["esc", "esc", "2"]),
            Step::Open(1) => press_all(model, &["esc", "esc", "3"]),
            Step::Open(_) => {
                press_all(model, &["esc", "esc"]);
                update(model, Message::Paste(TRACE.to_owned()));
                press(model, "enter")
            }
            Step::Tail(texts) => {
                let event = match &model.top().screen {
                    Screen::Logs(logs) => logs.follow.as_ref().map(|follow| follow.generation),
                    _ => None,
                };
                let records: Vec<api::LogView> =
                    texts.iter().map(|text| log(1, 9, text, text)).collect();
                match event {
                    Some(generation) => {
                        let entry = model.top().id;
                        let counts = api::TailEvent {
                            lost: texts.clone(),
                            ..Default::default()
                        };
                        let event = TailMessage::Lines(lines(&records), counts);
                        update(
                            model,
                            Message::Tail {
                                entry,
                                generation,
                                now: T0,
                                event,
                            },
                        )
                    }
                    None => Vec::new(),
                }
            }
        };
        let server = match effects.len() % 3 {
            0 => Server::Failing,
            1 => Server::Whole,
            _ => Server::Partial,
        };
        respond(model, effects, &server);
        draw(model);
        check(model);
    }
}

fn check(model: &Model) {
    for entry in &model.stack {
        let len = entry.screen.len();
        if let Some(list) = entry.screen.list() {
            assert!(list.cursor < len.max(1), "{list:?} of {len}");
            assert!(list.offset <= list.cursor, "{list:?}");
        }
        if let Some(detail) = &entry.detail {
            assert!(detail.list.cursor < detail.items.len().max(1));
        }
    }
    if let Some(prompt) = &model.prompt {
        assert!(prompt.input.cursor() <= prompt.input.value().chars().count());
    }
    assert!(model.stack.len() <= STACK_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_the_screen(
        size in (1u16..=300, 1u16..=100),
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut model = Model::new("http://h:1", size, T0);
        let effects = start(&mut model, None);
        respond(&mut model, effects, &Server::Whole);
        let theme = crate::theme::Theme::new(crate::theme::ColorLevel::True);
        play(&mut model, &steps, &mut |model| {
            let backend = ratatui::backend::TestBackend::new(model.size.0, model.size.1);
            let mut terminal = ratatui::Terminal::new(backend).unwrap();
            terminal.draw(|frame| crate::view::draw(model, &theme, frame)).unwrap();
            for cell in terminal.backend().buffer().content() {
                assert!(!cell.symbol().chars().any(char::is_control), "{:?}", cell.symbol());
            }
        });
    }
}
