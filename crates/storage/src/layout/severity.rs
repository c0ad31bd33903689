//! Severities of log records: the number that was sent, else what the text means.

use super::table::{BlockTable, failed};
use crate::table::{Damage, severity};

impl BlockTable {
    /// Per row its severity, 0 where there is none.
    pub(super) fn severities(&self) -> Result<Vec<i64>, Damage> {
        let numbers = self.ints("severity")?;
        if numbers.iter().all(|number| (1..=24).contains(number)) {
            return Ok(numbers);
        }
        let texts = self.reader.text("severity.text").map_err(failed)?;
        let texts = texts.filter(|list| list.len() == self.rows());
        let meaning = |text: &str| severity(0, text).map_or(0, i64::from);
        let of_texts: Option<Vec<i64>> = texts
            .as_ref()
            .map(|list| list.values().map(meaning).collect());
        let codes = texts.as_ref().zip(of_texts.as_ref());
        let of_text = |row: usize| codes.map_or(0, |(list, of)| of[list.codes()[row] as usize]);
        let known = |(row, number): (usize, i64)| match number {
            1..=24 => number,
            _ => of_text(row),
        };
        Ok(numbers.into_iter().enumerate().map(known).collect())
    }
}
