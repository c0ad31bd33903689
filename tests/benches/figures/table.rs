//! The table: what was measured beside what it should be.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One figure.
pub(crate) struct Row {
    name: String,
    measured: f64,
    unit: &'static str,
    /// The most that it should be; none where nothing is set.
    goal: Option<f64>,
    /// How many rows or groups an answer held.
    found: Option<u64>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            measured,
            unit,
            goal: None,
            found: None,
        }
    }

    pub(crate) fn goal(mut self, goal: impl Into<Option<f64>>) -> Self {
        self.goal = goal.into();
        self
    }

    pub(crate) fn found(mut self, found: u64) -> Self {
        self.found = Some(found);
        self
    }
}

/// A table in markdown. The factor is measured / goal: at most 1 where the goal is reached.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| figure | unit | goal | measured | factor | found |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let goal = row.goal.map_or("-".to_owned(), |goal| format!("<= {goal}"));
        let factor = row
            .goal
            .map_or("-".to_owned(), |goal| format!("{:.2}", row.measured / goal));
        let found = row.found.map_or("-".to_owned(), |found| found.to_string());
        let Row { name, unit, .. } = row;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {unit} | {goal} | {:.2} | {factor} | {found} |",
            row.measured
        );
    }
    text
}

/// The same as JSON.
pub(crate) fn json(rows: &[Row]) -> Value {
    rows.iter()
        .map(|row| {
            json!({
                "figure": row.name,
                "unit": row.unit,
                "goal": row.goal,
                "measured": row.measured,
                "found": row.found,
            })
        })
        .collect()
}
