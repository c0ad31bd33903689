//! Which files of partitions are open: those that were asked for last.
//!
//! An open file is mapped, which costs no descriptor, but the kernel bounds the mappings of a
//! process, and an index of several segments has dozens. What is forgotten here is closed once the
//! last query that holds it is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env::Env;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::BlockFile;
use crate::index::TermIndex;

/// Mappings of an open file: its blocks, its terms, its fields.
const MAPS_OF_FILE: usize = 3;

/// Something open.
#[derive(Clone)]
enum Open {
    File(Arc<BlockFile>),
    Index(Arc<TermIndex>),
}

struct Slot {
    open: Open,
    maps: usize,
    seen: u64,
}

#[derive(Default)]
struct Slots {
    by_serial: FxHashMap<u64, Slot>,
    maps: usize,
    /// Grows with each look.
    now: u64,
}

/// The open files of a store, a bounded number of them.
pub(crate) struct OpenFiles {
    pub env: Env,
    maps_max: usize,
    next_serial: AtomicU64,
    opened: AtomicU64,
    slots: Mutex<Slots>,
}

impl std::fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenFiles")
            .field("maps_max", &self.maps_max)
            .finish_non_exhaustive()
    }
}

impl OpenFiles {
    /// None open; about so many mappings at most.
    pub(crate) fn new(env: &Env, maps_max: usize) -> Self {
        Self {
            env: env.clone(),
            maps_max,
            next_serial: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            slots: Mutex::default(),
        }
    }

    /// The next number that tells one file or index from all others.
    pub(crate) fn serial(&self) -> u64 {
        self.next_serial.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn file(&self, serial: u64) -> Option<Arc<BlockFile>> {
        match self.get(serial)? {
            Open::File(file) => Some(file),
            Open::Index(_) => None,
        }
    }

    pub(crate) fn index(&self, serial: u64) -> Option<Arc<TermIndex>> {
        match self.get(serial)? {
            Open::Index(index) => Some(index),
            Open::File(_) => None,
        }
    }

    fn get(&self, serial: u64) -> Option<Open> {
        let mut slots = self.slots.lock();
        slots.now += 1;
        let now = slots.now;
        let slot = slots.by_serial.get_mut(&serial)?;
        slot.seen = now;
        Some(slot.open.clone())
    }

    pub(super) fn put_file(&self, serial: u64, file: &Arc<BlockFile>) {
        self.put(serial, Open::File(Arc::clone(file)), MAPS_OF_FILE);
    }

    pub(crate) fn put_index(&self, serial: u64, index: &Arc<TermIndex>) {
        let maps = index.maps();
        self.put(serial, Open::Index(Arc::clone(index)), maps);
    }

    fn put(&self, serial: u64, open: Open, maps: usize) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        // What goes is closed once the lock is free.
        let _closed = {
            let mut slots = self.slots.lock();
            let mut closed = Vec::new();
            if slots.maps + maps > self.maps_max {
                closed = slots.forget_half();
            }
            let seen = slots.now;
            slots.maps += maps;
            let before = slots.by_serial.insert(serial, Slot { open, maps, seen });
            slots.maps -= before.as_ref().map_or(0, |before| before.maps);
            closed.extend(before);
            closed
        };
    }

    /// Closes what is no longer wanted by anyone.
    pub(crate) fn forget(&self, serial: u64) {
        let _closed = {
            let mut slots = self.slots.lock();
            let closed = slots.by_serial.remove(&serial);
            slots.maps -= closed.as_ref().map_or(0, |closed| closed.maps);
            closed
        };
    }

    /// Opens something; where the system has no room for more open files, others are closed
    /// before it is tried again.
    pub(crate) fn with_room<T, E>(
        &self,
        open: impl Fn() -> Result<T, E>,
        system: impl Fn(&E) -> Option<&std::io::Error>,
    ) -> Result<T, E> {
        let first = open();
        let full = first.as_ref().err().and_then(&system).is_some_and(is_full);
        if !full {
            return first;
        }
        drop(std::mem::take(&mut *self.slots.lock()));
        open()
    }

    /// How many mappings there are, and how often something was opened.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let maps = self.slots.lock().maps as u64;
        (maps, self.opened.load(Ordering::Relaxed))
    }
}

impl Slots {
    /// Takes the half out that was not asked for the longest.
    fn forget_half(&mut self) -> Vec<Slot> {
        let mut seen: Vec<u64> = self.by_serial.values().map(|slot| slot.seen).collect();
        if seen.is_empty() {
            return Vec::new();
        }
        let middle = (seen.len() - 1) / 2;
        let (_, last, _) = seen.select_nth_unstable(middle);
        let last = *last;
        let old = self.by_serial.extract_if(|_, slot| slot.seen <= last);
        let old: Vec<Slot> = old.map(|(_, slot)| slot).collect();
        self.maps -= old.iter().map(|slot| slot.maps).sum::<usize>();
        old
    }
}

/// Whether the system has no more descriptors or mappings to give.
fn is_full(error: &std::io::Error) -> bool {
    /// ENOMEM, ENFILE and EMFILE, as every Linux has them.
    const FULL: [i32; 3] = [12, 23, 24];
    error
        .raw_os_error()
        .is_some_and(|code| FULL.contains(&code))
}
