//! Runs PromQL test scripts: those in `tests/cases`, and those of the test data folder.
//!
//! Cases are data: a new one needs no Rust. The folder of the test data is `THROUGHLINE_TESTDATA`,
//! or `../shared/data` beside the workspace; without it those scripts are skipped, unless
//! `THROUGHLINE_REQUIRE_TESTDATA=1`.

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
    let root = std::env::var_os("THROUGHLINE_TESTDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = root.join("promql");
    let paths = scripts(&folder);
    if paths.is_empty() {
        let required =
            std::env::var("THROUGHLINE_REQUIRE_TESTDATA").is_ok_and(|value| value == "1");
        assert!(!required, "no scripts in {}", folder.display());
        println!("skipped: no scripts in {}", folder.display());
        return;
    }
    run_all(&paths);
}
