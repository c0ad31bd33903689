use std::collections::BTreeMap;

use env::Env;
use model::{KeyValue, LogRecord, Signal, Value};
use tempfile::tempdir;

use super::*;
use crate::testing::*;

#[tokio::test]
async fn figures_add_up_to_what_the_file_system_says() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(4);
    let spans: Vec<_> = (0..300).map(|_| generator.span()).collect();
    let points: Vec<_> = (0..200).map(|_| generator.point()).collect();
    write(&store, Signal::Traces, &spans).await.unwrap();
    write(&store, Signal::Metrics, &points).await.unwrap();
    store.flush().await;
    write(&store, Signal::Traces, &spans).await.unwrap();
    store.flush().await;
    let row = LogRecord {
        time_unix_nano: BASE,
        attributes: vec![KeyValue {
            key: "user".to_owned(),
            value: Value::Str("ann".to_owned()),
        }],
        ..LogRecord::default()
    };
    write(&store, Signal::Logs, &vec![row; 40]).await.unwrap();

    // The store is open, and what it has in memory is told from the log.
    let stat = stat(&Env::real(), dir.path(), &TestDecoder).unwrap();
    assert_eq!(stat.flush, 2);
    let rows = |signal: &str| -> u64 {
        let of_signal = stat.partitions.iter().filter(|part| part.signal == signal);
        of_signal.map(|part| part.rows).sum()
    };
    assert_eq!(
        (rows("traces"), rows("metrics"), rows("logs")),
        (600, 200, 0)
    );
    let head = HeadStat {
        tenant: "default".to_owned(),
        signal: "logs".to_owned(),
        rows: 40,
    };
    assert_eq!(stat.head, [head]);
    assert_eq!(stat.wal.records, 1);
    assert_eq!((stat.wal.unreadable, stat.strays), (0, Vec::new()));
    for part in &stat.partitions {
        assert_eq!(part.unreadable, 0);
        let path = ["store", &part.tenant, &part.signal, &part.day];
        let path: std::path::PathBuf = path.iter().collect();
        let found = sizes(&dir.path().join(path));
        assert_eq!(part.bytes, found.values().sum::<u64>(), "{part:?}");
        let columns: u64 = part.columns.iter().map(|column| column.bytes).sum();
        assert_eq!(columns, found["blocks"], "{part:?}");
        let index: u64 = part.index.iter().map(|index| index.bytes).sum();
        assert_eq!(index, part.bytes - columns, "{part:?}");
        assert!(part.files >= 1 && part.blocks >= part.files);
    }

    store.flush().await;
    store.shutdown().await;
    drop(store);
    let stat = super::stat(&Env::real(), dir.path(), &TestDecoder).unwrap();
    let logs = stat.partitions.iter().find(|part| part.signal == "logs");
    let user = ColumnStat {
        name: "user".to_owned(),
        kind: ColumnKind::Attribute,
        bytes: 0,
    };
    let of_user = |column: &&ColumnStat| (&column.name, column.kind) == (&user.name, user.kind);
    let found = logs.unwrap().columns.iter().find(of_user).unwrap();
    assert!(found.bytes > 0);
    assert_eq!(stat.head, []);
}

/// Bytes of a folder's files by extension.
fn sizes(dir: &std::path::Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().is_dir() {
            for (extension, bytes) in sizes(&entry.path()) {
                *found.entry(extension).or_default() += bytes;
            }
        } else {
            let path = entry.path();
            let extension = path.extension().unwrap_or_default();
            let extension = extension.to_string_lossy().into_owned();
            *found.entry(extension).or_default() += entry.metadata().unwrap().len();
        }
    }
    found
}
