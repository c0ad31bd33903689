//! The index of a partition: opened when it is asked for, as of the last commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tantivy::TantivyError;
use tantivy::index::SegmentId;

use super::{IndexError, TermIndex};
use crate::partition::{Home, INDEX};
use crate::whole::if_whole;

/// Ends the name of a folder whose index is damaged.
const SET_ASIDE_SUFFIX: &str = ".quarantined";

/// The index of a partition, open or not. Whoever looks gets the last commit, which may cover more
/// files than a query that began before it knows of, and no longer some that were merged away;
/// those are searched without it.
pub(crate) struct PartitionIndex {
    home: Arc<Home>,
    serial: u64,
    damaged: AtomicBool,
    /// Held by whoever opens it or adds to it: files go while something is added.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Segments of which every byte was checked.
    checked: Vec<SegmentId>,
    /// What is wrong with it.
    damage: Option<String>,
}

impl PartitionIndex {
    pub(crate) fn new(home: &Arc<Home>) -> Self {
        Self {
            serial: home.open.serial(),
            home: Arc::clone(home),
            damaged: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Whether it was found to be damaged.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed)
    }

    /// The index as of the last commit; nothing where there is none yet. What the system refuses
    /// is tried again the next time; damage is damage.
    pub(crate) fn get(&self) -> Result<Option<Arc<TermIndex>>, IndexError> {
        if let Some(index) = self.known() {
            return Ok(Some(index));
        }
        let mut state = self.state.lock();
        if let Some(reason) = &state.damage {
            return Err(IndexError::Damaged(reason.clone()));
        }
        self.last(&mut state)
    }

    /// What is open of it.
    fn known(&self) -> Option<Arc<TermIndex>> {
        let index = self.home.open.index(self.serial);
        index.filter(|index| index.is_whole())
    }

    /// The last commit, which is opened unless it is; nothing where there is none yet.
    fn last(&self, state: &mut State) -> Result<Option<Arc<TermIndex>>, IndexError> {
        // Where another thread was faster, its result is as good.
        if let Some(index) = self.known() {
            return Ok(Some(index));
        }
        self.close(state);
        let env = self.home.env();
        let opened = self.opened(state, |checked| {
            let within = |dir: &Path| TermIndex::open(env, &dir.join(INDEX), checked);
            self.home.place.within(within)
        })?;
        Ok(opened.map(|index| self.put(index)))
    }

    /// Opens it, and notes that it is damaged where it is.
    fn opened<T>(
        &self,
        state: &mut State,
        open: impl Fn(&[SegmentId]) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        let opened = self
            .home
            .open
            .with_room(|| open(&state.checked), |error| error.system());
        if let Err(IndexError::Damaged(reason)) = &opened {
            tracing::error!(reason, "index is damaged, searching without it");
            state.damage = Some(reason.clone());
            self.damaged.store(true, Ordering::Relaxed);
        }
        opened
    }

    /// Closes what the disk did not give whole: it is to be checked anew.
    fn close(&self, state: &mut State) {
        if self.home.open.index(self.serial).is_some() {
            self.home.open.forget(self.serial);
            state.checked.clear();
        }
    }

    fn put(&self, index: TermIndex) -> Arc<TermIndex> {
        let index = Arc::new(index);
        self.home.open.put_index(self.serial, &index);
        index
    }

    /// Adds to the index, which is made where there is none. One that is damaged is set aside, and
    /// a new one covers what comes from now on.
    pub(crate) fn add(
        &self,
        add: impl FnOnce(&TermIndex) -> Result<TermIndex, IndexError>,
    ) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        let index = self.to_add_to(&mut state)?;
        self.change(&mut state, &index, |index| add(index).map(Some))
    }

    /// Removes the documents of files that are not needed any more. Of an index that is damaged
    /// nothing is: it is set aside as a whole when something is added.
    pub(crate) fn keep(&self, needed: impl Fn(u64) -> bool) -> Result<(), IndexError> {
        let mut state = self.state.lock();
        if state.damage.is_some() {
            return Ok(());
        }
        match self.last(&mut state)? {
            Some(index) => self.change(&mut state, &index, |index| index.without_others(needed)),
            None => Ok(()),
        }
    }

    /// Puts what comes of a change in place of the index, if it changes.
    fn change(
        &self,
        state: &mut State,
        index: &TermIndex,
        change: impl FnOnce(&TermIndex) -> Result<Option<TermIndex>, IndexError>,
    ) -> Result<(), IndexError> {
        let changed = if_whole(|| index.is_whole(), || change(index));
        let Some(changed) = changed else {
            // What was written of what was read is not to be trusted, whatever its checksum says.
            self.close(state);
            self.home.place.within(|dir| self.set_aside(dir))?;
            *state = State::default();
            return Ok(());
        };
        if let Some(changed) = changed? {
            // Checked before, or written just now.
            state.checked = changed.segment_ids()?;
            self.put(changed);
        }
        Ok(())
    }

    fn to_add_to(&self, state: &mut State) -> Result<Arc<TermIndex>, IndexError> {
        let env = self.home.env();
        let open_or_create = |checked: &[SegmentId]| {
            let within = |dir: &Path| TermIndex::open_or_create(env, &dir.join(INDEX), checked);
            self.home.place.within(within)
        };
        if state.damage.is_none() {
            let index = self.home.open.index(self.serial);
            if let Some(index) = index.filter(|index| index.is_whole()) {
                return Ok(index);
            }
            self.close(state);
            match self.opened(state, open_or_create) {
                Err(IndexError::Damaged(_)) => {}
                opened => return opened.map(Arc::new),
            }
        }
        self.home.place.within(|dir| self.set_aside(dir))?;
        *state = State::default();
        self.damaged.store(false, Ordering::Relaxed);
        self.opened(state, open_or_create).map(Arc::new)
    }

    fn set_aside(&self, dir: &Path) -> Result<(), TantivyError> {
        let dir = dir.join(INDEX);
        let files = &self.home.env().files;
        if files.stat(&dir)?.is_none() {
            // Someone removed it since it was found to be damaged.
            return Ok(());
        }
        let mut aside = dir.as_os_str().to_owned();
        aside.push(SET_ASIDE_SUFFIX);
        tracing::error!(dir = %dir.display(),
            "index is damaged, set aside as *{SET_ASIDE_SUFFIX}; what it covered is searched without it");
        let aside = Path::new(&aside);
        if files.stat(aside)?.is_some() {
            files.remove_dir_all(aside)?;
        }
        files.rename(&dir, aside)?;
        Ok(())
    }
}

impl Drop for PartitionIndex {
    fn drop(&mut self) {
        self.home.open.forget(self.serial);
    }
}
