//! What the names in a partition's folder say, and how files go from it.

use std::cmp::Reverse;
use std::path::Path;

use env::{Entry, Env};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{EXTENSIONS, FileId, UNFINISHED};

/// What the blocks file of a file that retention dropped is called while the others go.
const DROPPED: &str = "blocks.dropped";

/// What the names in a partition's folder say.
pub(crate) struct Listed<'n> {
    /// The blocks files that are to be opened, each before those that may be a part of it.
    pub files: Vec<FileId>,
    /// Files that count and whose blocks are gone: those beside them are there.
    pub missing: Vec<FileId>,
    /// Files that do not count: those of later flushes, what a merge left that did not come to
    /// its end, and what retention dropped.
    pub leftovers: Vec<&'n str>,
}

impl<'n> Listed<'n> {
    /// Sorts out names; flushes up to `flush_max` count.
    pub(crate) fn new(names: impl Iterator<Item = &'n str> + Clone, flush_max: u64) -> Self {
        let known: Vec<(&'n str, FileId, &'n str)> = names
            .filter_map(|name| FileId::parse(name).map(|(id, extension)| (name, id, extension)))
            .collect();
        let with = |wanted: &'static str| {
            let named = known.iter().filter(move |(.., known)| *known == wanted);
            named.map(|(_, id, _)| *id)
        };
        let dropped: Vec<FileId> = with(DROPPED).collect();
        // What a file was merged from may have outlived it.
        let is_dropped = |id: FileId| {
            let mut dropped = dropped.iter();
            dropped.any(|other| id == *other || id.is_part_of(*other))
        };
        let later = |id: FileId| !id.is_merged() && id.last > flush_max;
        let counted = with("blocks").filter(|id| !later(*id) && !is_dropped(*id));
        let mut files: Vec<FileId> = counted.collect();
        files.sort_unstable_by_key(|id| (id.first, Reverse(id.last)));
        let there: FxHashSet<FileId> = files.iter().copied().collect();
        let begun: FxHashSet<FileId> = with(UNFINISHED).collect();
        // A merge that did not come to its end has left what it was to replace.
        let undone = |id: FileId| {
            let mut parts = files.iter().filter(|other| other.is_part_of(id));
            id.is_merged() && (begun.contains(&id) || parts.next().is_some())
        };
        let merged_away = |id: FileId| files.iter().any(|other| id.is_part_of(*other));
        let (mut missing, mut leftovers) = (Vec::new(), Vec::new());
        for (name, id, extension) in &known {
            let (id, alone) = (*id, !there.contains(id));
            let for_now = [UNFINISHED, DROPPED].contains(extension);
            let is_over = later(id) || is_dropped(id) || alone && (undone(id) || merged_away(id));
            if for_now || is_over {
                leftovers.push(*name);
            } else if alone && EXTENSIONS.contains(extension) && !missing.contains(&id) {
                missing.push(id);
            }
        }
        Self {
            files,
            missing,
            leftovers,
        }
    }

    /// Whether its rows are in a file that they were merged into.
    pub(crate) fn is_merged_away(&self, id: FileId) -> bool {
        self.files.iter().any(|other| id.is_part_of(*other))
    }

    /// Whether a name is of a file that counts.
    pub(crate) fn counts(&self, name: &str) -> bool {
        let of_file = FileId::parse(name).is_some_and(|(id, _)| !self.is_merged_away(id));
        of_file && !self.leftovers.contains(&name)
    }
}

/// Removes the files of a name; those that are not there are passed over. The blocks go first:
/// without them the others are nothing.
pub(crate) fn remove_files(env: &Env, dir: &Path, id: FileId) -> std::io::Result<()> {
    let extensions = [EXTENSIONS.as_slice(), &[UNFINISHED]].concat();
    for extension in extensions {
        match env.files.remove_file(&id.path(dir, extension)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes files whose rows are in a merged one.
pub(super) fn remove_merged_away(env: &Env, dir: &Path, gone: &[FileId]) -> std::io::Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    // The name of the merged file must last before what it replaces goes.
    env.files.sync_dir(dir)?;
    gone.iter().try_for_each(|id| remove_files(env, dir, *id))
}

/// Removes files that do not count, durably: once more files are written, a flush of their number
/// may count. What says of others why they are without blocks goes last.
pub(super) fn remove_leftovers(env: &Env, dir: &Path, leftovers: &[&str]) -> std::io::Result<()> {
    if leftovers.is_empty() {
        return Ok(());
    }
    let is_mark = |name: &&str| {
        FileId::parse(name).is_some_and(|(_, of)| [DROPPED, UNFINISHED].contains(&of))
    };
    let (marks, others): (Vec<&str>, Vec<&str>) = leftovers.iter().partition(|name| is_mark(name));
    for name in others {
        env.files.remove_file(&dir.join(name))?;
    }
    env.files.sync_dir(dir)?;
    let mut marks = marks.into_iter();
    marks.try_for_each(|name| env.files.remove_file(&dir.join(name)))
}

/// Removes a file that retention dropped. Its blocks get another name first, which is durable
/// before anything goes: a crash leaves the whole file, or what is removed at the next start. With
/// it goes what it was merged from, as far as that could not be removed before.
pub(crate) fn remove_dropped(env: &Env, dir: &Path, id: FileId) -> std::io::Result<()> {
    let files = &env.files;
    let mark = id.path(dir, DROPPED);
    match files.rename(&id.path(dir, "blocks"), &mark) {
        // It went with its partition.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    files.sync_dir(dir)?;
    for entry in files.list(dir)? {
        let of_it = FileId::parse(&entry.name).is_some_and(|(other, extension)| {
            extension != DROPPED && (other == id || other.is_part_of(id))
        });
        if of_it {
            files.remove_file(&dir.join(&entry.name))?;
        }
    }
    files.sync_dir(dir)?;
    files.remove_file(&mark)
}

/// Bytes of the files of each name in a listing, in the order of [`EXTENSIONS`].
pub(super) fn sizes_of(entries: &[Entry]) -> FxHashMap<FileId, [Option<u64>; 4]> {
    let mut sizes: FxHashMap<FileId, [Option<u64>; 4]> = FxHashMap::default();
    for entry in entries {
        let known = FileId::parse(&entry.name);
        let known = known.and_then(|(id, extension)| {
            let at = EXTENSIONS.iter().position(|known| *known == extension)?;
            Some((id, at))
        });
        if let Some((id, at)) = known {
            sizes.entry(id).or_default()[at] = Some(entry.bytes);
        }
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_do_not_count_are_told_from_those_that_do() {
        let merged = FileId::merged(&[FileId::flush(1), FileId::flush(3)]).unwrap();
        let undone = FileId::merged(&[merged, FileId::flush(4)]).unwrap();
        let names = [
            format!("{}.blocks", FileId::flush(2)),
            format!("{}.blocks", FileId::flush(4)),
            format!("{}.blocks", FileId::flush(5)),
            format!("{merged}.blocks"),
            format!("{merged}.fields"),
            format!("{merged}.blocks.tmp"),
            format!("{undone}.ids"),
            format!("{undone}.blocks.tmp"),
            "index".to_owned(),
            "note.txt".to_owned(),
        ];
        let listed = Listed::new(names.iter().map(String::as_str), 4);
        assert_eq!(listed.files, [merged, FileId::flush(2), FileId::flush(4)]);
        assert_eq!(listed.missing, []);
        let leftovers = [&names[2], &names[5], &names[6], &names[7]];
        assert_eq!(listed.leftovers, leftovers);
        let counting = names.iter().filter(|name| listed.counts(name));
        assert!(counting.eq([&names[1], &names[3], &names[4]]));
    }

    #[test]
    fn files_without_blocks_are_missing_unless_a_merge_or_retention_says_why() {
        let merged = FileId::merged(&[FileId::flush(1), FileId::flush(3)]).unwrap();
        let listed = |names: &[String]| {
            let listed = Listed::new(names.iter().map(String::as_str), 9);
            let leftovers: Vec<String> = listed.leftovers.iter().map(|n| n.to_string()).collect();
            (listed.files, listed.missing, leftovers)
        };
        let of = |id: FileId, extension: &str| format!("{id}.{extension}");
        let flush = FileId::flush;
        // The table of fields is not needed to tell.
        let names = [
            of(flush(4), "ids"),
            of(flush(4), "fields"),
            of(merged, "fields"),
        ];
        assert_eq!(listed(&names), (vec![], vec![flush(4), merged], vec![]));
        // What a merge was to replace is there, or what it wrote.
        for other in [of(flush(3), "blocks"), of(merged, "blocks.tmp")] {
            let names = [of(merged, "ids"), other];
            let (_, missing, leftovers) = listed(&names);
            assert_eq!(missing, [], "{names:?}");
            assert!(leftovers.contains(&names[0]), "{leftovers:?}");
        }
        // Parts of what was dropped are dropped, too.
        let names = [
            of(merged, "blocks.dropped"),
            of(merged, "ids"),
            of(flush(3), "blocks"),
            of(flush(1), "fields"),
            of(flush(4), "blocks"),
        ];
        assert_eq!(
            listed(&names),
            (vec![flush(4)], vec![], names[..4].to_vec())
        );
    }
}
