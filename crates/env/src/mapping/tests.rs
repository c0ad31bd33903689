#![cfg(target_os = "linux")]

use std::process::Command;

use bytes::Bytes;

use crate::{Files, RealFiles};

/// Pages of a test file.
const PAGES: usize = 8;
/// More than a page of any machine that the tests run on.
const PAGE: usize = 64 << 10;

/// A mapped file of ones, and its path.
fn mapped(dir: &std::path::Path, name: &str) -> (Bytes, std::path::PathBuf) {
    let path = dir.join(name);
    std::fs::write(&path, vec![1; PAGES * PAGE]).unwrap();
    (RealFiles.map(&path).unwrap(), path)
}

fn cut(path: &std::path::Path, pages: usize) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_len((pages * PAGE) as u64).unwrap();
}

#[test]
fn a_page_that_is_lost_is_zeroes_and_the_mapping_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (bytes, path) = mapped(dir.path(), "cut");
    let (other, _) = mapped(dir.path(), "whole");
    cut(&path, 2);
    assert_eq!(bytes[PAGE], 1);
    assert!(RealFiles.is_whole(&bytes), "nothing of it was missed yet");
    let part = bytes.slice(5 * PAGE..6 * PAGE);
    assert_eq!(part[7], 0);
    assert_eq!((bytes[2 * PAGE - 1], bytes[7 * PAGE]), (1, 0));
    assert!(!RealFiles.is_whole(&bytes) && !RealFiles.is_whole(&part));
    assert!(other.iter().all(|byte| *byte == 1) && RealFiles.is_whole(&other));
    assert!(RealFiles.is_whole(&[1, 2, 3]), "not mapped");
    // What is mapped anew, also where the first one was, is whole.
    drop((bytes, part));
    std::fs::write(&path, vec![2; PAGES * PAGE]).unwrap();
    for _ in 0..20 {
        let again = RealFiles.map(&path).unwrap();
        assert!(again.iter().all(|byte| *byte == 2) && RealFiles.is_whole(&again));
    }
}

#[test]
fn threads_that_read_what_is_lost_at_once_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..6).map(|n| mapped(dir.path(), &n.to_string())).collect();
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let (files, dir) = (&files, dir.path());
            scope.spawn(move || {
                for (bytes, path) in files {
                    if thread == 0 {
                        cut(path, 1);
                    }
                    let sum: usize = bytes.iter().map(|byte| usize::from(*byte)).sum();
                    assert!((PAGE..=PAGES * PAGE).contains(&sum));
                }
                // Others come and go meanwhile.
                for _ in 0..50 {
                    let (bytes, _) = mapped(dir, &format!("of-{thread}"));
                    assert_eq!(bytes[PAGES * PAGE - 1], 1);
                }
            });
        }
    });
    for (bytes, _) in &files {
        assert!(bytes[PAGE..].iter().all(|byte| *byte == 0));
        assert!(!RealFiles.is_whole(bytes));
    }
}

/// In a process of its own, which the signal is to end.
#[test]
#[ignore = "is run by the test below, in a process of its own"]
fn dies_of_a_signal_that_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, _) = mapped(dir.path(), "ours");
    assert_eq!(ours[0], 1);
    let path = dir.path().join("foreign");
    std::fs::write(&path, vec![1; PAGE]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    // SAFETY: the file is cut short below, which is what is tried.
    #[expect(unsafe_code, reason = "a mapping that the handler does not know")]
    let foreign = unsafe { memmap2::Mmap::map(&file).unwrap() };
    std::fs::write(&path, b"").unwrap();
    let read = foreign[0];
    panic!("it read {read}");
}

#[test]
fn a_signal_for_other_memory_ends_the_process_as_ever() {
    use std::os::unix::process::ExitStatusExt;
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact"])
        .arg("mapping::tests::dies_of_a_signal_that_is_not_ours")
        .output()
        .unwrap()
        .status;
    assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
}
