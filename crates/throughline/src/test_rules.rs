//! `test-rules`: unit tests of rules in promtool's format, with its exit codes.

mod junit;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use config::{ExprError, Syntax};
use query::alerts::unit_test;
use regex::Regex;

use crate::check::RuleSyntax;
use crate::cli;
use junit::{Case, Suite};

/// The languages in rule files, of which keys that nobody knows may be passed over.
struct Languages {
    syntax: RuleSyntax,
    ignore_unknown: bool,
}

impl Syntax for Languages {
    fn expr(&self, text: &str) -> Result<(), ExprError> {
        self.syntax.expr(text)
    }

    fn series(&self, text: &str) -> Result<(), ExprError> {
        self.syntax.series(text)
    }

    fn template(&self, text: &str) -> Result<(), String> {
        self.syntax.template(text)
    }

    fn ignores_unknown_keys(&self) -> bool {
        self.ignore_unknown
    }
}

pub(crate) async fn run(arguments: &cli::TestRules) -> anyhow::Result<ExitCode> {
    let patterns = arguments
        .run
        .iter()
        .map(|pattern| Regex::new(pattern).with_context(|| format!("--run {pattern}")));
    let patterns: Vec<Regex> = patterns.collect::<anyhow::Result<_>>()?;
    let wanted =
        |name: &str| patterns.is_empty() || patterns.iter().any(|pattern| pattern.is_match(name));
    let mut suites = Vec::new();
    for file in &arguments.files {
        suites.push(one(file, &wanted, arguments).await?);
    }
    if let Some(path) = &arguments.junit {
        std::fs::write(path, junit::document(&suites))
            .with_context(|| format!("--junit {}", path.display()))?;
    }
    let mut cases = suites.iter().flat_map(|suite| &suite.cases);
    Ok(match cases.all(|case| case.failures.is_empty()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

/// Runs the tests of a file and says how they went.
async fn one(
    file: &Path,
    wanted: &dyn Fn(&str) -> bool,
    arguments: &cli::TestRules,
) -> anyhow::Result<Suite> {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    writeln!(out, "Unit Testing:  {}", file.display())?;
    let languages = Languages {
        syntax: RuleSyntax { experimental: true },
        ignore_unknown: arguments.ignore_unknown_fields,
    };
    let cases: Vec<Case> = match config::load_rule_tests(file, &languages) {
        // What is wrong with a file is a test of it that failed.
        Err(errors) => vec![Case {
            name: "the file reads".to_owned(),
            failures: errors.iter().map(|error| format!("    {error}")).collect(),
        }],
        Ok(tests) => {
            for missing in &tests.missing {
                writeln!(err, "  WARNING: {missing}")?;
            }
            let outcomes = unit_test::run(&tests, wanted, arguments.debug).await;
            if arguments.debug {
                for outcome in &outcomes {
                    write!(err, "DEBUG: test {:?}\n{}", outcome.name(), outcome.series)?;
                }
            }
            let case = |outcome| case(outcome, arguments.diff);
            outcomes.iter().map(case).collect()
        }
    };
    let problems: Vec<&String> = cases.iter().flat_map(|case| &case.failures).collect();
    if problems.is_empty() {
        writeln!(out, "  SUCCESS\n")?;
    } else {
        writeln!(err, "  FAILED:")?;
        for problem in problems {
            writeln!(err, "{problem}")?;
        }
        writeln!(out)?;
    }
    Ok(Suite {
        file: file.display().to_string(),
        cases,
    })
}

fn case(outcome: &unit_test::Outcome, diff: bool) -> Case {
    let said = outcome.differences.iter().map(|difference| match diff {
        true => difference.diff(),
        false => difference.to_string(),
    });
    Case {
        name: outcome.name(),
        failures: said.collect(),
    }
}
