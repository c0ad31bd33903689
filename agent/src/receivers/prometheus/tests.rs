use std::borrow::Cow;
use std::time::{Duration, Instant};

use config::{Config, TargetGroup};
use model::metric::PointValue;
use model::{Signal, prometheus};
use otlp::rows::Rows;

use super::fetch::{Answer, ScrapeError};
use super::ingest::{Cache, Counts, Patience, ingest};
use super::labels::Labels;
use super::protocols::Format;
use super::request::Requests;
use super::sample::{Exemplar, Family, Sample};
use super::text::{self, TextError};
use super::*;

/// The settings of one job, from its lines in YAML.
pub(super) fn settings(lines: &str) -> ScrapeSettings {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.yml");
    let indented = lines.replace('\n', "\n      ");
    let text = format!("agent:\n  scrape_configs:\n    - job_name: j\n      {indented}\n");
    std::fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), std::iter::empty()).unwrap();
    config.agent.scrape_configs[0].0.clone()
}

fn samples(text: &str, open_metrics: bool) -> Result<Vec<(Family, String)>, TextError> {
    let mut found = Vec::new();
    text::read(
        text,
        open_metrics,
        &mut |family: &Family, sample: Sample<'_>| {
            found.push((family.clone(), format!("{sample:?}")));
            Ok::<(), TextError>(())
        },
    )?;
    Ok(found)
}

fn one(line: &str, open_metrics: bool) -> String {
    let text = if open_metrics {
        format!("{line}\n# EOF\n")
    } else {
        line.to_owned()
    };
    samples(&text, open_metrics).unwrap().remove(0).1
}

#[test]
fn samples_of_both_formats_are_read() {
    let sample = |name: &'static str, labels: &[(&'static str, &'static str)], value| Sample {
        name: Cow::Borrowed(name),
        labels: labels
            .iter()
            .map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value)))
            .collect(),
        value,
        ..Sample::default()
    };
    let cases = [
        ("a 1", sample("a", &[], 1.0)),
        ("  a{} \t-Inf ", sample("a", &[], f64::NEG_INFINITY)),
        (
            r#"a:b_1{c="x\\\"\n", d="",} 1e3 -5"#,
            Sample {
                time_ms: Some(-5),
                ..sample("a:b_1", &[("c", "x\\\"\n"), ("d", "")], 1e3)
            },
        ),
        (
            r#"{"my.metric","l.x"="v",y="z"} +Inf"#,
            sample("my.metric", &[("l.x", "v"), ("y", "z")], f64::INFINITY),
        ),
        ("a 0.5\r", sample("a", &[], 0.5)),
    ];
    for (line, expected) in cases {
        assert_eq!(one(line, false), format!("{expected:?}"), "{line}");
    }
    let exemplar = Exemplar {
        labels: vec![(Cow::Borrowed("trace_id"), Cow::Borrowed("ab"))],
        value: 0.5,
        time_ms: Some(1_500),
    };
    let expected = Sample {
        time_ms: Some(1_234),
        exemplars: vec![exemplar],
        ..sample("a_bucket", &[("le", "1")], 3.0)
    };
    let line = r#"a_bucket{le="1"} 3 1.2341 # {trace_id="ab"} 0.5 1.5"#;
    assert_eq!(one(line, true), format!("{expected:?}"));
}

#[test]
fn families_describe_the_samples_that_follow() {
    let text = "# HELP x_total Help \\\\ and\\nmore.\n# TYPE x_total counter\n# a comment\nx_total 1\n\
                \x20 # another one\n\t# TYPE h histogram\n# UNIT h seconds\nh_bucket{le=\"1\"} 1\nh_sum 1\nhx 2\n\
                # TYPE \"q.x\" untyped\n{\"q.x\"} 1\n";
    let found = samples(text, false).unwrap();
    let family = |name: &str, kind: &str, help: &str, unit: &str| Family {
        name: name.to_owned(),
        kind: kind.to_owned(),
        help: help.to_owned(),
        unit: unit.to_owned(),
    };
    let families: Vec<Family> = found.into_iter().map(|(family, _)| family).collect();
    assert_eq!(
        families,
        [
            family("x_total", "counter", "Help \\ and\nmore.", ""),
            family("h", "histogram", "", "seconds"),
            family("h", "histogram", "", "seconds"),
            Family::default(),
            family("q.x", "unknown", "", ""),
        ]
    );
}

#[test]
fn what_does_not_read_is_told_with_its_line() {
    for (text, open_metrics) in [
        ("a", false),
        ("a x", false),
        ("a{b} 1", false),
        ("a{b=c} 1", false),
        ("a{b=\"c} 1", false),
        ("a{b=\"c\" d=\"e\"} 1", false),
        ("a{b=\"c\",b=\"d\"} 1", false),
        ("a{\"b\"} 1", false),
        ("{a=\"b\"} 1", false),
        ("1a 1", false),
        ("a 1 2 3", false),
        ("a 1 1.5", false),
        ("a 1 # {} 1", false),
        ("a 1\n", true),
        ("a 1\n# EOF\nb 1\n", true),
        (" # indented\n# EOF\n", true),
        ("a 1 NaN\n# EOF\n", true),
        ("\u{0}\u{1}binary", false),
    ] {
        let found = samples(&format!("\n{text}"), open_metrics);
        assert!(
            found.as_ref().is_err_and(|error| error.line >= 2),
            "{text}: {found:?}"
        );
    }
}

fn relabeled(lines: &str, labels: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let settings = settings(&format!("relabel_configs:\n{lines}"));
    let mut labels: Labels = labels.iter().copied().collect();
    let kept = relabel::apply(&settings.relabel_configs, &mut labels);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    kept.then(|| labels.iter().map(owned).collect())
}

#[test]
fn every_action_of_relabeling_works() {
    let labels = [("a", "Foo"), ("b", "bar"), ("tmp_x", "1")];
    let after = |lines: &str| {
        let found = relabeled(lines, &labels)?;
        let pairs: Vec<String> = found.iter().map(|(k, v)| format!("{k}={v}")).collect();
        Some(pairs.join(" "))
    };
    let all = "a=Foo b=bar tmp_x=1";
    let cases = [
        (
            "- {source_labels: [a, b], target_label: c, regex: '(.*);(?P<n>.).*', replacement: '$2-${1}-$n'}",
            Some("a=Foo b=bar c=b-Foo-b tmp_x=1"),
        ),
        (
            "- {source_labels: [a], target_label: '${1}', regex: 'F(oo)'}",
            Some("a=Foo b=bar oo=oo tmp_x=1"),
        ),
        (
            "- {source_labels: [a], target_label: c, regex: 'fo+'}",
            Some(all),
        ),
        (
            "- {target_label: b, replacement: ''}",
            Some("a=Foo tmp_x=1"),
        ),
        (
            "- {source_labels: [a, b], separator: '', regex: Foobar, action: keep}",
            Some(all),
        ),
        ("- {source_labels: [a], regex: oo, action: keep}", None),
        ("- {source_labels: [a], regex: F.*, action: drop}", None),
        (
            "- {source_labels: [missing], regex: '', action: drop}",
            None,
        ),
        (
            "- {source_labels: [a], target_label: b, action: keepequal}",
            None,
        ),
        (
            "- {source_labels: [b], target_label: b, action: keepequal}",
            Some(all),
        ),
        (
            "- {source_labels: [b], target_label: b, action: dropequal}",
            None,
        ),
        (
            "- {source_labels: [a], target_label: c, modulus: 1000, action: hashmod}",
            Some("a=Foo b=bar c=229 tmp_x=1"),
        ),
        (
            "- {regex: 'tmp_(.*)', replacement: 'k_$1', action: labelmap}",
            Some("a=Foo b=bar k_x=1 tmp_x=1"),
        ),
        (
            "- {regex: 'tmp_.*', action: labeldrop}",
            Some("a=Foo b=bar"),
        ),
        ("- {regex: 'a|b', action: labelkeep}", Some("a=Foo b=bar")),
        (
            "- {source_labels: [a], target_label: a, action: lowercase}",
            Some("a=foo b=bar tmp_x=1"),
        ),
        (
            "- {source_labels: [a, b], target_label: c, action: uppercase}",
            Some("a=Foo b=bar c=FOO;BAR tmp_x=1"),
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(after(lines).as_deref(), expected, "{lines}");
    }
}

#[test]
fn targets_get_their_labels_and_url() {
    let settings = settings(
        "metrics_path: m\nparams: {x: [a b, c], y: ['1']}\nscrape_interval: 10s\n\
         relabel_configs:\n- {source_labels: [__meta_filepath], target_label: file}\n\
         - {target_label: __param_y, replacement: '2'}\n\
         - {source_labels: [__address__], regex: 'drop.*', action: drop}",
    );
    let group = TargetGroup {
        targets: ["h:1", "drop:1", "a/b"].map(str::to_owned).to_vec(),
        labels: [("zone".to_owned(), "z".to_owned())].into(),
    };
    let built = target::of_group(&settings, &group, Some(("__meta_filepath", "f.json")));
    let [Ok(target), Err(problem)] = &built[..] else {
        panic!("{built:?}");
    };
    assert_eq!(target.url, "http://h:1/m?x=a%20b&x=c&y=2");
    let labels: Vec<_> = target.labels.iter().collect();
    let expected = [
        ("file", "f.json"),
        ("instance", "h:1"),
        ("job", "j"),
        ("zone", "z"),
    ];
    assert_eq!(labels, expected);
    assert_eq!(target.timeout, Duration::from_secs(10));
    assert!(target.offset() < target.interval);
    assert!(problem.contains("a/b"), "{problem}");
}

#[test]
fn relabeling_scrapes_no_target_more_often_than_a_job_may_be() {
    let built = |interval: &str| {
        let settings = settings(&format!(
            "relabel_configs: [{{target_label: __scrape_interval__, replacement: '{interval}'}}]"
        ));
        let group = TargetGroup {
            targets: vec!["h:1".to_owned()],
            labels: [].into(),
        };
        target::of_group(&settings, &group, None).remove(0)
    };
    for (text, interval) in [
        ("100ms", Duration::from_millis(100)),
        ("1d", Duration::from_secs(86_400)),
    ] {
        assert_eq!(built(text).map(|target| target.interval), Ok(interval));
    }
    for text in ["99ms", "1ms", "25h", "0s", "often"] {
        let problem = built(text).expect_err(text);
        assert!(problem.contains("__scrape_interval__ of h:1"), "{problem}");
        assert!(problem.contains(text), "{problem}");
    }
}

/// What becomes of an answer: each point with its labels, or why there is none.
pub(super) struct Scraped {
    settings: ScrapeSettings,
    cache: Cache,
    now_ms: u64,
    /// Of the last scrape, whether it was taken or not.
    counts: Counts,
    patience: Patience,
}

impl Scraped {
    pub(super) fn new(lines: &str) -> Self {
        let budget = Arc::new(Budget::new(usize::MAX));
        Self {
            patience: Patience {
                began: Instant::now(),
                most: Duration::MAX,
                stop: watch::channel(false).1,
            },
            settings: settings(lines),
            cache: Cache::new(budget.room(usize::MAX)),
            now_ms: 1_000,
            counts: Counts::default(),
        }
    }

    pub(super) fn take(&mut self, text: &str) -> Result<(Vec<String>, Counts), ScrapeError> {
        self.take_within(text, usize::MAX)
    }

    fn take_within(
        &mut self,
        text: &str,
        most: usize,
    ) -> Result<(Vec<String>, Counts), ScrapeError> {
        let format = match text.contains("# EOF") {
            true => Format::OpenMetrics,
            false => Format::Text,
        };
        self.take_body(text.as_bytes(), format, most)
    }

    pub(super) fn take_body(
        &mut self,
        body: &[u8],
        format: Format,
        most: usize,
    ) -> Result<(Vec<String>, Counts), ScrapeError> {
        let budget = Arc::new(Budget::new(usize::MAX));
        let answer = Answer {
            body: body.to_vec(),
            format,
            _room: budget.room(usize::MAX),
        };
        let target: Labels = [("job", "j"), ("instance", "h:1")].into_iter().collect();
        let (settings, cache) = (&self.settings, &mut self.cache);
        let (requests, counts) = ingest(
            answer,
            settings,
            &target,
            self.now_ms,
            cache,
            budget.room(most),
            self.patience.clone(),
        );
        self.counts = counts;
        let requests = requests?;
        self.now_ms += 1_000;
        let mut lines = Vec::new();
        for (request, count) in requests.finish() {
            let rows = Rows::decode(Signal::Metrics, &request).unwrap();
            assert_eq!(rows.points.len() as u64, count);
            for (series, point) in &rows.points {
                let labels = prometheus::base_labels(series);
                let labels: Vec<String> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                let value = match point.value {
                    _ if point.is_stale() => "stale".to_owned(),
                    PointValue::Double(value) => value.to_string(),
                    PointValue::Native(ref histogram) => {
                        format!("native {:?}", histogram.positive().collect::<Vec<_>>())
                    }
                    ref other => format!("{other:?}"),
                };
                let time = point.time_unix_nano / 1_000_000;
                let name = prometheus::base_name(series);
                let mut line = format!("{name}{{{}}} {value} @{time}", labels.join(","));
                if point.start_unix_nano > 0 {
                    line.push_str(&format!(" since {}", point.start_unix_nano));
                }
                for exemplar in &point.exemplars {
                    line.push_str(&format!(" # {:?}", exemplar.value.as_f64()));
                }
                lines.push(line);
            }
        }
        lines.sort();
        Ok((lines, counts))
    }
}

#[test]
fn what_is_missing_from_the_next_scrape_ends() {
    let mut scraped = Scraped::new("honor_timestamps: true");
    let (lines, counts) = scraped
        .take("a{x=\"1\"} 1\na{x=\"2\"} 2\nt 3 500\n")
        .unwrap();
    assert_eq!(
        lines,
        [
            "a{instance=h:1,job=j,x=1} 1 @1000",
            "a{instance=h:1,job=j,x=2} 2 @1000",
            "t{instance=h:1,job=j} 3 @500",
        ]
    );
    assert_eq!((counts.scraped, counts.kept, counts.added), (3, 3, 3));
    let (lines, counts) = scraped.take("a{x=\"2\"} 2\na{x=\"2\"} 9\n").unwrap();
    assert_eq!(
        lines,
        [
            "a{instance=h:1,job=j,x=1} stale @2000",
            "a{instance=h:1,job=j,x=2} 2 @2000",
        ]
    );
    assert_eq!((counts.repeated, counts.added), (1, 0));
    // An answer that does not read leaves everything as it was, for the caller to end.
    assert!(scraped.take("a{x=\"2\"} 2\nbroken\n").is_err());
    let mut requests = super::request::Requests::default();
    scraped.cache.end(9, &mut requests);
    assert_eq!(requests.finish()[0].1, 1);
}

#[test]
fn labels_of_target_and_sample_are_told_apart() {
    let text = "a{job=\"own\",exported_job=\"x\"} 1\n";
    let mut scraped = Scraped::new("honor_labels: false");
    let (lines, _) = scraped.take(text).unwrap();
    let renamed = "a{exported_exported_job=own,exported_job=x,instance=h:1,job=j} 1 @1000";
    assert_eq!(lines, [renamed]);
    let mut scraped = Scraped::new("honor_labels: true");
    let (lines, _) = scraped.take(text).unwrap();
    assert_eq!(lines, ["a{exported_job=x,instance=h:1,job=own} 1 @1000"]);
    // What stands for others says with an empty label that they have none.
    let text = "a{job=\"own\",instance=\"\"} 1\n";
    let (lines, _) = scraped.take(text).unwrap();
    assert_eq!(
        lines,
        [
            "a{exported_job=x,instance=h:1,job=own} stale @2000",
            "a{job=own} 1 @2000",
        ]
    );
    let mut scraped = Scraped::new("honor_labels: false");
    let (lines, _) = scraped.take(text).unwrap();
    assert_eq!(lines, ["a{exported_job=own,instance=h:1,job=j} 1 @1000"]);
    let mut scraped = Scraped::new(
        "honor_timestamps: false\nmetric_relabel_configs:\n\
         - {source_labels: [__name__], regex: b, action: drop}\n\
         - {source_labels: [__name__], target_label: __name__, replacement: 'n_$1'}",
    );
    let (lines, counts) = scraped.take("a 1 5\nb 1\n").unwrap();
    assert_eq!(lines, ["n_a{instance=h:1,job=j} 1 @1000"]);
    assert_eq!((counts.scraped, counts.kept), (2, 1));
}

#[test]
fn an_answer_that_takes_long_to_read_is_given_up() {
    let mut scraped = Scraped::new("honor_labels: false");
    let text: String = (0..200).map(|i| format!("m{i} 1\n")).collect();
    let (ended, stop) = watch::channel(false);
    scraped.patience.stop = stop;
    assert_eq!(scraped.take(&text).unwrap().1.kept, 200);
    scraped.patience.most = Duration::ZERO;
    let refused = scraped.take(&text).unwrap_err();
    assert_eq!(refused.label(), "timeout");
    ended.send(true).unwrap();
    assert!(matches!(scraped.take(&text), Err(ScrapeError::Stopped)));
    // What the scrape before had is known as before, so that it can be ended.
    let mut requests = Requests::default();
    scraped.cache.end(1, &mut requests);
    let rows: u64 = requests.finish().iter().map(|(_, rows)| rows).sum();
    assert_eq!(rows, 200);
}

#[test]
fn created_lines_say_when_counters_began_and_exemplars_stay() {
    let mut scraped = Scraped::new("honor_labels: false");
    let text = "# TYPE c counter\n# HELP c Count.\nc_total{x=\"1\"} 5 # {trace_id=\"000102030405060708090a0b0c0d0e0f\"} 2 1.5\n\
                c_created{x=\"1\"} 1.5\n# EOF\n";
    let budget = Arc::new(Budget::new(usize::MAX));
    let answer = Answer {
        body: text.into(),
        format: Format::OpenMetrics,
        _room: budget.room(usize::MAX),
    };
    let (requests, _) = ingest(
        answer,
        &scraped.settings,
        &Labels::default(),
        7_000,
        &mut scraped.cache,
        budget.room(usize::MAX),
        scraped.patience.clone(),
    );
    let (request, _) = requests.unwrap().finish().remove(0);
    let rows = Rows::decode(Signal::Metrics, &request).unwrap();
    let (series, point) = &rows.points[0];
    let family = prometheus::family(&series.metric).unwrap();
    assert_eq!(
        (family.name.as_str(), family.kind.as_str()),
        ("c", "counter")
    );
    assert_eq!(family.help, "Count.");
    assert_eq!(point.start_unix_nano, 1_500_000_000);
    assert_eq!(point.exemplars[0].trace_id.len(), 16);
    assert_eq!(point.exemplars[0].time_unix_nano, 1_500_000_000);
}

#[test]
fn exemplars_are_taken_once() {
    let mut scraped = Scraped::new("honor_labels: false");
    let mut take = |exemplar: &str| {
        let text = format!("# TYPE c counter\nc_total 5{exemplar}\n# EOF\n");
        scraped.take(&text).unwrap().0.remove(0)
    };
    let point = |time, exemplar: &str| format!("c_total{{instance=h:1,job=j}} 5 @{time}{exemplar}");
    let (told, has) = (" # {a=\"1\"} 2", " # Some(2.0)");
    assert_eq!(take(told), point(1000, has));
    assert_eq!(take(told), point(2000, ""));
    // It is the same one still, whatever was between.
    assert_eq!(take(""), point(3000, ""));
    assert_eq!(take(told), point(4000, ""));
    assert_eq!(take(" # {a=\"2\"} 2"), point(5000, has));
    assert_eq!(take(told), point(6000, has));
    // One that says when it was is another one at another time.
    assert_eq!(take(" # {a=\"1\"} 2 1.5"), point(7000, has));
    assert_eq!(take(" # {a=\"1\"} 2 1.5"), point(8000, ""));
    assert_eq!(take(" # {a=\"1\"} 2 2.5"), point(9000, has));
}

#[test]
fn ids_of_exemplars_are_hex_alone() {
    let id = |text: &str| super::ingest::bytes_of(text, 2);
    assert_eq!(id("0aFf"), Some(vec![0x0a, 0xff]));
    for wrong in ["+f+f", "0aF", "0aFf0", "0xff", "é0f"] {
        assert_eq!(id(wrong), None, "{wrong}");
    }
}

#[test]
fn series_with_times_of_their_own_end_where_that_is_asked_for() {
    let timed = "t{x=\"1\"} 1 500\nt{x=\"1\"} 2 600\nu 1\n";
    for (lines, ends) in [
        ("track_timestamps_staleness: false", false),
        ("track_timestamps_staleness: true", true),
    ] {
        let mut scraped = Scraped::new(lines);
        let (found, counts) = scraped.take(timed).unwrap();
        assert_eq!((found.len(), counts.repeated), (3, 0), "{found:?}");
        let (_, counts) = scraped.take(timed).unwrap();
        assert_eq!(counts.added, 0, "{lines}");
        let (found, _) = scraped.take("u 1\n").unwrap();
        let end = "t{instance=h:1,job=j,x=1} stale @3000".to_owned();
        assert_eq!(found.contains(&end), ends, "{lines}: {found:?}");
    }
}

#[test]
fn bounds_are_the_same_series_however_they_are_written() {
    let text = "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum{le=\"x\"} 1\n\
                # TYPE s summary\ns{quantile=\"0.50\"} 1\ng{le=\"1\"} 1\n";
    let (lines, _) = Scraped::new("honor_labels: false").take(text).unwrap();
    let has = |line: &str| lines.iter().any(|found| found.starts_with(line));
    assert!(has("h_bucket{instance=h:1,job=j,le=1.0}"), "{lines:?}");
    assert!(has("h_bucket{instance=h:1,job=j,le=+Inf}"), "{lines:?}");
    assert!(has("h_sum{instance=h:1,job=j,le=x}"), "{lines:?}");
    assert!(has("s{instance=h:1,job=j,quantile=0.5}"), "{lines:?}");
    assert!(has("g{instance=h:1,job=j,le=1}"), "{lines:?}");
}

#[test]
fn legacy_names_are_those_of_before() {
    let legacy = "metric_name_validation_scheme: legacy";
    for (text, fine) in [
        ("a_1:b{c_2=\"x y\"} 1\n", true),
        ("{\"a.b\"} 1\n", false),
        ("a{\"c.d\"=\"1\"} 1\n", false),
        ("a{\"c:d\"=\"1\"} 1\n", false),
    ] {
        let taken = Scraped::new(legacy).take(text);
        assert_eq!(taken.is_ok(), fine, "{text}");
        assert!(Scraped::new("honor_labels: false").take(text).is_ok());
        if let Err(error) = taken {
            assert_eq!(error.label(), "malformed");
        }
    }
}

#[test]
fn limits_fail_the_whole_scrape() {
    let text = "abc{label=\"value\"} 1\nb 1\n";
    for (lines, fine) in [
        ("sample_limit: 1", false),
        ("sample_limit: 2", true),
        ("label_limit: 3", false),
        ("label_limit: 4", true),
        ("label_name_length_limit: 7", false),
        ("label_name_length_limit: 8", true),
        ("label_value_length_limit: 4", false),
        ("label_value_length_limit: 5", true),
    ] {
        let taken = Scraped::new(lines).take(text);
        assert_eq!(taken.is_ok(), fine, "{lines}");
        if let Err(error) = taken {
            assert_eq!(error.label(), "too_large", "{lines}");
        }
    }
    // What is over a limit of samples is counted as a whole, and so is what an answer begins with.
    let mut scraped = Scraped::new(
        "sample_limit: 2\nmetric_relabel_configs:\n- {source_labels: [__name__], regex: drop, action: drop}",
    );
    let text = "a 1\nb 1\nc 1\ndrop 1\nd 1\n";
    assert!(scraped.take(text).is_err());
    let Counts {
        scraped: all,
        kept,
        added,
        ..
    } = scraped.counts;
    assert_eq!((all, kept, added), (5, 4, 2));
    let mut scraped = Scraped::new("honor_labels: true");
    assert!(scraped.take("a 1\nb 1\nbroken\nc 1\n").is_err());
    assert_eq!((scraped.counts.scraped, scraped.counts.kept), (2, 2));
    let many: String = (0..1_000).map(|n| format!("a{{n=\"{n}\"}} 1\n")).collect();
    let taken = Scraped::new("honor_labels: false").take_within(&many, 50_000);
    assert_eq!(taken.unwrap_err().label(), "memory");
}
