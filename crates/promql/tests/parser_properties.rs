//! Whatever text the parser gets, it answers; what it accepts, it can print and read again.

use proptest::prelude::*;

/// Pieces of queries, so that random sequences of them are often nearly queries.
fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "m",
        "a:b",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        ":",
        "=",
        "!=",
        "=~",
        "!~",
        "\"x\"",
        "'y.*'",
        "`z`",
        "1",
        "0x1f",
        "5m",
        "1e3",
        ".5",
        "NaN",
        "inf",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "atan2",
        "==",
        ">",
        "<=",
        "bool",
        "and",
        "or",
        "unless",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "by",
        "without",
        "offset",
        "@",
        "start()",
        "end()",
        "sum",
        "topk",
        "rate",
        "quantile_over_time",
        "label_replace",
        "time()",
        "#",
        "\n",
        "fill",
        "fill_left",
        "(2)",
        "smoothed",
        "anchored",
        "step()",
        "max_of",
        "</",
        "é",
        "\\",
    ];
    prop_oneof![
        10 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

/// Queries that are built to be valid.
fn vector() -> impl Strategy<Value = String> {
    let name = "[a-z_:][a-z0-9_]{0,5}";
    let matcher = (
        "[a-z]{1,3}",
        prop_oneof![Just("="), Just("!="), Just("=~"), Just("!~")],
        "[a-zé.\"\\\\]{0,4}",
    )
        .prop_filter_map("regular expressions must compile", |(name, op, value)| {
            let quoted = promql::format::quote(&value);
            let text = format!("{name}{op}{quoted}");
            promql::parse(&format!("x{{{text}}}"))
                .is_ok()
                .then_some(text)
        });
    let selector = (name, proptest::collection::vec(matcher, 0..3)).prop_filter_map(
        "some words are reserved",
        |(name, matchers)| {
            let text = format!("{name}{{{}}}", matchers.join(","));
            promql::parse(&text).is_ok().then_some(text)
        },
    );
    let scalar = prop_oneof![
        any::<f64>().prop_map(promql::format::value),
        Just("time()".to_owned()),
        Just("-5m".to_owned()),
    ];
    let modifier = prop_oneof![
        Just(""),
        Just(" offset 5m"),
        Just(" offset -1d2h"),
        Just(" @ 12.5"),
        Just(" @ end() offset 3"),
        Just(" smoothed offset -(2 * 5m)"),
        Just(" @ 7 offset max_of(step(), 3s)"),
    ];
    let leaf =
        (selector, modifier).prop_map(|(selector, modifier)| format!("{selector}{modifier}"));
    leaf.prop_recursive(5, 32, 3, move |inner| {
        let operator = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("^"),
            Just("atan2"),
            Just("and"),
            Just("or"),
            Just("unless on (a)"),
            Just("> bool"),
            Just("== on (a, b) group_left (c)"),
            Just("!= ignoring (a) group_right ()"),
            Just("+ on () fill_left(1)"),
        ];
        prop_oneof![
            (inner.clone(), operator, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (inner.clone(), scalar.clone()).prop_map(|(a, b)| format!("{b} * ({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner
                .clone()
                .prop_map(|a| format!("sum by (a, \"b c\") ({a})")),
            inner
                .clone()
                .prop_map(|a| format!("topk without () (3, {a})")),
            inner
                .clone()
                .prop_map(|a| format!("rate(({a})[1h:5m] offset 1m)")),
            inner
                .clone()
                .prop_map(|a| format!("({a})[1h * 2 - (step()):max_of(5m, range() / 7)]"))
                .prop_map(|a| format!("max_over_time({a})")),
            inner.prop_map(|a| format!("label_replace(abs({a}), \"a\", \"$1\", 'b', `(.*)`)")),
        ]
    })
}

/// How many cases are tried; `PROPTEST_CASES` in the environment sets another number.
fn cases(usual: u32) -> u32 {
    let given = std::env::var("PROPTEST_CASES");
    given.map_or(usual, |text| text.parse().expect("a number of cases"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(512), failure_persistence: None,
        // The same cases every time.
        rng_seed: proptest::test_runner::RngSeed::Fixed(20), ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        let _ = promql::parse(&text);
    }

    #[test]
    fn pieces_are_answered_and_printed(pieces in proptest::collection::vec(piece(), 0..12)) {
        let text = pieces.join(" ");
        match promql::parse(&text) {
            Ok(expr) => round_trip(expr)?,
            Err(error) => {
                prop_assert!(error.start <= error.end && error.end <= text.len(), "{error:?}");
                prop_assert!(!error.message.is_empty());
            }
        }
    }

    #[test]
    fn queries_are_printed_and_read_again(text in vector()) {
        let expr = match promql::parse(&text) {
            Ok(expr) => expr,
            Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        };
        round_trip(expr)?;
    }

    #[test]
    fn any_notation_is_answered(text in any::<String>(), series in "[a-z{}\"=x_0-9+ :\\[\\]]{0,40}") {
        let _ = promql::notation::parse_values(&text);
        let _ = promql::notation::parse_sequence(&series);
    }
}

fn round_trip(mut first: promql::Expr) -> Result<(), TestCaseError> {
    let printed = first.to_string();
    let again = promql::parse(&printed);
    let mut second = again.map_err(|error| TestCaseError::fail(format!("{printed}: {error}")))?;
    first.forget_spans();
    second.forget_spans();
    if printed.contains("+Inf") {
        // The sign is part of the number where it is written, and an operator where it is read.
        return Ok(());
    }
    prop_assert_eq!(second.to_string(), printed.clone());
    prop_assert_eq!(
        format!("{:?}", first),
        format!("{:?}", second),
        "{}",
        printed
    );
    Ok(())
}
