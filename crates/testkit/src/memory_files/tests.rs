use std::collections::BTreeSet;
use std::path::Path;

use super::*;

const PATH: &str = "/d/file";
/// Bytes of each write: several pages and a part of one.
const LENGTH: usize = 10_000;

/// A file with a synced part of `s`, then writes of `a` and `b` one after the other, and of `c`
/// over the first of them.
fn written() -> MemoryFiles {
    let files = MemoryFiles::new();
    files.create_dir_all(Path::new("/d")).unwrap();
    let file = files.create(Path::new(PATH)).unwrap();
    file.write_at(&[b's'; LENGTH], 0).unwrap();
    file.sync_data().unwrap();
    files.sync_dir(Path::new("/d")).unwrap();
    file.write_at(&[b'a'; LENGTH], LENGTH as u64).unwrap();
    file.write_at(&[b'b'; LENGTH], 2 * LENGTH as u64).unwrap();
    file.write_at(&[b'c'; LENGTH], LENGTH as u64).unwrap();
    files
}

/// What a power cut leaves of the three parts of that file, as the letters in each.
fn left(loss: Loss) -> [BTreeSet<u8>; 3] {
    let files = written();
    files.power_cut(loss);
    let mut bytes = files.read(Path::new(PATH)).unwrap();
    bytes.resize(3 * LENGTH, 0);
    [0, 1, 2].map(|part| bytes[part * LENGTH..][..LENGTH].iter().copied().collect())
}

fn only(letter: u8) -> BTreeSet<u8> {
    BTreeSet::from([letter])
}

#[test]
fn what_was_synced_stays_and_the_rest_goes_where_all_is_lost() {
    assert_eq!(left(Loss::Nothing), [only(b's'), only(b'c'), only(b'b')]);
    assert_eq!(left(Loss::All), [only(b's'), only(0), only(0)]);
}

#[test]
fn writes_are_torn_reordered_and_left_at_an_earlier_state() {
    let endings: Vec<_> = (0..400).map(|seed| left(Loss::Random(seed))).collect();
    assert!(endings.iter().all(|[synced, ..]| *synced == only(b's')));
    let some = |what: &str, is: &dyn Fn(&BTreeSet<u8>, &BTreeSet<u8>) -> bool| {
        let found = endings.iter().filter(|[_, first, last]| is(first, last));
        assert!(found.count() > 3, "{what}");
    };
    let (zero, a, b, c) = (only(0), only(b'a'), only(b'b'), only(b'c'));
    some("the later write alone", &|first, last| {
        *first == zero && *last == b
    });
    some("the earlier write alone", &|first, last| {
        *first == a && *last == zero
    });
    some("the first state of both", &|first, last| {
        *first == a && *last == b
    });
    some("all of it", &|first, last| *first == c && *last == b);
    some("nothing of it", &|first, last| {
        *first == zero && *last == zero
    });
    some("a torn write", &|_, last| last.len() == 2);
    some("three states in one place", &|first, _| first.len() == 3);
}

#[test]
fn names_of_a_folder_are_kept_up_to_some_change_and_folders_are_independent() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let files = MemoryFiles::new();
        for dir in ["/d", "/e"] {
            files.create_dir_all(Path::new(dir)).unwrap();
            for name in ["1", "2", "3"] {
                files.create(&Path::new(dir).join(name)).unwrap();
            }
        }
        files.power_cut(Loss::Random(seed));
        let names = |dir: &str| {
            let entries = files.list(Path::new(dir)).unwrap();
            entries
                .into_iter()
                .map(|entry| entry.name)
                .collect::<String>()
        };
        seen.insert((names("/d"), names("/e")));
    }
    let prefixes = ["", "1", "12", "123"];
    let all = prefixes
        .iter()
        .flat_map(|d| prefixes.map(|e| ((*d).to_owned(), e.to_owned())));
    assert_eq!(seen, all.collect());
}

#[test]
fn a_folder_lasts_once_the_one_above_it_was_synced_and_takes_with_it_what_it_holds() {
    let made = || {
        let files = MemoryFiles::new();
        files.create_dir_all(Path::new("/d")).unwrap();
        files.create_dir(Path::new("/d/e")).unwrap();
        let file = files.create(Path::new("/d/e/file")).unwrap();
        file.sync_data().unwrap();
        files.sync_dir(Path::new("/d/e")).unwrap();
        files
    };
    let is_there = |files: &MemoryFiles, path| files.stat(Path::new(path)).unwrap().is_some();
    let files = made();
    files.power_cut(Loss::All);
    assert!(is_there(&files, "/d") && !is_there(&files, "/d/e"));
    assert!(files.paths().is_empty());
    // Who finds it there makes it last.
    for make in [
        MemoryFiles::create_dir_all as fn(&MemoryFiles, &Path) -> io::Result<()>,
        |files, _| files.sync_dir(Path::new("/d")),
    ] {
        let files = made();
        make(&files, Path::new("/d/e")).unwrap();
        files.power_cut(Loss::All);
        assert!(is_there(&files, "/d/e/file"));
    }
    let kept = (0..40).filter(|seed| {
        let files = made();
        files.power_cut(Loss::Random(*seed));
        is_there(&files, "/d/e/file")
    });
    assert!((5..35).contains(&kept.count()));
}

#[test]
fn folders_are_made_durable_one_by_one() {
    // Whichever call is the last one, nothing lies in a folder that may go.
    use crate::{CrashPoint, FaultFiles};
    for call in 0..6 {
        let files = MemoryFiles::new();
        let faults = FaultFiles::over(Arc::new(files.clone()));
        faults.crash_at(call, CrashPoint::Before);
        assert!(faults.create_dir_all(Path::new("/a/b/c")).is_err());
        let next = FaultFiles::over(Arc::new(files.clone()));
        next.create_dir_all(Path::new("/a/b/c")).unwrap();
        files.power_cut(Loss::All);
        assert!(files.stat(Path::new("/a/b/c")).unwrap().is_some(), "{call}");
    }
    let files = MemoryFiles::new();
    files.create(Path::new("/a")).unwrap();
    let refused = files.create_dir_all(Path::new("/a/b")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotADirectory);
    files.create_dir_all(Path::new("b")).unwrap();
    files.power_cut(Loss::All);
    assert!(files.stat(Path::new("b")).unwrap().is_some());
}
