//! Puts together what belongs together: the parts of a line that a container runtime cut, and
//! the lines of a record that spans several.
//!
//! What waits for its continuation is part of the checkpoint, so a restart in the middle of a
//! stack trace neither loses nor repeats its first half, even when the file that held it is gone.

use serde::{Deserialize, Serialize};

use super::container::{self, Runtime, Stream, Unwrapped};
use crate::options::{Format, Match, Multiline};

/// A line whose parts have not all come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Partial {
    runtime: Runtime,
    stream: Stream,
    text: String,
    time_unix_nano: u64,
    /// When its first part was read, and its last.
    since: u64,
    touched: u64,
}

/// A record whose lines have not all come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Group {
    stream: Option<Stream>,
    text: String,
    time_unix_nano: u64,
    lines: u32,
    since: u64,
    touched: u64,
}

/// A whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assembled {
    pub(super) text: String,
    pub(super) stream: Option<Stream>,
    /// The runtime's time, or 0.
    pub(super) time_unix_nano: u64,
    /// When its first byte was read.
    pub(super) read_unix_nano: u64,
}

/// How lines of one lineage are treated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) format: Format,
    pub(super) multiline: Option<&'a Multiline>,
    /// A record is closed when it has this many bytes.
    pub(super) bytes_max: usize,
    /// Parts whose end does not come are closed after this long.
    pub(super) flush_after_nanos: u64,
}

/// Everything that waits in one lineage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Assembler {
    partials: Vec<Partial>,
    groups: Vec<Group>,
}

impl Assembler {
    pub(super) fn is_empty(&self) -> bool {
        self.partials.is_empty() && self.groups.is_empty()
    }

    /// Bytes of text that wait.
    pub(super) fn bytes(&self) -> usize {
        let partials = self.partials.iter().map(|partial| partial.text.len());
        let groups = self.groups.iter().map(|group| group.text.len());
        partials.chain(groups).sum()
    }

    /// When the oldest thing that waits was read.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        let partials = self.partials.iter().map(|partial| partial.since);
        partials
            .chain(self.groups.iter().map(|group| group.since))
            .min()
    }

    /// Takes one line, read at `now`.
    pub(super) fn line(
        &mut self,
        line: &str,
        rules: &Rules<'_>,
        now: u64,
        out: &mut dyn FnMut(Assembled),
    ) {
        let unwrapped = match rules.format {
            Format::Auto => container::cri(line).or_else(|| container::docker(line, true)),
            Format::Cri => container::cri(line),
            Format::Docker => container::docker(line, false),
            Format::Plain | Format::Json | Format::Logfmt => None,
        };
        match unwrapped {
            Some(unwrapped) => self.part(unwrapped, rules, now, out),
            None => {
                // A line that no runtime wrote ends whatever one was in the middle of.
                for partial in std::mem::take(&mut self.partials) {
                    self.whole(partial.assembled(), rules, now, out);
                }
                let whole = Assembled {
                    text: line.to_owned(),
                    stream: None,
                    time_unix_nano: 0,
                    read_unix_nano: now,
                };
                self.whole(whole, rules, now, out);
            }
        }
    }

    fn part(
        &mut self,
        part: Unwrapped<'_>,
        rules: &Rules<'_>,
        now: u64,
        out: &mut dyn FnMut(Assembled),
    ) {
        let same = |known: &Partial| known.runtime == part.runtime && known.stream == part.stream;
        let known = self.partials.iter().position(same);
        let mut partial = match known {
            Some(index) => self.partials.remove(index),
            None => Partial {
                runtime: part.runtime,
                stream: part.stream,
                text: String::new(),
                time_unix_nano: part.time_unix_nano,
                since: now,
                touched: now,
            },
        };
        partial.text.push_str(&part.text);
        partial.touched = now;
        if part.partial && partial.text.len() < rules.bytes_max {
            self.partials.push(partial);
        } else {
            self.whole(partial.assembled(), rules, now, out);
        }
    }

    /// Takes a whole line.
    fn whole(
        &mut self,
        line: Assembled,
        rules: &Rules<'_>,
        now: u64,
        out: &mut dyn FnMut(Assembled),
    ) {
        let Some(multiline) = rules.multiline else {
            return out(line);
        };
        let continues = multiline.pattern.is_match(&line.text) != multiline.negate;
        let index = self
            .groups
            .iter()
            .position(|group| group.stream == line.stream);
        let mut group = index.map(|index| self.groups.remove(index));
        if multiline.at == Match::After && !continues {
            group
                .take()
                .into_iter()
                .for_each(|group| out(group.assembled()));
        }
        let mut group = match group {
            Some(mut group) => {
                group.text.push('\n');
                group.text.push_str(&line.text);
                group
            }
            None => Group {
                stream: line.stream,
                text: line.text,
                time_unix_nano: line.time_unix_nano,
                lines: 0,
                since: line.read_unix_nano,
                touched: now,
            },
        };
        group.lines += 1;
        group.touched = now;
        let full =
            group.lines as usize >= multiline.max_lines || group.text.len() >= rules.bytes_max;
        if full || multiline.at == Match::Before && !continues {
            out(group.assembled());
        } else {
            self.groups.push(group);
        }
    }

    /// Closes what has waited too long; returns whether anything was.
    pub(super) fn flush_due(
        &mut self,
        rules: &Rules<'_>,
        now: u64,
        out: &mut dyn FnMut(Assembled),
    ) -> bool {
        let before = self.partials.len() + self.groups.len();
        let due = |touched: u64, after: u64| now.saturating_sub(touched) >= after;
        let (old, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.partials)
            .into_iter()
            .partition(|partial| due(partial.touched, rules.flush_after_nanos));
        self.partials = kept;
        let any = !old.is_empty();
        for partial in old {
            self.whole(partial.assembled(), rules, now, out);
        }
        let timeout = rules.multiline.map_or(0, |multiline| {
            u64::try_from(multiline.timeout.as_nanos()).unwrap_or(u64::MAX)
        });
        let (old, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.groups)
            .into_iter()
            .partition(|group| due(group.touched, timeout));
        self.groups = kept;
        old.into_iter().for_each(|group| out(group.assembled()));
        any || before != self.partials.len() + self.groups.len()
    }
}

impl Partial {
    fn assembled(self) -> Assembled {
        Assembled {
            text: self.text,
            stream: Some(self.stream),
            time_unix_nano: self.time_unix_nano,
            read_unix_nano: self.since,
        }
    }
}

impl Group {
    fn assembled(self) -> Assembled {
        Assembled {
            text: self.text,
            stream: self.stream,
            time_unix_nano: self.time_unix_nano,
            read_unix_nano: self.since,
        }
    }
}

#[cfg(test)]
mod tests;
