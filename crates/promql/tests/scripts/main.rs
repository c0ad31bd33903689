//! Runs PromQL test scripts and recorded answers: those in `tests/cases`, and the scripts of the
//! test data folder.
//!
//! Cases are data: a new one needs no Rust. Without test data its scripts are skipped.

mod expect;
mod recorded;
mod run;
mod script;
mod store;

use std::path::{Path, PathBuf};

use run::Report;

fn files(folder: &Path, wanted: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == wanted)
        })
        .collect();
    paths.sort();
    paths
}

#[allow(clippy::print_stdout)] // Says how much ran, which a silent pass would not.
fn run_all(paths: &[PathBuf], run: impl Fn(&str) -> Report) {
    assert!(!paths.is_empty());
    let mut failures = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).expect("a readable script");
        let name = path
            .file_name()
            .expect("scripts have names")
            .to_string_lossy()
            .into_owned();
        let report = run(&text);
        println!(
            "{name}: {} of {} cases hold",
            report.cases - report.failures.len(),
            report.cases
        );
        assert!(report.cases > 0, "{name} has no case");
        failures.extend(
            report
                .failures
                .into_iter()
                .map(|failure| format!("{name}:{failure}")),
        );
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

#[test]
fn own_scripts_hold() {
    run_all(&files(&cases(), "test"), run::run);
}

#[test]
fn recorded_answers_hold() {
    run_all(&files(&cases(), "jsonl"), recorded::run);
}

#[test]
fn given_scripts_hold() {
    let Some(folder) = testkit::testdata("promql") else {
        return;
    };
    let paths = files(&folder, "test");
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    run_all(&paths, run::run);
}
