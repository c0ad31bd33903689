//! From a sealed head of points to files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use model::{Signal, Tenant};

use super::file::PointFile;
use super::head::PointHead;
use super::table::ABSENT;
use crate::flush::{FlushError, together};
use crate::partition::{FileEntry, FileId, OpenFiles, Partition, PartitionKey};

/// Points of a block for each row that one of spans or log records has.
pub(crate) const POINTS_PER_ROW: usize = 16;

/// Writes the points of a tenant as flush `flush`, and adds the partitions that changed.
pub(crate) fn flush(
    open: &Arc<OpenFiles>,
    root: &Path,
    flush: u64,
    block_rows: usize,
    (tenant, head): (&Tenant, &PointHead),
    partitions: &BTreeMap<PartitionKey, Arc<Partition>>,
    changed: &mut Vec<Arc<Partition>>,
) -> Result<(), FlushError> {
    let env = &open.env;
    let days = head.days();
    let together = together(&days);
    let series = head.ordered();
    let table = head.series();
    for day in days.keys() {
        // Days that go together go to the latest of them.
        let among = match together.binary_search(day) {
            Ok(at) if at + 1 < together.len() => continue,
            Ok(_) => &together[..],
            Err(_) => std::slice::from_ref(day),
        };
        let key = PartitionKey {
            tenant: tenant.clone(),
            signal: Signal::Metrics,
            resolution: None,
            day: *day,
        };
        let dir = key.dir(root);
        let known = partitions.get(&key);
        // The folder of one without files may be there and not last: a process may have ended
        // when it had just made it.
        if known.is_none_or(|known| known.files.is_empty()) {
            env.files.create_dir_all(&dir)?;
        }
        let id = FileId::flush(flush);
        let path_of = |extension: &str| id.path(&dir, extension);
        let mut file = PointFile::create(env, path_of, block_rows * POINTS_PER_ROW)?;
        let mut places = vec![ABSENT; table.count() as usize];
        for (entry, slot) in &series {
            let points = match days.len() {
                1 => head.points_of(*slot),
                _ => head.points_of_days(*slot, among),
            };
            if !points.is_empty() {
                places[*slot as usize] = file.series(entry, points.len() as u64)?;
                file.points(entry, &points)?;
            }
        }
        file.finish(|terms| table.write_terms(&places, terms))?;
        env.files.sync_dir(&dir)?;
        let mut partition = known.map_or_else(
            || Partition::new(open, root, key),
            |known| (**known).clone(),
        );
        let file = FileEntry::look(&partition.home, id)?;
        partition.files.push(Arc::new(file));
        partition.added_unix_nano = env.clock.unix_nanos();
        changed.push(Arc::new(partition));
    }
    Ok(())
}
