//! `check`: every mistake in configuration and rule files, with file, line and column.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use config::{ExprError, FileKind, Syntax};
use promql::Features;
use query::alerts::template;

/// The languages in rule files.
pub(crate) struct RuleSyntax {
    /// Whether PromQL may use what is experimental.
    pub experimental: bool,
}

impl Syntax for RuleSyntax {
    fn expr(&self, text: &str) -> Result<(), ExprError> {
        let parsed = promql::parse_with(text, features(self.experimental));
        parsed.map(drop).map_err(placed)
    }

    fn series(&self, text: &str) -> Result<(), ExprError> {
        promql::parse_series(text).map(drop).map_err(placed)
    }

    fn template(&self, text: &str) -> Result<(), String> {
        template::check(text)
    }
}

fn placed(error: promql::ParseError) -> ExprError {
    ExprError {
        start: error.start,
        end: error.end,
        message: error.message,
    }
}

/// What `promql.experimental` stands for.
pub(crate) fn features(experimental: bool) -> Features {
    if experimental {
        Features::Experimental
    } else {
        Features::Stable
    }
}

pub(crate) fn check(files: &[PathBuf]) -> ExitCode {
    let mut wrong = 0;
    let mut out = std::io::stdout().lock();
    for file in files {
        let errors = config::check(file, |experimental| RuleSyntax { experimental });
        wrong += errors.len();
        for error in &errors {
            let _ = writeln!(out, "{error}");
        }
        if errors.is_empty() {
            let _ = writeln!(out, "{}: {}", file.display(), praise(file));
        }
    }
    if wrong == 0 {
        return ExitCode::SUCCESS;
    }
    let noun = if wrong == 1 { "mistake" } else { "mistakes" };
    let _ = writeln!(out, "{wrong} {noun}");
    ExitCode::FAILURE
}

/// What is said of a file without a mistake.
fn praise(file: &Path) -> &'static str {
    match config::kind_of(file) {
        Ok(FileKind::RuleTests) => {
            "ok, as far as unit tests of rules can be checked without running them"
        }
        _ => "ok",
    }
}
