//! Files that did not read when the store opened are tried again: what a disk refuses once it may
//! give the next time.

use super::{Core, add};
use crate::partition::{FileEntry, FileError, FileId, Partition, PartitionKey, remove_files};

/// Opens what can be opened by now, and forgets what is not there.
pub(crate) fn reread(core: &Core) {
    let lacking: Vec<PartitionKey> = {
        let view = core.view.read();
        let lacking = view.all().filter(|p| p.apart().next().is_some());
        lacking.map(|partition| partition.key.clone()).collect()
    };
    for key in lacking {
        let _changing = core.changing.lock();
        let Some(known) = core.view.read().get(&key).cloned() else {
            continue;
        };
        let mut partition = (*known).clone();
        if let Err(error) = read_again(core, &mut partition) {
            tracing::warn!(dir = %key.dir(&core.root).display(), %error,
                "files that did not read cannot be tried again yet");
        }
        core.view.write().put(partition);
    }
}

/// A file leaves the list that it is in once it has been dealt with, so that none is forgotten
/// where this ends early.
fn read_again(core: &Core, partition: &mut Partition) -> std::io::Result<()> {
    let dir = partition.key.dir(&core.root);
    for (id, counts) in lacking(partition) {
        // A merge may not have come to remove what it replaced.
        let merged_away = partition.files.iter().any(|other| id.is_part_of(other.id));
        if merged_away {
            // The name must last before what it replaces goes.
            core.env.files.sync_dir(&dir)?;
            remove_files(&core.env, &dir, id)?;
        } else {
            match FileEntry::look(&partition.home, id) {
                Ok(file) => {
                    if partition.files.iter().any(|other| other.id.is_part_of(id)) {
                        core.env.files.sync_dir(&dir)?;
                    }
                    let gone = partition.insert(file);
                    add(&core.counters.reread_files, u64::from(counts));
                    tracing::info!(dir = %dir.display(), file = %id, "a file reads again");
                    core.removals.merged_away(&dir, &gone);
                }
                Err(FileError::Io(error))
                    if error.kind() == std::io::ErrorKind::NotFound && !counts => {}
                Err(_) => continue,
            }
        }
        partition.unread.retain(|other| *other != id);
        partition.unsure.retain(|other| *other != id);
    }
    Ok(())
}

/// The files that did not read, and whether they count.
fn lacking(partition: &Partition) -> Vec<(FileId, bool)> {
    let unread = partition.unread.iter().map(|id| (*id, true));
    let unsure = partition.unsure.iter().map(|id| (*id, false));
    unread.chain(unsure).collect()
}
