//! A real microservice system's spans and logs: the train-ticket part of the Nezha data.
//!
//! The files overlap in time, so some spans occur in several of them; all rows are sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::external;
use crate::otlp_json::{log, logs, span, traces};

/// Rows per request.
const BATCH: usize = 1_000;

/// What the files hold, as exports and as counts.
#[derive(Default)]
pub struct TrainTicket {
    /// Exports of spans.
    pub trace_exports: Vec<Value>,
    /// Exports of log records.
    pub log_exports: Vec<Value>,
    /// Rows by service: spans, log records.
    pub services: BTreeMap<String, (usize, usize)>,
    /// Distinct span ids by trace.
    pub spans: BTreeMap<String, BTreeSet<String>>,
    /// Log records by trace, each by the span it belongs to.
    pub logs: BTreeMap<String, Vec<String>>,
}

/// Unpacks and reads the data; nothing if the tools to unpack it are absent.
pub fn read(archive: &Path) -> Option<TrainTicket> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut unpack = Command::new("tar");
    unpack.arg("-xJf").arg(archive).arg("-C").arg(folder.path());
    if !external::works(&mut unpack) {
        external::missing("tar with xz");
        return None;
    }
    let root = folder.path().join("nezha-subset/trainticket");
    let mut data = TrainTicket::default();
    let mut span_rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows(&root.join("trace")) {
        let [trace, id, parent, pod, name, start, end, _] = &row[..] else {
            panic!("{row:?}")
        };
        let (start, end): (u64, u64) = (number(start), number(end));
        let parent = if parent == "root" { "" } else { parent };
        data.spans
            .entry(trace.clone())
            .or_default()
            .insert(id.clone());
        data.services.entry(service(pod)).or_default().0 += 1;
        let span = span(trace, id, parent, name, start, end - start);
        span_rows.entry(service(pod)).or_default().push(span);
    }
    let mut log_rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for row in rows(&root.join("log")) {
        let [_, time, node, pod, _, trace, id, line] = &row[..] else {
            panic!("{row:?}")
        };
        let docker: Value = serde_json::from_str(line).unwrap_or(json!({"log": line}));
        let text = docker["log"]
            .as_str()
            .expect("docker's field")
            .trim_end()
            .to_owned();
        let mut record = log(number(time), &text, &[("node", node)]);
        record["traceId"] = json!(trace);
        record["spanId"] = json!(id);
        data.logs.entry(trace.clone()).or_default().push(id.clone());
        data.services.entry(service(pod)).or_default().1 += 1;
        log_rows.entry(service(pod)).or_default().push(record);
    }
    let exports = |rows: BTreeMap<String, Vec<Value>>, export: fn(&str, &[Value]) -> Value| {
        let of = |(service, rows): (String, Vec<Value>)| -> Vec<Value> {
            rows.chunks(BATCH)
                .map(|rows| export(&service, rows))
                .collect()
        };
        rows.into_iter().flat_map(of).collect()
    };
    data.trace_exports = exports(span_rows, traces);
    data.log_exports = exports(log_rows, logs);
    Some(data)
}

fn number(text: &str) -> u64 {
    text.parse().expect("a time in nanoseconds")
}

/// `ts-user-service-687d654649-lrcwv` is a pod of `ts-user-service`.
fn service(pod: &str) -> String {
    pod.rsplitn(3, '-')
        .last()
        .expect("at least one part")
        .to_owned()
}

/// The rows of every file in a folder, without the headers.
fn rows(folder: &Path) -> Vec<Vec<String>> {
    let entries = std::fs::read_dir(folder).expect("an unpacked folder");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let texts = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("UTF-8"));
    texts
        .flat_map(|text| csv(&text).into_iter().skip(1).collect::<Vec<_>>())
        .collect()
}

/// RFC 4180: quotes are doubled inside quotes, where commas and line ends are text.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    if !field.is_empty() || !row.is_empty() {
        row.push(field);
        rows.push(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_keeps_what_is_quoted() {
        assert_eq!(
            csv("a,\"b \"\"c\"\", d\",\r\n\"x\ny\",,z"),
            [["a", "b \"c\", d", ""], ["x\ny", "", "z"]]
        );
    }

    #[test]
    fn pods_belong_to_services() {
        assert_eq!(
            service("ts-user-service-687d654649-lrcwv"),
            "ts-user-service"
        );
    }
}
