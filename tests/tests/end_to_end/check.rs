//! `throughline check`: every mistake at once, each with its place.

use std::path::Path;
use std::process::Output;

use crate::PROGRAM;

const CONFIG: &str = "\
data_dir: /var/lib/throughline
listen:
  otlp_grcp: 127.0.0.1:4317
  query: localhost
retention:
  logs: {age: 14}
limits:
  query_concurrency: 0
alerts:
  webhooks:
    - url: ftp://example.com
";

/// The places of the five mistakes above.
const CONFIG_PLACES: [(usize, usize); 5] = [(3, 3), (4, 10), (6, 15), (8, 22), (11, 12)];

const RULES: &str = r#"groups:
  - name: shop
    interval: sometimes
    rules:
      - alert: A
        expr: sum(rate(x[5m])
      - record: "up{}"
        expr: up
      - alert: B
        expr: up == 0
        labels: {"": x}
      - expr: up
"#;

/// The lines of the five mistakes above.
const RULES_LINES: [usize; 5] = [3, 6, 7, 11, 12];

fn check(path: &Path) -> Output {
    tests::server::clean(PROGRAM)
        .arg("check")
        .arg(path)
        .output()
        .unwrap()
}

/// The places that the output names for a file.
fn places(path: &Path, output: &Output) -> Vec<(usize, usize)> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let prefix = format!("{}:", path.display());
    let place = |line: &str| {
        let mut parts = line.strip_prefix(&prefix)?.splitn(3, ':');
        let mut number = || parts.next()?.parse().ok();
        Some((number()?, number()?))
    };
    text.lines().filter_map(place).collect()
}

#[test]
fn five_mistakes_are_reported_with_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("throughline.yaml");
    std::fs::write(&path, CONFIG).unwrap();
    let output = check(&path);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(
        places(&path, &output),
        CONFIG_PLACES,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("did you mean `otlp_grpc`"), "{said}");

    let path = folder.path().join("rules.yml");
    std::fs::write(&path, RULES).unwrap();
    let output = check(&path);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let lines: Vec<usize> = places(&path, &output)
        .into_iter()
        .map(|place| place.0)
        .collect();
    assert_eq!(
        lines,
        RULES_LINES,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
}

#[test]
fn a_good_file_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("throughline.yaml");
    std::fs::write(&path, "listen: {query: 127.0.0.1:4401}\n").unwrap();
    let output = check(&path);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(places(&path, &output), []);
}

/// What the check says of a file with this text.
fn said(name: &str, text: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    let output = check(&path);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let folder = format!("{}/", folder.path().display());
    (output.status.code(), said.replace(&folder, ""))
}

#[test]
fn templates_rule_tests_and_missing_rule_files_are_checked() {
    let rules = "\
groups:
  - name: shop
    rules:
      - alert: A
        expr: up == 0
        annotations:
          summary: '{{ .Bar | nofunc }}'
";
    assert_eq!(
        said("rules.yml", rules),
        (
            Some(1),
            "rules.yml:7:20: invalid template: function \"nofunc\" not defined\n1 mistake\n".into()
        )
    );
    let tests = "\
tests:
  - input_series:
      - series: 'up{job=\"shop\"'
        values: 0x5
";
    let (code, text) = said("tests.yml", tests);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("tests.yml:3:"), "{text}");
    let (code, text) = said("tests.yml", &tests.replace("shop\"", "shop\"}"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("unit tests of rules"), "{text}");
    assert_eq!(
        said("throughline.yaml", "rules:\n  files: [a*.yml, gone.yml]\n"),
        (
            Some(1),
            "throughline.yaml:2:19: there is no rule file gone.yml\n1 mistake\n".into()
        )
    );
}
