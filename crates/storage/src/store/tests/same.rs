//! The same rows in memory, in files with their index, and in files without one: whatever is asked,
//! the answer is the same.

use std::path::Path;

use model::{Signal, TimeRange};
use tempfile::tempdir;

use super::fill;
use crate::filter::{Field, Filter, Level, Op, Operand};
use crate::message::*;
use crate::testing::*;
use crate::{Options, Store};

const MINUTE: u64 = 60_000_000_000;

fn random_operand(random: &mut fastrand::Rng) -> Operand {
    match random.u8(..6) {
        0 => Operand::Int(random.i64(-3..60)),
        1 => Operand::Double([0.5, 42.0, 1.0][random.usize(..3)]),
        2 => Operand::Bool(random.bool()),
        3 => Operand::Literal(
            ["42", "1", "true", "x", "card declined", "42.0"][random.usize(..6)].into(),
        ),
        4 => Operand::Text(["of the scope", "x", "req-7", ""][random.usize(..4)].into()),
        _ => Operand::Literal(format!("req-{}", random.u8(..40))),
    }
}

fn random_field(random: &mut fastrand::Rng) -> Field {
    let levels = [
        Level::Any,
        Level::Row,
        Level::Scope,
        Level::Resource,
        Level::Event,
        Level::Link,
    ];
    let keys = [
        "http.method",
        "user.id",
        "request_id",
        "shared",
        "",
        "n",
        "host.name",
        "service.name",
        "absent",
    ];
    match random.u8(..3) {
        0 => {
            let fields = [
                Field::Service,
                Field::Name,
                Field::Kind,
                Field::Status,
                Field::Duration,
                Field::Level,
                Field::Severity,
                Field::Body,
                Field::EventName,
                Field::Correlation,
                Field::ScopeName,
                Field::SpanId,
                Field::ParentId,
                Field::StatusMessage,
                Field::SeverityText,
                Field::TraceState,
                Field::ScopeVersion,
            ];
            fields[random.usize(..fields.len())].clone()
        }
        _ => Field::Attribute {
            level: levels[random.usize(..levels.len())],
            key: keys[random.usize(..keys.len())].to_owned(),
        },
    }
}

fn random_filter(random: &mut fastrand::Rng, depth: usize) -> Filter {
    let field = random_field(random);
    let words = [
        "card",
        "declined",
        "refused",
        "connection",
        "42",
        "größe",
        "took",
        "get",
    ];
    match random.u8(..if depth > 2 { 7 } else { 10 }) {
        0 => Filter::Exists(field),
        1 => Filter::Compare {
            field,
            op: Op::Eq,
            value: random_operand(random),
        },
        2 => {
            let ops = [Op::Lt, Op::Le, Op::Gt, Op::Ge];
            Filter::Compare {
                field,
                op: ops[random.usize(..4)],
                value: random_operand(random),
            }
        }
        3 => Filter::Regex {
            field,
            pattern: ["ser.*-[12]|declined|^4", "^$", "(?i)ERR|x", "-[0-9]+$"][random.usize(..4)]
                .to_owned(),
        },
        4 => Filter::Prefix {
            field,
            prefix: ["s", "4", "req-1", "GET"][random.usize(..4)].into(),
        },
        5 => Filter::Words {
            field: random.bool().then_some(field),
            words: (0..random.usize(1..3))
                .map(|_| words[random.usize(..words.len())].to_owned())
                .collect(),
            phrase: random.bool(),
            prefix: random.bool(),
        },
        6 => {
            let id = model::TraceId([
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                7,
                random.u8(1..70),
            ]);
            let field = if random.bool() {
                Field::TraceId
            } else {
                Field::LinkTraceId
            };
            Filter::AnyOf {
                field,
                values: vec![id.to_string(), "card declined".to_owned()],
            }
        }
        7 => Filter::Not(Box::new(random_filter(random, depth + 1))),
        8 => Filter::And((0..2).map(|_| random_filter(random, depth + 1)).collect()),
        _ => Filter::Or((0..2).map(|_| random_filter(random, depth + 1)).collect()),
    }
}

fn random_range(random: &mut fastrand::Rng) -> TimeRange {
    if random.bool() {
        return TimeRange::ALL;
    }
    let start = BASE + random.u64(..7_200_000_000_000);
    TimeRange {
        start,
        end: start + random.u64(..7_200_000_000_000),
    }
}

/// Questions of every kind about some rows.
fn questions(random: &mut fastrand::Rng, selection: &Selection) -> Vec<Request> {
    let by = |random: &mut fastrand::Rng| -> Vec<Field> {
        (0..random.usize(..3))
            .map(|_| random_field(random))
            .collect()
    };
    let rows = |order, limit, traces| Request::Rows {
        selection: selection.clone(),
        order,
        limit,
        traces,
        after: None,
        columns: Columns::Full,
    };
    let of_spans = selection.signal == Signal::Traces;
    let steps = [
        None,
        Some(1_000_000_000),
        Some(MINUTE),
        Some(90_000_000_000),
        Some(60 * MINUTE),
    ];
    let mut questions = vec![
        rows(Order::Oldest, 1_000_000, None),
        rows(Order::Newest, random.usize(1..30), None),
        rows(Order::Oldest, random.usize(1..30), None),
        Request::Counts {
            selection: selection.clone(),
            step_nano: steps[random.usize(..steps.len())],
            by: by(random),
            groups: 100_000,
        },
        Request::Fields {
            selection: selection.clone(),
        },
        Request::Values {
            selection: selection.clone(),
            field: random_field(random),
            prefix: ["", "s", "req-1"][random.usize(..3)].to_owned(),
            limit: 10_000,
        },
    ];
    if of_spans {
        questions.push(Request::Durations {
            selection: selection.clone(),
            by: by(random),
            groups: 10_000,
        });
        questions.push(Request::Traces {
            selection: selection.clone(),
            order: Order::Newest,
            limit: 1_000_000,
        });
    }
    questions
}

/// An answer in a form that compares, NaN included, without the order of what has none.
async fn answer(store: &Store, question: &Request) -> Vec<Vec<u8>> {
    let (replies, summary) = ask(store, question.clone()).await.unwrap();
    assert_eq!(summary.cuts, [], "{question:?}");
    let parts = replies.into_iter().flat_map(|reply| match reply {
        Reply::Spans(list) => sorted(list),
        Reply::Logs(list) => sorted(list),
        Reply::Traces(list) => sorted(list),
        Reply::Fields(list) => sorted(list),
        Reply::Values(list) => sorted(list),
        Reply::Series(list) => sorted(list),
        other => vec![postcard::to_stdvec(&other).unwrap()],
    });
    let mut all: Vec<Vec<u8>> = parts.collect();
    all.sort();
    all
}

/// Copies a store without what makes searching it fast.
fn copy_without_index(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, path) = (entry.file_name(), entry.path());
        if path.is_dir() && name != "index" {
            copy_without_index(&path, &to.join(name));
        } else if path.is_file()
            && !matches!(path.extension(), Some(kind) if kind == "ids" || kind == "fields")
        {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// Three stores with the same rows: in memory, in files, and in files without index and tables.
struct Three {
    stores: [Store; 3],
    _dirs: [tempfile::TempDir; 3],
}

impl Three {
    async fn filled(block_rows: usize, fill: impl AsyncFn(&Store)) -> Self {
        let dirs = [tempdir().unwrap(), tempdir().unwrap(), tempdir().unwrap()];
        let options = || Options {
            block_rows,
            ..Options::default()
        };
        let head = open_with(dirs[0].path(), options());
        fill(&head).await;
        let files = open_with(dirs[1].path(), options());
        fill(&files).await;
        files.flush().await;
        drop(files);
        copy_without_index(dirs[1].path(), dirs[2].path());
        let stores = [
            head,
            open_with(dirs[1].path(), options()),
            open_with(dirs[2].path(), options()),
        ];
        Self {
            stores,
            _dirs: dirs,
        }
    }

    /// Asks all three, notes where they differ, and returns how much the answer holds.
    async fn ask(&self, question: &Request, differing: &mut Vec<String>) -> usize {
        let expected = answer(&self.stores[0], question).await;
        for (store, name) in self
            .stores
            .iter()
            .zip(["head", "files", "no index"])
            .skip(1)
        {
            let found = answer(store, question).await;
            if found != expected {
                let parts = (found.len(), expected.len());
                differing.push(format!("{name}: {parts:?} parts for {question:?}"));
            }
        }
        expected.len()
    }
}

#[tokio::test]
async fn whatever_is_asked_head_files_and_files_without_index_agree() {
    let three = Three::filled(64, async |store| {
        fill(store, 6, 200).await;
    })
    .await;
    let mut random = fastrand::Rng::with_seed(11);
    let (mut found, mut differing) = (0, Vec::new());
    for _ in 0..100 {
        for signal in [Signal::Traces, Signal::Logs] {
            let filter = match random.u8(..4) {
                0 => Filter::All,
                _ => random_filter(&mut random, 0),
            };
            let selection = Selection {
                range: random_range(&mut random),
                ..selection(signal, filter)
            };
            for question in questions(&mut random, &selection) {
                found += three.ask(&question, &mut differing).await;
            }
        }
    }
    assert!(
        differing.is_empty(),
        "{}",
        differing[..differing.len().min(12)].join("\n")
    );
    assert!(found > 10_000, "too little to tell anything: {found}");
}

/// Rows of few minutes, which blocks have counted: by minutes and by rows it is the same.
#[tokio::test]
async fn counts_by_minute_are_those_of_the_rows() {
    let three = Three::filled(512, async |store| {
        let mut generator = Generator::new(23);
        let near = |number: u64| BASE + number * 40_000_000 + number % 7;
        let logs: Vec<_> = (0..3_000)
            .map(|number| {
                let mut log = generator.log();
                let time = near(number);
                // Some have the time of the observer alone.
                log.time_unix_nano = if log.time_unix_nano == 0 { 0 } else { time };
                log.observed_time_unix_nano = time;
                log
            })
            .collect();
        let spans: Vec<_> = (0..3_000)
            .map(|number| {
                let mut span = generator.span();
                let length = span.end_unix_nano.wrapping_sub(span.start_unix_nano);
                span.start_unix_nano = near(number);
                span.end_unix_nano = span.start_unix_nano.wrapping_add(length);
                span
            })
            .collect();
        for part in logs.chunks(500) {
            write(store, Signal::Logs, part).await.unwrap();
        }
        for part in spans.chunks(500) {
            write(store, Signal::Traces, part).await.unwrap();
        }
    })
    .await;
    let attribute = |level, key: &str| Field::Attribute {
        level,
        key: key.to_owned(),
    };
    let fields = [
        Field::Service,
        attribute(Level::Any, "host.name"),
        attribute(Level::Resource, "shared"),
        attribute(Level::Any, "shared"),
        attribute(Level::Any, "absent"),
        Field::Level,
    ];
    let mut groupings: Vec<Vec<Field>> = vec![Vec::new()];
    groupings.extend(fields.iter().map(|field| vec![field.clone()]));
    groupings.push(fields[..2].to_vec());
    let mut random = fastrand::Rng::with_seed(3);
    let mut differing = Vec::new();
    for signal in [Signal::Traces, Signal::Logs] {
        for by in &groupings {
            for step_nano in [
                None,
                Some(1_000_000_000),
                Some(MINUTE),
                Some(5 * MINUTE),
                Some(7 * MINUTE / 2),
            ] {
                let mut selection = selection(signal, Filter::All);
                if random.bool() {
                    selection.range.start = BASE + random.u64(..2 * MINUTE);
                }
                let question = Request::Counts {
                    selection,
                    step_nano,
                    by: by.clone(),
                    groups: 1_000,
                };
                assert!(three.ask(&question, &mut differing).await > 0);
            }
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}
