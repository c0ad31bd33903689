use super::*;
use futures::future::BoxFuture;

/// Answers every query with two samples.
struct Two;

impl Evaluate for Two {
    fn instant<'a>(
        &'a self,
        expr: &'a str,
        _at: i64,
        _account: &'a Account,
    ) -> BoxFuture<'a, Result<Vec<Sample>, String>> {
        let sample = |id: &str, value| Sample {
            labels: [("id".to_owned(), id.to_owned())].into(),
            value: SampleValue::Float(value),
        };
        let answer = match expr {
            "broken" => Err("no such series".to_owned()),
            "none" => Ok(Vec::new()),
            _ => Ok(vec![sample("b", 2.0), sample("a", 1.5)]),
        };
        Box::pin(std::future::ready(answer))
    }
}

fn data() -> Data {
    Data {
        labels: [
            ("job".to_owned(), "shop".to_owned()),
            ("code".to_owned(), "500".to_owned()),
        ]
        .into(),
        value: SampleValue::Float(1234567.0),
        external_url: "http://here:1/x".into(),
        external_labels: [("region".to_owned(), "north".to_owned())].into(),
        at_unix_nano: 1_600_000_000_000_000_000,
    }
}

async fn run(text: &str) -> String {
    expand(text, &data(), &Two, &Account::default()).await
}

#[tokio::test]
async fn templates_expand() {
    let cases = include_str!("cases.txt");
    let mut count = 0;
    for case in cases.split("\n---\n") {
        let (template, want) = case.split_once("\n=>\n").expect("a case has both parts");
        let want = want.strip_suffix('\n').unwrap_or(want);
        assert_eq!(run(template).await, want, "{template}");
        count += 1;
    }
    assert!(count > 40);
}

#[tokio::test]
async fn errors_stand_in_the_text_and_never_stop_an_alert() {
    let cases = [
        ("{{ .Labels", "unclosed action"),
        ("{{ nosuch 1 }}", "function \"nosuch\" not defined"),
        ("{{ $nosuch }}", "undefined variable"),
        ("{{ if true }}x", "{{end}} is missing"),
        ("{{ end }}", "unexpected {{end}}"),
        ("{{ humanize \"x\" }}", "is not a number"),
        ("{{ query \"broken\" }}", "no such series"),
        ("{{ query \"none\" | first }}", "no elements"),
        ("{{ template \"x\" }}", "not defined"),
        (
            "{{ define \"x\" }}{{ template \"x\" }}{{ end }}{{ template \"x\" }}",
            "deeper than",
        ),
        (
            "{{ range 99999 }}{{ range 99999 }}{{ end }}{{ end }}",
            "steps",
        ),
        ("{{ break }}", "range"),
        ("{{ match \"(\" \"x\" }}", "regex"),
        ("{{ 1 | 2 }}", "non-function"),
        ("{{ \"a }}", "unterminated"),
    ];
    for (template, want) in cases {
        let got = run(template).await;
        assert!(
            got.starts_with("<error expanding template: "),
            "{template}: {got}"
        );
        assert!(got.contains(want), "{template}: {got}");
    }
}

#[tokio::test]
async fn values_are_bounded() {
    let doubled = |times: usize| {
        format!(
            "{{{{ $x := `ab` }}}}{{{{ range {times} }}}}{{{{ $x = print $x $x }}}}{{{{ end }}}}"
        )
    };
    let cases = [
        // Terabytes within a hundred steps.
        (doubled(40), "bytes of text"),
        (
            doubled(17) + "{{ $y := print $x $x }}{{ html $y }}",
            "bytes of text",
        ),
        // Each value is small enough; a hundred thousand of them are not.
        (
            doubled(16) + "{{ range 10000 }}{{ $y := $x }}{{ end }}",
            "in all",
        ),
        // One call that makes gigabytes of little.
        (
            doubled(14)
                + "{{ $r := `$0` }}{{ range 12 }}{{ $r = print $r $r }}{{ end }}\
                   {{ reReplaceAll `^.*$` $r $x }}",
            "bytes of text",
        ),
        (
            doubled(14) + "{{ reReplaceAll `a` $x $x }}",
            "bytes of text",
        ),
        (
            doubled(16) + "{{ $x | js | urlquery | urlquery | urlquery | len }}",
            "131072",
        ),
    ];
    for (template, want) in cases {
        let got = run(&template).await;
        assert!(got.contains(want), "{template}: {got}");
        assert!(got.len() < 1_000, "{template}");
    }
    let replaced = "{{ reReplaceAll `(a)(b)?` `<$2$1>` `abxa` }}";
    assert_eq!(run(replaced).await, "<ba>x<a>");
}

#[tokio::test]
async fn nesting_without_end_is_refused() {
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(run(&deep).await.contains("deeper"));
    let blocks = "{{ if true }}".repeat(4_000);
    assert!(run(&blocks).await.contains("deeper"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\{\\{-?|-?\\}\\}|[ -~]|é|if|range|end|\\$x|:=|\"){0,40}") {
        let _any_outcome = check(&text);
    }
}

#[test]
fn what_no_data_can_mend_is_found_before_anything_runs() {
    for (text, error) in [
        ("{{ .Bar | nofunc }}", "function \"nofunc\" not defined"),
        (
            "{{ if eq $lables.a 1 }}x{{ end }}",
            "undefined variable \"$lables\"",
        ),
        ("{{ $x = 1 }}", "undefined variable \"$x\""),
        (
            "{{ with $x := 1 }}{{ end }}{{ $x }}",
            "undefined variable \"$x\"",
        ),
        ("{{ template \"t\" }}", "template \"t\" not defined"),
        (
            "{{ define \"t\" }}{{ $labels.a }}{{ end }}",
            "in template \"t\": undefined",
        ),
        ("{{ break }}", "need a range around them"),
        ("{{ $value", "unclosed"),
        ("{{ if true }}", "{{end}} is missing"),
    ] {
        let found = check(text).unwrap_err();
        assert!(found.contains(error), "{text}: {found}");
    }
    for text in [
        "",
        "{{ $labels.instance }} is {{ $value | humanize }} at {{ $externalURL }}{{ $.Value }}",
        "{{ range $i, $s := query \"up\" }}{{ if gt $i 3 }}{{ break }}{{ end }}{{ $s.Value }}{{ end }}",
        "{{ if $x := 1 }}{{ $x }}{{ else if $x }}{{ else }}{{ $x }}{{ end }}",
        "{{ define \"t\" }}{{ .arg0 }}{{ end }}{{ template \"t\" (args 1) }}{{ tmpl \"t\" 1 }}",
        "{{ with index $labels \"a\" }}{{ . | printf \"%s\" | title }}{{ end }}",
    ] {
        assert_eq!(check(text), Ok(()), "{text}");
    }
}
