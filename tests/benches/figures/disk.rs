//! What a data folder weighs, by part.

use std::collections::BTreeMap;
use std::path::Path;

/// The parts in the order in which they are shown.
pub(crate) const PARTS: [&str; 7] = ["blocks", "ids", "series", "fields", "index", "wal", "other"];

/// Bytes of the files below a folder, by part.
pub(crate) fn parts(folder: &Path) -> anyhow::Result<BTreeMap<&'static str, u64>> {
    let mut parts = BTreeMap::new();
    add(folder, None, &mut parts)?;
    Ok(parts)
}

fn add(
    folder: &Path,
    within: Option<&'static str>,
    parts: &mut BTreeMap<&'static str, u64>,
) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            let name = entry.file_name();
            let part = PARTS.into_iter().find(|part| name == *part);
            add(&path, within.or(part), parts)?;
        } else {
            let extension = path.extension().unwrap_or_default();
            let part = PARTS.into_iter().find(|part| extension == *part);
            *parts.entry(within.or(part).unwrap_or("other")).or_default() += metadata.len();
        }
    }
    Ok(())
}
