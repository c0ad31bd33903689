//! Answers that count rows without reading them: they are right, and name damage once it is known.

use std::path::PathBuf;
use std::sync::Arc;

use env::Files;
use model::{LogRecord, Signal};
use testkit::MemoryFiles;

use super::counted;
use crate::filter::{Field, Filter};
use crate::message::*;
use crate::testing::*;
use crate::{Options, Store};

const ROWS: usize = 200;

fn open(files: &MemoryFiles) -> Store {
    let (env, _) = testkit::env(1, Arc::new(files.clone()));
    let options = Options {
        block_rows: 50,
        background_merges: false,
        ..Options::default()
    };
    Store::open(env, &PathBuf::from("/data"), options, Arc::new(TestDecoder)).unwrap()
}

fn all() -> Selection {
    selection(Signal::Logs, Filter::All)
}

/// Requests that what is said of blocks and files answers, without their rows.
fn without_rows() -> [Request; 4] {
    let counts = |by| Request::Counts {
        selection: all(),
        step_nano: None,
        by,
        groups: 100,
    };
    [
        counts(vec![]),
        counts(vec![Field::Service]),
        Request::Fields { selection: all() },
        Request::Values {
            selection: all(),
            field: Field::Service,
            prefix: String::new(),
            limit: 100,
        },
    ]
}

/// Which limits cut the answer, and its parts as text.
async fn answer(store: &Store, request: Request) -> (Vec<(String, String)>, String) {
    let (replies, summary) = ask(store, request).await.unwrap();
    let cuts = summary.cuts.into_iter();
    let cuts = cuts.map(|cut| (cut.limit, cut.value)).collect();
    (cuts, format!("{replies:?}"))
}

#[tokio::test]
async fn counts_without_rows_name_a_block_that_is_known_not_to_read() {
    let files = MemoryFiles::new();
    let store = open(&files);
    let mut generator = Generator::new(51);
    let rows: Vec<LogRecord> = (0..ROWS).map(|_| generator.log()).collect();
    write(&store, Signal::Logs, &rows).await.unwrap();
    store.flush().await;
    let mut whole = Vec::new();
    for request in without_rows() {
        let (cuts, answer) = answer(&store, request).await;
        assert_eq!(cuts, []);
        whole.push(answer);
    }
    let rows = || Request::Rows {
        selection: all(),
        order: Order::Oldest,
        limit: ROWS,
        traces: None,
        after: None,
        columns: Columns::Full,
    };
    let mut paths = files.paths().into_iter();
    let of_blocks = |path: &PathBuf| path.extension().is_some_and(|e| e == "blocks");
    let blocks = paths.rfind(of_blocks).unwrap();
    // In the middle of the second of four blocks: of the body or of another long column.
    let at = files.read(&blocks).unwrap().len() * 3 / 8;
    files.flip_bit(&blocks, at, 3);
    let store = {
        drop(store);
        open(&files)
    };
    let damage = vec![("damage".to_owned(), "1".to_owned())];
    assert_eq!(answer(&store, rows()).await.0, damage);
    for (request, whole) in without_rows().into_iter().zip(&whole) {
        let what = format!("{request:?}");
        let (cuts, answer) = answer(&store, request).await;
        assert_eq!(cuts, damage, "{what}");
        assert_eq!(answer, *whole, "{what}");
    }
    assert_eq!(counted(&store, "damaged_blocks_total"), 1.0);
    // It reads again.
    files.flip_bit(&blocks, at, 3);
    let store = {
        drop(store);
        open(&files)
    };
    for request in without_rows().into_iter().chain([rows()]) {
        assert_eq!(answer(&store, request).await.0, []);
    }
}
