//! `test-rules` on the given unit tests of rules, side by side with promtool.

use std::path::Path;
use std::process::Command;

use tests::external::works;

use crate::PROGRAM;

fn run(arguments: &[&str], folder: &Path) -> (Option<i32>, String, String) {
    let mut command = tests::server::clean(PROGRAM);
    command
        .arg("test-rules")
        .args(arguments)
        .current_dir(folder);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn samples_without_labels_may_be_written_as_empty_braces() {
    let folder = tempfile::tempdir().unwrap();
    let test = |labels: &str| {
        format!(
            "tests:\n- input_series: [{{series: 'up{{job=\"x\"}}', values: '1 1'}}]\n  promql_expr_test:\n  \
             - {{expr: sum(up), eval_time: 1m, exp_samples: [{{labels: '{labels}', value: 1}}]}}\n"
        )
    };
    for (labels, code) in [("{}", 0), ("{ }", 0), ("", 0), ("{a=\"b\"}", 1), ("{", 1)] {
        std::fs::write(folder.path().join("t.yml"), test(labels)).unwrap();
        let (got, out, err) = run(&["t.yml"], folder.path());
        assert_eq!(got, Some(code), "{labels}: {out}{err}");
    }
}

/// What the newest promtool says of each given file: all is well, or what standard error has.
const GIVEN: [(&str, Result<(), &[&str]>); 11] = [
    ("unittest.yml", Ok(())),
    ("at-modifier-test.yml", Ok(())),
    ("negative-offset-test.yml", Ok(())),
    ("long-period.yml", Ok(())),
    ("no-test-group-interval.yml", Ok(())),
    (
        "failing.yml",
        Err(&[
            "  FAILED:\n    name: Failing test,\n    alertname: Test, time: 0s, \n        exp:[\n",
            "expr: \"test\", time: 0s,\n        exp: {__name__=\"test\"} 1E+00\n        got: {__name__=\"test\"} 0E+00\n",
            "              Labels:{alertname=\"InstanceDown\", job=\"test\", severity=\"page\"}\n",
            "alertname: AlwaysFiring, time: 5m, \n        exp:[], \n        got:[\n",
        ]),
    ),
    (
        "bad-input-series.yml",
        Err(&["bad-input-series.yml:3:", "unexpected end of input"]),
    ),
    (
        "bad-promql.yml",
        Err(&[
            "expr: \"join_1 + on(a) join_2\", time: 0s, err: ",
            "found duplicate series for the match group",
        ]),
    ),
    (
        "bad-rules-error-test.yml",
        Err(&[
            "rule: joined, time: 0s, err: ",
            "found duplicate series for the match group",
        ]),
    ),
    (
        "bad-rules-syntax-test.yml",
        Err(&["bad-rules-syntax.yml:7:"]),
    ),
    ("no-such-file.yml", Err(&["no-such-file.yml"])),
];

#[test]
fn the_given_unit_tests_go_as_with_promtool() {
    let Some(folder) = testkit::testdata("promtool") else {
        return;
    };
    for (file, expected) in GIVEN {
        let (code, out, err) = run(&[file], &folder);
        match expected {
            Ok(()) => {
                assert_eq!(code, Some(0), "{file}: {out}{err}");
                assert_eq!(out, format!("Unit Testing:  {file}\n  SUCCESS\n\n"));
            }
            Err(parts) => {
                assert_eq!(code, Some(1), "{file}: {out}{err}");
                for part in parts {
                    assert!(err.contains(part), "{file}: {part:?} is not in {err}");
                }
            }
        }
    }
    // Files of another tool: what promtool does not know is refused; a rule file that is not there
    // is a warning.
    let Some(folder) = testkit::testdata("rules/vmalert-unittest") else {
        return;
    };
    for (file, code, part) in [
        ("failed-test-with-missing-rulefile.yaml", 0, "WARNING"),
        ("test1.yaml", 1, "unknown key `groupname`"),
        ("test2.yaml", 1, "unknown key `metricsql_expr_test`"),
        ("failed-test.yaml", 1, "unknown key"),
        ("long-period.yaml", 1, "unknown key"),
        ("disable-group-label.yaml", 1, "unknown key"),
        ("rules.yaml", 1, "unknown key `groups`"),
    ] {
        let (got, out, err) = run(&[file], &folder);
        assert_eq!(got, Some(code), "{file}: {out}{err}");
        assert!(err.contains(part), "{file}: {err}");
    }
}

/// Debian's promtool is older than the given files; of those it can read it has to say the same.
#[test]
fn an_older_promtool_says_the_same_word_for_word() {
    let Some(folder) = testkit::testdata("promtool") else {
        return;
    };
    let program = std::env::var("THROUGHLINE_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    if !works(Command::new(&program).arg("--version")) {
        return tests::external::missing("promtool");
    }
    for file in [
        "at-modifier-test.yml",
        "negative-offset-test.yml",
        "long-period.yml",
        "failing.yml",
    ] {
        let mut command = Command::new(&program);
        let command = command.args(["test", "rules", file]).current_dir(&folder);
        let theirs = command.output().unwrap();
        let (code, _, err) = run(&[file], &folder);
        assert_eq!(code, theirs.status.code(), "{file}");
        let named = |line: &&str| !line.trim_start().starts_with("name: ");
        let lines =
            |text: &str| -> Vec<String> { text.lines().filter(named).map(str::to_owned).collect() };
        let said = String::from_utf8_lossy(&theirs.stderr);
        assert_eq!(lines(&err), lines(&said), "{file}");
    }
}

#[test]
fn tests_are_chosen_by_name_and_differences_shown_line_by_line() {
    let Some(folder) = testkit::testdata("promtool") else {
        return;
    };
    let (code, _, err) = run(&["--run", "^Failing test$", "failing.yml"], &folder);
    assert_eq!(code, Some(1));
    assert!(!err.contains("Failing alert test"), "{err}");
    let (code, ..) = run(&["--run", "no such test", "failing.yml"], &folder);
    assert_eq!(code, Some(0));
    let (_, _, err) = run(&["--diff", "failing.yml"], &folder);
    assert!(
        err.contains("      - {__name__=\"test\"} 1E+00\n      + {__name__=\"test\"} 0E+00\n"),
        "{err}"
    );
}

#[test]
fn an_empty_file_passes_and_the_outcome_is_written_for_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("empty.yml", "");
    let rules =
        "groups: [{name: g, owner: me, rules: [{record: 'a b', expr: x, labels: {\"l m\": n}}]}]\n";
    write("rules.yml", rules);
    let tests = "rule_files: [rules.yml]\ntests:\n- name: one\n  \
                 input_series: [{series: x, values: '1 2'}]\n  promql_expr_test:\n  \
                 - {expr: '{\"a b\", \"l m\"=\"n\"}', eval_time: 1m, exp_samples: [{labels: '{\"a b\", \"l m\"=\"n\"}', value: 2}]}\n";
    write("tests.yml", tests);
    let (code, out, err) = run(&["empty.yml"], folder.path());
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, _, err) = run(&["tests.yml"], folder.path());
    assert_eq!(code, Some(1));
    assert!(err.contains("unknown key `owner`"), "{err}");
    let options = ["--ignore-unknown-fields", "--debug", "--junit", "out.xml"];
    let arguments: Vec<&str> = options
        .into_iter()
        .chain(["empty.yml", "tests.yml"])
        .collect();
    let (code, out, err) = run(&arguments, folder.path());
    assert_eq!(code, Some(0), "{out}{err}");
    let series = "DEBUG: test \"one\"\n{__name__=\"a b\", \"l m\"=\"n\"} 1@0 2@60000\n";
    assert!(err.contains(series), "{err}");
    let xml = std::fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(
        xml.contains("<testsuite name=\"empty.yml\" tests=\"0\""),
        "{xml}"
    );
    assert!(xml.contains("<testcase name=\"one\"/>"), "{xml}");
}

#[test]
fn tests_without_a_name_are_called_by_their_place_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let text = "tests:\n- name: one\n  promql_expr_test: [{expr: '1', exp_samples: [{value: 1}]}]\n\
                - promql_expr_test: [{expr: '1', exp_samples: [{value: 1}]}]\n";
    std::fs::write(folder.path().join("t.yml"), text).unwrap();
    let options = ["--junit", "out.xml", "t.yml", "--run", "^$"];
    let (code, out, err) = run(&options, folder.path());
    assert_eq!(code, Some(0), "{out}{err}");
    let xml = std::fs::read_to_string(folder.path().join("out.xml")).unwrap();
    assert!(xml.contains("tests=\"1\""), "{xml}");
    assert!(xml.contains("<testcase name=\"unnamed#1\"/>"), "{xml}");
}
