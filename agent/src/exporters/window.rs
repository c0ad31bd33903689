//! The entries between the last acknowledged position and the reader: in order, each waiting or
//! in flight, with the watermark that follows the oldest unfinished one.

use std::collections::{BTreeMap, VecDeque};

use journal::Position;
use tokio::time::Instant;

use crate::queue::Sealed;

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Ready from this moment on.
    Waiting(Instant),
    InFlight,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) sealed: Sealed,
    pub(super) phase: Phase,
    /// Failures so far.
    pub(super) failures: u32,
    record: u64,
}

/// A journal record whose entries are not all finished.
#[derive(Debug)]
struct OpenRecord {
    next: Position,
    left: usize,
}

#[derive(Debug)]
pub(super) struct Window {
    slots: BTreeMap<u64, Slot>,
    next_slot: u64,
    records: VecDeque<OpenRecord>,
    /// Number of the record at the front.
    first_record: u64,
    /// Everything before is finished.
    watermark: Position,
    bytes: usize,
}

impl Window {
    pub(super) fn new(watermark: Position) -> Self {
        Self {
            slots: BTreeMap::new(),
            next_slot: 0,
            records: VecDeque::new(),
            first_record: 0,
            watermark,
            bytes: 0,
        }
    }

    /// Adds a record's entries; a record without any only moves the watermark.
    pub(super) fn push(&mut self, entries: Vec<Sealed>, next: Position, now: Instant) {
        let record = self.first_record + self.records.len() as u64;
        self.records.push_back(OpenRecord {
            next,
            left: entries.len(),
        });
        for sealed in entries {
            self.bytes += sealed.request.len();
            let slot = Slot {
                sealed,
                phase: Phase::Waiting(now),
                failures: 0,
                record,
            };
            self.slots.insert(self.next_slot, slot);
            self.next_slot += 1;
        }
        self.advance();
    }

    /// An entry needs no more attention.
    pub(super) fn finish(&mut self, id: u64) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.bytes -= slot.sealed.request.len();
        let index = usize::try_from(slot.record - self.first_record).unwrap_or(usize::MAX);
        if let Some(record) = self.records.get_mut(index) {
            record.left -= 1;
        }
        self.advance();
        Some(slot)
    }

    fn advance(&mut self) {
        while let Some(front) = self.records.front()
            && front.left == 0
        {
            self.watermark = front.next;
            self.records.pop_front();
            self.first_record += 1;
        }
    }

    pub(super) fn watermark(&self) -> Position {
        self.watermark
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Slot> {
        self.slots.get_mut(&id)
    }

    /// The oldest entries first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Slot)> {
        self.slots.iter().map(|(id, slot)| (*id, slot))
    }

    /// Lets every waiting entry go at once.
    pub(super) fn wake_all(&mut self, now: Instant) {
        for slot in self.slots.values_mut() {
            if let Phase::Waiting(at) = &mut slot.phase {
                *at = (*at).min(now);
            }
        }
    }

    /// When the oldest content of the entries other than `except` was read.
    pub(super) fn oldest_read(&self, except: u64) -> Option<u64> {
        let others = self.slots.iter().filter(|(id, _)| **id != except);
        others.map(|(_, slot)| slot.sealed.read_unix_nano).min()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use model::Signal;

    use super::*;
    use crate::queue::StampId;

    fn sealed(sequence: u64) -> Sealed {
        Sealed {
            stamp: StampId { epoch: 1, sequence },
            signal: Signal::Logs,
            rows: 1,
            read_unix_nano: sequence * 10,
            clock: None,
            request: Bytes::from_static(b"abc"),
        }
    }

    fn at(offset: u64) -> Position {
        Position { segment: 1, offset }
    }

    #[test]
    fn the_watermark_waits_for_the_oldest_entry() {
        let now = Instant::now();
        let mut window = Window::new(at(0));
        window.push(vec![sealed(1)], at(10), now);
        window.push(Vec::new(), at(20), now);
        window.push(vec![sealed(2), sealed(3)], at(30), now);
        assert_eq!((window.len(), window.bytes()), (3, 9));
        window.finish(2);
        window.finish(1);
        assert_eq!(window.watermark(), at(0));
        assert_eq!(window.oldest_read(0), None);
        window.finish(0);
        assert_eq!(window.watermark(), at(30));
        assert!(window.is_empty());
        window.push(Vec::new(), at(40), now);
        assert_eq!(window.watermark(), at(40));
        assert!(window.finish(7).is_none());
    }
}
