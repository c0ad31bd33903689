//! `test-rules`: unit tests of rules in promtool's format, with its exit codes.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use query::alerts::unit_test;
use regex::Regex;

use crate::check::RuleSyntax;
use crate::cli;

pub(crate) async fn run(arguments: &cli::TestRules) -> anyhow::Result<ExitCode> {
    let patterns = arguments
        .run
        .iter()
        .map(|pattern| Regex::new(pattern).with_context(|| format!("--run {pattern}")));
    let patterns: Vec<Regex> = patterns.collect::<anyhow::Result<_>>()?;
    let wanted =
        |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name));
    let mut failed = false;
    for file in &arguments.files {
        failed |= !one(file, &wanted, arguments.diff).await?;
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs the tests of a file and says how they went; whether all is as expected.
async fn one(file: &Path, wanted: &dyn Fn(&str) -> bool, diff: bool) -> anyhow::Result<bool> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    writeln!(out, "Unit Testing:  {}", file.display())?;
    let syntax = RuleSyntax { experimental: true };
    let problems: Vec<String> = match config::load_rule_tests(file, &syntax) {
        Err(errors) => errors.iter().map(|error| format!("    {error}")).collect(),
        Ok(tests) => {
            for missing in &tests.missing {
                writeln!(err, "  WARNING: {missing}")?;
            }
            let differences = unit_test::run(&tests, wanted).await;
            let said = differences.iter().map(|difference| match diff {
                true => difference.diff(),
                false => difference.to_string(),
            });
            said.collect()
        }
    };
    if problems.is_empty() {
        writeln!(out, "  SUCCESS\n")?;
        return Ok(true);
    }
    writeln!(err, "  FAILED:")?;
    for problem in &problems {
        writeln!(err, "{problem}")?;
    }
    writeln!(out)?;
    Ok(false)
}
