//! Log records as compact lines, oldest first, bounded in number and bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use api::LogView;

use super::timeline::log_line;
use crate::text::{find_ignoring_case, fit, sanitise};

/// Most lines that one screen holds; older ones are let go, and counted.
pub const LINES_MAX: usize = 1_000_000;
/// What the lines of one screen take at most.
const BYTES_MAX: usize = 256 << 20;
/// Longest line kept for the list, in columns; the details have all of it.
const LINE_COLUMNS: usize = 4096;

/// One log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// When, in unix nanoseconds.
    pub time: u64,
    /// OTLP severity number.
    pub severity: u8,
    /// Whether it belongs to a trace.
    pub traced: bool,
    /// Service name.
    pub service: Arc<str>,
    /// Body on one line, sanitised.
    pub text: Box<str>,
    /// The record as JSON, for the details.
    record: Box<[u8]>,
}

impl LogLine {
    /// The whole record.
    pub fn record(&self) -> Option<LogView> {
        serde_json::from_slice(&self.record).ok()
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.record.len()
    }

    /// Whether its text or service contains a text.
    fn contains(&self, text: &str) -> bool {
        let found = |within: &str| find_ignoring_case(within, text).is_some();
        found(&self.text) || found(&self.service)
    }

    /// Whether the severity is ERROR or worse.
    pub fn is_error(&self) -> bool {
        self.severity >= 17
    }
}

/// Turns records into lines; service names are shared.
pub fn lines(records: &[LogView]) -> Vec<LogLine> {
    let mut services: HashMap<&str, Arc<str>> = HashMap::new();
    records
        .iter()
        .map(|record| {
            let service = services
                .entry(&record.service)
                .or_insert_with(|| Arc::from(sanitise(&record.service).as_ref()));
            let line = log_line(record);
            LogLine {
                time: record.time_unix_nano,
                severity: severity(record),
                traced: !record.trace_id.is_empty(),
                service: Arc::clone(service),
                text: sanitise(fit(&line, LINE_COLUMNS).0).as_ref().into(),
                // Plain data always serialises; an empty record would show as one without details.
                record: serde_json::to_vec(record).unwrap_or_default().into(),
            }
        })
        .collect()
}

/// The severity number, or what the text says where no number was sent.
fn severity(record: &LogView) -> u8 {
    if let Ok(number @ 1..=24) = u8::try_from(record.severity_number) {
        return number;
    }
    let text = record.severity_text.to_ascii_lowercase();
    match text.as_str() {
        "trace" => 1,
        "debug" => 5,
        "info" | "information" | "notice" => 9,
        "warn" | "warning" => 13,
        "error" | "err" => 17,
        "fatal" | "critical" | "crit" | "panic" | "alert" | "emergency" => 21,
        _ => 0,
    }
}

/// What a merge changed.
#[derive(Debug)]
pub struct Merged {
    /// New lines.
    pub added: usize,
    /// Old lines let go because there were too many, or they took too much.
    pub evicted: usize,
    /// Times of the new lines, sorted.
    times: Vec<u64>,
}

impl Merged {
    /// How many of the new lines stand before an old one of this time.
    pub fn before(&self, time: u64) -> usize {
        self.times.partition_point(|&new| new < time)
    }
}

/// Lines in order, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogStore {
    lines: VecDeque<LogLine>,
    bytes: usize,
    /// Lines let go because there were too many, or they took too much.
    pub evicted: u64,
}

impl LogStore {
    /// Number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A line by its place.
    pub fn get(&self, index: usize) -> Option<&LogLine> {
        self.lines.get(index)
    }

    /// Replaces all lines by these, oldest first.
    pub fn replace(&mut self, lines: Vec<LogLine>) {
        *self = Self::default();
        self.append(lines);
    }

    /// Puts older lines in front, oldest first. Gives how many found room.
    pub fn prepend(&mut self, lines: Vec<LogLine>) -> usize {
        let before = self.lines.len();
        for line in lines.into_iter().rev() {
            let bytes = self.bytes + line.bytes();
            if self.lines.len() == LINES_MAX || bytes > BYTES_MAX {
                break;
            }
            self.bytes = bytes;
            self.lines.push_front(line);
        }
        self.lines.len() - before
    }

    /// Appends newer lines. Gives how many old ones were let go.
    pub fn append(&mut self, lines: impl IntoIterator<Item = LogLine>) -> usize {
        let before = self.lines.len();
        self.lines.extend(lines);
        self.bytes += self
            .lines
            .range(before..)
            .map(LogLine::bytes)
            .sum::<usize>();
        self.evict(LINES_MAX, BYTES_MAX)
    }

    /// All lines, oldest first.
    pub fn into_lines(self) -> Vec<LogLine> {
        self.lines.into()
    }

    /// Lets the oldest lines go until no more than these are left; the newest one stays.
    fn evict(&mut self, lines_max: usize, bytes_max: usize) -> usize {
        let mut surplus = 0;
        while self.lines.len() > lines_max || (self.bytes > bytes_max && self.lines.len() > 1) {
            let Some(line) = self.lines.pop_front() else {
                break;
            };
            self.bytes -= line.bytes();
            surplus += 1;
        }
        self.evicted += surplus as u64;
        surplus
    }

    /// The time of the newest line.
    pub fn newest(&self) -> Option<u64> {
        self.lines.back().map(|line| line.time)
    }

    /// Puts lines in where they belong in time, but for those that are already there, record by
    /// record: a page that was asked for while a tail ran holds what the tail also sent.
    pub fn merge(&mut self, lines: Vec<LogLine>) -> Merged {
        let since = lines.iter().map(|line| line.time).min().unwrap_or(u64::MAX);
        let mut known: HashMap<&[u8], usize> = HashMap::new();
        for line in self.lines.iter().filter(|line| line.time >= since) {
            *known.entry(&line.record).or_default() += 1;
        }
        let fresh: Vec<LogLine> = lines
            .into_iter()
            .filter(|line| match known.get_mut(&*line.record) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    false
                }
                _ => true,
            })
            .collect();
        let mut times: Vec<u64> = fresh.iter().map(|line| line.time).collect();
        times.sort_unstable();
        let first = self.lines.iter().position(|line| line.time >= since);
        self.bytes += fresh.iter().map(LogLine::bytes).sum::<usize>();
        self.lines.extend(fresh);
        if let Some(first) = first {
            // Lines of one time keep their order.
            self.lines.make_contiguous()[first..].sort_by_key(|line| line.time);
        }
        Merged {
            added: times.len(),
            times,
            evicted: self.evict(LINES_MAX, BYTES_MAX),
        }
    }

    /// The nearest line after or before one, around the ends, whose text or service contains a
    /// text.
    pub fn search_from(&self, line: usize, text: &str, forward: bool) -> Option<usize> {
        let len = self.lines.len();
        (1..=len)
            .map(|step| {
                if forward {
                    (line + step) % len
                } else {
                    (line + len - step) % len
                }
            })
            .find(|&index| self.lines[index].contains(text))
    }

    /// The nearest error after or before a line.
    pub fn error_from(&self, line: usize, forward: bool) -> Option<usize> {
        let is_error = |&index: &usize| self.lines.get(index).is_some_and(LogLine::is_error);
        if forward {
            (line + 1..self.lines.len()).find(is_error)
        } else {
            (0..line.min(self.lines.len())).rev().find(is_error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(time: u64, body: &str, severity_number: i32) -> LogView {
        LogView {
            time_unix_nano: time,
            body: json!(body),
            severity_number,
            ..LogView::default()
        }
    }

    #[test]
    fn a_page_and_a_tail_meet_without_gap_or_repetition() {
        let page = lines(&[record(1, "a", 9), record(2, "b", 9), record(2, "b", 9)]);
        let tail = lines(&[
            record(2, "b", 9),
            record(2, "b", 9),
            record(2, "b", 9),
            record(3, "c", 9),
        ]);
        let mut store = LogStore::default();
        store.replace(page);
        assert_eq!(store.merge(tail).added, 2);
        assert_eq!(texts(&store), ["a", "b", "b", "b", "c"]);
    }

    #[test]
    fn what_was_missed_goes_where_it_belongs() {
        let mut store = LogStore::default();
        store.append(lines(&[
            record(10, "a", 9),
            record(12, "late", 9),
            record(11, "b", 9),
            record(40, "after", 9),
        ]));
        let merged = store.merge(lines(&[
            record(11, "b", 9),
            record(20, "missed", 9),
            record(40, "after", 9),
            record(41, "new", 9),
        ]));
        assert_eq!((merged.added, merged.evicted), (2, 0));
        assert_eq!(merged.before(40), 1);
        assert_eq!(texts(&store), ["a", "b", "late", "missed", "after", "new"]);
    }

    fn texts(store: &LogStore) -> Vec<&str> {
        (0..store.len())
            .map(|i| &*store.get(i).unwrap().text)
            .collect()
    }

    #[test]
    fn long_lines_are_bounded_by_what_they_take() {
        let mut store = LogStore::default();
        let long = "x".repeat(10_000);
        let records: Vec<LogView> = (10..60).map(|time| record(time, &long, 9)).collect();
        store.append(lines(&records));
        let each = store.bytes / 50;
        assert!((14_000..20_000).contains(&each), "record and text: {each}");
        assert_eq!(store.evict(LINES_MAX, 20 * each), 30);
        assert_eq!((store.len(), store.evicted), (20, 30));
        assert_eq!(store.get(0).unwrap().time, 40);
        store.merge(lines(&[record(60, &long, 9), record(59, &long, 9)]));
        assert_eq!(store.bytes, 21 * each);
        // However long it is.
        assert_eq!(store.evict(LINES_MAX, 1), 20);
        assert_eq!(store.newest(), Some(60));
        // Older lines come only while there is room.
        store.bytes = BYTES_MAX - each;
        assert_eq!(store.prepend(lines(&records[..3])), 1);
        assert_eq!(store.get(0).unwrap().time, 12);
    }

    #[test]
    fn searches_around_the_ends() {
        let mut store = LogStore::default();
        store.append(lines(&[
            record(1, "Card declined", 9),
            record(2, "b", 9),
            record(3, "card taken", 9),
        ]));
        assert_eq!(store.search_from(0, "card", true), Some(2));
        assert_eq!(store.search_from(2, "card", true), Some(0));
        assert_eq!(store.search_from(0, "CARD", false), Some(2));
        assert_eq!(
            store.search_from(3, "card", false),
            Some(2),
            "the mark's own"
        );
        assert_eq!(
            store.search_from(0, "declined", true),
            Some(0),
            "the only one"
        );
        assert_eq!(store.search_from(0, "nowhere", true), None);
        assert_eq!(store.search_from(0, "", true), None);
        assert_eq!(LogStore::default().search_from(0, "x", false), None);
    }

    #[test]
    fn finds_errors_by_number_or_text() {
        let mut worded = record(2, "b", 0);
        worded.severity_text = "ERROR".to_owned();
        let mut store = LogStore::default();
        store.append(lines(&[record(1, "a", 21), worded, record(3, "c", 9)]));
        assert_eq!(store.error_from(0, true), Some(1));
        assert_eq!(store.error_from(1, true), None);
        assert_eq!(store.error_from(99, false), Some(1));
        assert_eq!(store.error_from(0, false), None);
    }
}
