//! Which files there are to read.

use std::collections::{BTreeMap, HashSet};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};

use super::checkpoint::FileId;
use crate::options::FileOptions;

/// A file that a pattern names.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) modified_nanos: i128,
    /// Index of the first set of files that includes it.
    pub(super) set: usize,
}

/// A set of files with its patterns compiled.
#[derive(Debug)]
pub(super) struct FileSet {
    pub(super) options: Arc<FileOptions>,
    exclude: Vec<Pattern>,
}

/// A pattern does not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file pattern {pattern:?} is not valid: {reason}")]
pub struct PatternError {
    pub pattern: String,
    pub reason: String,
}

pub(super) fn compile(sets: &[FileOptions]) -> Result<Vec<FileSet>, PatternError> {
    let pattern = |text: &String| {
        Pattern::new(text).map_err(|error| PatternError {
            pattern: text.clone(),
            reason: error.to_string(),
        })
    };
    let compile = |options: &FileOptions| {
        for include in &options.include {
            pattern(include)?;
        }
        Ok(FileSet {
            options: Arc::new(options.clone()),
            exclude: options
                .exclude
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
        })
    };
    sets.iter().map(compile).collect()
}

pub(super) fn id_of(metadata: &Metadata) -> FileId {
    FileId {
        dev: metadata.dev(),
        ino: metadata.ino(),
    }
}

/// Every file that the sets name, one entry per inode: of several names the first in order.
/// Folders that cannot be read are counted in the second value and do not stop the rest.
pub(super) fn discover(sets: &[FileSet]) -> (BTreeMap<FileId, Found>, u64) {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: false,
    };
    let mut found: BTreeMap<FileId, Found> = BTreeMap::new();
    let mut unreadable = 0;
    for (set, files) in sets.iter().enumerate() {
        for include in &files.options.include {
            let Ok(paths) = glob::glob_with(include, options) else {
                continue;
            };
            for path in paths {
                let Ok(path) = path else {
                    unreadable += 1;
                    continue;
                };
                let excluded = |pattern: &Pattern| pattern.matches_path_with(&path, options);
                if files.exclude.iter().any(excluded) {
                    continue;
                }
                // Links are followed: the file behind counts.
                match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {
                        let entry = Found {
                            bytes: metadata.len(),
                            modified_nanos: i128::from(metadata.mtime()) * 1_000_000_000
                                + i128::from(metadata.mtime_nsec()),
                            path,
                            set,
                        };
                        found.entry(id_of(&metadata)).or_insert(entry);
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(_) => unreadable += 1,
                }
            }
        }
    }
    (found, unreadable)
}

/// Whether a name is made from another as log rotation does: `app.log` -> `app.log.1`,
/// `app.log-20260102`, in the same folder.
pub(super) fn is_rotated_name(path: &Path, original: &Path) -> bool {
    if path.parent() != original.parent() {
        return false;
    }
    let (Some(name), Some(original)) = (path.file_name(), original.file_name()) else {
        return false;
    };
    let (name, original) = (name.as_encoded_bytes(), original.as_encoded_bytes());
    name.len() > original.len()
        && name.starts_with(original)
        && matches!(name[original.len()], b'.' | b'-' | b'_')
}

/// Looks for inodes in a folder, whatever their names are now.
pub(super) fn find_in_folder(dir: &Path, wanted: &HashSet<FileId>) -> Vec<(FileId, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Vec::new();
    };
    let entries = entries.flatten().filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        let id = id_of(&metadata);
        (metadata.is_file() && wanted.contains(&id)).then(|| (id, entry.path()))
    });
    entries.collect()
}

/// Other files in the folder of `original` whose names are made from its name.
pub(super) fn rotated_siblings(original: &Path) -> Vec<(FileId, PathBuf)> {
    let Some(Ok(entries)) = original.parent().map(std::fs::read_dir) else {
        return Vec::new();
    };
    let entries = entries.flatten().filter_map(|entry| {
        let path = entry.path();
        if !is_rotated_name(&path, original) {
            return None;
        }
        let metadata = entry.metadata().ok().filter(Metadata::is_file)?;
        Some((id_of(&metadata), path))
    });
    entries.collect()
}

/// Whether content is compressed: such a file is an archive of what was read before.
pub(super) fn is_compressed(start: &[u8]) -> bool {
    const MAGIC: [&[u8]; 5] = [
        b"\x1f\x8b",
        b"\x28\xb5\x2f\xfd",
        b"BZh",
        b"\xfd7zXZ\0",
        b"\x04\x22\x4d\x18",
    ];
    MAGIC.iter().any(|magic| start.starts_with(magic))
}
