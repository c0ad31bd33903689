//! `check`: every mistake in configuration and rule files, with file, line and column.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use config::ExprError;
use promql::Features;

/// Whether PromQL parses; the callback of rule files.
pub(crate) fn expression(text: &str, experimental: bool) -> Result<(), ExprError> {
    match promql::parse_with(text, features(experimental)) {
        Ok(_) => Ok(()),
        Err(error) => Err(ExprError {
            start: error.start,
            end: error.end,
            message: error.message,
        }),
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
        let errors = config::check(file, &expression);
        wrong += errors.len();
        for error in &errors {
            let _ = writeln!(out, "{error}");
        }
        if errors.is_empty() {
            let _ = writeln!(out, "{}: ok", file.display());
        }
    }
    if wrong == 0 {
        return ExitCode::SUCCESS;
    }
    let noun = if wrong == 1 { "mistake" } else { "mistakes" };
    let _ = writeln!(out, "{wrong} {noun}");
    ExitCode::FAILURE
}
