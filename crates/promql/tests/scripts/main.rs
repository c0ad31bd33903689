//! Runs PromQL test scripts: those in `tests/cases`, and those of the test data folder.
//!
//! Cases are data: a new one needs no Rust. Without test data its scripts are skipped.

mod expect;
mod run;
mod script;
mod store;

use std::path::{Path, PathBuf};

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "test")
        })
        .collect();
    paths.sort();
    paths
}

#[allow(clippy::print_stdout)] // Says how much ran, which a silent pass would not.
fn run_all(paths: &[PathBuf]) {
    let mut failures = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).expect("a readable script");
        let name = path
            .file_name()
            .expect("scripts have names")
            .to_string_lossy()
            .into_owned();
        let report = run::run(&text);
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

#[test]
fn own_scripts_hold() {
    let paths = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"));
    assert!(!paths.is_empty());
    run_all(&paths);
}

#[test]
fn given_scripts_hold() {
    let Some(folder) = testkit::testdata("promql") else {
        return;
    };
    let paths = scripts(&folder);
    assert!(!paths.is_empty(), "no scripts in {}", folder.display());
    run_all(&paths);
}
