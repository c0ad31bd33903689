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
            "t.yml:6:21: invalid series: bad word",
            "t.yml:7:34: `1y2` is no value: write a number, `_`, `stale`, a histogram in {{}}, \
             or several as in `1x5` and `0+10x5`",
            "t.yml:8:9: `values` is missing",
            "t.yml:10:9: `expr` is missing",
            "t.yml:10:20: expected a duration: `5` has no unit \
             (write it as in 500ms, 30s, 5m, 1h30m or 7d)",
            "t.yml:11:33: invalid series: bad word",
            "t.yml:11:46: expected a number, found `many`",
            "t.yml:12:20: invalid expression: bad word",
            "t.yml:13:5: unknown key `alert_rule_tests` (did you mean `alert_rule_test`?)",
            "t.yml:16:35: expected a map of text to text, found `none`",
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
