use super::*;

/// Takes every expression and template for right: they are tried when they are evaluated.
struct Any;

impl config::Syntax for Any {
    fn expr(&self, _: &str) -> Result<(), config::ExprError> {
        Ok(())
    }

    fn series(&self, _: &str) -> Result<(), config::ExprError> {
        Ok(())
    }

    fn template(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

const RULES: &str = r#"
groups:
  - name: alerts
    rules:
      - alert: InstanceDown
        expr: up == 0
        for: 5m
        labels: {severity: page}
        annotations: {summary: "{{ $labels.instance }} of {{ $externalLabels.region }} is down"}
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: FewUp
        expr: job:up:sum < 2
      - record: job:sizes:rate
        expr: sum by (job) (rate(sizes[2m]))
"#;

async fn differences(tests: &str) -> Vec<Difference> {
    differences_of(RULES, tests).await
}

async fn differences_of(rules: &str, tests: &str) -> Vec<Difference> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let file = folder.path().join("tests.yml");
    std::fs::write(&file, format!("rule_files: [rules.yml]\n{tests}")).unwrap();
    let tests = config::load_rule_tests(&file, &Any).unwrap();
    let outcomes = run(&tests, &|_| true, false).await;
    outcomes
        .into_iter()
        .flat_map(|outcome| outcome.differences)
        .collect()
}

#[tokio::test]
async fn rules_and_expressions_that_hold_leave_nothing_to_say() {
    let tests = r#"
tests:
  - interval: 1m
    external_labels: {region: north}
    input_series:
      - {series: 'up{job="a", instance="x"}', values: '1 1 0x20'}
      - {series: 'up{job="a", instance="y"}', values: '1+0x20'}
      - {series: 'h', values: '{{count:2 sum:3 buckets:[2]}}x9'}
    alert_rule_test:
      - {alertname: InstanceDown, eval_time: 6m59s, exp_alerts: []}
      - alertname: InstanceDown
        eval_time: 7m
        exp_alerts:
          - exp_labels: {severity: page, job: a, instance: x}
            exp_annotations: {summary: x of north is down}
      - alertname: FewUp
        eval_time: 2m
        exp_alerts: [{exp_labels: {job: a}}]
      - {alertname: Nobody, eval_time: 2m}
    promql_expr_test:
      - {expr: 'job:up:sum', eval_time: 1m, exp_samples: [{labels: 'job:up:sum{job="a"}', value: 2}]}
      - {expr: 'count(ALERTS{alertstate="pending"})', eval_time: 3m, exp_samples: [{value: 1}]}
      - {expr: 'h', eval_time: 0, exp_samples: [{labels: h, histogram: '{{count:2 sum:3 buckets:[2]}}'}]}
      - {expr: 'h', eval_time: 5m, exp_samples: [{labels: h, histogram: '{{count:2 sum:3 buckets:[2] counter_reset_hint:not_reset}}'}]}
      - {expr: '0/0', eval_time: 0, exp_samples: [{value: NaN}]}
      - {expr: 'nothing', eval_time: 1h, exp_samples: []}
"#;
    assert_eq!(differences(tests).await, []);
}

#[tokio::test]
async fn what_differs_is_said_as_promtool_says_it() {
    let tests = r#"
tests:
  - name: Failing alert test
    interval: 1m
    input_series: [{series: 'up{job="test"}', values: 0x10}]
    alert_rule_test:
      - {alertname: InstanceDown, eval_time: 5m, exp_alerts: []}
      - alertname: Test
        eval_time: 0m
        exp_alerts: [{exp_labels: {}}]
    promql_expr_test:
      - {expr: 'up{job="test"}', eval_time: 1m, exp_samples: [{labels: test, value: 1.5e30}]}
      - {expr: 'up', eval_time: 1m}
      - {expr: 'up[5m]', eval_time: 1m}
"#;
    let found: Vec<String> = differences(tests)
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            r#"    name: Failing alert test,
    alertname: Test, time: 0s, 
        exp:[
            0:
              Labels:{alertname="Test"}
              Annotations:{}
            ], 
        got:[]"#,
            r#"    name: Failing alert test,
    alertname: InstanceDown, time: 5m, 
        exp:[], 
        got:[
            0:
              Labels:{alertname="InstanceDown", job="test", severity="page"}
              Annotations:{summary=" of  is down"}
            ]"#,
            r#"    name: Failing alert test,
    expr: "up{job=\"test\"}", time: 1m,
        exp: {__name__="test"} 1.5E+30
        got: {__name__="up", job="test"} 0E+00"#,
            r#"    name: Failing alert test,
    expr: "up", time: 1m,
        exp: nil
        got: {__name__="up", job="test"} 0E+00"#,
            r#"    name: Failing alert test,
    expr: "up[5m]", time: 1m, err: rule result is not a vector or scalar"#,
        ]
    );
}

#[tokio::test]
async fn recorded_histograms_are_read_by_what_follows_and_end() {
    let tests = r#"
tests:
  - interval: 1m
    input_series:
      - series: 'sizes{job="a", i="x"}'
        values: '{{schema:1 count:60 sum:120 buckets:[60]}}+{{schema:1 count:60 sum:120 buckets:[60]}}x5 stale'
      - series: 'sizes{job="b"}'
        values: '{{schema:-53 custom_values:[5] count:6 sum:12 buckets:[3 3]}}+{{schema:-53 custom_values:[5] count:6 sum:12 buckets:[3 3]}}x9'
    promql_expr_test:
      - expr: job:sizes:rate{job="a"}
        eval_time: 4m
        exp_samples:
          - labels: job:sizes:rate{job="a"}
            histogram: '{{schema:1 count:1 sum:2 buckets:[1] counter_reset_hint:gauge}}'
      - {expr: 'histogram_quantile(0.5, job:sizes:rate{job="b"})', eval_time: 4m, exp_samples: [{labels: '{job="b"}', value: 5}]}
      - {expr: 'histogram_count(sum_over_time(job:sizes:rate{job="a"}[2m]))', eval_time: 4m, exp_samples: [{labels: '{job="a"}', value: 2}]}
      - {expr: 'count(job:sizes:rate)', eval_time: 9m, exp_samples: [{value: 1}]}
"#;
    assert_eq!(differences(tests).await, []);
}

#[tokio::test]
async fn a_diff_shows_what_both_share_once() {
    let tests = r#"
tests:
  - interval: 1m
    input_series:
      - {series: 'm{i="a"}', values: 1}
      - {series: 'm{i="b"}', values: 2}
    promql_expr_test:
      - expr: m
        eval_time: 0
        exp_samples: [{labels: 'm{i="a"}', value: 1}, {labels: 'm{i="c"}', value: 3}]
"#;
    let found = differences(tests).await;
    assert_eq!(
        found[0].diff(),
        "    expr: \"m\", time: 0s\n        {__name__=\"m\", i=\"a\"} 1E+00\n      \
         - {__name__=\"m\", i=\"c\"} 3E+00\n      + {__name__=\"m\", i=\"b\"} 2E+00"
    );
}

#[tokio::test]
async fn a_test_begins_when_it_says_and_sees_no_input_of_the_future() {
    let tests = r#"
tests:
  - interval: 30s
    start_timestamp: 2026-01-01T00:00:00Z
    input_series: [{series: m, values: 0+1x10}]
    promql_expr_test:
      - {expr: 'timestamp(m)', eval_time: 1m, exp_samples: [{value: 1767225660}]}
      - {expr: 'max_over_time(m[10m])', eval_time: 2m, exp_samples: [{value: 4}]}
      - {expr: 'm offset -2m', eval_time: 1m, exp_samples: [{labels: m, value: 4}]}
"#;
    let found = differences(tests).await;
    // All expressions see what was stored by the last step, at two minutes.
    assert_eq!(found, []);
}

#[tokio::test]
async fn neighbours_are_equal_only_where_that_is_asked_for() {
    let tests = |fuzzy: bool| {
        format!(
            "fuzzy_compare: {fuzzy}\ntests:\n  - promql_expr_test:\n      - \
             {{expr: '0.1 + 0.2', eval_time: 0, exp_samples: [{{value: 0.3}}]}}\n"
        )
    };
    assert_eq!(differences(&tests(true)).await, []);
    assert_eq!(differences(&tests(false)).await.len(), 1);
}

#[tokio::test]
async fn a_broken_input_or_rule_ends_its_test_alone() {
    let tests = r#"
tests:
  - input_series: [{series: 'up{', values: 1}]
    promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{value: 2}]}]
  - name: second
    promql_expr_test: [{expr: '1', eval_time: 0, exp_samples: [{value: 2}]}]
"#;
    let found = differences(tests).await;
    assert!(matches!(found[0].mismatch, Mismatch::Input(_)), "{found:?}");
    assert_eq!((found.len(), &*found[1].test), (2, "second"));
}

#[tokio::test]
async fn subqueries_without_a_step_take_the_evaluation_interval() {
    let rules = "groups: [{name: g, interval: 15s, rules: [{record: n, expr: 'count_over_time(up[5m:])'}]}]";
    let tests = r#"
evaluation_interval: 30s
tests:
  - interval: 15s
    input_series: [{series: up, values: '1x40'}]
    promql_expr_test:
      - {expr: 'count_over_time(up[5m:])', eval_time: 5m, exp_samples: [{value: 10}]}
      - {expr: 'count_over_time(up[5m:1m])', eval_time: 5m, exp_samples: [{value: 5}]}
      - {expr: 'n', eval_time: 5m, exp_samples: [{labels: n, value: 10}]}
"#;
    assert_eq!(differences_of(rules, tests).await, []);
}

#[tokio::test]
async fn groups_with_a_query_offset_begin_before_the_input() {
    let rules = "
groups:
  - name: g
    query_offset: 1m
    rules:
      - {alert: Down, expr: 'up == 0', for: 5m}
      - {record: r, expr: 'time()'}
";
    let tests = r#"
tests:
  - interval: 1m
    input_series: [{series: up, values: '0x40'}]
    alert_rule_test:
      - {alertname: Down, eval_time: 5m, exp_alerts: []}
      - {alertname: Down, eval_time: 6m, exp_alerts: [{}]}
    promql_expr_test:
      - expr: ALERTS_FOR_STATE
        eval_time: 5m
        exp_samples: [{labels: 'ALERTS_FOR_STATE{alertname="Down"}', value: 60}]
      - {expr: 'r offset 1m', eval_time: 0, exp_samples: [{labels: r, value: -60}]}
      - {expr: 'timestamp(r)', eval_time: 5m, exp_samples: [{value: 300}]}
      - {expr: 'count_over_time(r[20m])', eval_time: 5m, exp_samples: [{value: 7}]}
"#;
    assert_eq!(differences_of(rules, tests).await, []);
}

#[tokio::test]
async fn histograms_are_compared_with_their_hints_and_said_as_tests_write_them() {
    let tests = r#"
tests:
  - interval: 1m
    input_series:
      - {series: a, values: '{{count:2 sum:3 buckets:[2]}}x9'}
      - {series: b, values: '{{schema:2 z_bucket:3 z_bucket_w:0.001 count:9 sum:-0.5 n_buckets:[3 0 1] buckets:[0 3] n_offset:4}}'}
      - {series: c, values: '{{schema:-53 custom_values:[5 10] count:6 sum:NaN buckets:[3 0 3] counter_reset_hint:gauge}}'}
      - {series: reset, values: '{{count:5 sum:3 buckets:[5]}} {{count:2 sum:3 buckets:[2]}} {{count:3 sum:3 buckets:[3]}}'}
    promql_expr_test:
      - {expr: a, eval_time: 5m, exp_samples: [{labels: a, histogram: '{{count:2 sum:3 buckets:[2]}}'}]}
      - {expr: a, eval_time: 5m, exp_samples: [{labels: a, value: 2}]}
      - {expr: 'rate(a[3m])', eval_time: 5m, exp_samples: [{histogram: '{{}}'}]}
      - {expr: b, eval_time: 0}
      - {expr: c, eval_time: 0}
      - {expr: c, eval_time: 0, exp_samples: [{labels: c, histogram: '{{schema:-53 custom_values:[5 10] count:6 sum:NaN buckets:[3 0 3] counter_reset_hint:gauge}}'}]}
      - {expr: reset, eval_time: 1m, exp_samples: [{labels: reset, histogram: '{{count:2 sum:3 buckets:[2]}}'}]}
      - {expr: reset, eval_time: 2m, exp_samples: [{labels: reset, histogram: '{{count:3 sum:3 buckets:[3] counter_reset_hint:not_reset}}'}]}
"#;
    let found: Vec<String> = differences(tests)
        .await
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        found,
        [
            r#"    expr: "a", time: 5m,
        exp: {__name__="a"} {{count:2 sum:3 buckets:[2]}}
        got: {__name__="a"} {{count:2 sum:3 counter_reset_hint:not_reset buckets:[2]}}"#,
            r#"    expr: "a", time: 5m,
        exp: {__name__="a"} 2E+00
        got: {__name__="a"} {{count:2 sum:3 counter_reset_hint:not_reset buckets:[2]}}"#,
            r#"    expr: "rate(a[3m])", time: 5m,
        exp: {} {{}}
        got: {} {{counter_reset_hint:gauge}}"#,
            r#"    expr: "b", time: 0s,
        exp: nil
        got: {__name__="b"} {{schema:2 count:9 sum:-0.5 z_bucket:3 z_bucket_w:0.001 offset:1 buckets:[3] n_offset:4 n_buckets:[3 0 1]}}"#,
            r#"    expr: "c", time: 0s,
        exp: nil
        got: {__name__="c"} {{schema:-53 count:6 sum:NaN custom_values:[5 10] counter_reset_hint:gauge buckets:[3 0 3]}}"#,
        ]
    );
}

#[tokio::test]
async fn the_last_of_inputs_with_the_same_labels_stands() {
    let tests = r#"
tests:
  - interval: 1m
    input_series:
      - {series: 'up{a="b", c="d"}', values: '1 2 3'}
      - {series: 'up{c="d", a="b"}', values: '_ _ 5'}
    promql_expr_test:
      - {expr: up, eval_time: 1m}
      - {expr: up, eval_time: 2m, exp_samples: [{labels: 'up{a="b", c="d"}', value: 5}]}
"#;
    assert_eq!(differences(tests).await, []);
}
