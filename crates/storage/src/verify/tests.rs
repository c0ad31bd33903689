use std::path::PathBuf;

use bytes::Bytes;
use model::Signal;
use tempfile::{TempDir, tempdir};

use super::*;
use crate::fields_table::{FieldsTable, FieldsTableBuilder, merge};
use crate::idtable::{self, IdTable};
use crate::partition::{BlockFile, FileId, directory};
use crate::testing::*;
use crate::{Options, Store};

/// A folder with files of several blocks, and with rows in the log.
async fn folder() -> (TempDir, Store) {
    filled(2, 200).await
}

/// So many flushes of so many rows of each signal, and as many rows in the log.
async fn filled(flushes: usize, rows: usize) -> (TempDir, Store) {
    let dir = tempdir().unwrap();
    let store = open_with(
        dir.path(),
        Options {
            block_rows: 64,
            background_merges: false,
            ..Options::default()
        },
    );
    let mut generator = Generator::new(8);
    for round in 0..=flushes {
        let spans: Vec<_> = (0..rows).map(|_| generator.span()).collect();
        write(&store, Signal::Traces, &spans).await.unwrap();
        let logs: Vec<_> = (0..rows).map(|_| generator.log()).collect();
        write(&store, Signal::Logs, &logs).await.unwrap();
        let points: Vec<_> = (0..rows).map(|_| generator.point()).collect();
        write(&store, Signal::Metrics, &points).await.unwrap();
        if round < flushes {
            store.flush().await;
        }
    }
    (dir, store)
}

fn check(dir: &TempDir) -> Report {
    verify(&Env::real(), dir.path(), &TestDecoder).unwrap()
}

/// Files whose names end so, in order.
fn files(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_sound_folder_has_no_findings_open_and_at_rest() {
    let (dir, store) = folder().await;
    let report = check(&dir);
    assert_eq!(report.findings, []);
    assert!(!report.damaged);
    let checked = report.checked;
    assert_eq!((checked.flush, checked.rows), (2, 1_200));
    assert_eq!((checked.wal_records, checked.wal_rows), (3, 600));
    assert!(
        checked.blocks > checked.files && checked.files >= 6,
        "{checked:?}"
    );
    assert!(checked.searches > 3_000, "{checked:?}");
    store.shutdown().await;
    drop(store);
    let report = check(&dir);
    assert_eq!(report.findings, []);
    assert_eq!((report.checked.rows, report.checked.wal_rows), (1_800, 0));
    // It can still be opened: nothing was changed.
    let store = open(dir.path());
    assert_eq!(points(&store).await.len(), 600);
}

#[tokio::test]
async fn few_bodies_of_several_types_are_found_by_their_words() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let list = vec![model::KeyValue::new("card", "declined")];
    let bodies = [
        model::Value::Bytes(vec![0xca, 0xfe, 0xba, 0xbe]),
        model::Value::KvList(list.clone()),
        model::Value::Array(vec![model::Value::KvList(list)]),
    ];
    let mut generator = Generator::new(11);
    let logs: Vec<_> = (0..30)
        .map(|row| model::LogRecord {
            time_unix_nano: BASE,
            body: bodies[row % 3].clone(),
            ..generator.log()
        })
        .collect();
    write(&store, Signal::Logs, &logs).await.unwrap();
    store.flush().await;
    // The bytes of one are not taken for another type.
    assert_eq!(check(&dir).findings, []);
}

#[tokio::test]
async fn a_flipped_bit_in_any_file_is_found() {
    let (dir, store) = filled(1, 140).await;
    write(&store, Signal::Logs, &[Generator::new(1).log()])
        .await
        .unwrap();
    drop(store);
    assert!(!check(&dir).damaged);
    let mut random = fastrand::Rng::with_seed(3);
    for path in files(&dir.path().join("store"), "") {
        let sound = std::fs::read(&path).unwrap();
        let in_index = path.parent().unwrap().ends_with("index");
        let edge = [0, sound.len() - 1][random.usize(..2)];
        let mut places = vec![edge, random.usize(..sound.len())];
        match path
            .extension()
            .map(|extension| extension.to_string_lossy())
        {
            // What tantivy writes of itself at the end of a file has no checksum, nor any use.
            Some(extension) if in_index && extension != "json" => {
                places = vec![0; usize::from(["term", "idx", "fast"].contains(&&*extension))];
            }
            _ => {}
        }
        for at in places {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << random.u8(..8);
            std::fs::write(&path, &damaged).unwrap();
            let report = check(&dir);
            assert!(report.damaged, "byte {at} of {}", path.display());
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let named = |finding: &Finding| {
                finding.file.contains(&name) || in_index && finding.file.ends_with("index")
            };
            let found = report.findings.iter().any(named);
            assert!(found, "byte {at} of {}: {report:?}", path.display());
        }
        std::fs::write(&path, &sound).unwrap();
    }
    assert!(!check(&dir).damaged);
    // In the log a damaged record is one of several.
    let path = &files(&dir.path().join("wal"), ".seg")[0];
    let mut bytes = std::fs::read(path).unwrap();
    let log = journal::Log::open(&Env::real(), &dir.path().join("wal"), Default::default());
    let mut positions = Vec::new();
    let mut see = |item| {
        if let journal::Item::Record { position, .. } = item {
            positions.push(position.offset as usize);
        }
        true
    };
    log.unwrap().each(&mut see).unwrap();
    bytes[positions[positions.len() - 2] + 30] ^= 4;
    std::fs::write(path, bytes).unwrap();
    let report = check(&dir);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert_eq!(report.findings[0].severity, Severity::Loss);
    assert!(report.findings[0].file.starts_with("wal/"));
}

#[tokio::test]
async fn an_index_that_hides_rows_is_found() {
    let (dir, store) = folder().await;
    store.shutdown().await;
    drop(store);
    // Sound by its checksums, and without every tenth pair.
    let path = &files(&dir.path().join("store/default/logs"), ".ids")[0];
    let table = IdTable::open(Bytes::from(std::fs::read(path).unwrap())).unwrap();
    let pairs: Result<Vec<_>, _> = table.pairs().collect();
    let mut pairs: Vec<(u64, u32)> = pairs
        .unwrap()
        .iter()
        .map(|(h, at)| (h << 24, *at))
        .collect();
    let mut at = 0;
    pairs.retain(|_| {
        at += 1;
        at % 10 != 0
    });
    std::fs::write(path, idtable::build(&mut pairs)).unwrap();
    let report = check(&dir);
    assert!(report.damaged);
    for finding in &report.findings {
        assert_eq!(finding.severity, Severity::Loss);
        assert!(
            finding.what.contains("searches do not lead to it"),
            "{finding:?}"
        );
    }
    assert!(!report.findings.is_empty());
}

#[tokio::test]
async fn tables_and_directories_that_contradict_the_rows_are_found() {
    let (dir, store) = folder().await;
    store.shutdown().await;
    drop(store);
    let path = &files(&dir.path().join("store/default/traces"), ".fields")[0];
    let sound = std::fs::read(path).unwrap();
    let table = FieldsTable::open(Bytes::from(sound.clone())).unwrap();
    let mut builder = FieldsTableBuilder::new();
    builder.add("service", crate::block::Kind::Text, "service-1", 1);
    let more = FieldsTable::open(builder.finish().into()).unwrap();
    std::fs::write(path, merge(&[&table, &more]).unwrap()).unwrap();
    let report = check(&dir);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    assert!(report.findings[0].what.contains("service"), "{report:?}");
    std::fs::write(path, sound).unwrap();
    assert!(!check(&dir).damaged);

    // A time in the directory of a file that no row of the block has.
    let path = &files(&dir.path().join("store/default/metrics"), ".blocks")[0];
    let sound = std::fs::read(path).unwrap();
    let file = {
        let flush = path.file_stem().unwrap().to_string_lossy().into_owned();
        let id = FileId::flush(u64::from_str_radix(&flush, 16).unwrap());
        let parent = path.parent().unwrap();
        BlockFile::open(&Env::real(), parent, Signal::Metrics, id).unwrap()
    };
    let mut metas = file.blocks.clone();
    let block = metas.len() - 1;
    metas[block].max_time -= 1;
    let end = sound.len() - file.directory_bytes() as usize;
    let mut bytes = sound[..end].to_vec();
    bytes.extend(directory(Signal::Metrics, &metas, None));
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
    let report = check(&dir);
    assert_eq!(report.findings.len(), 1, "{report:?}");
    let finding = &report.findings[0];
    assert_eq!(
        (finding.severity, finding.block),
        (Severity::Loss, Some(block as u64))
    );
}

#[tokio::test]
async fn what_is_missing_is_loss_and_what_is_too_much_is_a_note() {
    let (dir, store) = folder().await;
    drop(store);
    let store_dir = dir.path().join("store");
    let partition = files(&store_dir.join("default/logs"), ".blocks")[0].clone();
    let day = partition.parent().unwrap();
    // Of a flush that a crash interrupted, and of nobody.
    std::fs::write(day.join("00000000000000ff.blocks"), "half").unwrap();
    std::fs::write(day.join("notes.txt"), "mine").unwrap();
    std::fs::create_dir(dir.path().join("lost+found")).unwrap();
    let report = check(&dir);
    assert!(!report.damaged, "{report:?}");
    let notes = report.findings.iter().map(|finding| finding.severity);
    assert_eq!(notes.collect::<Vec<_>>(), [Severity::Note; 3]);
    std::fs::remove_file(&partition).unwrap();
    let report = check(&dir);
    assert!(report.damaged);
    let finding = &report.findings[0];
    assert_eq!(finding.severity, Severity::Loss);
    assert!(finding.what.contains("missing"), "{finding:?}");
    // Without its checkpoint and the spare one a folder does not start.
    std::fs::write(store_dir.join("CHECKPOINT"), "{").unwrap();
    let report = check(&dir);
    assert!(report.damaged && !report.findings[0].costs.contains("refused"));
    std::fs::write(store_dir.join("CHECKPOINT.spare"), "{").unwrap();
    let report = check(&dir);
    assert!(report.damaged && report.findings[0].costs.contains("refused"));
    let empty = tempdir().unwrap();
    let none = verify(&Env::real(), empty.path(), &TestDecoder);
    assert!(matches!(none, Err(FolderError::NotAFolder { .. })));
}

#[tokio::test]
async fn merged_files_are_sound_and_what_they_replace_is_a_note() {
    let (dir, store) = filled(9, 40).await;
    store.flush().await;
    let before: Vec<_> = files(dir.path(), ".blocks");
    let kept: Vec<_> = before
        .iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    crate::store::merger::merge_all(store.core());
    let report = check(&dir);
    assert_eq!(report.findings, []);
    assert_eq!(report.checked.rows, 10 * 3 * 40);
    assert!(report.checked.files < before.len() as u64, "{report:?}");
    store.shutdown().await;
    drop(store);
    // As a crash leaves it that came before they were removed.
    for (path, bytes) in kept {
        if !path.exists() {
            std::fs::write(path, bytes).unwrap();
        }
    }
    let report = check(&dir);
    assert!(!report.damaged, "{report:?}");
    assert_eq!(report.checked.rows, 10 * 3 * 40);
    assert!(!report.findings.is_empty());
}

#[tokio::test]
async fn values_that_are_not_listed_are_counted_and_no_loss() {
    let dir = tempdir().unwrap();
    let store = open(dir.path());
    let mut generator = Generator::new(12);
    let long = "long ".repeat(100);
    let mut logs: Vec<_> = (0..1_200).map(|_| generator.log()).collect();
    for (number, log) in logs.iter_mut().enumerate() {
        log.event_name = match number % 4 {
            0 => String::new(),
            1 => format!("{long}{number}"),
            _ => format!("event-{number}"),
        };
    }
    let mut spans: Vec<_> = (0..1_500).map(|_| generator.span()).collect();
    for (number, span) in spans.iter_mut().enumerate() {
        span.name = format!("span-{number}");
        span.events
            .iter_mut()
            .for_each(|event| event.name.clone_from(&long));
    }
    spans[7].name.clone_from(&long);
    write(&store, Signal::Traces, &spans).await.unwrap();
    // One alone, whose table has no other value of the field.
    let alone: Vec<_> = logs.drain(1..2).collect();
    write(&store, Signal::Logs, &alone).await.unwrap();
    store.flush().await;
    write(&store, Signal::Logs, &logs).await.unwrap();
    store.flush().await;
    drop(store);
    let report = check(&dir);
    assert_eq!(report.findings, []);
    let mut counts = Vec::new();
    for path in files(dir.path(), ".fields") {
        let bytes = std::fs::read(&path).unwrap();
        let table = FieldsTable::open(bytes.into()).unwrap();
        for field in table.fields() {
            if ["name", "event.name"].contains(&&*field.name) {
                assert!(field.listed <= 1_000, "{field:?}");
                counts.push((path.to_string_lossy().contains("logs"), field.clone()));
            }
        }
    }
    let rows = |of_logs: bool, name: &str| {
        let fields = counts
            .iter()
            .filter(|(logs, field)| *logs == of_logs && &*field.name == name);
        fields.map(|(_, field)| field.rows).sum::<u64>()
    };
    assert_eq!(rows(true, "event.name"), 900);
    assert_eq!(rows(false, "name"), 1_500);
    let events: usize = spans.iter().map(|span| span.events.len()).sum();
    assert_eq!(rows(false, "event.name"), events as u64);
}
