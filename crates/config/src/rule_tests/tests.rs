use super::*;
use crate::ExprError;

/// Refuses expressions that contain `BAD`, at that place.
fn no_bad(text: &str) -> Result<(), ExprError> {
    match text.find("BAD") {
        Some(start) => Err(ExprError {
            start,
            end: start + 3,
            message: "bad word".into(),
        }),
        None => Ok(()),
    }
}

fn errors_of(text: &str) -> Vec<String> {
    let errors = check_rule_tests("t.yml", text, PathBuf::from("/nowhere"), &no_bad);
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_has_its_place() {
    let text = "\
rule_files: [gone.yml]
evaluation_interval: often
group_eval_order: [g, h, g]
tests:
  - interval: 1m
    input_series:
      - series: 'up{BAD'
        values: '0+1x5 _x2 stale 1y2 {{sum:1 count:2}}x3'
      - series: down
    promql_expr_test:
      - eval_time: 5
        exp_samples: [{labels: 'BAD', value: many}]
      - expr: up + BAD
    alert_rule_tests: []
    alert_rule_test:
      - alertname: A
        exp_alerts: [{exp_labels: none}]
";
    assert_eq!(
        errors_of(text),
        [
            "t.yml:1:14: there is no rule file /nowhere/gone.yml",
            "t.yml:2:22: expected a duration: `often` is not a duration \
             (write it as in 500ms, 30s, 5m, 1h30m or 7d)",
            "t.yml:3:26: group name repeated in evaluation order: g",
            "t.yml:7:21: invalid series: bad word",
            "t.yml:8:34: `1y2` is no value: write a number, `_`, `stale`, a histogram in {{}}, \
             or several as in `1x5` and `0+10x5`",
            "t.yml:9:9: `values` is missing",
            "t.yml:11:9: `expr` is missing",
            "t.yml:11:20: expected a duration: `5` has no unit \
             (write it as in 500ms, 30s, 5m, 1h30m or 7d)",
            "t.yml:12:33: invalid series: bad word",
            "t.yml:12:46: expected a number, found `many`",
            "t.yml:13:20: invalid expression: bad word",
            "t.yml:14:5: unknown key `alert_rule_tests` (did you mean `alert_rule_test`?)",
            "t.yml:17:35: expected a map of text to text, found `none`",
        ]
    );
    assert_eq!(
        errors_of("tests: {}"),
        ["t.yml:1:8: expected a list, found a map"]
    );
    assert!(errors_of("tests: []\nrule_files: ['/nowhere/*.yml']\n").is_empty());
    assert!(errors_of("").is_empty() && errors_of("# nothing yet\n").is_empty());
}

#[test]
fn values_are_read_as_promtool_reads_them() {
    let good = "0 -1.5 1e3 inf NaN _ stale 1x0 _x3 1+2x3 1-2x3 -1+-2x3 1e-3+2e+3x4 {{}} \
                {{sum:3 count:2 buckets:[2]}}x2 {{sum:3}}+{{sum:1.3 count:1}}x2 +1x2";
    for (_, item) in items(good) {
        assert!(is_item(item), "{item}");
    }
    for item in [
        "x", "1x", "x3", "1+x3", "1+2", "a", "1xa", "{{", "{{}", "1x-2", "stalex2",
    ] {
        assert!(!is_item(item), "{item}");
    }
    let offsets: Vec<usize> = items(" 1  {{a b}} 2").iter().map(|item| item.0).collect();
    assert_eq!(offsets, [1, 4, 12]);
}

#[test]
fn numbers_are_read_as_yaml_has_them() {
    for (text, want) in [
        ("1_000", 1e3),
        ("1_0.5", 10.5),
        ("1__0", 10.0),
        ("0x10", 16.0),
        ("0x1_0", 16.0),
        ("-0x10", -16.0),
        ("0o17", 15.0),
        ("017", 15.0),
        ("-017", -15.0),
        ("0b101", 5.0),
        ("08", 8.0),
        ("0", 0.0),
        ("5.", 5.0),
        ("+.5", 0.5),
        ("1e1_0", 1e10),
        ("18446744073709551616", 18_446_744_073_709_551_616.0),
        (".inf", f64::INFINITY),
        ("+.Inf", f64::INFINITY),
        ("-.INF", f64::NEG_INFINITY),
        ("+Inf", f64::INFINITY),
        ("-Inf", f64::NEG_INFINITY),
    ] {
        assert_eq!(read::number(text), Some(want), "{text}");
    }
    for text in [".nan", ".NaN", ".NAN", "NaN"] {
        assert!(read::number(text).is_some_and(f64::is_nan), "{text}");
    }
    for text in [
        "", "_1", "0x", "0x-5", "+-5", "5e", "12:30", "0x1p3", "true", "many",
    ] {
        assert_eq!(read::number(text), None, "{text}");
    }
}

#[test]
fn an_interval_of_zero_is_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tests.yml");
    let text = "evaluation_interval: 0s\ntests: [{promql_expr_test: [{expr: a, exp_samples: [{value: -.inf}]}]}]\n";
    std::fs::write(&file, text).unwrap();
    let tests = load_rule_tests(&file, &no_bad).unwrap();
    assert_eq!(tests.evaluation_interval, Duration::from_secs(60));
    assert_eq!(tests.tests[0].interval, Duration::from_secs(60));
    let sample = &tests.tests[0].expr_tests[0].samples[0];
    assert_eq!(sample.value, f64::NEG_INFINITY);
}
