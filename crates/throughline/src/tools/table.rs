//! Figures for a terminal: aligned columns, sizes in units, counts in groups of three digits.

/// Rows of cells; the first are names, the others figures.
pub(super) struct Table {
    /// Columns that are aligned to the left.
    names: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(names: usize, head: &[&str]) -> Self {
        Self {
            names,
            rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()],
        }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Its lines, without spaces at their ends.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).enumerate();
            let cells = cells.map(|(column, (cell, width))| {
                if column < self.names {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            let line: Vec<String> = cells.collect();
            line.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

/// Bytes in the largest unit of which there is at least one.
#[allow(clippy::cast_precision_loss)]
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1 << 10 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // What would be shown as 1024.0 of a unit is one of the next.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A count with commas between groups of three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Part of a whole in percent.
#[allow(clippy::cast_precision_loss)]
pub(super) fn share(part: u64, whole: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / (whole.max(1)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_aligned() {
        let sizes = [0, 1_023, 1_024, 1_536, 1_048_575, 1 << 20, u64::MAX].map(size);
        let expected = [
            "0 B",
            "1023 B",
            "1.0 KiB",
            "1.5 KiB",
            "1.0 MiB",
            "1.0 MiB",
            "16384.0 PiB",
        ];
        assert_eq!(sizes, expected);
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(count),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            (share(1, 8), share(0, 0)),
            ("12.5 %".into(), "0.0 %".into())
        );
        let mut table = Table::new(1, &["name", "rows"]);
        table.row(vec!["größe".to_owned(), "7".to_owned()]);
        table.row(vec!["a".to_owned(), "1,234".to_owned()]);
        let expected = ["name    rows", "größe      7", "a      1,234"];
        assert_eq!(table.lines(), expected);
    }
}
