use super::*;

const SECOND: u64 = NANOS_PER_SECOND;
const DAY: u64 = 24 * 3600 * SECOND;
/// Some time after which everything happens.
const T: u64 = 1_000 * DAY;

fn said(agent: &str, complete_to_unix_nano: u64) -> Stamp {
    Stamp {
        agent: agent.to_owned(),
        epoch: 0,
        sequence: 0,
        sent_unix_nano: complete_to_unix_nano,
        complete_to_unix_nano,
        clock: None,
    }
}

fn states(sources: &Sources, now: u64) -> Vec<(String, SourceState)> {
    let listed = sources.list("c", now).into_iter();
    listed
        .filter(|source| source.kind == SourceKind::Agent)
        .map(|source| (source.name, source.state))
        .collect()
}

#[test]
fn an_agent_is_live_while_it_is_heard_of_and_forgotten_after_a_day() {
    let mut sources = Sources::default();
    sources.acknowledged(Some(&said("a", T)), T);
    for (seconds, state) in [
        (30, SourceState::Live),
        (31, SourceState::Lagging),
        (301, SourceState::Lost),
    ] {
        let found = states(&sources, T + seconds * SECOND);
        assert_eq!(found, [("a".to_owned(), state)], "{seconds}");
    }
    let now = T + 400 * SECOND;
    sources.acknowledged(Some(&said("a", now)), now);
    assert_eq!(states(&sources, now)[0].1, SourceState::Live);
    assert!(sources.take_unsaved(now + DAY).is_some());
    assert_eq!(states(&sources, now + DAY), []);
    assert_eq!(sources.counts()[2], ("forgotten_agents_total", 1));
}

#[test]
fn an_agent_that_is_heard_of_and_behind_lags() {
    let mut sources = Sources::default();
    let mut stamp = said("a", T);
    stamp.sent_unix_nano = T + 31 * SECOND;
    sources.acknowledged(Some(&stamp), T);
    assert_eq!(states(&sources, T)[0].1, SourceState::Lagging);
    // It has caught up, by its own clock, which is a day ahead.
    sources.acknowledged(Some(&said("a", T + DAY)), T);
    assert_eq!(states(&sources, T)[0].1, SourceState::Live);
}

#[test]
fn who_says_nothing_of_completeness_or_says_goodbye_is_not_listed() {
    let mut sources = Sources::default();
    sources.acknowledged(Some(&said("load", 0)), T);
    assert_eq!(states(&sources, T), []);
    sources.acknowledged(Some(&said("a", T)), T);
    sources.acknowledged(Some(&said("a", Stamp::COMPLETE_FOR_EVER)), T);
    assert_eq!(states(&sources, T), []);
    assert_eq!(sources.list("c", T)[0].unix_nano, T);
}

#[test]
fn of_many_agents_the_worst_are_named_and_the_rest_is_counted() {
    let mut sources = Sources::default();
    for n in 0..AGENTS_MAX as u64 + 5 {
        sources.acknowledged(Some(&said(&format!("agent-{n:05}"), T + n)), T);
    }
    assert_eq!(
        sources.counts()[..2],
        [
            ("agents", AGENTS_MAX as u64),
            ("unlisted_agent_exports_total", 5)
        ]
    );
    // One has not been heard of since, although it was the most complete.
    let now = T + 60 * SECOND;
    for n in 0..AGENTS_MAX as u64 - 1 {
        sources.acknowledged(Some(&said(&format!("agent-{n:05}"), now + n)), now);
    }
    let listed = sources.list("c", now);
    assert_eq!(listed.len(), 1 + LISTED_MAX);
    let lagging: Vec<&Source> = listed
        .iter()
        .filter(|source| source.state == SourceState::Lagging)
        .collect();
    assert_eq!(lagging.len(), 1);
    assert_eq!(lagging[0].name, format!("agent-{:05}", AGENTS_MAX - 1));
    let rest = listed.last().unwrap();
    let left = AGENTS_MAX - (LISTED_MAX - 1);
    assert_eq!(rest.name, format!("{left} more agents"));
    // Nothing that is not named is less complete than that.
    assert_eq!(rest.unix_nano, now + LISTED_MAX as u64 - 2);
}

#[test]
fn the_list_is_taken_up_again_and_its_agents_lag_until_they_are_heard_of() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let now = env.clock.unix_nanos();
    let mut before = Sources::default();
    before.acknowledged(Some(&said("a", now)), now);
    let saved = before.take_unsaved(now).unwrap();
    assert!(before.take_unsaved(now).is_none(), "nothing new to keep");
    env.files
        .write_atomic(&dir.path().join(NAME), &saved)
        .unwrap();
    let mut sources = Sources::default();
    sources.open(&env, dir.path());
    let opened = sources.opened_unix_nano;
    assert_eq!(states(&sources, opened)[0].1, SourceState::Lagging);
    let later = opened + 301 * SECOND;
    assert_eq!(states(&sources, later)[0].1, SourceState::Lost);
    sources.acknowledged(Some(&said("a", opened)), opened);
    assert_eq!(states(&sources, opened)[0].1, SourceState::Live);

    env.files
        .write_atomic(&dir.path().join(NAME), b"not JSON")
        .unwrap();
    let mut sources = Sources::default();
    sources.open(&env, dir.path());
    assert_eq!(states(&sources, now), []);
}
