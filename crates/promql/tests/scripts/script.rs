//! Reads a test script: its commands with their line numbers.

use promql::notation::{Sequence, SequenceValue, parse_sequence, parse_values};

use crate::expect::Expectations;

pub(crate) enum Command {
    Clear,
    Load {
        step_ms: i64,
        sequences: Vec<Sequence>,
        with_custom_buckets: bool,
    },
    Eval(Eval),
}

/// A query and what is expected of it.
pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) time: Time,
    pub(crate) expectations: Expectations,
    pub(crate) series: Vec<Sequence>,
    /// The expected number of a scalar query.
    pub(crate) scalar: Option<f64>,
}

#[derive(Clone, Copy)]
pub(crate) enum Time {
    Instant(i64),
    Range {
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
    },
}

pub(crate) fn parse(text: &str) -> Vec<Command> {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .map(|line| if line.starts_with('#') { "" } else { line })
        .collect();
    let mut commands = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let line = lines[index];
        let number = index + 1;
        index += 1;
        if line.is_empty() {
            continue;
        }
        // What belongs to a command stands below it, up to an empty line or a comment.
        let is_command = |line: &str| {
            let words = ["load ", "load_with_nhcb ", "eval ", "eval_"];
            line == "clear" || words.iter().any(|word| line.starts_with(word))
        };
        let mut block = Vec::new();
        while index < lines.len() && !lines[index].is_empty() && !is_command(lines[index]) {
            block.push((index + 1, lines[index]));
            index += 1;
        }
        let command = if line == "clear" {
            Command::Clear
        } else if let Some(rest) = line.strip_prefix("load") {
            load(rest, &block, number)
        } else if line.starts_with("eval") {
            Command::Eval(eval(line, &block, number))
        } else {
            panic!("{number}: unknown command {line:?}")
        };
        commands.push(command);
    }
    commands
}

fn load(rest: &str, block: &[(usize, &str)], number: usize) -> Command {
    let with_custom_buckets = rest.starts_with("_with_nhcb");
    let gap = rest.trim_start_matches("_with_nhcb").trim();
    let sequence = |(line, text): &(usize, &str)| {
        parse_sequence(text).unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let sequences = block.iter().map(sequence).collect();
    Command::Load {
        step_ms: time_ms(gap, number),
        sequences,
        with_custom_buckets,
    }
}

pub(crate) fn time_ms(text: &str, number: usize) -> i64 {
    let (sign, magnitude) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    #[allow(clippy::cast_possible_truncation)]
    let seconds = magnitude
        .parse::<f64>()
        .map(|seconds| (seconds * 1000.0) as i64)
        .ok();
    let value = promql::format::parse_duration(magnitude).or(seconds);
    sign * value.unwrap_or_else(|| panic!("{number}: bad time {text:?}"))
}

fn eval(line: &str, block: &[(usize, &str)], number: usize) -> Eval {
    let mut words = line.splitn(2, char::is_whitespace);
    let mut expectations = Expectations::default();
    let head = words.next().expect("a command");
    expectations.deprecated(head.strip_prefix("eval").expect("an eval command"), number);
    let rest = words.next().unwrap_or("").trim();
    let (time, query) = if let Some(rest) = rest.strip_prefix("instant at ") {
        let (time, query) = rest
            .trim()
            .split_once(char::is_whitespace)
            .expect("a query");
        (Time::Instant(time_ms(time, number)), query)
    } else {
        let rest = rest
            .strip_prefix("range from ")
            .expect("instant at or range from");
        let (start, rest) = rest.split_once(" to ").expect("to");
        let (end, rest) = rest.split_once(" step ").expect("step");
        let (step, query) = rest
            .trim()
            .split_once(char::is_whitespace)
            .expect("a query");
        let time = Time::Range {
            start_ms: time_ms(start.trim(), number),
            end_ms: time_ms(end.trim(), number),
            step_ms: time_ms(step, number),
        };
        (time, query)
    };
    let query = query.trim().to_owned();
    let mut eval = Eval {
        line: number,
        query,
        time,
        expectations,
        series: vec![],
        scalar: None,
    };
    for (line, text) in block {
        if eval.expectations.parse_line(text, *line) {
            continue;
        }
        match parse_values(text).as_deref() {
            Ok([Some(SequenceValue::Float(value))]) => eval.scalar = Some(*value),
            _ => eval
                .series
                .push(parse_sequence(text).unwrap_or_else(|error| panic!("{line}: {error}"))),
        }
    }
    eval
}
