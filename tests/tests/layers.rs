//! Holds the shape of the workspace: which crate may depend on which, and what every file and
//! manifest has in common. docs/architecture.md says why.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may use, in layers from the bottom up. `*` stands for every other crate.
const ALLOWED: [(&str, &[&str]); 15] = [
    ("model", &[]),
    ("env", &[]),
    ("journal", &["env"]),
    ("config", &["model"]),
    ("otlp", &["model"]),
    ("api", &["model"]),
    ("promql", &["model"]),
    ("storage", &["journal", "env", "model"]),
    ("testkit", &["model", "env"]),
    ("agent", &["otlp", "journal", "config", "env", "model"]),
    ("collector", &["otlp", "storage", "config", "env", "model"]),
    (
        "query",
        &["storage", "promql", "api", "config", "otlp", "env", "model"],
    ),
    ("tui", &["api", "model"]),
    ("throughline", &["*"]),
    ("tests", &["*"]),
];

/// Only tests of other crates use these.
const FOR_TESTS: [&str; 2] = ["testkit", "tests"];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn folder(package: &Value) -> PathBuf {
    Path::new(text(package, "manifest_path"))
        .parent()
        .unwrap()
        .to_owned()
}

#[test]
fn crates_depend_only_on_what_their_layer_allows() {
    let packages = packages();
    let members: BTreeSet<&str> = packages
        .iter()
        .map(|package| text(package, "name"))
        .collect();
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    assert_eq!(
        members,
        allowed.keys().copied().collect(),
        "a crate has no layer"
    );
    for package in &packages {
        let name = text(package, "name");
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = text(dependency, "name");
            let for_tests = dependency["kind"] == "dev";
            if !members.contains(other) || (for_tests && other == "testkit") {
                continue;
            }
            let any = allowed[name].contains(&"*") && !FOR_TESTS.contains(&other);
            assert!(
                any || allowed[name].contains(&other),
                "{name} must not depend on {other}"
            );
        }
    }
}

#[test]
fn every_crate_has_the_lints_and_the_name_of_its_folder() {
    for package in packages() {
        let (name, folder) = (text(&package, "name"), folder(&package));
        assert_eq!(folder.file_name().unwrap(), name, "{}", folder.display());
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let lints = manifest.split("[lints]").nth(1).unwrap_or_default();
        let lints = lints.split('[').next().unwrap_or_default();
        assert!(
            lints.contains("workspace = true"),
            "{name} does not have the workspace's lints"
        );
        assert_eq!(text(&package, "license"), "Apache-2.0", "{name}");
        assert_eq!(package["publish"], serde_json::json!([]), "{name}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().unwrap() != "node_modules" {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut paths = Vec::new();
    for package in packages() {
        sources(&folder(&package), &mut paths);
    }
    assert!(paths.len() > 100, "{} sources", paths.len());
    let mut wrong = Vec::new();
    for path in paths {
        if path.file_name().unwrap() == "mod.rs" {
            wrong.push(format!(
                "{}: a module is foo.rs beside foo/",
                path.display()
            ));
        }
        // Tests in a file beside their module are named by it.
        let of_tests = path.components().any(|part| part.as_os_str() == "tests")
            || path.file_name().unwrap() == "tests.rs";
        let source = std::fs::read_to_string(&path).unwrap();
        if !of_tests && !source.is_empty() && !source.starts_with("//!") {
            wrong.push(format!("{}: does not open with //!", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
