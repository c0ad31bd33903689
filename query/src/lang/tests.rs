use api::TraceSummary;
use proptest::prelude::*;
use storage::filter::{Filter, Op, Operand};

use super::*;

/// `left => right` of each line; lines that begin with `#` are comments.
fn cases(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(" => ").expect("a case has an arrow"))
}

fn render(filter: &Filter) -> String {
    let list = |name: &str, filters: &[Filter]| {
        let parts: Vec<String> = filters.iter().map(render).collect();
        format!("({name} {})", parts.join(" "))
    };
    match filter {
        Filter::All => "all".to_owned(),
        Filter::And(filters) => list("and", filters),
        Filter::Or(filters) => list("or", filters),
        Filter::Not(filter) => format!("(not {})", render(filter)),
        Filter::Exists(field) => format!("(exists {})", field_text(field)),
        Filter::Compare { field, op, value } => {
            let op = match op {
                Op::Eq => "=",
                Op::Lt => "<",
                Op::Le => "<=",
                Op::Gt => ">",
                Op::Ge => ">=",
            };
            let value = match value {
                Operand::Literal(text) => format!("{text}~"),
                Operand::Text(text) => format!("'{}'", text.replace('\n', "<nl>")),
                Operand::Int(int) => int.to_string(),
                Operand::Double(double) => double.to_string(),
                Operand::Bool(flag) => flag.to_string(),
            };
            format!("({op} {} {value})", field_text(field))
        }
        Filter::AnyOf { field, values } => format!("(any {} {values:?})", field_text(field)),
        Filter::Regex { field, pattern } => format!("(regex {} {pattern})", field_text(field)),
        Filter::Prefix { field, prefix } => format!("(prefix {} {prefix})", field_text(field)),
        Filter::Words {
            field,
            words,
            phrase,
            prefix,
        } => {
            let mut text = "(words".to_owned();
            if let Some(field) = field {
                text = format!("{text} {}", field_text(field));
            }
            for (flag, name) in [(phrase, " phrase"), (prefix, " prefix")] {
                if *flag {
                    text.push_str(name);
                }
            }
            format!("{text} {})", words.join(" "))
        }
    }
}

/// What a query means, whichever rows it is about.
fn meaning(query: &str) -> Result<Filter, QueryError> {
    lower::rows(&parse(query)?)
}

#[test]
fn queries_mean_these_filters() {
    let mut count = 0;
    for (query, expected) in cases(include_str!("cases/filters.txt")) {
        count += 1;
        match meaning(query) {
            Ok(filter) => assert_eq!(render(&filter), expected, "{query}"),
            Err(error) => panic!("{query}: {error}"),
        }
        let tree = parse(query).unwrap();
        let printed = tree.to_string();
        let again = parse(&printed).unwrap_or_else(|error| panic!("{query} -> {printed}: {error}"));
        assert_eq!(
            again.without_spans(),
            tree.without_spans(),
            "{query} -> {printed}"
        );
    }
    assert!(count > 70);
}

#[test]
fn errors_have_a_place_and_a_hint() {
    for (query, expected) in cases(include_str!("cases/errors.txt")) {
        assert_eq!(place_and_hint(query, meaning(query)), expected, "{query}");
    }
}

/// `start..end message | hint` of what has to be an error.
fn place_and_hint(query: &str, result: Result<Filter, QueryError>) -> String {
    let error = result.expect_err(query);
    let (start, end) = error.span.unwrap();
    assert!(
        query.is_char_boundary(start) && query.is_char_boundary(end),
        "{query}"
    );
    let hint = error
        .hint
        .map_or(String::new(), |hint| format!(" | {hint}"));
    format!("{start}..{end} {}{hint}", error.message)
}

#[test]
fn fields_of_other_rows_are_errors_that_say_whose_they_are() {
    for (query, expected) in cases(include_str!("cases/signals.txt")) {
        let (signal, text) = query.split_once(' ').unwrap();
        let signal = Signal::from_name(signal).unwrap();
        let result = match signal {
            Signal::Traces => traces(text).map(|query| query.rows),
            _ => rows(text, signal),
        };
        match expected {
            "ok" => assert!(result.is_ok(), "{query}: {result:?}"),
            _ => assert_eq!(place_and_hint(text, result), expected, "{query}"),
        }
    }
    // Nothing is said where nobody knows which rows are meant.
    assert_eq!(check("level:error status:error", None), Ok(()));
    assert!(check("level:error", Some(Signal::Traces)).is_err());
    assert!(check("trace.duration:>1s", Some(Signal::Traces)).is_ok());
    let wrong = row_field("status", Signal::Logs).unwrap_err();
    assert_eq!(wrong.span, None);
}

#[test]
fn completion_offers_what_the_rows_can_have() {
    let of = |signal| names_of(signal).collect::<Vec<_>>();
    assert!(of(Signal::Logs).contains(&"level"));
    assert!(!of(Signal::Logs).contains(&"status"));
    assert!(of(Signal::Traces).contains(&"trace.duration"));
    assert!(!of(Signal::Traces).contains(&"body"));
}

#[test]
fn hostile_texts_are_errors_and_not_crashes() {
    let deep = "(".repeat(8_000);
    assert!(parse(&deep).unwrap_err().message.contains("deeper"));
    let minus = "-".repeat(8_000) + "x";
    assert!(parse(&minus).unwrap_err().message.contains("deeper"));
    let long = "x ".repeat(10_000);
    assert!(parse(&long).unwrap_err().message.contains("over the limit"));
    let wide = "a OR ".repeat(3_000) + "b";
    assert!(meaning(&wide).is_ok());
}

fn trace(duration_nano: u64, errors: u64, service: &str) -> TraceSummary {
    TraceSummary {
        duration_nano,
        error_count: errors,
        span_count: 5,
        root_service: service.to_owned(),
        ..TraceSummary::default()
    }
}

#[test]
fn conditions_on_traces_are_split_off() {
    let query = traces("service:a trace.duration:>1s -trace.errors:0 (b OR c)").unwrap();
    assert_eq!(
        render(&query.rows),
        "(and (= service 'a') (or (words b) (words c)))"
    );
    let filter = query.trace.unwrap();
    assert!(filter.matches(&trace(1_000_000_001, 1, "")));
    assert!(!filter.matches(&trace(1_000_000_000, 1, "")));
    assert!(!filter.matches(&trace(2_000_000_000, 0, "")));

    let query = traces("trace.root.service:front* OR trace.spans:6..").unwrap();
    assert_eq!(query.rows, Filter::All);
    let filter = query.trace.unwrap();
    assert!(filter.matches(&trace(0, 0, "frontend")));
    assert!(!filter.matches(&trace(0, 0, "backend")));

    assert!(traces("service:a").unwrap().trace.is_none());
    let mixed = traces("service:a OR trace.duration:>1s").unwrap_err();
    assert_eq!(mixed.span, Some((0, 31)));
    assert!(
        traces("trace.duration:<0ns")
            .unwrap()
            .trace
            .is_some_and(|f| !f.matches(&trace(0, 0, "")))
    );
}

#[test]
fn field_names_are_read_and_printed() {
    for name in [
        "service",
        "user.id",
        "resource.host.name",
        "attr.\"a b\"",
        "\"level\"",
        "event.name",
    ] {
        assert_eq!(field_text(&row_field(name, Signal::Traces).unwrap()), name);
    }
    for name in [
        "",
        "a b",
        "trace.duration",
        "x:y",
        "(a)",
        "\"open",
        "a:* OR b",
    ] {
        assert!(row_field(name, Signal::Traces).is_err(), "{name}");
    }
}

#[test]
fn the_parts_of_a_query_are_told_apart() {
    let text = "service:\"a b\" -duration:>1s OR /x broken:";
    let parts: Vec<(&str, &str)> = highlight(text)
        .iter()
        .map(|token| (&text[token.span.start..token.span.end], token.class.name()))
        .collect();
    let expected = [
        ("service", "field"),
        (":", "operator"),
        ("\"a b\"", "quoted"),
        ("-", "operator"),
        ("duration", "field"),
        (":", "operator"),
        (">", "operator"),
        ("1s", "value"),
        ("OR", "operator"),
        ("/x", "word"),
        ("broken:", "error"),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn completion_knows_where_the_cursor_is() {
    let at = |text: &str| match complete(text, text.len()) {
        Completion::Field { prefix, span } => {
            format!("field {prefix} {}..{}", span.start, span.end)
        }
        Completion::Value {
            subject,
            prefix,
            span,
        } => {
            format!(
                "value of {} {prefix} {}..{}",
                subject.text(),
                span.start,
                span.end
            )
        }
        Completion::Nothing => "nothing".to_owned(),
    };
    assert_eq!(at(""), "field  0..0");
    assert_eq!(at("ser"), "field ser 0..3");
    assert_eq!(at("service:a -du"), "field du 11..13");
    assert_eq!(at("service:ch"), "value of service ch 8..10");
    assert_eq!(at("duration:>=1"), "value of duration 1 11..12");
    assert_eq!(at("name:\"GET /c"), "value of name GET /c 5..12");
    assert_eq!(at("level:(warn OR e"), "value of level e 15..16");
    assert_eq!(at("level:(warn) e"), "field e 13..14");
    assert_eq!(at("attr.\"a b\":x"), "value of attr.\"a b\" x 11..12");
    assert_eq!(at("\"some phr"), "nothing");
    assert_eq!(at("name:/ab"), "nothing");
    assert_eq!(
        complete("é", 1),
        Completion::Field {
            prefix: String::new(),
            span: Span::new(0, 0)
        }
    );
}

fn atom() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("service".to_owned()),
        Just("http.status".to_owned()),
        Just("resource.host".to_owned()),
        Just("attr.\"odd key\"".to_owned()),
        "[a-zé_.]{1,6}",
    ];
    let value = prop_oneof![
        "[a-z0-9é./_*-]{1,8}",
        "[0-9]{1,3}\\.\\.[0-9]{1,3}",
        "(>|>=|<|<=|=|!=)[0-9]{1,4}",
        "\"[^\"\\\\]{0,6}\"",
        "/[a-z.+]{1,5}/",
    ];
    prop_oneof![
        (name, value).prop_map(|(name, value)| format!("{name}:{value}")),
        "[a-zé]{1,6}\\*?",
        "\"[a-z é]{0,3}[a-z]\"\\*?",
    ]
}

fn query_text() -> impl Strategy<Value = String> {
    atom().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" "))),
            proptest::collection::vec(inner.clone(), 2..4)
                .prop_map(|all| format!("({})", all.join(" OR "))),
            inner.clone().prop_map(|one| format!("NOT {one}")),
            inner.prop_map(|one| format!("-{one}")),
        ]
    })
}

proptest! {
    #[test]
    fn any_text_ends_in_a_tree_or_an_error_inside_it(text in "\\PC{0,60}", cursor in 0usize..80) {
        check_total(&text, cursor)?;
    }

    #[test]
    fn texts_of_the_grammars_pieces_too(
        pieces in proptest::collection::vec(
            prop_oneof![
                Just("("), Just(")"), Just("\""), Just(":"), Just("-"), Just(" "), Just("OR"),
                Just("AND"), Just("NOT"), Just("*"), Just("/"), Just("\\"), Just(">="), Just(".."),
                Just("service"), Just("attr."), Just("é"), Just("1s"), Just("trace.duration"),
            ],
            0..24,
        ),
        cursor in 0usize..80,
    ) {
        check_total(&pieces.concat(), cursor)?;
    }

    #[test]
    fn printing_keeps_the_meaning(text in query_text()) {
        if let Ok(tree) = parse(&text) {
            let printed = tree.to_string();
            let again = parse(&printed);
            prop_assert!(again.is_ok(), "{text} -> {printed}: {again:?}");
            prop_assert_eq!(again.unwrap().without_spans(), tree.without_spans(), "{} -> {}", text, printed);
        }
    }
}

fn check_total(text: &str, cursor: usize) -> Result<(), TestCaseError> {
    if let Err(error) = traces(text) {
        let (start, end) = error.span.expect("errors of the language have a place");
        prop_assert!(start <= end && end <= text.len(), "{text}: {error}");
        prop_assert!(
            text.is_char_boundary(start) && text.is_char_boundary(end),
            "{text}: {error}"
        );
    }
    if let Ok(tree) = parse(text) {
        let printed = tree.to_string();
        let again = parse(&printed).map(Node::without_spans);
        prop_assert_eq!(again, Ok(tree.without_spans()), "{} -> {}", text, printed);
    }
    let mut last = 0;
    for token in highlight(text) {
        prop_assert!(
            token.span.start >= last && token.span.end <= text.len(),
            "{text}: {token:?}"
        );
        last = token.span.end;
    }
    complete(text, cursor);
    Ok(())
}
