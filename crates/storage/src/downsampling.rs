//! Downsampled metrics: what is kept of old partitions in buckets of five minutes and of an hour.
//!
//! For each partition of metrics whose day ended long enough ago there is one of each
//! [`Resolution`], `TENANT/metrics-5m/YYYY-MM-DD` and `TENANT/metrics-1h/YYYY-MM-DD`, with files
//! like those of points ([`crate::points::reduce`] says what their chunks hold). A file is named
//! `FIRST-LAST-01`: the first and the last flush whose rows it was made from. It counts from the
//! rename of its blocks on, like a merged file, and one whose flushes lie within those of another
//! is a leftover.
//!
//! Rows that come late are in files of later flushes: the whole is made anew while all of its rows
//! are there, and once raw rows were dropped, what came since becomes a file of its own. Raw rows
//! are not dropped by age before they are in buckets, unless that takes too long ([`is_awaited`]); other
//! than that their retention and that of each resolution know nothing of each other's ages, and a bound
//! on bytes they share.

mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::partition::{Partition, PartitionKey, remove_dropped};
use crate::store::{Core, each_partition, open_partition};

pub(crate) use write::{is_awaited, run};

/// The length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Resolution {
    /// Five minutes.
    FiveMinutes,
    /// An hour.
    Hour,
}

impl Resolution {
    /// All, the finest first.
    pub const ALL: [Resolution; 2] = [Resolution::FiveMinutes, Resolution::Hour];

    /// Its length.
    pub fn milliseconds(self) -> u64 {
        match self {
            Resolution::FiveMinutes => 300_000,
            Resolution::Hour => 3_600_000,
        }
    }

    /// As it is written: `5m`, `1h`.
    pub fn name(self) -> &'static str {
        match self {
            Resolution::FiveMinutes => "5m",
            Resolution::Hour => "1h",
        }
    }
}

/// Which metrics are downsampled, and how long what comes of it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Downsampling {
    /// Days that ended so long ago are downsampled; none are without it.
    pub after: Option<Duration>,
    /// How long buckets of each resolution are kept, in the order of [`Resolution::ALL`]; for ever
    /// without one.
    pub ages: [Option<Duration>; 2],
}

impl Downsampling {
    /// How long buckets of a resolution are kept; nothing for ever.
    pub(crate) fn age(&self, resolution: Resolution) -> Option<Duration> {
        self.ages[resolution as usize]
    }
}

/// Everything that is downsampled, by day and resolution.
pub(crate) type Catalog = BTreeMap<PartitionKey, Arc<Partition>>;

/// The last flush whose rows are in the buckets of a day.
pub(crate) fn last_flush(kept: &Partition) -> u64 {
    kept.files
        .iter()
        .map(|file| file.id.last)
        .max()
        .unwrap_or(0)
}

/// The last flush of each file of buckets of a day of rows.
pub(crate) fn last_flushes(catalog: &Catalog, key: &PartitionKey) -> Vec<u64> {
    let of = |resolution| {
        let resolution = Some(resolution);
        catalog.get(&PartitionKey {
            resolution,
            ..key.clone()
        })
    };
    let all = Resolution::ALL.into_iter().filter_map(of);
    all.flat_map(|kept| {
        let files = kept.files.iter().map(|file| &file.id);
        files.chain(kept.apart()).map(|id| id.last)
    })
    .collect()
}

/// Looks at what is there when the store opens.
pub(crate) fn open(core: &Core, flush_max: u64) -> std::io::Result<()> {
    let mut catalog = Catalog::new();
    each_partition(core, &mut |key, folder| {
        if key.resolution.is_none() {
            return Ok(());
        }
        let mut kept = open_partition(core, &key, &folder, flush_max)?;
        // A copy of the folder may be as of an earlier flush. What came since is in the log, too, and
        // will be in other flushes.
        let ahead = kept.files.extract_if(.., |file| file.id.last > flush_max);
        for file in ahead {
            remove_dropped(&core.env, &folder.dir, file.id)?;
        }
        if !kept.files.is_empty() || !kept.unread.is_empty() {
            catalog.insert(key, Arc::new(kept));
        }
        Ok(())
    })?;
    core.view.write().downsampled = Arc::new(catalog);
    Ok(())
}
