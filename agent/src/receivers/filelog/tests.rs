use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use journal::Position;
use model::{LogRecord, Signal};
use otlp::rows::Rows;
use testkit::{CrashPoint, FaultFiles, Loss, ManualClock, MemoryFiles};

use super::*;
use crate::metrics::Metrics;
use crate::options::{FileOptions, Format, QueueOptions, StartAt};
use crate::queue::record;

mod others;
mod waiting;

const SECOND: u64 = 1_000_000_000;

/// Logs in a real folder, the queue in memory, and time that only the test moves.
struct Rig {
    logs: tempfile::TempDir,
    memory: MemoryFiles,
    files: FaultFiles,
    clock: Arc<ManualClock>,
    options: Options,
    metrics: Metrics,
    queue: Queue,
    poller: Poller,
}

fn start(files: &FaultFiles, options: &Options) -> (Arc<ManualClock>, Metrics, Queue, Poller) {
    let (env, clock) = testkit::env(5, Arc::new(files.clone()));
    let metrics = Metrics::default();
    let progress = Progress::default();
    let (queue, restored) = Queue::open(
        &env,
        &PathBuf::from("/queue"),
        &options.queue,
        &["collector".to_owned()],
        &progress,
        metrics.clone(),
    )
    .unwrap();
    let stop = Arc::new(Stop::default());
    let poller = Poller::new(
        &env,
        options,
        Vec::new(),
        queue.clone(),
        &progress,
        &restored.state,
        stop,
    )
    .unwrap();
    (clock, metrics, queue, poller)
}

impl Rig {
    fn with(change: impl FnOnce(&mut Options)) -> Self {
        let logs = tempfile::tempdir().unwrap();
        let mut options = Options {
            files: vec![FileOptions {
                format: Format::Plain,
                ..FileOptions::include(format!("{}/*.log*", logs.path().display()))
            }],
            ..Options::default()
        };
        options.filelog.discover_interval = Duration::ZERO;
        change(&mut options);
        let memory = MemoryFiles::new();
        let files = FaultFiles::over(Arc::new(memory.clone()));
        let (clock, metrics, queue, poller) = start(&files, &options);
        Self {
            logs,
            memory,
            files,
            clock,
            options,
            metrics,
            queue,
            poller,
        }
    }

    fn new() -> Self {
        Self::with(|_| {})
    }

    fn path(&self, name: &str) -> PathBuf {
        self.logs.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut options = fs::File::options();
        let mut file = options
            .create(true)
            .append(true)
            .open(self.path(name))
            .unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Copies and empties, as `copytruncate` does.
    fn copy_truncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        self.truncate(from);
    }

    fn truncate(&self, name: &str) {
        fs::File::options()
            .write(true)
            .open(self.path(name))
            .unwrap()
            .set_len(0)
            .unwrap();
    }

    fn pass(&mut self) {
        self.clock.advance(SECOND / 5);
        self.poller.pass();
    }

    fn wait(&mut self, seconds: u64) {
        self.clock.advance(seconds * SECOND);
        self.pass();
        self.pass();
    }

    /// Ends the process without any goodbye and starts it again.
    fn kill(&mut self, loss: Loss) {
        // The thread must be gone before its files are.
        futures::executor::block_on(self.queue.close());
        self.memory.power_cut(loss);
        self.files = FaultFiles::over(Arc::new(self.memory.clone()));
        let (clock, metrics, queue, poller) = start(&self.files, &self.options);
        (self.clock, self.metrics, self.queue, self.poller) = (clock, metrics, queue, poller);
    }

    fn records(&self) -> Vec<LogRecord> {
        let mut records = Vec::new();
        for found in self.queue.tail().read_from(Position::START) {
            for entry in record::decode(&found.unwrap().payload).unwrap().entries {
                assert_eq!(entry.signal, Signal::Logs);
                records.extend(Rows::decode(Signal::Logs, &entry.request).unwrap().logs);
            }
        }
        records
    }

    fn lines(&self) -> Vec<String> {
        self.records()
            .iter()
            .map(|record| record.body.to_text())
            .collect()
    }

    fn problems(&self, reason: &str) -> u64 {
        self.metrics.total(
            "throughline_agent_file_problems_total",
            &[("reason", reason)],
        )
    }
}

#[test]
fn lines_arrive_once_with_their_file_and_service() {
    let mut rig = Rig::new();
    rig.append("checkout.log", "one\ntwo\r\n\nthr");
    rig.pass();
    rig.pass();
    rig.append("checkout.log", "ee\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["one", "two", "three"]);
    let record = &rig.records()[0];
    assert_eq!(record.resource.service(), "checkout");
    let name = model::value::last(&record.attributes, "log.file.name").unwrap();
    assert_eq!(name.as_str(), Some("checkout.log"));
    assert_eq!(
        rig.metrics.total("throughline_agent_file_lines_total", &[]),
        4
    );
}

#[test]
fn a_rename_in_the_middle_of_a_line_loses_nothing() {
    let mut rig = Rig::new();
    rig.append("a.log", "1\n2\n3 first ha");
    rig.pass();
    rig.rename("a.log", "a.log.1");
    rig.append("a.log.1", "lf\n4\n");
    rig.append("a.log", "5\n");
    rig.pass();
    rig.append("a.log.1", "late\n");
    rig.append("a.log", "6\n");
    rig.pass();
    rig.pass();
    assert_eq!(
        rig.lines(),
        ["1", "2", "3 first half", "4", "5", "late", "6"]
    );
}

#[test]
fn a_file_renamed_out_of_the_pattern_or_removed_is_read_to_its_end() {
    let mut rig = Rig::new();
    rig.append("a.log", "1\n");
    rig.append("b.log", "x\n");
    rig.pass();
    rig.append("a.log", "2\n");
    rig.append("b.log", "y\nz");
    rig.rename("a.log", "old");
    fs::remove_file(rig.path("b.log")).unwrap();
    rig.pass();
    rig.append("old", "3\n");
    rig.pass();
    rig.wait(10);
    let mut lines = rig.lines();
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "x", "y", "z"]);
}

#[test]
fn copytruncate_goes_on_in_the_copy() {
    let mut rig = Rig::new();
    rig.append("a.log", "1\n2\n");
    rig.pass();
    rig.append("a.log", "3\n4");
    rig.copy_truncate("a.log", "a.log.1");
    rig.append("a.log", "5\n");
    for _ in 0..4 {
        rig.pass();
    }
    rig.wait(5);
    assert_eq!(rig.lines(), ["1", "2", "3", "5", "4"]);
    assert_eq!(rig.problems("truncations"), 1);
    assert_eq!(rig.problems("lost_bytes"), 0);
    // A copy that is seen before the original is emptied adds nothing.
    fs::copy(rig.path("a.log"), rig.path("a.log.2")).unwrap();
    rig.pass();
    rig.append("a.log", "6\n");
    rig.pass();
    rig.truncate("a.log");
    rig.append("a.log", "7\n");
    rig.wait(1);
    assert_eq!(rig.lines()[5..], ["6", "7"]);
}

#[test]
fn a_file_emptied_without_a_copy_counts_what_was_not_read() {
    let mut rig = Rig::new();
    rig.append("a.log", "1\n2\nunfinished");
    rig.pass();
    rig.truncate("a.log");
    rig.append("a.log", "3\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["1", "2", "unfinished", "3"]);
    // Emptied and grown beyond the old position between two looks.
    rig.truncate("a.log");
    rig.append(
        "a.log",
        "a new beginning\nthat is longer than the old file was\n",
    );
    rig.pass();
    rig.pass();
    assert_eq!(
        rig.lines()[4..],
        ["a new beginning", "that is longer than the old file was"]
    );
    assert_eq!(rig.problems("truncations"), 2);
}

#[test]
fn a_last_line_without_end_is_flushed_once() {
    let mut rig = Rig::new();
    rig.append("a.log", "1\nunfin");
    rig.pass();
    rig.wait(4);
    assert_eq!(rig.lines(), ["1", "unfin"]);
    rig.append("a.log", "ished\n2\n");
    rig.pass();
    assert_eq!(rig.lines(), ["1", "unfin", "ished", "2"]);
    rig.append("a.log", "3");
    rig.pass();
    rig.wait(4);
    rig.append("a.log", "\n4\n");
    rig.pass();
    assert_eq!(rig.lines()[4..], ["3", "4"]);
}

#[test]
fn long_lines_are_cut_and_bad_bytes_replaced() {
    let mut rig = Rig::with(|options| {
        options.filelog.line_bytes_max = 10;
        options.filelog.read_bytes = 7;
    });
    rig.append("a.log", format!("{}\nshort\n", "x".repeat(1_000)));
    rig.append("a.log", b"b\xffd\nexactly10!\n");
    for _ in 0..10 {
        rig.pass();
    }
    assert_eq!(
        rig.lines(),
        ["xxxxxxxxxx", "short", "b\u{fffd}d", "exactly10!"]
    );
    assert_eq!(rig.problems("line_too_long_bytes"), 990);
    assert_eq!(rig.problems("invalid_utf8_lines"), 1);
}

#[test]
fn container_lines_are_joined_across_rotation_and_restart() {
    let mut rig = Rig::with(|options| options.files[0].format = Format::Auto);
    let line = |tag: &str, text: &str| format!("2026-01-02T03:04:05.5Z stdout {tag} {text}\n");
    rig.append("0.log", line("F", "whole") + &line("P", "one "));
    rig.pass();
    rig.rename("0.log", "0.log.20260102");
    rig.append(
        "0.log",
        line("P", "two ") + "2026-01-02T03:04:05Z stderr F other\n",
    );
    rig.pass();
    rig.pass();
    rig.kill(Loss::All);
    fs::remove_file(rig.path("0.log.20260102")).unwrap();
    rig.append("0.log", line("F", "three"));
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["whole", "other", "one two three"]);
    let record = rig.records().pop().unwrap();
    assert_eq!(record.time_unix_nano, 1_767_323_045_500_000_000);
}

#[test]
fn a_stack_trace_is_one_record_also_when_the_agent_dies_in_it() {
    let mut rig = Rig::with(|options| {
        let continues = regex::Regex::new(r"^\s").unwrap();
        options.files[0].multiline = Some(crate::options::Multiline::continued_by(continues));
    });
    rig.append("a.log", "first\nError: x\n  at a\n");
    rig.pass();
    rig.kill(Loss::All);
    rig.append("a.log", "  at b\nlast\n");
    rig.pass();
    rig.wait(2);
    assert_eq!(rig.lines(), ["first", "Error: x\n  at a\n  at b", "last"]);
}

#[test]
fn archives_are_passed_over_and_reading_may_start_at_the_end() {
    let mut rig = Rig::with(|options| options.files[0].start_at = StartAt::End);
    rig.append("a.log", "old\nhalf an old line");
    rig.append("a.log.1.gz", b"\x1f\x8b\x08not for us\n");
    rig.pass();
    rig.append("a.log", " that ends\nnew\n");
    rig.append("b.log", "later files are read whole\n");
    rig.pass();
    rig.pass();
    let mut lines = rig.lines();
    lines.sort();
    assert_eq!(lines, ["later files are read whole", "new"]);
    assert_eq!(rig.problems("compressed_files_passed_over"), 1);
}

#[test]
fn many_files_need_few_descriptors() {
    let mut rig = Rig::with(|options| options.filelog.open_files_max = 4);
    for n in 0..100 {
        rig.append(&format!("{n}.log"), format!("{n}\n"));
    }
    rig.pass();
    for n in 0..100 {
        rig.append(&format!("{n}.log"), format!("{n} again\n"));
    }
    rig.pass();
    assert_eq!(rig.lines().len(), 200);
    assert!(rig.metrics.total("throughline_agent_files_open", &[]) <= 4);
    assert_eq!(rig.metrics.total("throughline_agent_files", &[]), 100);
}

#[test]
fn three_rotations_while_the_agent_is_down_lose_nothing() {
    let mut rig = Rig::new();
    rig.append("a.log", "1\n");
    rig.pass();
    rig.append("a.log", "2\n");
    rig.kill(Loss::Nothing);
    for n in 3..6 {
        for old in (1..n - 2).rev() {
            rig.rename(&format!("a.log.{old}"), &format!("a.log.{}", old + 1));
        }
        rig.rename("a.log", "a.log.1");
        rig.append("a.log", format!("{n}\n"));
    }
    rig.pass();
    rig.pass();
    let mut lines = rig.lines();
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_full_queue_pauses_reading() {
    let mut rig = Rig::with(|options| {
        options.queue = QueueOptions {
            bytes: 3 << 20,
            ..QueueOptions::default()
        };
    });
    let line = format!("{}\n", "x".repeat(1_000));
    rig.append("a.log", line.repeat(6_000));
    let (queue, metrics) = (rig.queue.clone(), rig.metrics.clone());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while rig.metrics.total("throughline_agent_file_lines_total", &[]) < 6_000 {
                rig.pass();
            }
            done.store(true, Ordering::SeqCst);
        });
        let reasons = [("reason", "paused_by_queue")];
        while metrics.total("throughline_agent_file_problems_total", &reasons) == 0 {
            assert!(!done.load(Ordering::SeqCst), "the queue never filled up");
            std::thread::yield_now();
        }
        while !done.load(Ordering::SeqCst) {
            let end = queue.tail().synced_end();
            futures::executor::block_on(queue.exported("collector".to_owned(), end));
            std::thread::yield_now();
        }
        reader.join().unwrap();
    });
    assert_eq!(metrics.total(crate::metrics::RECEIVED_ROWS, &[]), 6_000);
}

/// Writes, rotates both ways and dies at every change of the disk in turn; every line must be
/// there exactly once in the end, and those of one file in their order.
#[test]
fn every_line_is_queued_exactly_once_wherever_the_agent_dies() {
    for (point, loss) in [
        (CrashPoint::Before, Loss::All),
        (CrashPoint::After, Loss::Nothing),
        (CrashPoint::During, Loss::Random(9)),
    ] {
        let mut crash = 0;
        loop {
            let mut rig = Rig::with(|options| {
                options.filelog.batch_bytes = 200;
                options.filelog.read_bytes = 64;
            });
            rig.files.crash_at(rig.files.changes() + crash, point);
            let mut next = 0;
            let mut lines = |count: usize| {
                let range = next..next + count;
                next += count;
                range.map(|n| format!("line {n:04}\n")).collect::<String>()
            };
            let over = AtomicBool::new(false);
            let crashed = std::thread::scope(|scope| {
                let (files, stop) = (rig.files.clone(), Arc::clone(&rig.poller.stop));
                let over = &over;
                scope.spawn(move || {
                    // A process that has crashed does not try again.
                    while !over.load(Ordering::SeqCst) && !files.has_crashed() {
                        std::thread::yield_now();
                    }
                    if files.has_crashed() {
                        stop.set();
                    }
                });
                rig.append("a.log", lines(10));
                rig.pass();
                rig.append("a.log", lines(5) + "line half");
                rig.pass();
                rig.append("a.log", " done\n");
                rig.rename("a.log", "a.log.1");
                rig.append("a.log", lines(10));
                rig.pass();
                rig.append("a.log", lines(5));
                rig.copy_truncate("a.log", "a.log.0");
                rig.append("a.log", lines(10));
                rig.pass();
                over.store(true, Ordering::SeqCst);
                rig.files.has_crashed()
            });
            rig.kill(loss);
            rig.append("a.log", lines(3));
            for _ in 0..4 {
                rig.pass();
            }
            rig.wait(5);
            let found = rig.lines();
            let mut expected: Vec<String> = (0..next).map(|n| format!("line {n:04}")).collect();
            expected.insert(15, "line half done".to_owned());
            assert_eq!(found, expected, "crash {crash} {point:?} {loss:?}");
            if !crashed {
                break;
            }
            crash += 1;
        }
        assert!(crash >= 8, "only {crash} crash points");
    }
}

#[test]
fn a_record_that_waits_is_sent_where_its_file_went_away_meanwhile() {
    let mut rig = Rig::with(|options| {
        let continues = regex::Regex::new("^\\s").unwrap();
        options.files[0].multiline = Some(crate::options::Multiline::continued_by(continues));
    });
    rig.append("a.log", "Error\n  at one\n");
    rig.pass();
    // What is stored for another file has it stored, too.
    rig.append("b.log", "other\nnext\n");
    rig.pass();
    assert_eq!(rig.lines(), ["other"]);
    rig.kill(Loss::All);
    fs::remove_file(rig.path("a.log")).unwrap();
    rig.wait(2);
    let mut lines = rig.lines();
    lines.sort_unstable();
    assert_eq!(lines, ["Error\n  at one", "next", "other"]);
}

#[test]
fn short_lines_go_into_as_many_entries_as_they_need() {
    let mut rig = Rig::with(|options| options.queue.entry_bytes_max = 64 << 10);
    let lines: Vec<String> = (0..30_000).map(|line| format!("line {line}")).collect();
    rig.append("a.log", lines.join("\n") + "\n");
    for _ in 0..20 {
        rig.pass();
    }
    assert!(rig.lines() == lines);
    assert_eq!(
        rig.metrics
            .total("throughline_agent_dropped_rows_total", &[]),
        0
    );
}

#[test]
fn a_line_that_is_taken_back_before_its_end_has_nothing_read_again() {
    let mut rig = Rig::new();
    rig.append("a.log", "one\ntwo\nprogress 10%");
    rig.pass();
    for part in ["one\ntwo\nprog", "one\ntwo\n"] {
        let file = fs::File::options().write(true).open(rig.path("a.log"));
        file.unwrap().set_len(part.len() as u64).unwrap();
        rig.pass();
        rig.pass();
    }
    rig.append("a.log", "three\n");
    rig.pass();
    rig.pass();
    assert_eq!(rig.lines(), ["one", "two", "three"]);
    assert_eq!(rig.problems("truncations"), 0);
}
