use super::*;

fn source(name: &str, unix_nano: u64, state: SourceState) -> Source {
    Source {
        source: name.to_owned(),
        kind: SourceKind::Agent,
        unix_nano,
        state,
    }
}

#[test]
fn a_whole_is_as_complete_as_its_least_complete_part() {
    let cut = |limit: &str| Cut {
        limit: limit.to_owned(),
        ..Cut::default()
    };
    let mut whole = Completeness {
        stats: Stats {
            blocks: 1,
            rows: 2,
            bytes: 3,
            elapsed_ms: 4,
        },
        cut: vec![cut("rows")],
        complete_to: vec![
            source("a", 20, SourceState::Live),
            source("b", 5, SourceState::Lost),
        ],
        hints: vec!["one".to_owned()],
    };
    whole.join(Completeness {
        stats: Stats {
            blocks: 10,
            rows: 20,
            bytes: 30,
            elapsed_ms: 40,
        },
        cut: vec![cut("rows"), cut("time")],
        complete_to: vec![
            source("b", 9, SourceState::Live),
            source("a", 10, SourceState::Lagging),
            source("c", 1, SourceState::Live),
        ],
        hints: vec!["one".to_owned(), "two".to_owned()],
    });
    let Stats {
        blocks,
        rows,
        bytes,
        elapsed_ms,
    } = whole.stats;
    assert_eq!((blocks, rows, bytes, elapsed_ms), (11, 22, 33, 44));
    assert_eq!(whole.cut, [cut("rows"), cut("time")]);
    assert_eq!(
        whole.complete_to,
        [
            source("a", 10, SourceState::Lagging),
            source("b", 5, SourceState::Lost),
            source("c", 1, SourceState::Live),
        ]
    );
    assert_eq!(whole.hints, ["one", "two"]);
    let lost: Vec<&str> = whole.lost().map(|source| &*source.source).collect();
    assert_eq!(lost, ["b"]);
}
