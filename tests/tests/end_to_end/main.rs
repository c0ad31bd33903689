//! The program from outside: OTLP in, answers out, and what happens when things go wrong.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod agent;
mod agent_load;
mod alerts;
mod check;
mod clocks;
mod command_line;
mod commands;
mod crash;
mod damage;
mod demo;
mod distributed;
mod downsampling;
mod formats;
mod hostile;
mod jaeger;
mod limits;
mod load;
mod long_ranges;
mod otlp_naming;
mod outage;
mod paging;
mod prometheus;
mod promql;
mod promtool;
mod read_back;
mod read_back_metrics;
mod recorded_histograms;
mod records;
mod remote_write;
mod rule_tests;
mod samples;
mod scrape;
mod scrape_protobuf;
mod shutdown;
mod span_metrics;
mod start_zeros;
mod storage_tools;
mod stories;
mod tail;
mod trainticket;

use tests::Setup;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_throughline-under-test");

/// Everything in one process.
fn up() -> Setup {
    Setup::new(PROGRAM, "up").config("agent: {host: {enabled: false}}\n")
}
