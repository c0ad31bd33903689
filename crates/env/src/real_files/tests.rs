//! The real file system keeps the contract of the traits.

use super::*;
use crate::{Env, LockFile, Random, SeededRandom};

#[test]
fn writes_parts_in_order_and_reads_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let file = RealFiles.create(&path).unwrap();
    let many: Vec<Vec<u8>> = (0..3000u32).map(|n| n.to_le_bytes().to_vec()).collect();
    let parts: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
    file.write_vectored_at(&parts, 3).unwrap();
    file.write_at(b"abc", 0).unwrap();
    let end = file.append(b"end").unwrap();
    assert_eq!(end, 12_003);

    let read = RealFiles.read(&path).unwrap();
    assert_eq!(&read[..3], b"abc");
    assert_eq!(&read[3..12_003], many.concat().as_slice());
    assert_eq!(&RealFiles.map(&path).unwrap()[..], &read[..]);

    let mut tail = [0; 5];
    assert_eq!(file.read_full_at(&mut tail, 12_004).unwrap(), 2);
    let error = file.read_exact_at(&mut tail, 12_004).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[test]
fn preallocated_space_reads_as_zeroes_and_keeps_content() {
    let dir = tempfile::tempdir().unwrap();
    let file = RealFiles.create(&dir.path().join("file")).unwrap();
    file.write_at(b"abc", 0).unwrap();
    match file.preallocate(4096) {
        Ok(()) => assert_eq!(file.size().unwrap(), 4096),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            return;
        }
    }
    file.preallocate(10).unwrap();
    let mut content = vec![1; 4096];
    file.read_exact_at(&mut content, 0).unwrap();
    assert_eq!(&content[..3], b"abc");
    assert!(content[3..].iter().all(|byte| *byte == 0));
}

#[test]
fn second_lock_is_refused_with_a_reason_until_the_first_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real();
    let first = LockFile::acquire(&*env.files, dir.path()).unwrap();
    let refused = LockFile::acquire(&*env.files, dir.path()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert!(refused.to_string().contains("another throughline process"));
    drop(first);
    LockFile::acquire(&*env.files, dir.path()).unwrap();
}

#[test]
fn lists_in_order_and_tells_files_from_folders() {
    let dir = tempfile::tempdir().unwrap();
    RealFiles.create_dir_all(&dir.path().join("b/c/d")).unwrap();
    RealFiles
        .write_atomic(&dir.path().join("a"), b"12345")
        .unwrap();
    RealFiles
        .hard_link(&dir.path().join("a"), &dir.path().join("c"))
        .unwrap();
    let entries = RealFiles.list(dir.path()).unwrap();
    let seen: Vec<_> = entries
        .iter()
        .map(|e| (e.name.as_str(), e.kind, e.bytes))
        .collect();
    assert_eq!(
        seen,
        [
            ("a", EntryKind::File, 5),
            ("b", EntryKind::Dir, 0),
            ("c", EntryKind::File, 5)
        ]
    );
    assert!(
        RealFiles
            .stat(&dir.path().join("nothing"))
            .unwrap()
            .is_none()
    );
    assert!(RealFiles.space(dir.path()).unwrap().total_bytes > 0);
    assert!(RealFiles.create_new(&dir.path().join("a")).is_err());
}

#[test]
fn an_empty_file_maps_to_no_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("empty");
    RealFiles.create(&path).unwrap();
    assert!(RealFiles.map(&path).unwrap().is_empty());
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    let (a, b) = (SeededRandom::new(7), SeededRandom::new(7));
    let (mut left, mut right) = ([0; 13], [0; 13]);
    a.fill(&mut left);
    b.fill(&mut right);
    assert_eq!(left, right);
    assert_ne!(a.next_u64(), SeededRandom::new(8).next_u64());
}
