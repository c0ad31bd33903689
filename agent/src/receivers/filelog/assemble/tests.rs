use std::time::Duration;

use regex::Regex;

use super::*;

fn rules(format: Format, multiline: Option<&Multiline>) -> Rules<'_> {
    Rules {
        format,
        multiline,
        bytes_max: 1 << 20,
        flush_after_nanos: 3_000,
    }
}

/// Sends lines through and closes what waits at the end.
fn assemble<'a>(lines: impl IntoIterator<Item = &'a str>, rules: &Rules<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let mut assembler = Assembler::default();
    for line in lines {
        assembler.line(line, rules, 0, &mut |record| out.push(record.text));
    }
    assembler.flush_due(rules, u64::MAX, &mut |record| out.push(record.text));
    assert!(assembler.is_empty());
    out
}

/// A file of test data written by others; absent on machines that do not have it.
fn given(name: &str) -> Option<String> {
    let path = testkit::testdata("multiline")?.join(name);
    Some(std::fs::read_to_string(path).unwrap())
}

fn pattern(text: &str) -> Multiline {
    Multiline::continued_by(Regex::new(text).unwrap())
}

#[test]
fn cases_of_other_collectors_come_out_as_they_say() {
    let Some(text) = given("multiline_cases.json") else {
        return;
    };
    let cases: serde_json::Value = serde_json::from_str(&text).unwrap();
    let java = pattern(r"^\s+(at|\.\.\.)|^Caused by:");
    let indented = pattern(r"^\s");
    let python = pattern(r"^\s|^[A-Za-z]*(Error|Exception): ");
    let go = pattern(r"^$|^goroutine |^\s|^[\w./*()]+\(.*\)|^created by ");
    let continued = pattern("^[0-9]+ cont ");
    let ends_open = Multiline {
        at: Match::Before,
        ..pattern(r"\\$")
    };
    for (name, multiline) in [
        ("docker", None),
        ("cri", None),
        ("container_mix", None),
        ("docker_cri_chain", None),
        ("endswith", Some(&ends_open)),
        ("java", Some(&java)),
        ("ruby", Some(&indented)),
        ("python", Some(&python)),
        ("elastic", Some(&indented)),
        ("go", Some(&go)),
        ("issue_3817_1", Some(&continued)),
    ] {
        let strings = |field: &str| -> Vec<String> {
            let list = cases[name][field].as_array().unwrap();
            list.iter()
                .map(|item| item.as_str().unwrap().to_owned())
                .collect()
        };
        // The cases are C strings: a line's own end, and line ends that JSON would escape.
        let input: Vec<String> = strings("input")
            .iter()
            .map(|line| line.strip_suffix('\n').unwrap_or(line).replace('\n', "\\n"))
            .collect();
        let output = assemble(
            input.iter().map(String::as_str),
            &rules(Format::Auto, multiline),
        );
        let trimmed = |list: Vec<String>| -> Vec<String> {
            let mut list: Vec<String> = list
                .iter()
                .map(|text| text.trim_end_matches('\n').to_owned())
                .collect();
            if name == "docker" {
                // What waits for longest is closed last here, and first there.
                list.sort();
            }
            list
        };
        assert_eq!(trimmed(output), trimmed(strings("output")), "{name}");
    }
}

#[test]
fn docker_lines_are_joined_and_then_grouped() {
    let Some(text) = given("log/dockermode_splitted_multiple_lines.log") else {
        return;
    };
    let starts = Multiline {
        negate: true,
        ..pattern("^[0-9]{4}-[0-9]{2}-[0-9]{2} ")
    };
    let records = assemble(text.lines(), &rules(Format::Docker, Some(&starts)));
    assert_eq!(
        records,
        [
            "2020-03-24 Multiple lines: \nfirst bullet point\nsecond bullet point\nthird bullet point\nfourth bullet point",
            "2020-03-24 Single line",
        ]
    );
}

#[test]
fn limits_and_times_close_a_record() {
    let mut multiline = pattern("^ ");
    multiline.max_lines = 3;
    multiline.timeout = Duration::from_nanos(100);
    let rules = rules(Format::Plain, Some(&multiline));
    assert_eq!(
        assemble(["a", " b", " c", " d", "e"], &rules),
        ["a\n b\n c", " d", "e"]
    );
    let mut assembler = Assembler::default();
    let mut out = Vec::new();
    assembler.line("a", &rules, 10, &mut |record| out.push(record));
    assembler.line(" b", &rules, 90, &mut |record| out.push(record));
    assert_eq!(assembler.waiting_since(), Some(10));
    assert!(!assembler.flush_due(&rules, 189, &mut |record| out.push(record)));
    assert!(assembler.flush_due(&rules, 190, &mut |record| out.push(record)));
    assert_eq!((out[0].text.as_str(), out[0].read_unix_nano), ("a\n b", 10));
    assert_eq!(assembler.waiting_since(), None);
}

#[test]
fn both_streams_of_a_container_are_kept_apart() {
    let multiline = pattern("^ ");
    let lines = [
        "2026-01-02T03:04:05Z stdout F out",
        "2026-01-02T03:04:05Z stderr F err",
        "2026-01-02T03:04:05Z stdout F  more out",
        "2026-01-02T03:04:05Z stderr P  more",
        "2026-01-02T03:04:05Z stderr F  err",
    ];
    let records = assemble(lines, &rules(Format::Cri, Some(&multiline)));
    assert_eq!(records, ["out\n more out", "err\n more err"]);
}
