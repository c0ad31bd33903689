//! `throughline storage stat`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use env::Env;
use storage::stat::{ColumnKind, PartitionStat, Stat};

use super::data_dir;
use super::table::{Table, count, share, size};
use crate::cli;
use crate::output::line;

pub(super) fn run(arguments: &cli::Stat) -> anyhow::Result<ExitCode> {
    let dir = data_dir(&arguments.folder)?;
    let stat = storage::stat::stat(&Env::real(), &dir, &collector::Decoder::default())?;
    if arguments.json {
        line(&serde_json::to_string_pretty(&stat)?)?;
    } else {
        line(&format!("{}, as of flush {}", dir.display(), stat.flush))?;
        for text in text(&stat, arguments.attributes) {
            line(&text)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn text(stat: &Stat, attributes: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.extend(partitions(&stat.partitions));
    let mut signals: Vec<&str> = stat
        .partitions
        .iter()
        .map(|part| part.signal.as_str())
        .collect();
    signals.sort_unstable();
    signals.dedup();
    for signal in signals {
        let of_signal = stat.partitions.iter().filter(|part| part.signal == signal);
        lines.push(String::new());
        lines.extend(parts(signal, &of_signal.collect::<Vec<_>>(), attributes));
    }
    lines.push(String::new());
    lines.push(format!(
        "log: {}, segments: {}, records since the checkpoint: {}",
        size(stat.wal.bytes),
        count(stat.wal.segments),
        count(stat.wal.records)
    ));
    for head in &stat.head {
        lines.push(format!(
            "in the log alone: {} rows of {}, {}",
            count(head.rows),
            head.tenant,
            head.signal
        ));
    }
    let unreadable: u64 = stat.partitions.iter().map(|part| part.unreadable).sum();
    if unreadable + stat.wal.unreadable > 0 {
        lines.push(format!(
            "damaged: {} files or blocks, {} stretches of the log; `throughline storage verify` \
             says what",
            count(unreadable),
            count(stat.wal.unreadable)
        ));
    }
    for stray in &stat.strays {
        lines.push(format!("not counted: {} ({})", stray.path, stray.what));
    }
    lines
}

#[allow(clippy::cast_precision_loss)]
fn partitions(partitions: &[PartitionStat]) -> Vec<String> {
    let head = [
        "tenant", "signal", "day", "rows", "files", "blocks", "bytes", "a row",
    ];
    let mut table = Table::new(3, &head);
    let figures = |rows: u64, files: u64, blocks: u64, bytes: u64| {
        [
            count(rows),
            count(files),
            count(blocks),
            size(bytes),
            format!("{:.1} B", bytes as f64 / rows.max(1) as f64),
        ]
    };
    let mut total = [0; 4];
    for part in partitions {
        let of_part = [part.rows, part.files, part.blocks, part.bytes];
        for (total, figure) in total.iter_mut().zip(of_part) {
            *total += figure;
        }
        let names = [&part.tenant, &part.signal, &part.day].map(Clone::clone);
        let figures = figures(part.rows, part.files, part.blocks, part.bytes);
        table.row(names.into_iter().chain(figures).collect());
    }
    let [rows, files, blocks, bytes] = total;
    let names = ["all".to_owned(), String::new(), String::new()];
    let figures = figures(rows, files, blocks, bytes);
    table.row(names.into_iter().chain(figures).collect());
    table.lines()
}

/// What takes how much of a signal, over all of its partitions.
fn parts(signal: &str, partitions: &[&PartitionStat], attributes: usize) -> Vec<String> {
    let mut columns: BTreeMap<(ColumnKind, &str), u64> = BTreeMap::new();
    let mut index: BTreeMap<&str, u64> = BTreeMap::new();
    let mut all = 0;
    for part in partitions {
        all += part.bytes;
        for column in &part.columns {
            *columns.entry((column.kind, &column.name)).or_default() += column.bytes;
        }
        for part in &part.index {
            *index.entry(&part.part).or_default() += part.bytes;
        }
    }
    let mut table = Table::new(2, &[signal, "", "bytes", "share"]);
    for kind in [
        ColumnKind::Intrinsic,
        ColumnKind::Attribute,
        ColumnKind::EventAttribute,
        ColumnKind::LinkAttribute,
        ColumnKind::Directory,
    ] {
        let of_kind = columns.iter().filter(|((of, _), _)| *of == kind);
        let mut list: Vec<(&str, u64)> =
            of_kind.map(|((_, name), bytes)| (*name, *bytes)).collect();
        list.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
        let is_attribute = !matches!(kind, ColumnKind::Intrinsic | ColumnKind::Directory);
        let shown = if is_attribute { attributes } else { list.len() };
        let rest = list.split_off(shown.min(list.len()));
        for (name, bytes) in list {
            row(&mut table, kind_name(kind), name, bytes, all);
        }
        if !rest.is_empty() {
            let name = format!("{} others", count(rest.len() as u64));
            let bytes = rest.iter().map(|(_, bytes)| bytes).sum();
            row(&mut table, kind_name(kind), &name, bytes, all);
        }
    }
    let mut index: Vec<(&str, u64)> = index.into_iter().collect();
    index.sort_by_key(|(name, bytes)| (std::cmp::Reverse(*bytes), *name));
    for (name, bytes) in index {
        row(&mut table, "found by", name, bytes, all);
    }
    table.lines()
}

fn row(table: &mut Table, kind: &str, name: &str, bytes: u64, all: u64) {
    let cells = [
        kind.to_owned(),
        name.to_owned(),
        size(bytes),
        share(bytes, all),
    ];
    table.row(cells.into());
}

fn kind_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Intrinsic => "column",
        ColumnKind::Attribute => "attribute",
        ColumnKind::EventAttribute => "event attribute",
        ColumnKind::LinkAttribute => "link attribute",
        ColumnKind::Directory => "directory",
    }
}

#[cfg(test)]
mod tests {
    use storage::stat::{ColumnStat, HeadStat, IndexStat, WalStat};

    use super::*;

    #[test]
    fn attributes_come_largest_first_and_the_rest_is_summed() {
        let column = |name: &str, kind, bytes| ColumnStat {
            name: name.to_owned(),
            kind,
            bytes,
        };
        let part = PartitionStat {
            tenant: "default".to_owned(),
            signal: "logs".to_owned(),
            day: "2026-11-30".to_owned(),
            rows: 2_000,
            files: 2,
            blocks: 3,
            bytes: 4_096,
            columns: vec![
                column("body", ColumnKind::Intrinsic, 1_024),
                column("small", ColumnKind::Attribute, 10),
                column("user", ColumnKind::Attribute, 2_048),
                column("tiny", ColumnKind::Attribute, 6),
            ],
            index: vec![IndexStat {
                part: "ids".to_owned(),
                bytes: 1_008,
            }],
            unreadable: 0,
        };
        let stat = Stat {
            flush: 2,
            partitions: vec![part],
            head: vec![HeadStat {
                tenant: "default".to_owned(),
                signal: "logs".to_owned(),
                rows: 7,
            }],
            wal: WalStat {
                segments: 1,
                bytes: 128,
                records: 1,
                unreadable: 0,
            },
            strays: Vec::new(),
        };
        let expected = "
tenant   signal  day          rows  files  blocks    bytes  a row
default  logs    2026-11-30  2,000      2       3  4.0 KiB  2.0 B
all                          2,000      2       3  4.0 KiB  2.0 B

logs                   bytes   share
column     body      1.0 KiB  25.0 %
attribute  user      2.0 KiB  50.0 %
attribute  2 others     16 B   0.4 %
found by   ids        1008 B  24.6 %

log: 128 B, segments: 1, records since the checkpoint: 1
in the log alone: 7 rows of default, logs";
        assert_eq!(text(&stat, 1).join("\n"), expected);
    }
}
