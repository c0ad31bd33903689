//! File service discovery: files that list targets, read again when they change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use config::{FileDiscovery, TargetGroup, read_target_groups};

/// Files that were matched by all patterns of a job at most; more are refused.
const FILES_MAX: usize = 1_000;

/// What a file was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    modified: Option<SystemTime>,
    length: u64,
}

/// The files of one job.
#[derive(Debug)]
pub(super) struct Files {
    configs: Vec<FileDiscovery>,
    known: BTreeMap<PathBuf, (Seen, Vec<TargetGroup>)>,
    read_at: Option<Instant>,
}

impl Files {
    /// Nothing is read yet.
    pub(super) fn new(configs: Vec<FileDiscovery>) -> Self {
        Self {
            configs,
            known: BTreeMap::new(),
            read_at: None,
        }
    }

    /// Whether there is anything to look at.
    pub(super) fn is_empty(&self) -> bool {
        self.configs.is_empty()
    }

    /// The groups with the files that they come from.
    pub(super) fn groups(&self) -> impl Iterator<Item = (String, &TargetGroup)> {
        self.known.iter().flat_map(|(path, (_, groups))| {
            let name = path.to_string_lossy().into_owned();
            groups.iter().map(move |group| (name.clone(), group))
        })
    }

    /// Looks whether files came, went or changed, and reads those again. Tells whether groups may
    /// be others now, and what could not be read: such a file counts as it was.
    pub(super) fn refresh(&mut self) -> (bool, Vec<String>) {
        let mut problems = Vec::new();
        let interval = self
            .configs
            .iter()
            .map(|config| config.refresh_interval)
            .min();
        let interval = interval.unwrap_or(Duration::MAX);
        let due = self.read_at.is_none_or(|at| at.elapsed() >= interval);
        if due {
            self.read_at = Some(Instant::now());
        }
        let paths = self.paths(&mut problems);
        let before = self.known.len();
        self.known.retain(|path, _| paths.contains(path));
        let mut changed = self.known.len() != before;
        for path in paths {
            let seen = match std::fs::metadata(&path) {
                Ok(metadata) => Seen {
                    modified: metadata.modified().ok(),
                    length: metadata.len(),
                },
                Err(error) => {
                    problems.push(format!("{}: {error}", path.display()));
                    continue;
                }
            };
            let known = self.known.get(&path).map(|(seen, _)| *seen);
            if known == Some(seen) && !due {
                continue;
            }
            match read_target_groups(&path) {
                Ok(groups) => {
                    self.known.insert(path, (seen, groups));
                    changed = true;
                }
                Err(errors) => problems.extend(errors.iter().map(ToString::to_string)),
            }
        }
        (changed, problems)
    }

    fn paths(&self, problems: &mut Vec<String>) -> BTreeSet<PathBuf> {
        let patterns = self.configs.iter().flat_map(|config| &config.files);
        let matches = patterns.flat_map(|pattern| glob::glob(&pattern.text).into_iter().flatten());
        let mut paths = BTreeSet::new();
        for path in matches.flatten().filter(|path| path.is_file()) {
            if paths.len() >= FILES_MAX {
                problems.push(format!("more than {FILES_MAX} files of targets"));
                break;
            }
            paths.insert(path);
        }
        paths
    }
}
