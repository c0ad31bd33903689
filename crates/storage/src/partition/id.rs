//! How the files of a partition are named.

use std::fmt;
use std::path::{Path, PathBuf};

/// Bits of a file's number that hold its last flush. With the generation above them a number has
/// 40 bits, as many as the index has room for.
const FLUSH_BITS: u32 = 34;
/// What comes of merging files of this generation cannot be told apart from others.
const GENERATION_MAX: u8 = 63;

/// Which file of a partition: that of one flush, or what those of a run of flushes became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// The first flush whose rows may be in it.
    pub first: u64,
    /// The last one.
    pub last: u64,
    /// 0 for the file of one flush; one more than that of the last part of a merged one.
    pub generation: u8,
}

impl FileId {
    /// The file of one flush.
    pub(crate) fn flush(flush: u64) -> Self {
        Self {
            first: flush,
            last: flush,
            generation: 0,
        }
    }

    /// What these files become, in their order; nothing where there is no such name.
    pub(crate) fn merged(files: &[FileId]) -> Option<Self> {
        let (first, last) = (files.first()?, files.last()?);
        let possible = last.generation < GENERATION_MAX && last.last < 1 << FLUSH_BITS;
        possible.then(|| Self {
            first: first.first,
            last: last.last,
            generation: last.generation + 1,
        })
    }

    pub(crate) fn is_merged(self) -> bool {
        self.generation > 0
    }

    /// Whether its rows are in `other`, which was merged from it among others.
    pub(crate) fn is_part_of(self, other: FileId) -> bool {
        self != other && self.first >= other.first && self.last <= other.last
    }

    /// Whether some flush may have rows in both.
    pub(crate) fn overlaps(self, other: FileId) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    /// By what the index names the file. The number of a flush's file is the flush. A number never
    /// comes twice in a partition: of two files that end with the same flush one is the last part
    /// of what the other was merged from.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.generation) << FLUSH_BITS | self.last
    }

    /// Whether a number is that of a flush's file.
    pub(crate) fn is_flush(number: u64) -> bool {
        number < 1 << FLUSH_BITS
    }

    /// The path of one of its files.
    pub(crate) fn path(self, dir: &Path, extension: &str) -> PathBuf {
        dir.join(format!("{self}.{extension}"))
    }

    /// The file that a name in a partition's folder is of, and the rest of the name.
    pub(crate) fn parse(name: &str) -> Option<(Self, &str)> {
        let (stem, extension) = name.split_once('.')?;
        let number = |text: &str| {
            let digits = text.bytes();
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            let valid = digits.len() == 16 && digits.clone().all(lower);
            valid.then(|| u64::from_str_radix(text, 16).ok()).flatten()
        };
        let mut parts = stem.split('-');
        let first = number(parts.next()?)?;
        let Some(last) = parts.next() else {
            return Some((Self::flush(first), extension));
        };
        let generation = parts.next().filter(|text| text.len() == 2)?;
        let id = Self {
            first,
            last: number(last)?,
            generation: u8::from_str_radix(generation, 16).ok()?,
        };
        let known = id.generation > 0 && id.generation <= GENERATION_MAX && id.first <= id.last;
        // Written again it is the same name, so that no two names are one file.
        let same = id.to_string() == stem;
        (known && same).then_some((id, extension))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.first)?;
        if self.is_merged() {
            write!(f, "-{:016x}-{:02x}", self.last, self.generation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_say_what_was_merged() {
        let files = [FileId::flush(1), FileId::flush(7)];
        let merged = FileId::merged(&files).unwrap();
        let again = FileId::merged(&[merged, FileId::flush(8)]).unwrap();
        for id in [files[1], merged, again] {
            let name = format!("{id}.ids");
            assert_eq!(FileId::parse(&name), Some((id, "ids")));
        }
        assert_eq!(merged.to_string(), "0000000000000001-0000000000000007-01");
        assert!(files[0].is_part_of(merged) && merged.is_part_of(again));
        assert!(!merged.is_part_of(merged) && !FileId::flush(8).is_part_of(merged));
        assert!(merged.overlaps(FileId::flush(4)) && !merged.overlaps(FileId::flush(8)));
        let numbers = [files[1], merged, again].map(FileId::number);
        assert_eq!(numbers[0], 7);
        assert!(numbers.is_sorted() && !FileId::is_flush(numbers[1]));
        assert!(numbers[2] < 1 << 40);
    }

    #[test]
    fn other_names_are_of_no_file() {
        for name in [
            "index",
            "1.blocks",
            "000000000000000G.blocks",
            "0000000000000001-0000000000000002.blocks",
            "0000000000000001-0000000000000002-00.blocks",
            "0000000000000001-0000000000000002-40.blocks",
            "0000000000000001-0000000000000002-0A.blocks",
            "0000000000000003-0000000000000002-01.blocks",
            "0000000000000001-0000000000000002-01-01.blocks",
            "+000000000000001.blocks",
        ] {
            assert_eq!(FileId::parse(name), None, "{name}");
        }
    }

    #[test]
    fn files_that_trickle_in_have_names_for_ever() {
        let mut file = FileId::flush(1);
        for flush in 2..1_000 {
            file = FileId::merged(&[file, FileId::flush(flush)]).unwrap();
            assert_eq!(file.generation, 1);
        }
    }

    #[test]
    fn there_is_no_name_beyond_the_last_generation() {
        let last = FileId {
            generation: GENERATION_MAX,
            ..FileId::flush(3)
        };
        assert_eq!(FileId::merged(&[FileId::flush(2), last]), None);
        assert_eq!(FileId::merged(&[FileId::flush(1 << FLUSH_BITS)]), None);
        assert_eq!(FileId::merged(&[]), None);
    }
}
