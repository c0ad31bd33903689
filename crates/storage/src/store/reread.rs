//! Files that did not read when the store opened are tried again: what a disk refuses once it may
//! give the next time.

use super::{Core, add};
use crate::partition::{FileEntry, FileError, Partition, PartitionKey};

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

fn read_again(core: &Core, partition: &mut Partition) -> std::io::Result<()> {
    let dir = partition.key.dir(&core.root);
    let unread = std::mem::take(&mut partition.unread);
    let unsure = std::mem::take(&mut partition.unsure);
    for (id, counts) in unread
        .into_iter()
        .map(|id| (id, true))
        .chain(unsure.into_iter().map(|id| (id, false)))
    {
        match FileEntry::look(&partition.home, id) {
            Ok(file) => {
                let gone = partition.insert(file);
                add(&core.counters.reread_files, u64::from(counts));
                tracing::info!(dir = %dir.display(), file = %id, "a file reads again");
                if !gone.is_empty() {
                    // The name must last before what it replaces goes.
                    core.env.files.sync_dir(&dir)?;
                }
                core.removals.merged_away(&dir, &gone);
            }
            Err(FileError::Io(error))
                if error.kind() == std::io::ErrorKind::NotFound && !counts => {}
            Err(_) if counts => partition.unread.push(id),
            Err(_) => partition.unsure.push(id),
        }
    }
    Ok(())
}
