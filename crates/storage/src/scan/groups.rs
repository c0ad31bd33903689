//! Rows of one table by the texts of some fields.

use rustc_hash::FxHashMap;

use crate::filter::Field;
use crate::read::ReadError;
use crate::table::{Damage, Grouped, Mask, Table, Texts};

/// Fields that rows may be grouped by. Each of them costs a column of every block that is read.
const FIELDS_MAX: usize = 32;

/// Refuses to group by too many fields.
pub(super) fn check_fields(by: &[Field]) -> Result<(), ReadError> {
    if by.len() > FIELDS_MAX {
        let fields = by.len();
        let problem = format!("rows are grouped by at most {FIELDS_MAX} fields, not by {fields}");
        return Err(ReadError::Invalid(problem));
    }
    Ok(())
}

/// Rows of a table by the texts of some fields. Each distinct text is held once, however many rows
/// or groups show it.
pub(super) struct Groups {
    /// Per row the index of its group; meaningful for the rows that were asked for.
    pub of_row: Vec<u32>,
    /// The texts of each field; empty where a row has no such field.
    texts: Vec<Vec<String>>,
    /// Which text of each field a group has, one group after the other.
    codes: Vec<u32>,
    len: usize,
}

impl Groups {
    /// Groups the rows of a mask.
    pub(super) fn new(table: &dyn Table, mask: &Mask, by: &[Field]) -> Result<Self, Damage> {
        let mut groups = Self {
            of_row: Vec::new(),
            texts: Vec::with_capacity(by.len()),
            codes: Vec::new(),
            len: 1,
        };
        for field in by {
            let Grouped { codes, texts } = table.group(field, mask, Texts::Shown)?;
            if groups.texts.is_empty() {
                groups.len = texts.len();
                groups.codes = (0..index32(texts.len())).collect();
                groups.of_row = codes;
                groups.texts.push(texts);
            } else {
                groups.split(mask, &codes, texts);
            }
        }
        if by.is_empty() {
            groups.of_row = vec![0; table.rows()];
        }
        Ok(groups)
    }

    /// How many there are. Some may have no row.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The texts of a group, in the order of the fields.
    pub(super) fn key(&self, group: usize) -> Vec<&str> {
        let fields = self.texts.len();
        let codes = &self.codes[group * fields..][..fields];
        let texts = self.texts.iter().zip(codes);
        texts.map(|(texts, code)| &*texts[*code as usize]).collect()
    }

    /// Splits each group by one more field.
    fn split(&mut self, mask: &Mask, codes: &[u32], texts: Vec<String>) {
        const UNKNOWN: u32 = u32::MAX;
        let fields = self.texts.len();
        let mut known = Cells::new(self.len.saturating_mul(texts.len()), UNKNOWN);
        let (mut split, mut len) = (Vec::new(), 0);
        for row in mask.iter() {
            let (group, code) = (self.of_row[row] as usize, codes[row] as usize);
            let cell = known.at(group * texts.len() + code);
            if *cell == UNKNOWN {
                split.extend_from_slice(&self.codes[group * fields..][..fields]);
                split.push(codes[row]);
                *cell = index32(len);
                len += 1;
            }
            self.of_row[row] = *cell;
        }
        (self.codes, self.len) = (split, len);
        self.texts.push(texts);
    }
}

/// Numbers by place: the first places lie side by side, where there are too many for that the
/// others are found by hash.
pub(super) struct Cells {
    near: Vec<u32>,
    far: FxHashMap<usize, u32>,
    fill: u32,
}

impl Cells {
    /// Places that lie side by side at most.
    const NEAR_MAX: usize = 1 << 16;

    /// Places below `count`, each with the number `fill`.
    pub(super) fn new(count: usize, fill: u32) -> Self {
        Self {
            near: vec![fill; count.min(Self::NEAR_MAX)],
            far: FxHashMap::default(),
            fill,
        }
    }

    #[inline]
    pub(super) fn at(&mut self, place: usize) -> &mut u32 {
        match self.near.get_mut(place) {
            Some(near) => near,
            None => self.far.entry(place).or_insert(self.fill),
        }
    }

    /// Every place with its number, in no order.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (usize, u32)> {
        self.near.into_iter().enumerate().chain(self.far)
    }
}

fn index32(index: usize) -> u32 {
    u32::try_from(index).expect("a table has fewer than 2^32 rows, and so many texts at most")
}
