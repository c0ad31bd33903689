//! `check`: every mistake in configuration and rule files, with file, line and column.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use config::ExprError;

/// Whether PromQL parses; the callback of rule files.
pub(crate) fn expression(text: &str) -> Result<(), ExprError> {
    promql::parse(text).map(|_| ()).map_err(|error| ExprError {
        start: error.start,
        end: error.end,
        message: error.message,
    })
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
