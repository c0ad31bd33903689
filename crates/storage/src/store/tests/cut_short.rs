//! Files that are cut short, or that a disk does not give whole any more, while the store has them
//! open: what is lost is damage that answers name, and never the end of the process.

use std::path::{Path, PathBuf};

use model::{Signal, Span};

use super::merge;
use crate::Store;
use crate::filter::{Field, Filter};
use crate::message::*;
use crate::testing::*;

/// The files of all partitions with these extensions, and what they hold.
fn files(store: &Store, extensions: &[&str]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let view = store.core().view.read().clone();
    for key in view.partitions.keys() {
        let dir = key.dir(&store.core().root);
        for dir in [dir.clone(), dir.join("index")] {
            for entry in std::fs::read_dir(dir).into_iter().flatten() {
                let path = entry.unwrap().path();
                let extension = path.extension().and_then(|extension| extension.to_str());
                if extension.is_some_and(|extension| extensions.contains(&extension)) {
                    found.push((path.clone(), std::fs::read(path).unwrap()));
                }
            }
        }
    }
    assert!(!found.is_empty());
    found
}

/// The kernel takes pages away that are mapped.
fn cut(path: &Path, bytes: usize) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len(bytes as u64).unwrap();
}

fn restore(files: &[(PathBuf, Vec<u8>)]) {
    for (path, content) in files {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, content, 0).unwrap();
    }
}

/// All spans that pass, and what was cut.
async fn found(store: &Store, filter: Filter) -> (Vec<Span>, Vec<String>) {
    let request = Request::Rows {
        selection: selection(Signal::Traces, filter),
        order: Order::Oldest,
        limit: 1_000_000,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    let spans = replies.into_iter().flat_map(|reply| match reply {
        Reply::Spans(spans) => spans,
        other => panic!("{other:?}"),
    });
    let cuts = summary.cuts.into_iter().map(|cut| cut.limit);
    (spans.collect(), cuts.collect())
}

async fn fill(store: &Store, rows: usize) -> Vec<Span> {
    let mut generator = Generator::new(8);
    let rows: Vec<Span> = (0..rows).map(|_| generator.span()).collect();
    for part in rows.chunks(1_000) {
        write(store, Signal::Traces, part).await.unwrap();
    }
    store.flush().await;
    rows
}

#[tokio::test]
async fn a_blocks_file_that_is_cut_short_is_damage_until_it_is_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    for was_read in [false, true] {
        let store = open(&dir.path().join(was_read.to_string()));
        let sent = fill(&store, 3_000).await;
        if was_read {
            found(&store, Filter::All).await;
        }
        let view = store.core().view.read().clone();
        let entries = view
            .partitions
            .values()
            .map(|partition| &partition.files[0]);
        // Held open, as by a query.
        let opened: Vec<_> = entries.map(|entry| entry.open().unwrap()).collect();
        let files = files(&store, &["blocks"]);
        for (path, _) in &files {
            cut(path, opened[0].blocks[0].length as usize);
        }
        for _ in 0..2 {
            let (spans, cuts) = found(&store, Filter::All).await;
            assert!(spans.len() < sent.len(), "{was_read}");
            assert!(cuts.contains(&"damage".to_owned()), "{was_read}: {cuts:?}");
            let sent = plain_spans(sent.clone());
            assert!(
                plain_spans(spans)
                    .iter()
                    .all(|span| sent.binary_search(span).is_ok())
            );
        }
        restore(&files);
        let (spans, cuts) = found(&store, Filter::All).await;
        assert_eq!(cuts, [""; 0], "{was_read}");
        assert!(plain_spans(spans) == plain_spans(sent), "{was_read}");
    }
}

#[tokio::test]
async fn answers_are_the_same_where_what_lies_beside_the_blocks_is_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let sides = [
        "ids",
        "fields",
        "idx",
        "term",
        "fast",
        "store",
        "pos",
        "fieldnorm",
    ];
    for left in [0, 5_000] {
        let store = open(&dir.path().join(left.to_string()));
        let sent = fill(&store, 6_000).await;
        let wanted = &sent[sent.len() / 3];
        let of_trace = Filter::text_equals(Field::TraceId, wanted.trace_id.to_string());
        let of_name = Filter::text_equals(Field::Name, wanted.name.clone());
        let check = async |when: &str| {
            let pick = |pick: &dyn Fn(&&Span) -> bool| {
                plain_spans(sent.iter().filter(pick).cloned().collect())
            };
            let expected = [
                (&of_trace, pick(&|span| span.trace_id == wanted.trace_id)),
                (&of_name, pick(&|span| span.name == wanted.name)),
            ];
            for (filter, expected) in expected {
                let (spans, cuts) = found(&store, filter.clone()).await;
                assert_eq!(cuts, [""; 0], "{when}, {left} left");
                assert!(plain_spans(spans) == expected, "{when}, {left} left");
            }
        };
        check("whole").await;
        let files = files(&store, &sides);
        for (path, content) in &files {
            cut(path, left.min(content.len()));
        }
        check("cut").await;
        check("cut, again").await;
        restore(&files);
        check("restored").await;
        // What is opened anew is checked anew.
        for (path, content) in &files {
            cut(path, left.min(content.len()));
        }
        check("cut once more").await;
        let mut damaged = files.clone();
        for (_, content) in &mut damaged {
            let middle = content.len() / 2;
            let end = content.len().min(middle + 64);
            content[middle..end]
                .iter_mut()
                .for_each(|byte| *byte = !*byte);
        }
        restore(&damaged);
        check("damaged").await;
        restore(&files);
        // What comes next goes into an index of its own where the old one is not to be trusted.
        for (path, content) in &files {
            cut(path, left.min(content.len()));
        }
        write(&store, Signal::Traces, &sent).await.unwrap();
        store.flush().await;
        let (spans, _) = found(&store, of_trace.clone()).await;
        let count = sent
            .iter()
            .filter(|span| span.trace_id == wanted.trace_id)
            .count();
        assert_eq!(spans.len(), 2 * count);
    }
}

/// All points by their names, and whether any are lost.
async fn named(store: &Store) -> (Vec<Vec<u8>>, bool) {
    let request = Request::Series {
        tenant: model::Tenant::default(),
        range: model::TimeRange::ALL,
        matchers: vec![Matcher {
            name: model::prometheus::NAME_LABEL.to_owned(),
            op: MatchOp::Regex,
            value: ".+".to_owned(),
        }],
        points: true,
        limit: 1_000_000,
    };
    let (replies, summary) = ask(store, request).await.unwrap();
    let lists = replies.into_iter().flat_map(|reply| match reply {
        Reply::Series(list) => list,
        other => panic!("{other:?}"),
    });
    let points = lists.flat_map(|found| {
        let series = found.series;
        found
            .points
            .into_iter()
            .map(move |point| (series.clone(), point))
    });
    (sorted(points.collect()), !summary.cuts.is_empty())
}

#[tokio::test]
async fn points_are_found_without_their_index_and_none_is_made_up() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(9);
    for _ in 0..2 {
        let sent: Vec<_> = (0..20_000).map(|_| generator.point()).collect();
        write(&store, Signal::Metrics, &sent).await.unwrap();
        store.flush().await;
    }
    let (whole, damaged) = named(&store).await;
    assert!(whole.len() > 1_000 && !damaged);
    let sides = files(&store, &["series", "fields"]);
    sides.iter().for_each(|(path, _)| cut(path, 0));
    for _ in 0..2 {
        assert!(named(&store).await == (whole.clone(), false));
    }
    // Blocks that were read before, whose chunks are kept.
    let blocks = files(&store, &["blocks"]);
    blocks.iter().for_each(|(path, _)| cut(path, 4_096));
    let (found, damaged) = named(&store).await;
    assert!(damaged);
    assert!(found.iter().all(|point| whole.binary_search(point).is_ok()));
    // Nothing is merged of what is not there.
    merge(&store).await;
    restore(&blocks);
    restore(&sides);
    assert!(named(&store).await == (whole, false));
}
