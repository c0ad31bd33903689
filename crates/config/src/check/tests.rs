//! Whole configuration files: what is accepted, and every mistake with its place.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::environment::variable;
use crate::*;

fn from(text: &str) -> Result<Config, Vec<String>> {
    with_variables(text, &[])
}

fn with_variables(text: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let owned: Vec<(String, String)> = variables
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    let config = Config::from_text("f.yml", text, PathBuf::from("/etc/tl"), owned.into_iter());
    config.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn nothing_at_all_is_a_valid_configuration() {
    for text in ["", "# only a comment\n", "{}", "limits:\n"] {
        let config = from(text).unwrap();
        assert_eq!(
            config.listen.query,
            "127.0.0.1:4400".parse::<SocketAddr>().unwrap()
        );
        assert_eq!(config.limits.request_bytes, ByteSize(64 << 20));
        assert_eq!(config.correlation.keys, model::correlation::DEFAULT_KEYS);
        assert!(config.retention.traces.age.is_none());
    }
    assert!(Config::load(None, std::iter::empty()).is_ok());
}

#[test]
fn every_default_is_valid_and_in_its_range() {
    let _ = Config::default();
    for key in Config::keys() {
        let Some((least, most)) = key.range else {
            continue;
        };
        // Setting each key to the ends of its range must be accepted by that key.
        if key.path.contains("[]") || key.path.contains("multiline") {
            continue;
        }
        for value in [least, most] {
            let errors = with_variables("", &[(&variable(&key.path), value)]).err();
            let errors = errors.unwrap_or_default();
            assert!(errors.iter().all(|e| e.contains("wal_bytes")), "{errors:?}");
        }
    }
}

#[test]
fn a_full_configuration_is_read() {
    let config = from(
        r#"
data_dir: /var/lib/throughline
listen: {otlp_grpc: "0.0.0.0:4317", query: "[::1]:0"}
correlation:
  keys: [order_id]
  patterns: ['order=(?<order_id>\w+)', 'req ([0-9a-f]+)']
rules: {files: [rules/*.yml, /abs/one.yml], interval: 30s}
alerts:
  webhooks:
    - url: https://example.com/hook?x=1
    - {url: "http://localhost:9093/a", send_resolved: false, timeout: 2s}
agent:
  collector: collector:4317
  compression: gzip
  host: {enabled: false}
  queue: {bytes: 512MiB}
  files:
    - include: [/var/log/app/*.log]
      exclude: [/var/log/app/debug.log]
      format: json
      service: app
      attributes: {env: prod, version: 1.10}
      start_at: end
      multiline: {pattern: '^\s', match: before, max_lines: 100}
query: {collectors: ["http://a:4410", "https://b"]}
retention: {logs: {age: 7d, bytes: 10GiB}}
limits: {query_timeout: 5s, query_rows: 1_000}
promql: {experimental: false}
"#,
    )
    .unwrap();
    let files = config.rules.files.iter().map(|file| file.text.as_str());
    let files: Vec<&str> = files.collect();
    assert_eq!(files, ["/etc/tl/rules/*.yml", "/abs/one.yml"]);
    let keys: Vec<&str> = config
        .correlation
        .patterns
        .iter()
        .map(|p| p.key.as_str())
        .collect();
    assert_eq!(keys, ["order_id", "pattern"]);
    let collector = config.agent.collector.unwrap();
    assert_eq!(collector.url(), "http://collector:4317");
    let files = &config.agent.files[0];
    assert_eq!(files.attributes["version"], "1.10");
    assert_eq!(files.format, LogFormat::Json);
    let multiline = files.multiline.as_ref().unwrap();
    assert_eq!(
        (multiline.r#match, multiline.max_lines),
        (MatchSide::Before, 100)
    );
    assert!(multiline.pattern.0.is_match("  at x"));
    assert_eq!(config.query.collectors[1].url(), "https://b:443");
    assert_eq!(
        config.retention.logs.age,
        Some(Duration::from_secs(7 * 86_400))
    );
    assert!(!config.alerts.webhooks[1].send_resolved);
    assert_eq!(config.limits.query_rows, 1000);
}

#[test]
fn correlation_patterns_find_ids_through_the_model() {
    let config = from(r"correlation: {patterns: ['order=(?<order_id>\w+)']}").unwrap();
    let keys = config.correlation.to_model();
    let mut found = Vec::new();
    keys.text("shipping order=A1234567 now", &mut |key, value| {
        found.push((key.to_owned(), value.to_owned()));
    });
    assert!(
        found.contains(&("order_id".into(), "A1234567".into())),
        "{found:?}"
    );
}

#[test]
fn five_mistakes_are_five_errors_each_in_its_place() {
    let errors = from(
        "listen:\n  qery: 127.0.0.1:1\nlimits:\n  query_timeout: 30\n  query_rows: 0\n\
         agent:\n  files:\n    - include: [/x]\n      format: jsn\n\
         correlation:\n  patterns: ['(a)(b)']\n",
    )
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "f.yml:2:3: unknown key `qery` (did you mean `query`?)",
            "f.yml:4:18: expected a duration: `30` has no unit \
             (write it as in 500ms, 30s, 5m, 1h30m or 7d)",
            "f.yml:5:15: expected a whole number from 1 to 10000000, found `0`",
            "f.yml:9:15: expected one of `auto` `plain` `json` `logfmt` `cri` `docker`, \
             found `jsn` (did you mean `json`?)",
            "f.yml:11:14: expected a regular expression with one capture group, found 2 groups \
             (as in 'order=(?<order_id>\\w+)'; (?:...) groups without capturing)",
        ]
    );
}

#[test]
fn each_kind_of_mistake_says_what_was_expected() {
    for (text, expected) in [
        ("listen: 3", "f.yml:1:9: expected a map, found `3`"),
        ("- a", "f.yml:1:1: expected a map, found a list"),
        ("listen: {query: ':4400'}", "write 0.0.0.0:4400"),
        (
            "listen: {query: 'host:1'}",
            "expected an address to listen on, found `host:1`",
        ),
        ("data_dir: [a]", "expected text, found a list"),
        (
            "rules: {files: a.yml}",
            "expected a list, found `a.yml` (write [a.yml])",
        ),
        ("rules: {files: ['a[']}", "invalid wildcard"),
        ("alerts: {webhooks: [{}]}", "f.yml:1:21: `url` is missing"),
        (
            "alerts: {webhooks: [{url: 'ftp://x'}]}",
            "expected an http or https URL",
        ),
        (
            "alerts: {webhooks: [{url: 'http://x y'}]}",
            "expected an http or https URL",
        ),
        (
            "agent: {collector: 'a b:1'}",
            "expected the address of another process",
        ),
        ("agent: {files: [{include: []}]}", "`include` is empty"),
        (
            "agent: {queue: {bytes: 1XB}}",
            "expected a size in bytes: `XB` is not a unit of size",
        ),
        (
            "agent: {queue: {bytes: 1KiB}}",
            "expected a size in bytes from 16MiB to 1PiB",
        ),
        (
            "agent: {host: {enabled: yes}}",
            "expected true or false, found `yes` (write true)",
        ),
        (
            "agent: {attributes: {a: [b]}}",
            "expected text, found a list",
        ),
        (
            "correlation: {patterns: ['(']}",
            "invalid regular expression: unclosed group",
        ),
        (
            "limits: {query_rows: -1}",
            "expected a whole number, found `-1`",
        ),
        (
            "retention: {logs: {age: 1m}}",
            "expected a duration from 1h to 290y, found `1m`",
        ),
        (
            "limits: {wal_bytes: 16MiB}",
            "limits.wal_bytes (16MiB) is smaller than",
        ),
        (
            "listen: {query: '127.0.0.1:4317'}",
            "listen.query and listen.otlp_grpc are both",
        ),
        (
            "retention: {metrics: {age: 2d}, downsampling: {after: 2d}}",
            "retention.metrics.age is no longer than retention.downsampling.after",
        ),
        (
            "retention: {downsampling: {after: 2d}, tenants: [{tenant: a, metrics: {age: 1d}}]}",
            "retention.tenants[0].metrics.age is no longer than",
        ),
        ("zzz: 1", "known here: data_dir, listen"),
        ("a: b: c", "invalid YAML"),
    ] {
        let errors = from(text).unwrap_err();
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].contains(expected), "{text}: {errors:?}");
    }
}

#[test]
fn the_environment_overrides_the_file() {
    let config = with_variables(
        "listen: {query: '127.0.0.1:1'}\n",
        &[
            ("THROUGHLINE_LISTEN__QUERY", "127.0.0.1:2"),
            ("THROUGHLINE_RULES__FILES", "[a.yml, b.yml]"),
            ("THROUGHLINE_RETENTION__LOGS__AGE", "90d"),
            ("THROUGHLINE_CONFIG", "f.yml"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen.query.port(), 2);
    assert_eq!(config.rules.files.len(), 2);
    assert_eq!(
        config.retention.logs.age,
        Some(Duration::from_secs(90 * 86_400))
    );
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let errors = with_variables(
        "",
        &[
            ("THROUGHLINE_LISTEN__QUERRY", "127.0.0.1:2"),
            ("THROUGHLINE_LIMITS__QUERY_ROWS", "many"),
        ],
    )
    .unwrap_err();
    assert_eq!(
        errors,
        [
            "THROUGHLINE_LIMITS__QUERY_ROWS:1:1: expected a whole number, found `many`",
            "THROUGHLINE_LISTEN__QUERRY: unknown environment variable \
             (did you mean `THROUGHLINE_LISTEN__QUERY`?)",
        ]
    );
}

#[test]
fn an_agent_names_each_collector_once() {
    let both = "agent:\n  collector: a:1\n  collectors: [b:1]\n";
    let both = from(both).unwrap_err();
    assert_eq!(both.len(), 1);
    assert!(
        both[0].starts_with("f.yml:3:15: both `agent.collector` and `agent.collectors`"),
        "{both:?}"
    );
    let twice = from("agent: {collectors: ['a:1', 'b:1', 'http://a:1']}").unwrap_err();
    assert_eq!(twice, ["f.yml:1:36: http://a:1 is named twice"]);
    let config = from("agent: {collectors: [a:1, b:1], concurrency: 8}").unwrap();
    assert_eq!(config.agent.collectors.len(), 2);
    assert_eq!(config.agent.concurrency, 8);
}

#[test]
fn files_are_told_apart_and_checked_with_what_they_name() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let fine = |_: &str| Ok::<(), ExprError>(());
    let rules = write(
        "r1.yml",
        "groups: [{name: g, rules: [{record: a, exp: b}]}]\n",
    );
    let tests = write("t.yml", "rule_files: [r1.yml]\ntests: []\n");
    let config = write("c.yml", "rules: {files: ['r*.yml', gone.yml]}\n");
    assert_eq!(kind_of(&rules), Ok(FileKind::Rules));
    assert_eq!(kind_of(&tests), Ok(FileKind::RuleTests));
    assert_eq!(kind_of(&config), Ok(FileKind::Config));
    assert_eq!(check(&rules, |_| fine).len(), 2);
    assert_eq!(check(&tests, |_| fine).len(), 2);
    let errors = check(&config, |_| fine);
    assert_eq!(errors.len(), 1);
    let error = errors[0].to_string();
    let place = format!("{}:1:27: there is no rule file ", config.display());
    assert!(error.starts_with(&place), "{error}");
    assert!(error.ends_with("/gone.yml"), "{error}");
    let config = write("c.yml", "rules: {files: ['r*.yml']}\n");
    assert_eq!(check(&config, |_| fine).len(), 2);
    assert!(
        check(&dir.path().join("none"), |_| fine)[0]
            .to_string()
            .contains("cannot read")
    );

    let latin = dir.path().join("latin.yml");
    std::fs::write(&latin, b"data_dir: a\n# caf\xe9\n").unwrap();
    let errors = check(&latin, |_| fine);
    assert!(
        errors[0].to_string().ends_with(":2:6: not UTF-8 text"),
        "{errors:?}"
    );
}

#[test]
fn the_reference_names_every_key_with_its_default() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut missing = Vec::new();
    for key in Config::keys() {
        let default = key.default.unwrap_or("required");
        let range = key.range.map(|(least, most)| format!("{least} to {most}"));
        let row = format!(
            "| `{}` | {} | `{default}` | {} | {} |",
            key.path,
            key.kind.replace('|', "\\|"),
            range.unwrap_or_default(),
            key.doc
        );
        if !page.contains(&row) {
            missing.push(row);
        }
    }
    assert!(
        missing.is_empty(),
        "add to docs/configuration.md:\n{}",
        missing.join("\n")
    );
}

/// Mutated files end in errors inside the file, never in a panic or a hang.
#[test]
fn mutated_files_are_refused_in_place() {
    let samples = [
        "data_dir: /x\nlisten: {otlp_grpc: \"0.0.0.0:1\"}\ncorrelation:\n  keys: [a, b]\n  \
         patterns: ['o=(\\w+)']\nagent:\n  files:\n    - include: [/v/*.log]\n      \
         multiline: {pattern: '^\\s', match: before}\nlimits: &l\n  query_rows: 5\n",
        "groups:\n- name: a\n  labels: &x {t: \"s\\u0041\"}\n  rules:\n  - alert: A\n    \
         expr: |\n      up +\n        BAD\n    for: 5m\n    labels: {<<: *x, größe: 'it''s'}\n  \
         - record: r\n    expr: \"up{a=\\\"b\\\"} + BAD\"\n",
    ];
    let insertions = [
        '\0', '\t', '\n', ' ', '"', '#', '&', '\'', '*', '-', ':', '[', '{', '|', '>', '\\', 'é',
        '%', '!',
    ];
    let bad = |text: &str| match text.find("BAD") {
        Some(start) => Err(ExprError {
            start,
            end: start + 3,
            message: "bad".into(),
        }),
        None => Ok(()),
    };
    for sample in samples {
        let chars: Vec<char> = sample.chars().collect();
        for at in (0..chars.len()).step_by(2) {
            let (before, after) = chars.split_at(at);
            let mut texts = vec![[before, &after[1..]].concat(), before.to_vec()];
            let insertions = insertions.iter().cycle().skip(at * 3).take(3);
            texts.extend(insertions.map(|c| [before, &[*c], after].concat()));
            for text in texts {
                let text: String = text.into_iter().collect();
                let mut errors = Config::from_text("f", &text, PathBuf::new(), std::iter::empty())
                    .err()
                    .unwrap_or_default();
                errors.extend(parse_rule_file("f", &text, &bad).err().unwrap_or_default());
                let lines = u32::try_from(text.lines().count()).unwrap() + 1;
                for error in errors {
                    let inside = (1..=lines).contains(&error.line) && error.column > 0;
                    assert!(inside, "{error} in\n{text}");
                }
            }
        }
    }
}
