//! Full disks, failing calls and power cuts at every step.

use testkit::{CrashPoint, Failure, Fault, Loss, Op, Plan};

use super::*;

#[test]
fn a_full_disk_refuses_and_heals() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    files.set_capacity(Some(1500));
    let mut acked = Vec::new();
    let mut refused = 0;
    for number in 0..60 {
        let before = journal.end();
        let done = journal
            .append(&payload(number))
            .and_then(|_| journal.sync());
        match done {
            Ok(_) => acked.push(payload(number)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                assert!(error.is_storage_full());
                journal.rollback_to(before).unwrap();
                refused += 1;
            }
        }
        if number == 40 {
            files.set_capacity(None);
        }
    }
    assert!(refused > 3, "{refused} of 60 refused");
    assert_eq!(payloads(&journal, Position::START), acked);
    files.power_cut(Loss::All);
    let (journal, recovery) = open(&files);
    assert_eq!(payloads(&journal, Position::START), acked);
    assert!(!recovery.is_damaged());
}

#[test]
fn pending_records_survive_a_full_disk_when_they_are_not_rolled_back() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    files.set_capacity(Some(200));
    let all: Vec<Vec<u8>> = (0..4).map(payload).collect();
    for record in &all {
        journal.append(record).unwrap();
    }
    assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Retry);
    assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Retry);
    files.set_capacity(None);
    journal.sync().unwrap();
    assert_eq!(payloads(&journal, Position::START), all);
}

#[test]
fn a_write_cut_short_and_rolled_back_leaves_no_ghost() {
    let files = MemoryFiles::new();
    let (env, faults) = env_with_faults(&files);
    let options = Options {
        segment_bytes: 1 << 20,
        record_bytes_max: 1 << 20,
        ..small()
    };
    let (mut journal, _) = Journal::open(&env, &dir(), options.clone()).unwrap();
    let before = journal.end();
    // Two records of equal size reach the file, the second one as a ghost.
    journal.append(&[1; 50]).unwrap();
    journal.append(&[2; 50]).unwrap();
    faults.plan(Plan {
        times: 1,
        fault: Fault::ShortWrite(124, Failure::Io),
        ..Plan::always(Op::Write, Failure::Io)
    });
    assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Retry);
    journal.rollback_to(before).unwrap();
    journal.append(&[3; 50]).unwrap();
    journal.sync().unwrap();
    files.power_cut(Loss::All);
    let (journal, recovery) = Journal::open(&env, &dir(), options).unwrap();
    assert_eq!(payloads(&journal, Position::START), [vec![3; 50]]);
    assert_eq!(recovery.torn_bytes, 0);
}

#[test]
fn rollback_reaches_back_over_segments_but_not_behind_the_synced_end() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(b"kept").unwrap();
    let synced = journal.sync().unwrap();
    let keep = journal.append(b"also kept").unwrap();
    let target = journal.end();
    for number in 0..40 {
        journal.append(&payload(number)).unwrap();
    }
    assert!(journal.end().segment > target.segment + 1);
    journal.rollback_to(target).unwrap();
    assert_eq!(journal.end(), target);
    assert!(
        journal
            .rollback_to(Position {
                offset: 128,
                ..synced
            })
            .is_err()
    );
    assert!(
        journal
            .rollback_to(Position {
                segment: 9,
                offset: 200
            })
            .is_err()
    );
    journal.append(b"new").unwrap();
    journal.sync().unwrap();
    assert_eq!(payloads(&journal, keep), [&b"also kept"[..], b"new"]);
    let segments = journal.segments();
    files.power_cut(Loss::All);
    let (journal, recovery) = open(&files);
    assert_eq!((recovery.records, journal.segments()), (3, segments));
    assert!(!recovery.is_damaged());
}

#[test]
fn a_failed_sync_is_fatal_for_good() {
    for op in [Op::SyncData, Op::SyncDir] {
        let files = MemoryFiles::new();
        let (env, faults) = env_with_faults(&files);
        let (mut journal, _) = Journal::open(&env, &dir(), small()).unwrap();
        faults.fail_next(op, Failure::Io);
        let error = (0..60)
            .find_map(|number| {
                journal
                    .append(&payload(number))
                    .and_then(|_| journal.sync())
                    .err()
            })
            .expect("a new segment syncs file and folder");
        assert_eq!(error.kind(), ErrorKind::Fatal);
        assert_eq!(journal.append(b"x").unwrap_err().kind(), ErrorKind::Fatal);
        assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Fatal);
        assert_eq!(journal.close().unwrap_err().kind(), ErrorKind::Fatal);
    }
}

#[test]
fn every_call_may_fail_once_and_nothing_acknowledged_is_lost() {
    let clean = script_changes();
    for failure in [Failure::Io, Failure::StorageFull] {
        for skip in 0..clean {
            let files = MemoryFiles::new();
            let (env, faults) = env_with_faults(&files);
            faults.plan(Plan {
                op: None,
                path_contains: String::new(),
                skip,
                times: 1,
                fault: Fault::Error(failure),
            });
            let mut acked = Vec::new();
            script(&env, &mut acked);
            files.power_cut(Loss::All);
            faults.heal();
            check(&env, &acked, &format!("{failure:?} at {skip}"));
        }
    }
}

#[test]
fn a_power_cut_at_any_call_keeps_what_was_acknowledged() {
    let clean = script_changes();
    for change in 0..clean {
        for point in [CrashPoint::Before, CrashPoint::During, CrashPoint::After] {
            let files = MemoryFiles::new();
            let (env, faults) = env_with_faults(&files);
            faults.crash_at(change, point);
            let mut acked = Vec::new();
            script(&env, &mut acked);
            assert!(faults.has_crashed());
            let losses = [Loss::Nothing, Loss::All, Loss::Random(1), Loss::Random(2)];
            for loss in losses {
                let after = files.fork();
                after.power_cut(loss);
                check(
                    &env_over(&after),
                    &acked,
                    &format!("{point:?} at {change}, {loss:?}"),
                );
            }
        }
    }
}

#[test]
fn a_group_over_several_segments_is_durable_once_synced() {
    let files = MemoryFiles::new();
    let (mut journal, _) = open(&files);
    journal.append(b"before").unwrap();
    journal.sync().unwrap();
    // One sync acknowledges them all, whichever segments they lie in.
    let first = journal.end();
    let group: Vec<Vec<u8>> = (0..30).map(payload).collect();
    for record in &group {
        journal.append(record).unwrap();
    }
    assert!(journal.end().segment > first.segment + 2);
    journal.sync().unwrap();
    for loss in [Loss::All, Loss::Random(1), Loss::Random(2), Loss::Random(3)] {
        let after = files.fork();
        after.power_cut(loss);
        let (journal, recovery) = open(&after);
        assert!(!recovery.is_damaged(), "{loss:?}: {recovery:?}");
        assert_eq!(recovery.torn_bytes, 0, "{loss:?}");
        assert_eq!(payloads(&journal, first), group, "{loss:?}");
    }
}

/// How many calls of the script change the disk.
fn script_changes() -> u64 {
    let files = MemoryFiles::new();
    let (env, faults) = env_with_faults(&files);
    let mut acked = Vec::new();
    script(&env, &mut acked);
    assert_eq!(acked.len(), 40);
    faults.changes()
}

/// Appends, syncs, rolls back and frees until a call fails for good; records what a caller
/// would have acknowledged.
fn script(env: &Env, acked: &mut Vec<(Position, Vec<u8>)>) {
    let Ok((mut journal, _)) = Journal::open(env, &dir(), small()) else {
        return;
    };
    for number in 0..60 {
        let before = journal.end();
        // Every third record is found wanting and taken back before it is acknowledged.
        let unwanted = number % 3 == 2;
        let done = journal.append(&payload(number)).and_then(|position| {
            if unwanted {
                journal.rollback_to(before)?;
            }
            journal.sync()?;
            Ok(position)
        });
        match done {
            Ok(position) if !unwanted => acked.push((position, payload(number))),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Fatal => return,
            Err(_) if unwanted => {}
            Err(_) => {
                if journal.rollback_to(before).is_err() {
                    return;
                }
            }
        }
        if number == 30 {
            // The consumer has used the first half; a failure only delays the freeing.
            let _ = journal.truncate_before(before);
        }
    }
    let _ = journal.close();
}

/// Reopens and demands every acknowledged record that was not freed, whole and in order.
/// Records that were never acknowledged may be there: a crash is allowed to keep them.
fn check(env: &Env, acked: &[(Position, Vec<u8>)], when: &str) {
    let (journal, recovery) =
        Journal::open(env, &dir(), small()).unwrap_or_else(|error| panic!("{when}: {error}"));
    let first = journal.read_from(Position::START).next();
    let first = first.map_or(Position::START, |record| record.unwrap().position);
    let read: Vec<(Position, Vec<u8>)> = journal
        .read_from(Position::START)
        .map(|record| record.unwrap())
        .map(|record| (record.position, record.payload.to_vec()))
        .collect();
    assert_eq!(recovery.records as usize, read.len(), "{when}");
    assert_eq!(recovery.quarantined_segments, 0, "{when}");
    let freed_up_to = if acked.len() > 20 {
        acked[20].0
    } else {
        Position::START
    };
    for record in acked {
        if record.0 < first && record.0 <= freed_up_to {
            continue;
        }
        assert!(
            read.contains(record),
            "{when}: acknowledged record at {} is lost",
            record.0
        );
    }
}

/// A process that ends between the write and the sync of a record.
fn killed_before_the_sync(files: &MemoryFiles) {
    let (env, faults) = env_with_faults(files);
    let (mut journal, _) = Journal::open(&env, &dir(), small()).unwrap();
    journal.append(b"written").unwrap();
    faults.crash_at(faults.changes() + 2, CrashPoint::Before);
    assert!(journal.sync().is_err());
    drop(journal);
    files.power_cut(Loss::Nothing);
}

#[test]
fn what_a_killed_process_had_not_synced_lasts_once_it_was_found() {
    for segment_min in [1, 2] {
        let files = MemoryFiles::new();
        killed_before_the_sync(&files);
        let without = files.fork();
        without.power_cut(Loss::All);
        assert_eq!(open(&without).1.records, 0, "it was not synced");
        let options = Options {
            segment_min,
            ..small()
        };
        let (journal, recovery) = Journal::open(&env_over(&files), &dir(), options).unwrap();
        assert_eq!(recovery.records, 1);
        // Whoever reads it now may say that it is stored.
        assert_eq!(payloads(&journal, Position::START), [b"written"]);
        files.power_cut(Loss::All);
        let (journal, recovery) = open(&files);
        assert_eq!(payloads(&journal, Position::START), [b"written"]);
        assert!(!recovery.is_damaged());
    }
}

#[test]
fn segments_that_were_rolled_back_do_not_come_back_before_a_cut_one() {
    let files = MemoryFiles::new();
    let (env, faults) = env_with_faults(&files);
    let (mut journal, _) = Journal::open(&env, &dir(), small()).unwrap();
    journal.append(b"kept").unwrap();
    let kept = journal.sync().unwrap();
    for number in 0..30 {
        journal.append(&payload(number)).unwrap();
    }
    assert!(journal.end().segment > kept.segment + 2);
    journal.rollback_to(kept).unwrap();
    let before_sync = Arc::<parking_lot::Mutex<Vec<MemoryFiles>>>::default();
    let (forks, live) = (before_sync.clone(), files.clone());
    faults.watch(move |change| {
        if change.op == Op::SyncDir {
            forks.lock().push(live.fork());
        }
    });
    journal.sync().unwrap();
    let forks = before_sync.lock();
    assert!(!forks.is_empty());
    // Of the names any part may last then, of the files all.
    for (fork, seed) in forks
        .iter()
        .flat_map(|fork| (0..30).map(move |n| (fork, n)))
    {
        let after = fork.fork();
        after.power_cut(Loss::Random(seed));
        let (_, recovery) = open(&after);
        assert!(!recovery.is_damaged(), "{seed}: {recovery:?}");
    }
}

#[test]
fn a_header_is_durable_before_records_follow_it() {
    let files = MemoryFiles::new();
    let forks = Arc::<parking_lot::Mutex<Vec<MemoryFiles>>>::default();
    let (env, faults) = env_with_faults(&files);
    let (seen, live) = (forks.clone(), files.clone());
    faults.watch(move |change| {
        if change.op == Op::SyncData {
            seen.lock().push(live.fork());
        }
    });
    let options = Options {
        segment_bytes: 20_000,
        ..small()
    };
    let (mut journal, _) = Journal::open(&env, &dir(), options.clone()).unwrap();
    for number in 0..20 {
        journal.append(&[number; 2_000]).unwrap();
    }
    journal.sync().unwrap();
    for (fork, seed) in forks
        .lock()
        .iter()
        .flat_map(|fork| (0..20).map(move |n| (fork, n)))
    {
        let after = fork.fork();
        after.power_cut(Loss::Random(seed));
        let opened = Journal::open(&env_over(&after), &dir(), options.clone());
        assert_eq!(opened.unwrap().1.quarantined_segments, 0, "{seed}");
    }
}

#[test]
fn a_failed_sync_of_a_new_segment_or_of_freeing_is_fatal_for_good() {
    for freeing in [false, true] {
        let files = MemoryFiles::new();
        let (env, faults) = env_with_faults(&files);
        let (mut journal, _) = Journal::open(&env, &dir(), small()).unwrap();
        let mut last = journal.append(&payload(0)).unwrap();
        if freeing {
            for number in 1..30 {
                last = journal.append(&payload(number)).unwrap();
            }
        }
        journal.sync().unwrap();
        faults.plan(Plan {
            path_contains: segment(2).to_string_lossy().into_owned(),
            times: 1,
            ..Plan::always(Op::SyncData, Failure::Io)
        });
        let failed = if freeing {
            faults.fail_next(Op::SyncDir, Failure::Io);
            journal.truncate_before(last).map(|_| ())
        } else {
            (1..30).try_for_each(|number| journal.append(&payload(number)).map(|_| ()))
        };
        assert_eq!(failed.unwrap_err().kind(), ErrorKind::Fatal);
        assert_eq!(journal.append(b"x").unwrap_err().kind(), ErrorKind::Fatal);
        assert_eq!(journal.sync().unwrap_err().kind(), ErrorKind::Fatal);
    }
}

#[test]
fn a_segment_that_could_not_be_begun_leaves_nothing() {
    let files = MemoryFiles::new();
    let (env, faults) = env_with_faults(&files);
    let (mut journal, _) = Journal::open(&env, &dir(), small()).unwrap();
    journal.append(&[1; 300]).unwrap();
    faults.plan(Plan {
        path_contains: segment(2).to_string_lossy().into_owned(),
        times: 1,
        fault: Fault::ShortWrite(100, Failure::StorageFull),
        ..Plan::always(Op::Write, Failure::StorageFull)
    });
    let refused = journal.append(&[2; 300]).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Retry);
    journal.close().unwrap();
    let there = env::Files::stat(&files, &segment(2)).unwrap();
    assert_eq!(there, None);
    let (_, recovery) = open(&files);
    assert_eq!((recovery.records, recovery.torn_bytes), (1, 0));
}
