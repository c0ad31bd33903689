//! Folders of partitions that the disk does not list.
//!
//! What is in such a folder is lost until somebody mends the file system, and is no reason not to
//! open the others: it is given another name, `YYYY-MM-DD.quarantined-N`, and its day begins anew with
//! a file that does not read, so that answers say what is missing. That is said at each start for as
//! long as the folder is there beside that of its day.

use std::path::{Path, PathBuf};

use env::Env;

use super::{FileId, day_from_name};

/// Ends the name of the folder, with a number.
const SUFFIX: &str = ".quarantined-";

/// Stands for all files of a folder that is set aside: no flush has this number.
pub(crate) const LOST: FileId = FileId {
    first: 0,
    last: 0,
    generation: 0,
};

/// The day of a folder that was set aside.
pub(crate) fn day_from_set_aside(name: &str) -> Option<u32> {
    let (day, number) = name.split_once(SUFFIX)?;
    number.parse::<u32>().ok()?;
    day_from_name(day)
}

/// Gives a folder another name that is free, and makes an empty one in its place.
pub(super) fn set_aside(env: &Env, dir: &Path) -> std::io::Result<PathBuf> {
    let mut number = 1;
    let aside = loop {
        let mut name = dir.as_os_str().to_owned();
        name.push(format!("{SUFFIX}{number}"));
        let aside = PathBuf::from(name);
        if env.files.stat(&aside)?.is_none() {
            break aside;
        }
        number += 1;
    };
    env.files.rename(dir, &aside)?;
    if let Some(parent) = dir.parent() {
        env.files.sync_dir(parent)?;
    }
    env.files.create_dir_all(dir)?;
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_what_is_set_aside_have_their_day() {
        let day = day_from_name("2026-01-31");
        assert_eq!(day_from_set_aside("2026-01-31.quarantined-12"), day);
        for other in ["2026-01-31", "2026-01-31.quarantined-", "x.quarantined-1"] {
            assert_eq!(day_from_set_aside(other), None, "{other}");
        }
    }
}
