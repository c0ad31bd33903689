use super::*;
use crate::ast::ValueType;

fn message(query: &str) -> String {
    match parse(query) {
        Ok(expr) => panic!("{query} parsed as {expr}"),
        Err(error) => error.to_string(),
    }
}

/// Each query and how it is printed.
const PRINTED: &[(&str, &str)] = &[
    ("1", "1"),
    ("0x1F", "31"),
    ("017", "15"),
    ("1_000", "1000"),
    ("1e3", "1000"),
    (".5", "0.5"),
    ("2.", "2"),
    ("5m", "5m"),
    ("-1h30m", "-1h30m"),
    ("1.5e-3", "0.0015"),
    ("- 1", "-1"),
    ("-1^2", "-1 ^ 2"),
    ("-a^2", "-a ^ 2"),
    ("-a*b", "-a * b"),
    ("1+2*3", "1 + 2 * 3"),
    ("2^3^4", "2 ^ 3 ^ 4"),
    ("a and b or c unless d", "a and b or c unless d"),
    ("a{}", "a"),
    ("sum", "sum"),
    ("by{x='1'}", "by{x=\"1\"}"),
    (
        "{\"my.metric\", a!='b',}",
        "{__name__=\"my.metric\",a!=\"b\"}",
    ),
    ("{'x y'=~'a.*'}", "{\"x y\"=~\"a.*\"}"),
    ("{__name__=~'a|b'}", "{__name__=~\"a|b\"}"),
    ("a:b:c{on='1',by='2'}", "a:b:c{by=\"2\",on=\"1\"}"),
    ("m[5m]", "m[5m]"),
    ("m[300]", "m[5m]"),
    ("m [5m] offset 1w @ 1.5", "m[5m] @ 1.500 offset 1w"),
    ("m @ start() offset -1h", "m @ start() offset -1h"),
    (
        "m[5m] @ 3 anchored offset 1m",
        "m[5m] anchored @ 3.000 offset 1m",
    ),
    ("m smoothed @ 3 offset 1m", "m @ 3.000 smoothed offset 1m"),
    ("m[1h:]", "m[1h:]"),
    ("m[1h:1m] @ end()", "m[1h:1m] @ end()"),
    ("m offset 5m [1h:1m]", "m offset 5m[1h:1m]"),
    ("SUM(m) BY (a, b,)", "sum by (a, b) (m)"),
    (
        "topk without(\"a b\") (3, m)",
        "topk without (\"a b\") (3, m)",
    ),
    (
        "a == BOOL on(x) group_left(y,) b",
        "a == bool on (x) group_left (y) b",
    ),
    (
        "a + ignoring() group_right b",
        "a + ignoring () group_right () b",
    ),
    ("a - fill(0) b", "a - fill (0) b"),
    (
        "a - fill_right(1e6) fill_left(NaN) b",
        "a - fill_left (NaN) fill_right (1e+06) b",
    ),
    ("a # comment\n + b", "a + b"),
    ("rate(m[5m])", "rate(m[5m])"),
    ("time()", "time()"),
    ("START() + end()", "start() + end()"),
    ("'it''s'", ""),
    ("\"\\x41\\u00e9\\101\"", "\"AéA\""),
    ("\"\\xff\"", "\"\\xff\""),
    ("`a\\n`", "\"a\\\\n\""),
    ("h </ 5", "h </ 5"),
    ("m[5m * 2 + 30]", "m[5m * 2 + 30]"),
    (
        "m[2 * step():max_of(step(), 5s)]",
        "m[2 * step():max_of(step(), 5s)]",
    ),
    ("m offset -(1h - 2 * 5m)", "m offset -(1h - 2 * 5m)"),
    ("m offset step() * 2", "m offset step() * 2"),
    ("m[-5m + +10m]", "m[-5m + 10m]"),
    ("m[(5m)]", "m[(5m)]"),
    ("(((a)))", "(((a)))"),
    ("info(m, {a='1'})", "info(m, {a=\"1\"})"),
];

#[test]
fn queries_are_printed_in_one_form() {
    for (query, want) in PRINTED {
        if want.is_empty() {
            assert!(parse(query).is_err(), "{query}");
            continue;
        }
        let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(expr.to_string(), *want, "{query}");
        let mut again = parse(want).unwrap();
        let mut first = expr;
        first.forget_spans();
        again.forget_spans();
        assert_eq!(format!("{first:?}"), format!("{again:?}"), "{query}");
    }
}

#[test]
fn long_queries_are_split_over_lines() {
    let names = ["alpha", "beta", "gamma"].map(|name| format!("{name}_{}", "x".repeat(30)));
    let [a, b, c] = &names;
    let query = format!(
        "-topk by (job) (3, rate({a}[5m])) / on (job) group_left () ({b} + max_over_time({c}[1h:5m] offset 1d))"
    );
    let want = format!(
        "  -topk by (job) (3, rate({a}[5m]))\n\
         / on (job) group_left ()\n\
         \x20 (\n\
         \x20     {b}\n\
         \x20   +\n\
         \x20     max_over_time({c}[1h:5m] offset 1d)\n\
         \x20 )"
    );
    let long = parse(&query).unwrap().pretty();
    assert_eq!(long, want);
    let query = format!("sum by (job) (label_replace({a} + {b} + {c}, 'a', 'b', 'c', 'd'))");
    let want = format!(
        "sum by (job) (\n\
         \x20 label_replace(\n\
         \x20     {a} + {b}\n\
         \x20   +\n\
         \x20     {c},\n\
         \x20   \"a\",\n\
         \x20   \"b\",\n\
         \x20   \"c\",\n\
         \x20   \"d\"\n\
         \x20 )\n\
         )"
    );
    let long = parse(&query).unwrap().pretty();
    assert_eq!(long, want);
    assert_eq!(parse("a + b").unwrap().pretty(), "a + b");
}

#[test]
fn errors_say_where_and_what() {
    let cases = [
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        ("a +", "1:4: parse error: unexpected end of input"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        (
            "a\n  )",
            "2:4: parse error: unexpected right parenthesis ')'",
        ),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        (
            "1 == 1",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "a + bool b",
            "1:3: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "1 + on(x) a",
            "1:1: parse error: vector matching only allowed between instant vectors",
        ),
        (
            "a and on(x) group_left b",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on(x) group_left(x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "foo(a)",
            "1:1: parse error: unknown function with name \"foo\"",
        ),
        ("foo(", "1:5: parse error: unclosed left parenthesis"),
        (
            "rate(a)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "rate()",
            "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0",
        ),
        (
            "round(a, 1, 2)",
            "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3",
        ),
        (
            "label_join(a)",
            "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 1",
        ),
        (
            "abs(a,)",
            "1:6: parse error: trailing commas not allowed in function call args",
        ),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "sum(1, a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
        ),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{a=~'.*'}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "a{__name__='b'}",
            "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"",
        ),
        (
            "a{b}",
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "a{b=1}",
            "1:5: parse error: unexpected character inside braces: '1'",
        ),
        ("a[5m / 0]", "1:6: parse error: division by zero"),
        (
            "a[1m - 2m]",
            "1:3: parse error: duration must be greater than 0",
        ),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        ("a[5m", "1:5: parse error: unclosed left bracket"),
        (
            "sum(a)[5m]",
            "1:7: parse error: ranges only allowed for vector selectors",
        ),
        (
            "a offset 5m[5m]",
            "1:12: parse error: no offset modifiers allowed before range",
        ),
        (
            "a @ 5[5m]",
            "1:6: parse error: no @ modifiers allowed before range",
        ),
        (
            "a[5m][5m:1m]",
            "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
        ),
        (
            "a offset 5m offset 3m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "a @ 1 @ 2",
            "1:1: parse error: @ <timestamp> may not be set multiple times",
        ),
        (
            "1 offset 5m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "5m5",
            "1:1: parse error: bad number or duration syntax: \"5m5\"",
        ),
        ("\"abc", "1:1: parse error: unterminated quoted string"),
        (
            "\"\\q\"",
            "1:1: parse error: unknown escape sequence U+0071 'q'",
        ),
        ("a + * b", "1:5: parse error: unexpected <op:*>"),
        ("a by b", "1:3: parse error: unexpected <by>"),
        ("a sum b", "1:3: parse error: unexpected <aggr:sum>"),
        (
            "a x:y",
            "1:3: parse error: unexpected metric identifier \"x:y\"",
        ),
        (
            "a 'some long text'",
            "1:3: parse error: unexpected string \"'some long\"...",
        ),
        ("sum(a +", "1:8: parse error: unclosed left parenthesis"),
        (
            "a{b='c'",
            "1:8: parse error: unexpected end of input inside braces",
        ),
        ("a]", "1:2: parse error: unexpected right bracket ']'"),
        (
            "a[x]",
            "1:3: parse error: unexpected character in duration expression: 'x'",
        ),
        (
            "a[5m 3]",
            "1:6: parse error: unexpected number \"3\" in subquery or range, expected \":\" or \"]\"",
        ),
        (
            "a offset x",
            "1:10: parse error: unexpected identifier \"x\" in offset, expected number, duration, step(), or range()",
        ),
        (
            "a @ x",
            "1:5: parse error: unexpected identifier \"x\" in @, expected timestamp",
        ),
        (
            "a @ 1e300",
            "1:1: parse error: timestamp out of bounds for @ modifier: ",
        ),
        (
            "a[1h:5m] anchored",
            "1:1: parse error: anchored modifier is not supported for subqueries",
        ),
        (
            "a[1h] smoothed anchored",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
        (
            "1 + fill(1) a",
            "1:1: parse error: filling in missing series only allowed between instant vectors",
        ),
        (
            "a and fill(1) b",
            "1:1: parse error: filling in missing series not allowed for set operators",
        ),
        (
            "info(a, b)",
            "1:9: parse error: expected label selectors only, got vector selector instead",
        ),
        (
            "info(a, abs(b))",
            "1:9: parse error: expected label selectors only",
        ),
        (
            "sum by ('') (a)",
            "1:9: parse error: invalid label name for grouping: \"\"",
        ),
        (
            "1 </ 2",
            "1:3: parse error: operator \"</\" not allowed for Scalar operations",
        ),
        ("a $ b", "1:3: parse error: unexpected character: '$'"),
        (
            "-'x'",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        (
            "'x' + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
    ];
    for (query, want) in cases {
        if want.ends_with(": ") {
            // What follows is the number as the query has it, to six places.
            assert!(message(query).starts_with(want), "{query}");
            continue;
        }
        assert_eq!(message(query), want, "{query}");
    }
    let error = parse("a{b=~'('}").unwrap_err();
    assert_eq!((error.start, error.end), (2, 8));
    assert_eq!(
        error.message,
        "error parsing regexp: missing closing ): `(`"
    );
}

/// Queries with more than one mistake, or with one that could be told in several ways.
const FIRST_MISTAKES: &[(&str, &str)] = &[
    (
        "rate(a) + )",
        "1:12: parse error: unexpected right parenthesis ')'",
    ),
    (
        "rate(a) + unknown(b)",
        "1:11: parse error: unknown function with name \"unknown\"",
    ),
    (
        "unknown(rate(a)) + * b",
        "1:1: parse error: unknown function with name \"unknown\"",
    ),
    ("a b \"\\q", "1:3: parse error: unexpected identifier \"b\""),
    (
        "abs(1) + rate(a)",
        "1:5: parse error: expected type instant vector in call to function \"abs\", got scalar",
    ),
    (
        "clamp(rate(a), 1)",
        "1:1: parse error: expected 3 argument(s) in call to \"clamp\", got 2",
    ),
    (
        "topk('x', rate(a))",
        "1:16: parse error: expected type range vector in call to function \"rate\", got instant vector",
    ),
    (
        "{a=''} or a{__name__='b'}",
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    ),
    (
        "1 == 'x'",
        "1:6: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        "sum(a b)",
        "1:7: parse error: unexpected identifier \"b\" in aggregation",
    ),
    (
        "sum by (x) a",
        "1:12: parse error: unexpected identifier \"a\" in aggregation",
    ),
    (
        "clamp(a, , 1)",
        "1:8: parse error: trailing commas not allowed in function call args",
    ),
    (
        "a + group_left(x) b",
        "1:5: parse error: unexpected <group_left>",
    ),
    (
        "a + on(x) group_left",
        "1:21: parse error: unexpected end of input in grouping opts, expected \"(\"",
    ),
    ("by(a)", "1:3: parse error: unexpected \"(\""),
    ("# a", "1:1: parse error: no expression found in input"),
    ("a}", "1:2: parse error: unexpected character: '}'"),
    (
        "a !~ b",
        "1:3: parse error: unexpected character after '!': '~'",
    ),
    (
        "a =~ b",
        "1:3: parse error: unexpected character after '=': '~'",
    ),
    (
        "a{b=~offset}",
        "1:6: parse error: unexpected identifier \"offset\" in label matching, expected string",
    ),
    (
        "a{=~'b'}",
        "1:3: parse error: unexpected <op:=~> in label matching, expected identifier or \"}\"",
    ),
    (
        "a{b!}",
        "1:4: parse error: unexpected character after '!' inside braces: '}'",
    ),
    ("a{b{", "1:4: parse error: unexpected left brace '{'"),
    (
        "{'a' b='c'}",
        "1:6: parse error: unexpected identifier \"b\" in label matching, expected \",\" or \"}\"",
    ),
    (
        "a{'b'}",
        "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"",
    ),
    (
        "a[",
        "1:3: parse error: unexpected end of input in duration expression",
    ),
    (
        "a[:1m]",
        "1:4: parse error: unexpected colon before duration in duration expression",
    ),
    ("a[5m:1m:1m]", "1:8: parse error: unexpected colon ':'"),
    ("a[5m[", "1:5: parse error: unexpected left bracket '['"),
    (
        "a @ start(1)",
        "1:11: parse error: unexpected number \"1\" in @, expected timestamp",
    ),
    (
        "1e999",
        "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range",
    ),
    (
        "\"\\xzz",
        "1:1: parse error: illegal character U+007A 'z' in escape sequence",
    ),
    (
        "\"\\u12",
        "1:1: parse error: escape sequence not terminated",
    ),
    (
        "\"\\ud800\"",
        "1:1: parse error: escape sequence is an invalid Unicode code point",
    ),
];

#[test]
fn of_several_mistakes_the_first_is_told() {
    for (query, want) in FIRST_MISTAKES {
        assert_eq!(message(query), *want, "{query}");
    }
    // Two names in braces are two conditions, which no series meets.
    assert!(parse("{'a', 'b'}").is_ok());
}

#[test]
fn spans_cover_the_text_of_each_node() {
    let query = "sum by (a) (rate(m{x='1'}[5m] offset 1m)) > 5";
    let expr = parse(query).unwrap();
    let mut texts = Vec::new();
    let mut pending = vec![&expr];
    while let Some(node) = pending.pop() {
        texts.push(&query[node.span.start..node.span.end]);
        pending.extend(node.children());
    }
    assert_eq!(
        texts,
        [
            query,
            "5",
            "sum by (a) (rate(m{x='1'}[5m] offset 1m))",
            "rate(m{x='1'}[5m] offset 1m)",
            "m{x='1'}[5m] offset 1m",
        ]
    );
    assert_eq!(expr.value_type(), ValueType::Vector);
}

#[test]
fn hostile_input_is_refused() {
    let deep = ["(", "-", "abs(", "a[1m:1m][", "sum(", "a + (", "a ^ "];
    for unit in deep {
        let query = unit.repeat(20_000);
        assert!(
            parse(&query[..query.len().min(MAX_QUERY_BYTES)]).is_err(),
            "{unit}"
        );
    }
    let closed = format!("{}a{}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(message(&closed).contains("nested deeper than 4096 levels"));
    assert!(message(&format!("2{}", " ^ 2".repeat(5_000))).contains("nested deeper"));
    for unit in ["1 + ", "-", "(", "max_of(1, "] {
        let query = format!("a[{}", unit.repeat(20_000));
        let message = message(&query[..query.len().min(MAX_QUERY_BYTES)]);
        assert!(message.contains("more than 192 parts"), "{unit}: {message}");
    }
    assert!(message(&"a".repeat(MAX_QUERY_BYTES + 1)).contains("longer than"));
    let regexes = "{a=~'x+'} or ".repeat(150);
    assert!(message(&format!("{regexes}b")).contains("more than 128 regular expressions"));
}

/// Trees that are as deep as they can be, in what is nested and in how long a chain is.
#[test]
fn deep_trees_are_read_printed_and_dropped() {
    let nested = |open: &str, close: &str, levels: usize| {
        format!("{}a{}", open.repeat(levels), close.repeat(levels))
    };
    for query in [
        nested("(", ")", 4_000),
        nested("-(", ")", 2_000),
        nested("abs(", ")", 4_000),
        nested("sum(rate(", "[5m:1m]))", 2_000),
        nested("a + (", ")", 2_000),
        format!("a{}", " ^ a".repeat(4_000)),
        format!("a{}", " + a".repeat(32_000)),
        format!("a{}", " or a * 2".repeat(14_000)),
    ] {
        let expr = parse(&query).unwrap();
        assert_eq!(expr.to_string(), query);
        let without_blanks = |text: &str| text.split_whitespace().collect::<String>();
        assert_eq!(without_blanks(&expr.pretty()), without_blanks(&query));
        let mut selectors = 0;
        expr.selectors(&mut |_, _| selectors += 1);
        assert_eq!(
            selectors,
            query.matches('a').count()
                - query.matches("abs").count()
                - query.matches("rate").count()
        );
    }
    // Without blanks a query of the most bytes has the longest chain.
    let longest = format!("1{}", "+1".repeat(MAX_QUERY_BYTES / 2 - 1));
    assert_eq!(parse(&longest).unwrap().value_type(), ValueType::Scalar);
    // Signs are kept before a name, and taken into a number.
    let signs = "-".repeat(4_000);
    assert_eq!(
        parse(&format!("{signs}a")).unwrap().to_string(),
        format!("{signs}a")
    );
    assert_eq!(parse(&format!("{signs}1")).unwrap().to_string(), "1");
}

/// Each number, and what it is; None where it is none.
const NUMBERS: &[(&str, Option<f64>)] = &[
    ("1e1_0", Some(1e10)),
    ("0x_1", Some(1.0)),
    ("0x1_f", Some(31.0)),
    ("0x_F_F", Some(255.0)),
    ("017", Some(15.0)),
    ("08", Some(8.0)),
    ("0_17", Some(15.0)),
    ("1_000.5_1", Some(1000.51)),
    ("1E+5", Some(1e5)),
    ("1e+1_0", Some(1e10)),
    ("0x1e5", Some(485.0)),
    ("0XaB", Some(171.0)),
    ("00.5", Some(0.5)),
    ("1.e5", Some(1e5)),
    ("9223372036854775808", Some(9_223_372_036_854_775_808.0)),
    (
        "07777777777777777777777777",
        Some(7_777_777_777_777_777_777_777_777.0),
    ),
    ("Inf", Some(f64::INFINITY)),
    ("iNF", Some(f64::INFINITY)),
    ("1__0", None),
    ("1_", None),
    ("1e", None),
    ("1e+", None),
    ("1e_5", None),
    ("1e5_", None),
    ("0x", None),
    ("0x_", None),
    ("0x__F", None),
    ("0x1p3", None),
    ("0x1.5", None),
    ("0x1ee", None),
    ("0b101", None),
    ("0o17", None),
    (".5.5", None),
    ("5..", None),
    ("1._5", None),
    ("1_.5", None),
    ("1e1e1", None),
    ("1e1.5", None),
    ("1e400", None),
    ("0xffffffffffffffffff", None),
    ("1_0m", None),
    ("1e5m", None),
    ("1.5m", None),
    ("5s5m", None),
    ("5hs", None),
    ("5M", None),
    ("1h30", None),
    ("300y", None),
    ("99999999999999y", None),
];

#[test]
fn numbers_are_those_of_prometheus() {
    for (text, want) in NUMBERS {
        let got = parse(text).ok().map(|expr| match expr.kind {
            ExprKind::Number(number) => number,
            _ => panic!("{text} is no number: {expr}"),
        });
        assert_eq!(got, *want, "{text}");
    }
    let syntax = "bad number or duration syntax: ";
    for (text, read) in [
        ("1__0", "1__"),
        ("5mx", "5mx"),
        ("5x", "5"),
        ("0x1.5", "0x1."),
        ("1e_5", "1e_"),
    ] {
        assert_eq!(
            message(text),
            format!("1:1: parse error: {syntax}\"{read}\"")
        );
    }
    assert_eq!(
        parse("m[1_0:0x10] offset 1e1").unwrap().to_string(),
        "m[10s:16s] offset 10s"
    );
    assert!(message("m[1e300]").ends_with("duration out of range"));
    assert!(message("m offset 9e12").ends_with("duration out of range"));
}

#[test]
fn selectors_alone_have_nothing_around_them() {
    let selector = parse_selector("up{a=''}").unwrap();
    assert!(selector.is_selective());
    assert!(!parse_selector("{a=''}").unwrap().is_selective());
    for (text, problem) in [
        ("", "unexpected end of input"),
        ("up offset 5m", "unexpected <offset>"),
        ("sum(up)", "unexpected \"(\""),
        ("(up)", "unexpected \"(\""),
        ("on", "unexpected <on>"),
        ("5", "unexpected number \"5\""),
    ] {
        assert_eq!(parse_selector(text).unwrap_err().message, problem, "{text}");
    }
}

#[test]
fn series_are_read_as_labels() {
    assert_eq!(
        parse_series("m{a=\"b\"}").unwrap().to_string(),
        "{__name__=\"m\", a=\"b\"}"
    );
    assert_eq!(parse_series("{\"my.m\"}").unwrap().metric_name(), "my.m");
    assert!(parse_series("{}").unwrap().is_empty());
    assert!(parse_series("m{a!=\"b\"}").is_err());
    assert!(parse_series("m 1").is_err());
}

/// One query for each part of the language that is experimental, and where it stands.
const EXPERIMENTAL: &[(&str, usize, &str)] = &[
    ("1 + sort_by_label(m, 'a')", 4, "function sort_by_label"),
    ("info(m)", 0, "function info"),
    ("m - start()", 4, "function start"),
    ("limitk(2, m)", 0, "aggregation limitk"),
    ("limit_ratio by (a) (0.5, m)", 0, "aggregation limit_ratio"),
    ("rate(m[5m] anchored)", 11, "modifier anchored"),
    ("m smoothed", 2, "modifier smoothed"),
    ("a + fill(0) b", 4, "modifier fill"),
    ("a + fill_left(0) b", 4, "modifier fill_left"),
    ("m[5m * 2]", 5, "calculating with durations"),
    ("m[1h:step()]", 5, "calculating with durations"),
    ("m offset (5m)", 9, "calculating with durations"),
];

#[test]
fn experimental_parts_are_read_only_where_they_are_allowed() {
    for (query, start, what) in EXPERIMENTAL {
        let read = parse_with(query, Features::Experimental);
        assert!(read.is_ok(), "{query}: {read:?}");
        let error = parse_with(query, Features::Stable).unwrap_err();
        assert_eq!(error.start, *start, "{query}");
        let wanted = format!("{what} is experimental; set promql.experimental: true to allow it");
        assert_eq!(error.message, wanted, "{query}");
    }
    for stable in [
        "m[5m] offset -1h @ start()",
        "limitk + anchored + start + fill",
        "max_over_time(rate(m[5m])[1h:1m])",
    ] {
        let read = parse_with(stable, Features::Stable);
        assert!(read.is_ok(), "{stable}: {read:?}");
    }
}
