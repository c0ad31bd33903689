//! The test files forget and fail as they say.

use super::*;
use crate::{Loss, MemoryFiles};

#[test]
fn a_power_cut_keeps_what_was_synced_and_nothing_else() {
    let files = MemoryFiles::new();
    let dir = Path::new("/d");
    files.create_dir_all(dir).unwrap();
    let kept = files.create(&dir.join("kept")).unwrap();
    kept.write_at(b"synced", 0).unwrap();
    kept.sync_data().unwrap();
    files.sync_dir(dir).unwrap();
    kept.write_at(b"LOST", 0).unwrap();
    let unnamed = files.create(&dir.join("unnamed")).unwrap();
    unnamed.write_at(b"synced", 0).unwrap();
    unnamed.sync_data().unwrap();

    files.power_cut(Loss::All);
    assert_eq!(files.read(&dir.join("kept")).unwrap(), b"synced");
    assert!(files.stat(&dir.join("unnamed")).unwrap().is_none());
    assert!(
        kept.write_at(b"x", 0).is_err(),
        "handles do not outlive the cut"
    );
}

#[test]
fn a_random_loss_keeps_whole_sectors() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let files = MemoryFiles::new();
        let file = files.create(Path::new("f")).unwrap();
        files.sync_dir(Path::new("")).unwrap();
        file.write_at(&[1; 1024], 0).unwrap();
        files.power_cut(Loss::Random(seed));
        let content = files.read(Path::new("f")).unwrap();
        for sector in content.chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]));
        }
        seen.insert(content);
    }
    assert!(seen.len() > 2);
}

#[test]
fn a_full_disk_takes_what_fits_and_heals() {
    let files = MemoryFiles::new();
    files.set_capacity(Some(10));
    let file = files.create(Path::new("f")).unwrap();
    let error = file.write_at(b"0123456789abc", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(files.used_bytes(), 10);
    assert!(file.preallocate(11).is_err());
    files.set_capacity(None);
    file.write_at(b"0123456789abc", 0).unwrap();
}

#[test]
fn plans_hit_the_chosen_calls_only() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    files.plan(Plan {
        op: Some(Op::Write),
        path_contains: "wal".to_owned(),
        skip: 1,
        times: 1,
        fault: Fault::ShortWrite(2, Failure::StorageFull),
    });
    let wal = files.create(Path::new("wal")).unwrap();
    let other = files.create(Path::new("other")).unwrap();
    other.write_at(b"abc", 0).unwrap();
    wal.write_at(b"abc", 0).unwrap();
    assert_eq!(
        wal.write_at(b"xyz", 0).unwrap_err().kind(),
        io::ErrorKind::StorageFull
    );
    assert_eq!(files.read(Path::new("wal")).unwrap(), b"xyc");
    wal.write_at(b"def", 0).unwrap();
}

#[test]
fn a_crash_ends_every_later_call() {
    let files = FaultFiles::over(Arc::new(MemoryFiles::new()));
    files.crash_at(1, CrashPoint::During);
    let file = files.create(Path::new("f")).unwrap();
    assert!(file.write_at(b"abcd", 0).is_err());
    assert!(files.has_crashed());
    assert!(files.open(Path::new("f")).is_err());
    assert_eq!(files.inner.read(Path::new("f")).unwrap(), b"ab");
    assert_eq!(files.changes(), 2);
}
