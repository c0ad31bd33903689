use super::*;

fn source(name: &str, unix_nano: u64, state: SourceState) -> Source {
    Source {
        source: name.to_owned(),
        kind: SourceKind::Agent,
        unix_nano,
        state,
    }
}

fn cut(limit: &str, value: &str, hint: &str) -> Cut {
    Cut {
        limit: limit.to_owned(),
        value: value.to_owned(),
        hint: hint.to_owned(),
    }
}

fn field(completeness: &Completeness, name: &HeaderName) -> Option<String> {
    let mut headers = HeaderMap::new();
    put(&mut headers, completeness);
    let value = headers.get(name)?;
    Some(value.to_str().unwrap().to_owned())
}

#[test]
fn the_worst_source_comes_first_and_any_text_fits() {
    let mut completeness = Completeness {
        stats: Stats {
            blocks: 1,
            rows: 2,
            bytes: 3,
            elapsed_ms: 4,
        },
        cut: vec![cut("source", "b\"ü", "100 % gone\n")],
        complete_to: vec![
            source("a", 9, SourceState::Live),
            source("b\"\\", 5, SourceState::Lost),
            source("ü%", 7, SourceState::Lagging),
        ],
        hints: Vec::new(),
    };
    completeness.complete_to[0].kind = SourceKind::Collector;
    assert_eq!(
        field(&completeness, &STATS).unwrap(),
        "blocks=1, rows=2, bytes=3, elapsed_ms=4"
    );
    assert_eq!(
        field(&completeness, &COMPLETE_TO).unwrap(),
        r#""b\"\\";kind=agent;state=lost;unix_nano="5", %"%c3%bc%25";kind=agent;state=lagging;unix_nano="7", "a";kind=collector;state=live;unix_nano="9""#
    );
    assert_eq!(
        field(&completeness, &CUT).unwrap(),
        r#"%"source b%22%c3%bc";hint=%"100 %25 gone%0a""#
    );
}

#[test]
fn headers_stay_small_and_name_how_many_they_leave_out() {
    let long = "x".repeat(10_000);
    let completeness = Completeness {
        cut: (0..1_000).map(|_| cut("rows", &long, &long)).collect(),
        complete_to: (0..1_000)
            .map(|number| source(&long, 1_000 - number, SourceState::Live))
            .collect(),
        ..Completeness::default()
    };
    let sources = field(&completeness, &COMPLETE_TO).unwrap();
    assert!(
        sources.ends_with(r#", others;count=980;state=live;unix_nano="21""#),
        "{sources}"
    );
    let cuts = field(&completeness, &CUT).unwrap();
    assert!(cuts.ends_with(", others;count=990"), "{cuts}");
    assert!(sources.len() + cuts.len() < 12_000);
}

#[test]
fn nothing_left_out_is_no_header() {
    let completeness = Completeness::default();
    assert_eq!(field(&completeness, &CUT), None);
    assert_eq!(field(&completeness, &COMPLETE_TO), None);
}

#[test]
fn lost_agents_are_named_in_a_sentence() {
    let mut completeness = Completeness {
        cut: vec![cut("source", "c2", "gone")],
        complete_to: vec![
            source("one", 1_700_000_000_000_000_000, SourceState::Lost),
            source("two", 5, SourceState::Live),
            source("c2", 0, SourceState::Lost),
        ],
        ..Completeness::default()
    };
    completeness.complete_to[2].kind = SourceKind::Collector;
    let [cut, lost] = &lacks(&completeness)[..] else {
        panic!("{:?}", lacks(&completeness));
    };
    assert_eq!(cut, "source c2: gone");
    assert!(
        lost.starts_with("agent one is lost: what it read after 2023-11-14T22:13:20"),
        "{lost}"
    );
}
