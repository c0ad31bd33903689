//! The index is derived: losing it costs time alone.

use std::path::{Path, PathBuf};

use tests::Http;
use tests::otlp_json::{log, logs, now, span, traces};

use crate::up;

const TRACE: &str = "88888888888888888888888888888888";

/// Also a span id, so not all zero.
fn request_id(round: usize) -> String {
    format!("a{round:015x}")
}

async fn send(otlp: &Http, round: usize) {
    let id = request_id(round);
    let time = now();
    let body = format!("stored in round {round}");
    otlp.export(
        "traces",
        &traces("shop", &[span(TRACE, &id, "", "buy", time, 5)]),
    )
    .await;
    otlp.export(
        "logs",
        &logs("shop", &[log(time, &body, &[("request_id", &id)])]),
    )
    .await;
    // Only blocks of one file that share terms have an index.
    let filler = vec![log(time, "one of thousands", &[]); 5_000];
    otlp.export("logs", &logs("shop", &filler)).await;
}

async fn verify(query: &Http, rounds: usize) {
    assert_eq!(query.trace_spans(TRACE).await.len(), rounds);
    assert_eq!(query.all_logs("stored").await.len(), rounds);
    for round in 0..rounds {
        assert_eq!(
            query
                .all_logs(&format!("request_id:{}", request_id(round)))
                .await
                .len(),
            1
        );
    }
    assert!(query.all_logs("never").await.is_empty());
}

fn indexes(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() == "index" {
            found.push(path);
        } else if path.is_dir() {
            indexes(&path, found);
        }
    }
}

#[tokio::test]
async fn answers_are_the_same_without_an_index_and_with_a_damaged_one() {
    let setup = up();
    for round in 0..4 {
        let server = setup.start();
        verify(&server.query(), round).await;
        send(&server.otlp(), round).await;
        verify(&server.query(), round + 1).await;
        let (status, _) = server.terminate();
        assert!(status.success(), "{status}");
        let mut folders = Vec::new();
        indexes(&setup.data_dir(), &mut folders);
        assert!(round > 0 || !folders.is_empty());
        for folder in folders {
            match round {
                0 => damage(&folder),
                1 => std::fs::remove_dir_all(folder).unwrap(),
                _ => {}
            }
        }
    }
}

fn damage(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::write(entry.unwrap().path(), "not an index").unwrap();
    }
}
