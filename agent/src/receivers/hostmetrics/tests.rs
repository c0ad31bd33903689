use std::collections::BTreeSet;

use otlp::rows::Rows;

use super::*;

fn reading(proc_dir: &str) -> Reading {
    let (env, _) = testkit::env(1, Arc::new(env::RealFiles));
    let metrics = Metrics::default();
    metrics.received(Signal::Logs, "filelog", 7);
    metrics.set("throughline_agent_queue_bytes", &[], 9);
    Reading {
        started_unix_nano: 1,
        env,
        options: HostOptions {
            proc_dir: proc_dir.into(),
            ..HostOptions::default()
        },
        host: encode::resource(&[KeyValue::new("host.name", "h")]),
        agent: encode::resource(&[KeyValue::new("service.name", "throughline-agent")]),
        system: system::System::default(),
        metrics,
    }
}

#[test]
fn this_machine_is_measured_by_the_conventions() {
    let mut reading = reading("/proc");
    reading.take();
    let entry = reading.take();
    let rows = Rows::decode(Signal::Metrics, &entry.request).unwrap();
    assert_eq!(rows.points.len() as u64, entry.rows);
    assert!(rows.rejected.is_empty(), "{:?}", rows.rejected);
    let names: BTreeSet<&str> = rows
        .points
        .iter()
        .map(|(series, _)| series.metric.name.as_str())
        .collect();
    for name in [
        "system.uptime",
        "system.cpu.time",
        "system.cpu.load_average.1m",
        "system.memory.usage",
        "system.network.io",
        "throughline_agent_received_rows",
        "throughline_agent_queue_bytes",
    ] {
        assert!(names.contains(name), "{name} is missing from {names:?}");
    }
    let own = rows
        .points
        .iter()
        .find(|(series, _)| series.metric.name.ends_with("received_rows"));
    let (series, point) = own.unwrap();
    assert!(series.metric.monotonic);
    assert_eq!(point.value, model::metric::PointValue::Int(7));
    assert_eq!(series.resource.service(), "throughline-agent");
}

#[test]
fn known_files_give_known_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("uptime", "100.50 190.00\n");
    write(
        "stat",
        "cpu  20 0 10 170 0 0 0 0 0 0\ncpu0 20 0 10 170 0 0 0 0 0 0\nctxt 1\n",
    );
    write("loadavg", "0.50 0.25 0.10 1/100 4242\n");
    write(
        "diskstats",
        "   8 0 sda 10 0 80 5 20 0 160 5 0 0 0\n   7 0 loop0 0 0 0 0 0 0 0 0 0 0 0\n",
    );
    let mut reading = reading(&dir.path().display().to_string());
    reading.metrics = Metrics::default();
    reading.take();
    write(
        "stat",
        "cpu  20 0 10 170 0 0 0 0 0 0\ncpu0 95 0 35 170 0 0 0 0 0 0\n",
    );
    let rows = Rows::decode(Signal::Metrics, &reading.take().request).unwrap();
    let value = |name: &str, attribute: &str| {
        let found = rows.points.iter().find(|(series, _)| {
            let values: Vec<String> = series
                .attributes
                .iter()
                .map(|pair| pair.value.to_text())
                .collect();
            series.metric.name == name
                && (attribute.is_empty() || values.iter().any(|value| value == attribute))
        });
        match found.map(|(_, point)| &point.value) {
            Some(model::metric::PointValue::Int(int)) => *int as f64,
            Some(model::metric::PointValue::Double(double)) => *double,
            other => panic!("{name} {attribute}: {other:?}"),
        }
    };
    assert_eq!(value("system.uptime", ""), 100.5);
    assert_eq!(value("system.cpu.utilization", "user"), 0.75);
    assert_eq!(value("system.cpu.load_average.5m", ""), 0.25);
    assert_eq!(value("system.disk.io", "write"), 160.0 * 512.0);
    assert_eq!(value("system.disk.operations", "read"), 10.0);
    let disks = rows
        .points
        .iter()
        .filter(|(s, _)| s.metric.name == "system.disk.io");
    assert_eq!(disks.count(), 2, "a disk that was never used is left out");
}
