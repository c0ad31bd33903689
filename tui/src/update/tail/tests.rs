use crate::command::Command;
use crate::message::{Answer, Effect, Message, Request, Slot, SlotKind, TailMessage};
use crate::model::load::Failure;
use crate::model::logs::lines;
use crate::model::{Follow, Model, Screen};
use crate::testdata::{Server, T0, log, respond, whole};
use crate::update::tests::press;
use crate::update::{start, update};

const SECOND: u64 = 1_000_000_000;

struct Following {
    model: Model,
    entry: u64,
    generation: u64,
}

impl Following {
    /// A logs screen of four records that is followed.
    fn new() -> Self {
        let mut model = Model::new("http://h:1", (120, 40), T0 + SECOND);
        let effects = start(&mut model, Some(Command::Logs(String::new())));
        respond(&mut model, effects, &Server::Whole);
        let effects = press(&mut model, "F");
        let [
            Effect::Tail {
                entry, generation, ..
            },
        ] = effects[..]
        else {
            panic!("{effects:?}")
        };
        let mut following = Self {
            model,
            entry,
            generation,
        };
        let effects = following.tell(TailMessage::Opened);
        respond(&mut following.model, effects, &Server::Whole);
        following
    }

    fn tell(&mut self, event: TailMessage) -> Vec<Effect> {
        let (entry, generation) = (self.entry, self.generation);
        update(
            &mut self.model,
            Message::Tail {
                entry,
                generation,
                now: T0 + 2 * SECOND,
                event,
            },
        )
    }

    fn say(&mut self, dropped: u64, times: &[u64]) {
        let counts = api::TailEvent {
            dropped,
            ..api::TailEvent::default()
        };
        self.tell(TailMessage::Lines(records(times), counts));
    }

    fn answer(
        &mut self,
        (slot, generation): (Slot, u64),
        answer: Result<Answer, Failure>,
    ) -> Vec<Effect> {
        update(
            &mut self.model,
            Message::Answer {
                slot,
                generation,
                now: T0 + 12 * SECOND,
                answer: answer.map(Box::new),
            },
        )
    }

    fn follow(&self) -> &Follow {
        match &self.model.top().screen {
            Screen::Logs(logs) => logs.follow.as_ref().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn times(&self) -> Vec<u64> {
        match &self.model.top().screen {
            Screen::Logs(logs) => (0..logs.store.len())
                .map(|line| (logs.store.get(line).unwrap().time - T0) / 1_000_000)
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn records(times: &[u64]) -> Vec<crate::model::logs::LogLine> {
    let records: Vec<api::LogView> = times
        .iter()
        .map(|&time| log(time, 9, "email", "sent"))
        .collect();
    lines(&records)
}

fn away() -> Failure {
    Failure {
        message: "connection refused".to_owned(),
        away: true,
        ..Failure::default()
    }
}

/// The request for missed records among the effects.
fn missed(effects: &[Effect]) -> ((Slot, u64), api::LogsParams) {
    match effects {
        [
            Effect::Fetch {
                slot,
                generation,
                request: Request::Logs(params),
            },
        ] if slot.kind == SlotKind::Missed => ((*slot, *generation), params.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_broken_tail_catches_up_page_by_page_before_it_goes_on() {
    let mut tail = Following::new();
    tail.say(7, &[600]);
    assert!(tail.tell(TailMessage::Broken(away())).is_empty());
    assert!(tail.model.outage.is_some());
    let (request, params) = missed(&tail.tell(TailMessage::Opened));
    assert!(tail.model.outage.is_none());
    assert_eq!(
        tail.model.notice.as_deref(),
        Some("the server is back after 1s")
    );
    let since = T0 + 600_000_000 - 10 * SECOND;
    assert_eq!(params.range.start, Some(since.to_string()));
    // The new tail sends what the second page will hold, too; its drops add to the earlier ones.
    tail.say(2, &[900]);
    assert_eq!(tail.follow().dropped, 9);
    assert_eq!(tail.times(), [130, 300, 470, 500, 600]);
    let newest = Answer::Logs(records(&[800, 900]), Some("next".to_owned()), whole());
    let (request, params) = missed(&tail.answer(request, Ok(newest)));
    assert_eq!(params.cursor.as_deref(), Some("next"));
    let older = Answer::Logs(records(&[600, 700]), None, whole());
    assert!(tail.answer(request, Ok(older)).is_empty());
    assert_eq!(tail.times(), [130, 300, 470, 500, 600, 700, 800, 900]);
    assert_eq!((tail.follow().caught_up, tail.follow().lacks), (3, false));
    tail.say(2, &[950]);
    assert_eq!(tail.times().last(), Some(&950));
    assert_eq!(tail.model.top().screen.list().unwrap().cursor, 8);
}

#[test]
fn a_tail_that_breaks_again_while_it_catches_up_asks_from_the_first_break_on() {
    let mut tail = Following::new();
    tail.say(0, &[600]);
    tail.tell(TailMessage::Broken(away()));
    let (request, first) = missed(&tail.tell(TailMessage::Opened));
    tail.say(0, &[900]);
    assert!(tail.answer(request, Err(away())).is_empty());
    tail.tell(TailMessage::Broken(away()));
    assert_eq!(tail.times().last(), Some(&900), "what was sent is kept");
    let (request, second) = missed(&tail.tell(TailMessage::Opened));
    assert_eq!(first.range, second.range);
    let page = Answer::Logs(records(&[600, 700, 900]), None, whole());
    tail.answer(request, Ok(page));
    assert_eq!(tail.times(), [130, 300, 470, 500, 600, 700, 900]);
}

#[test]
fn missed_records_that_cannot_be_had_while_the_tail_goes_on_are_asked_for_again() {
    let mut tail = Following::new();
    tail.say(0, &[600]);
    tail.tell(TailMessage::Broken(away()));
    let (request, first) = missed(&tail.tell(TailMessage::Opened));
    assert_eq!(tail.model.tick_ms(), None);
    assert!(tail.answer(request, Err(away())).is_empty());
    // The tail is still there, and what it sends waits for what is missing.
    tail.say(0, &[900]);
    assert_eq!(tail.times().last(), Some(&600));
    assert_eq!(tail.model.tick_ms(), Some(2_000));
    let effects = update(&mut tail.model, Message::Tick(T0 + 14 * SECOND));
    let (again, rest) = effects.split_at(1);
    let (request, second) = missed(again);
    assert_eq!(first.range, second.range);
    assert!(matches!(
        rest,
        [Effect::Fetch { slot, .. }] if slot.kind == SlotKind::Probe
    ));
    let page = Answer::Logs(records(&[600, 700]), None, whole());
    tail.answer(request, Ok(page));
    assert_eq!(tail.times(), [130, 300, 470, 500, 600, 700, 900]);
    assert_eq!(tail.model.tick_ms(), None);
}

#[test]
fn what_a_source_of_the_server_acknowledged_while_it_was_away_is_caught_up() {
    let mut tail = Following::new();
    tail.say(0, &[600]);
    let source = || "collector-b".to_owned();
    let counts = api::TailEvent {
        lost: vec![source()],
        ..api::TailEvent::default()
    };
    assert!(tail.tell(TailMessage::Lines(Vec::new(), counts)).is_empty());
    assert_eq!(tail.follow().lost, [source()]);
    let counts = api::TailEvent {
        gaps: vec![api::TailGap {
            source: source(),
            from_unix_nano: T0,
            until_unix_nano: T0 + SECOND,
        }],
        ..api::TailEvent::default()
    };
    let (request, params) = missed(&tail.tell(TailMessage::Lines(Vec::new(), counts)));
    assert!(tail.follow().lost.is_empty());
    let since = T0 - 10 * SECOND;
    assert_eq!(params.range.start, Some(since.to_string()));
    // What comes meanwhile waits until the gap is filled.
    tail.say(0, &[900]);
    assert_eq!(tail.times(), [130, 300, 470, 500, 600]);
    let page = Answer::Logs(records(&[550, 600, 900]), None, whole());
    tail.answer(request, Ok(page));
    assert_eq!(tail.times(), [130, 300, 470, 500, 550, 600, 900]);
    assert_eq!(tail.follow().caught_up, 2);
}

#[test]
fn what_could_not_be_caught_up_is_said() {
    let mut tail = Following::new();
    tail.tell(TailMessage::Broken(away()));
    let (request, _) = missed(&tail.tell(TailMessage::Opened));
    let refused = Failure {
        message: "too many rows".to_owned(),
        ..Failure::default()
    };
    tail.answer(request, Err(refused));
    assert!(tail.follow().lacks && tail.follow().gap.is_none());
    let mut tail = Following::new();
    tail.tell(TailMessage::Broken(away()));
    let (mut request, _) = missed(&tail.tell(TailMessage::Opened));
    for _ in 1..super::PAGES_MAX {
        let page = Answer::Logs(records(&[700]), Some("next".to_owned()), whole());
        (request, _) = missed(&tail.answer(request, Ok(page)));
    }
    let page = Answer::Logs(records(&[700]), Some("next".to_owned()), whole());
    assert!(
        tail.answer(request, Ok(page)).is_empty(),
        "pages are bounded"
    );
    assert!(tail.follow().lacks);
}

#[test]
fn while_the_server_is_away_it_is_asked_by_the_clock_on_every_screen() {
    let mut model = Model::new("http://h:1", (80, 24), T0);
    let effects = start(&mut model, Some(Command::Traces(String::new())));
    assert_eq!(model.tick_ms(), None);
    let fail = |model: &mut Model, effects: Vec<Effect>| {
        for effect in effects {
            let Effect::Fetch {
                slot, generation, ..
            } = effect
            else {
                continue;
            };
            let answer = Err(away());
            update(
                model,
                Message::Answer {
                    slot,
                    generation,
                    now: T0,
                    answer,
                },
            );
        }
    };
    fail(&mut model, effects);
    assert_eq!(model.tick_ms(), Some(2_000));
    // What failed is asked for again.
    let effects = update(&mut model, Message::Tick(T0 + 2 * SECOND));
    assert!(
        matches!(
            &effects[..],
            [Effect::Fetch {
                request: Request::Traces(_),
                ..
            }]
        ),
        "{effects:?}"
    );
    fail(&mut model, effects);
    // A screen that lacks nothing only looks whether the server is back.
    press(&mut model, "?");
    let effects = update(&mut model, Message::Tick(T0 + 4 * SECOND));
    let [Effect::Fetch { slot, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(slot.kind, SlotKind::Probe);
    respond(&mut model, effects, &Server::Whole);
    assert_eq!(model.outage, None);
    assert_eq!(model.tick_ms(), None);
    // Going back asks for what is still missing.
    let effects = press(&mut model, "esc");
    respond(&mut model, effects, &Server::Whole);
    assert_eq!(model.top().screen.len(), 3);
}
