//! A stand-alone agent that tails a file, while its collector is killed and comes back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tests::otlp_json::{log, logs, now};
use tests::{Http, Server, Setup, wait};

use crate::PROGRAM;

/// Lines before the collector is killed, while it is away, and after it is back.
const LINES: usize = 3_000;
/// The first line's time, in unix milliseconds.
const BEGIN: usize = 1_790_000_000_000;

struct Writer {
    path: PathBuf,
    file: File,
    written: usize,
}

impl Writer {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: File::create(path).unwrap(),
            written: 0,
        }
    }

    fn write(&mut self, lines: usize) {
        for _ in 0..lines {
            let number = self.written;
            // A time of its own: a whole poll's lines share the time of reading otherwise.
            let time = BEGIN + number;
            writeln!(
                self.file,
                "time={time} level=info msg=\"processed\" line={number} request_id=req-{}",
                number % 97
            )
            .unwrap();
            self.written += 1;
        }
    }

    /// As logrotate does: another name for the old file, a new one in its place.
    fn rotate(&mut self) {
        std::fs::rename(&self.path, self.path.with_extension("log.1")).unwrap();
        self.file = File::create(&self.path).unwrap();
    }
}

async fn count(query: &Http, search: &str) -> usize {
    let answer = query
        .get(
            "/api/v1/logs/histogram",
            &[("q", search), ("step", "3650d")],
        )
        .await;
    usize::try_from(answer["total"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_collector_loses_and_repeats_nothing() {
    let collector_setup = Setup::new(PROGRAM, "collector").config("limits: {head_bytes: 1MiB}\n");
    let collector = collector_setup.start();
    // It comes back where it was.
    let collector_setup = ["otlp_grpc", "otlp_http", "internal"]
        .into_iter()
        .fold(collector_setup, |setup, name| {
            setup.listen(name, &collector.address(name))
        });
    let query = Setup::new(PROGRAM, "query")
        .arg("--collector")
        .arg(collector.address("internal"))
        .start();
    let http = query.query();

    let agent_setup = Setup::new(PROGRAM, "agent")
        .arg("--collector")
        .arg(collector.address("otlp_grpc"));
    let path = agent_setup.folder().join("legacy.log");
    let mut writer = Writer::new(&path);
    let agent_setup = agent_setup.config(&format!(
        "agent:\n  host: {{enabled: false}}\n  files:\n    - include: ['{}']\n      service: legacy\n",
        path.display()
    ));
    let agent = agent_setup.start();

    writer.write(LINES);
    wait::eventually("the first lines", wait::LONG, async || {
        (count(&http, "service:legacy").await > LINES / 2).then_some(())
    })
    .await;
    collector.kill();
    writer.write(LINES);
    writer.rotate();
    writer.write(LINES);
    // What services send is taken all the while: the agent's queue is durable.
    agent
        .otlp()
        .export(
            "logs",
            &logs(
                "relayed",
                &[log(now(), "sent while the collector is away", &[])],
            ),
        )
        .await;
    agent.kill();
    let agent = agent_setup.start();
    let collector = collector_setup.start();
    writer.write(LINES);

    let total = writer.written;
    wait::eventually("every line", wait::LONG, async || {
        let count = count(&http, "service:legacy").await;
        assert!(count <= total, "{count} records of {total} lines");
        (count == total).then_some(())
    })
    .await;
    let mut lines: BTreeMap<u64, usize> = BTreeMap::new();
    for record in http.all_logs("service:legacy").await {
        let line = &record["attributes"]["line"];
        let number = line.as_u64().or_else(|| line.as_str()?.parse().ok());
        *lines
            .entry(number.unwrap_or_else(|| panic!("{record}")))
            .or_default() += 1;
    }
    let last = u64::try_from(total).unwrap();
    let lost: Vec<u64> = (0..last).filter(|line| !lines.contains_key(line)).collect();
    let repeated: Vec<_> = lines.iter().filter(|(_, count)| **count > 1).collect();
    assert!(
        lost.is_empty() && repeated.is_empty(),
        "lost {lost:?}, repeated {repeated:?}"
    );
    wait::eventually("the relayed record", wait::LONG, async || {
        (count(&http, "service:relayed").await == 1).then_some(())
    })
    .await;
    // Lines are found by what they are correlated by.
    let of_request = http.all_logs("correlation:req-13").await;
    assert_eq!(
        of_request.len(),
        (0..total).filter(|number| number % 97 == 13).count()
    );
    assert!(agent.terminate().0.success());
    assert!(collector.terminate().0.success());
}

#[test]
fn an_agent_pointed_at_itself_says_so() {
    for (collector, listener) in [
        ("127.0.0.1:5317", "127.0.0.1:5317"),
        ("localhost:5317", "0.0.0.0:5317"),
        ("127.0.0.2:5317", "[::]:5317"),
        ("0.0.0.0:5317", "127.0.0.1:5317"),
    ] {
        let output = tests::server::clean(PROGRAM)
            .args(["agent", "--collector", collector, "--otlp-grpc", listener])
            .args(["--otlp-http", "127.0.0.1:0", "--data-dir"])
            .arg(tempfile::tempdir().unwrap().path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("itself"), "{said}");
    }
}

/// The agents in an answer, with their states.
async fn agents(query: &Http) -> Vec<(String, String)> {
    let answer = query.get("/api/v1/logs", &[]).await;
    let sources = answer["complete_to"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    sources
        .filter(|source| source["kind"] == "agent")
        .map(|source| (text(&source["source"]), text(&source["state"])))
        .collect()
}

/// An agent that has nothing to send is listed from its start to its orderly end, and by a
/// collector that was started again too; an agent that was killed stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_agent_is_known_until_it_says_goodbye() {
    let collector_setup = Setup::new(PROGRAM, "up").config("agent: {host: {enabled: false}}\n");
    let collector = collector_setup.start();
    let port = collector.address("otlp_grpc");
    let start = || {
        Setup::new(PROGRAM, "agent")
            .arg("--collector")
            .arg(&port)
            .config("agent: {host: {enabled: false}}\n")
            .start()
    };
    let (orderly, killed) = (start(), start());
    let http = collector.query();
    // Two and the one of `up` itself.
    let live = wait::eventually("three agents", wait::LONG, async || {
        let agents = agents(&http).await;
        (agents.len() == 3).then_some(agents)
    })
    .await;
    assert!(live.iter().all(|(_, state)| state == "live"), "{live:?}");
    let (status, _) = orderly.terminate();
    assert!(status.success(), "{status}");
    let left = agents(&http).await;
    assert_eq!(left.len(), 2, "{left:?}");
    killed.kill();
    let (status, _) = collector.terminate();
    assert!(status.success(), "{status}");
    let collector = collector_setup.start();
    let http = collector.query();
    // Of the two, that of `up` itself comes back at once.
    wait::eventually("the agent of `up`", wait::LONG, async || {
        let mut states: Vec<String> = agents(&http).await.into_iter().map(|a| a.1).collect();
        states.sort();
        (states == ["lagging", "live"]).then_some(())
    })
    .await;
}

/// Each collector has its own place in the queue: one that is away gets what it missed later, and
/// holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn every_collector_gets_everything_at_its_own_pace() {
    let quiet = "agent: {host: {enabled: false}}\n";
    let setups = [0, 1].map(|_| Setup::new(PROGRAM, "up").config(quiet));
    let servers = setups.each_ref().map(Setup::start);
    let addresses = servers.each_ref().map(|server| server.address("otlp_grpc"));
    let agent = Setup::new(PROGRAM, "agent")
        .config(&format!(
            "agent:\n  host: {{enabled: false}}\n  collectors: ['{}', '{}']\n  concurrency: 2\n",
            addresses[0], addresses[1]
        ))
        .start();
    let send = async |text: &str| {
        let record = log(now(), text, &[]);
        agent.otlp().export("logs", &logs("shop", &[record])).await;
    };
    let arrived = async |server: &Server, records: usize| {
        let query = server.query();
        wait::eventually("the records", wait::LONG, async || {
            let found = query.all_logs("service:shop").await.len();
            assert!(found <= records, "{found} of {records} records");
            (found == records).then_some(())
        })
        .await;
    };
    send("for both").await;
    for server in &servers {
        arrived(server, 1).await;
    }
    let [first, second] = servers;
    second.kill();
    send("for one").await;
    arrived(&first, 2).await;
    let second = setups[1].clone().listen("otlp_grpc", &addresses[1]).start();
    arrived(&second, 2).await;
    arrived(&first, 2).await;
}
