//! Rule files: real ones, wrong ones, and where the mistakes are.

use super::*;

fn fine(_: &str) -> Result<(), ExprError> {
    Ok(())
}

/// Expressions are what a test is about; templates that contain `BROKEN` are wrong.
impl<F: Fn(&str) -> Result<(), ExprError>> Syntax for F {
    fn expr(&self, text: &str) -> Result<(), ExprError> {
        self(text)
    }

    fn series(&self, text: &str) -> Result<(), ExprError> {
        self(text)
    }

    fn template(&self, text: &str) -> Result<(), String> {
        match text.contains("BROKEN") {
            true => Err("broken".to_owned()),
            false => Ok(()),
        }
    }
}

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
    let errors = parse_rule_file("r.yml", text, &no_bad).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_file_is_read_whole() {
    let file = parse_rule_file(
        "r.yml",
        r#"
groups:
  - name: shop
    interval: 30s
    query_offset: 1m
    limit: 10
    labels: {team: shop}
    rules:
      - alert: Failing
        expr: rate(errors[5m]) > 1
        for: 5m
        keep_firing_for: 1h30m
        labels: {severity: page, tier: 1}
        annotations: {summary: "{{ $value }} errors", empty: }
      - record: job:errors:rate5m
        expr: |
          rate(errors[5m])
  - name: empty
"#,
        &fine,
    )
    .unwrap();
    let group = &file.groups[0];
    assert_eq!(
        (group.name.as_str(), group.limit, group.line),
        ("shop", 10, 3)
    );
    assert_eq!(group.interval, Some(Duration::from_secs(30)));
    assert_eq!(group.query_offset, Some(Duration::from_secs(60)));
    assert_eq!(group.labels["team"], "shop");
    let RuleKind::Alert {
        name,
        r#for,
        keep_firing_for,
        annotations,
    } = &group.rules[0].kind
    else {
        panic!("an alert");
    };
    assert_eq!((name.as_str(), r#for.as_secs()), ("Failing", 300));
    assert_eq!(keep_firing_for.as_secs(), 5400);
    assert_eq!(
        (
            annotations["summary"].as_str(),
            annotations["empty"].as_str()
        ),
        ("{{ $value }} errors", "")
    );
    assert_eq!(group.rules[0].labels["tier"], "1");
    assert_eq!(
        group.rules[1].kind,
        RuleKind::Record {
            name: "job:errors:rate5m".into()
        }
    );
    assert_eq!(group.rules[1].expr.text, "rate(errors[5m])\n");
    assert!(file.groups[1].rules.is_empty());
}

#[test]
fn all_mistakes_of_a_file_come_at_once_each_in_its_place() {
    let errors = errors_of(
        "groups:\n\
         - name: a\n\
         \x20 rules:\n\
         \x20 - record: x\n\
         \x20   alert: y\n\
         \x20   expr: 1\n\
         \x20 - alert: z\n\
         \x20   for: 5\n\
         \x20   lables: {}\n\
         \x20 - record: b{a}d\n\
         \x20   expr: up + BAD\n\
         \x20   for: 1m\n\
         - name: a\n\
         \x20 intervall: 1m\n\
         \x20 rules: []\n\
         - rules: {}\n",
    );
    assert_eq!(
        errors,
        [
            "r.yml:4:13: both `alert` and `record` in one rule (write two rules)",
            "r.yml:7:5: the rule has no `expr`",
            "r.yml:8:10: expected a duration: `5` has no unit \
             (write it as in 500ms, 30s, 5m, 1h30m or 7d)",
            "r.yml:9:5: unknown key `lables` (did you mean `labels`?)",
            "r.yml:10:13: `b{a}d` is not a metric name (an expression belongs under `expr`)",
            "r.yml:11:16: invalid expression: bad word",
            "r.yml:12:5: `for` in a recording rule (only alerting rules have it)",
            "r.yml:14:3: unknown key `intervall` (did you mean `interval`?)",
            "r.yml:16:3: the group has no `name`",
            "r.yml:16:10: expected a list of rules, found a map",
        ]
    );
}

#[test]
fn groups_and_labels_are_named_once_and_well() {
    let errors = errors_of(
        "groups:\n- name: a\n- name: a\n- name: b\n  rules:\n  - alert: A\n    expr: x\n    \
         labels: {'': 1, __name__: x, ok: [1]}\n    annotations: {'': x}\n",
    );
    assert_eq!(errors.len(), 5, "{errors:?}");
    assert!(errors[0].starts_with("r.yml:3:9: group `a` is there twice (first on line 2"));
    assert!(errors[1].starts_with("r.yml:8:14: expected a name"));
    assert!(errors[2].starts_with("r.yml:8:21: `__name__` may not be set"));
    assert!(errors[3].starts_with("r.yml:8:38: expected text, found a list"));
    assert!(errors[4].starts_with("r.yml:9:19: expected a name"));
}

#[test]
fn any_text_is_a_name() {
    let text = "groups:\n- name: g\n  rules:\n  - record: \"0 b.é\"\n    expr: 1\n    \
                labels: {\"x y\": z, 1st: a-b}\n  - alert: A\n    expr: 1\n    \
                labels: {größe: b}\n    annotations: {\"1 2\": c}\n";
    let file = parse_rule_file("r", text, &fine).unwrap();
    let rules = &file.groups[0].rules;
    let record = RuleKind::Record {
        name: "0 b.é".into(),
    };
    assert_eq!(rules[0].kind, record);
    assert_eq!(
        (&*rules[0].labels["x y"], &*rules[0].labels["1st"]),
        ("z", "a-b")
    );
    assert_eq!(rules[1].labels["größe"], "b");
    assert!(
        matches!(&rules[1].kind, RuleKind::Alert { annotations, .. } if annotations["1 2"] == "c")
    );
}

#[test]
fn structures_of_the_wrong_kind_are_named() {
    for (text, expected) in [
        (
            "groups: 3",
            "r.yml:1:9: expected a list of groups, found `3`",
        ),
        (
            "groups: [x]",
            "r.yml:1:10: expected a group with `name` and `rules`, found `x`",
        ),
        (
            "groups: [{name: a, rules: [x]}]",
            "expected a rule with `expr`",
        ),
        (
            "groups: [{name: a, rules: [{expr: 1}]}]",
            "neither `record` nor `alert`",
        ),
        (
            "groups: [{name: a, rules: [{record: x, expr: [1]}]}]",
            "expected a PromQL expression",
        ),
        (
            "groups: [{name: a, rules: [{record: x, expr: ''}]}]",
            "`expr` is empty",
        ),
        (
            "groups: [{name: a, rules: [{record: 'x{a=1}', expr: 1}]}]",
            "belongs under `expr`",
        ),
        ("group: []", "unknown key `group` (did you mean `groups`?)"),
        ("groups:\n- name: [\n", "invalid YAML"),
    ] {
        let errors = errors_of(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].contains(expected), "{text}: {errors:?}");
    }
}

/// Where `BAD` is reported must be where it stands in the file, however it is written.
#[test]
fn expression_errors_point_into_every_style_of_scalar() {
    let styles = [
        "expr: up + BAD",
        "expr:   up   + BAD # comment",
        "expr: 'up + BAD'",
        "expr: 'it''s ''x'' + BAD'",
        "expr: \"up{a=\\\"b\\\"} + BAD\"",
        "expr: \"\\t\\u0041 + BAD\"",
        "expr: |\n  up\n    + BAD\n  + x",
        "expr: |- # note\n  up\n\n  + BAD",
        "expr: >\n  up\n  + BAD\n  and x",
        "expr: >-\n  BAD",
        "expr: up\n  +\n  größe + BAD",
        "expr: 'up\n\n  + BAD'",
        "expr:\n    BAD",
        "expr: |2\n    up + BAD",
    ];
    for style in styles {
        let indented = style.replace('\n', "\n      ");
        let text = format!("groups:\n  - name: g\n    rules:\n    - record: r\n      {indented}\n");
        let (index, line) = text
            .lines()
            .enumerate()
            .find(|(_, l)| l.contains("BAD"))
            .unwrap();
        let column = line[..line.find("BAD").unwrap()].chars().count() + 1;
        let expected = format!("r.yml:{}:{column}: invalid expression: bad word", index + 1);
        assert_eq!(errors_of(&text), [expected], "{text}");
    }
}

#[test]
fn files_from_other_systems_are_read_alike() {
    let text = "groups:\n- name: g\n  rules:\n  - record: r\n    expr: |\n      up\n      \
                + BAD\n  - record: s\n    expr: BAD\n";
    let expected = [
        "r.yml:7:9: invalid expression: bad word",
        "r.yml:9:11: invalid expression: bad word",
    ];
    assert_eq!(errors_of(text), expected);
    assert_eq!(errors_of(&text.replace('\n', "\r\n")), expected);
    assert_eq!(errors_of(&format!("\u{feff}{text}")), expected);
}

#[test]
fn an_error_at_the_end_points_behind_the_last_character() {
    let at_end = |text: &str| {
        Err(ExprError {
            start: text.len(),
            end: text.len(),
            message: "unexpected end".into(),
        })
    };
    for (text, place) in [
        (
            "groups: [{name: g, rules: [{record: r, expr: 'a +'}]}]",
            "1:50",
        ),
        (
            "groups:\n- name: g\n  rules:\n  - record: r\n    expr: |\n      a +\n",
            "6:10",
        ),
    ] {
        let errors = parse_rule_file("r", text, &at_end).unwrap_err();
        assert!(
            errors[0].to_string().starts_with(&format!("r:{place}:")),
            "{errors:?}"
        );
    }
}

#[test]
fn real_rule_files_are_read() {
    let Some(data) = testkit::testdata("") else {
        return;
    };
    for (name, groups, rules) in [
        ("rules/kube-good.rules.yml", 24, 160),
        ("rules/vmalert-unittest/rules.yaml", 5, 10),
        ("promtool/rules.yml", 2, 5),
        ("promtool/at-modifier.yml", 1, 1),
        ("promtool/negative-offset.yml", 1, 1),
        ("promtool/bad-rules-error.yml", 1, 1),
        ("alert-generator/rules.yaml", 4, 7),
    ] {
        let path = data.join(name);
        assert_eq!(crate::kind_of(&path), Ok(crate::FileKind::Rules), "{name}");
        let text = std::fs::read_to_string(&path).unwrap();
        let file =
            parse_rule_file(name, &text, &fine).unwrap_or_else(|errors| panic!("{}", errors[0]));
        let total: usize = file.groups.iter().map(|group| group.rules.len()).sum();
        assert_eq!((file.groups.len(), total), (groups, rules), "{name}");
        for rule in file.groups.iter().flat_map(|group| &group.rules) {
            check_positions(&rule.expr, &text);
        }
    }
    for name in [
        "promtool/unittest.yml",
        "promtool/failing.yml",
        "promtool/long-period.yml",
        "promtool/no-test-group-interval.yml",
        "promtool/at-modifier-test.yml",
        "promtool/negative-offset-test.yml",
    ] {
        let path = data.join(name);
        assert_eq!(crate::kind_of(&path), Ok(crate::FileKind::RuleTests));
        assert_eq!(crate::check(&path, |_| fine), [], "{name}");
    }
}

/// Every character of an expression that is not white space must be found at its position.
fn check_positions(expr: &Expr, source: &str) {
    let lines: Vec<Vec<char>> = source.lines().map(|line| line.chars().collect()).collect();
    for (offset, c) in expr.text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        let (line, column) = expr.position(offset);
        let there = lines[line as usize - 1].get(column as usize - 1);
        assert_eq!(
            there,
            Some(&c),
            "{} at {offset}: {line}:{column}",
            expr.text
        );
    }
}

#[test]
fn templates_are_checked_where_they_are_expanded() {
    let text = "\
groups:
  - name: with an alert
    labels: {team: BROKEN}
    rules:
      - alert: A
        expr: up
        labels:
          severity: BROKEN
        annotations:
          summary: >
            several lines
            BROKEN
      - record: r
        expr: up
        labels: {plain: BROKEN}
  - name: without
    labels: {plain: BROKEN}
    rules: [{record: r, expr: up}]
";
    assert_eq!(
        errors_of(text),
        [
            "r.yml:3:20: invalid template: broken",
            "r.yml:8:21: invalid template: broken",
            "r.yml:11:13: invalid template: broken",
        ]
    );
}
