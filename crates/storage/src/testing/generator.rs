//! Seeded rows that use every member and every value type.

use model::metric::{
    Buckets, Exemplar, ExemplarValue, ExponentialHistogram, Histogram, MetricKind, PointValue,
    Series, Temporality,
};
use std::sync::Arc;

use model::resource::EntityRef;
use model::*;

/// Seeded rows.
pub(crate) struct Generator {
    pub random: fastrand::Rng,
    resources: Vec<Arc<Resource>>,
    scopes: Vec<Arc<Scope>>,
}

/// 2026-01-02 00:00 less two hours: rows of a few hours lie on two days.
pub(crate) const BASE: u64 = 1_767_304_800_000_000_000;
const HOURS: u64 = 4 * 3_600 * time::NANOS_PER_SECOND;

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let mut this = Self {
            random: fastrand::Rng::with_seed(seed),
            resources: vec![],
            scopes: vec![],
        };
        for index in 0..5 {
            let mut attributes = vec![KeyValue::new("host.name", format!("host-{}", index % 2))];
            if index > 0 {
                attributes.push(KeyValue::new("service.name", format!("service-{index}")));
            }
            attributes.push(KeyValue {
                key: "shared".into(),
                value: this.value(0),
            });
            this.resources.push(Arc::new(Resource {
                attributes,
                dropped_attributes_count: index,
                entity_refs: (0..index % 3)
                    .map(|number| EntityRef {
                        schema_url: "https://example.com/entity".repeat(number as usize),
                        r#type: "host".to_owned(),
                        id_keys: vec!["host.name".to_owned(), String::new()],
                        description_keys: vec!["shared".to_owned(); number as usize],
                    })
                    .collect(),
                schema_url: "https://example.com/schema".repeat((index % 2) as usize),
            }));
            this.scopes.push(Arc::new(Scope {
                name: format!("scope-{}", index % 3),
                version: "1".repeat((index % 2) as usize),
                attributes: vec![KeyValue::new("shared", "of the scope")],
                dropped_attributes_count: index % 2,
                schema_url: "https://example.com/scope".repeat((index / 4) as usize),
            }));
        }
        this
    }

    fn text(&mut self) -> String {
        const TEXTS: [&str; 8] = [
            "",
            "card declined",
            "Connection refused by 10.0.0.7",
            "größe 日本 \u{1f600}",
            "user_id=42 request_id=abc-1",
            "x",
            "line\nbreak\t\"quoted\"",
            "000123",
        ];
        let text = TEXTS[self.random.usize(..TEXTS.len())];
        if self.random.bool() {
            return text.to_owned();
        }
        format!(
            "{text} {} took {}ms",
            self.random.u32(..50),
            self.random.u32(..5)
        )
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.random.u8(..if depth > 2 { 6 } else { 8 }) {
            0 => Value::Empty,
            1 => Value::Bool(self.random.bool()),
            2 => Value::Int(self.random.i64(-3..3)),
            3 => Value::Int(self.random.i64(..)),
            4 => Value::Double([0.5, 42.0, f64::NAN, f64::INFINITY, -0.0][self.random.usize(..5)]),
            5 => Value::Bytes((0..self.random.u8(..4)).collect()),
            6 => Value::Str(self.text()),
            _ if self.random.bool() => Value::Array(
                (0..self.random.u8(..3))
                    .map(|_| self.value(depth + 1))
                    .collect(),
            ),
            _ => Value::KvList(self.attributes(depth + 1, 3)),
        }
    }

    fn attributes(&mut self, depth: usize, most: u8) -> Vec<KeyValue> {
        const KEYS: [&str; 8] = [
            "http.method",
            "user.id",
            "request_id",
            "shared",
            "",
            "a b",
            "n",
            "http.method",
        ];
        (0..self.random.u8(..most))
            .map(|_| {
                let key = KEYS[self.random.usize(..KEYS.len())];
                let value = match key {
                    "request_id" => Value::Str(format!("req-{}", self.random.u32(..40))),
                    "user.id" if self.random.bool() => Value::Int(self.random.i64(..60)),
                    _ => self.value(depth),
                };
                KeyValue {
                    key: key.to_owned(),
                    value,
                }
            })
            .collect()
    }

    pub(crate) fn trace_id(&mut self) -> TraceId {
        let mut id = [7; 16];
        id[15] = self.random.u8(1..60);
        TraceId(id)
    }

    fn span_id(&mut self) -> SpanId {
        SpanId(u64::to_be_bytes(self.random.u64(1..200)))
    }

    pub(crate) fn span(&mut self) -> Span {
        let start = BASE + self.random.u64(..HOURS);
        let pick = self.random.usize(..5);
        let has_status = self.random.bool();
        Span {
            resource: self.resources[pick].clone(),
            scope: self.scopes[self.random.usize(..5)].clone(),
            trace_id: self.trace_id(),
            span_id: self.span_id(),
            parent_span_id: self.random.bool().then(|| self.span_id()),
            trace_state: if self.random.u8(..4) == 0 {
                self.text()
            } else {
                String::new()
            },
            flags: self.random.u32(..),
            name: format!("GET /item/{}", self.random.u8(..9)),
            kind: self.random.i32(-1..7),
            start_unix_nano: start,
            end_unix_nano: start.wrapping_add_signed(self.random.i64(-1_000..10_000_000_000)),
            attributes: self.attributes(0, 6),
            dropped_attributes_count: self.random.u32(..3),
            events: (0..self.random.u8(..3))
                .map(|_| Event {
                    time_unix_nano: start + self.random.u64(..1_000),
                    name: self.text(),
                    attributes: self.attributes(0, 3),
                    dropped_attributes_count: self.random.u32(..2),
                })
                .collect(),
            dropped_events_count: self.random.u32(..2),
            links: (0..self.random.u8(..3))
                .map(|_| Link {
                    trace_id: self.trace_id().0[..self.random.usize(..=16)].to_vec(),
                    span_id: vec![1; self.random.usize(..9)],
                    trace_state: self.text(),
                    attributes: self.attributes(0, 2),
                    dropped_attributes_count: 1,
                    flags: self.random.u32(..),
                })
                .collect(),
            dropped_links_count: self.random.u32(..2),
            status_code: if has_status {
                self.random.i32(-2..4)
            } else {
                0
            },
            status_message: if has_status {
                self.text()
            } else {
                String::new()
            },
            has_status,
            correlation: Vec::new(),
            clock: None,
        }
    }

    pub(crate) fn log(&mut self) -> LogRecord {
        let time = BASE + self.random.u64(..HOURS);
        let mut log = LogRecord {
            resource: self.resources[self.random.usize(..5)].clone(),
            scope: self.scopes[self.random.usize(..5)].clone(),
            time_unix_nano: if self.random.u8(..5) == 0 { 0 } else { time },
            observed_time_unix_nano: time + self.random.u64(..1_000),
            severity_number: self.random.i32(-1..26),
            severity_text: ["", "INFO", "error", "odd"][self.random.usize(..4)].to_owned(),
            body: if self.random.bool() {
                Value::Str(self.text())
            } else {
                self.value(0)
            },
            attributes: self.attributes(0, 6),
            dropped_attributes_count: self.random.u32(..2),
            flags: self.random.u32(..),
            trace_id: self.random.bool().then(|| self.trace_id()),
            span_id: self.random.bool().then(|| self.span_id()),
            event_name: if self.random.u8(..4) == 0 {
                self.text()
            } else {
                String::new()
            },
            correlation: Vec::new(),
            clock: None,
            has_empty_body: false,
        };
        log.has_empty_body = log.body == Value::Empty && log.flags % 2 == 1;
        log
    }

    fn point_value(&mut self) -> PointValue {
        let buckets = Buckets {
            offset: self.random.i32(-5..5),
            bucket_counts: vec![1, 0, 3],
        };
        match self.random.u8(..6) {
            0 => PointValue::Empty,
            1 => PointValue::Int(self.random.i64(..)),
            2 => PointValue::Double(self.random.f64()),
            3 => PointValue::Histogram(Histogram {
                count: 4,
                sum: self.random.bool().then_some(1.5),
                bucket_counts: vec![1, 3],
                explicit_bounds: vec![0.5],
                min: None,
                max: Some(2.0),
            }),
            4 => PointValue::Exponential(ExponentialHistogram {
                count: 4,
                sum: Some(-0.0),
                scale: -3,
                zero_count: u64::MAX,
                negative: (buckets.offset < 0).then(Buckets::default),
                positive: Some(buckets),
                min: None,
                max: Some(f64::INFINITY),
                zero_threshold: 0.1,
            }),
            _ => PointValue::Summary(model::metric::Summary {
                count: 2,
                sum: 3.0,
                quantiles: vec![(0.5, 1.0)],
            }),
        }
    }

    pub(crate) fn point(&mut self) -> (Series, DataPoint) {
        let kinds = [MetricKind::Gauge, MetricKind::Sum, MetricKind::Histogram];
        let metadata = [KeyValue::new("twice", 1i64), KeyValue::new("twice", "two")];
        let series = Series {
            resource: self.resources[self.random.usize(..5)].clone(),
            scope: self.scopes[self.random.usize(..2)].clone(),
            metric: Arc::new(Metric {
                name: format!("metric.{}", self.random.u8(..4)),
                description: String::new(),
                unit: "s".to_owned(),
                kind: kinds[self.random.usize(..3)],
                temporality: Temporality::Cumulative,
                monotonic: self.random.bool(),
                metadata: metadata[..self.random.usize(..=2)].to_vec(),
            }),
            attributes: vec![
                KeyValue::new("route", format!("/{}", self.random.u8(..4))),
                KeyValue::new("port", 8_080i64),
                KeyValue::new("", Value::Array(vec![Value::Empty, true.into()])),
            ],
        };
        let time = BASE + self.random.u64(..HOURS);
        let exemplar = Exemplar {
            filtered_attributes: vec![KeyValue::new("k", 1i64)],
            time_unix_nano: time,
            value: match time % 3 {
                0 => ExemplarValue::Empty,
                1 => ExemplarValue::Int(-1),
                _ => ExemplarValue::Double(1.0),
            },
            span_id: vec![1; (time % 9) as usize],
            trace_id: vec![2; 16],
        };
        let point = DataPoint {
            start_unix_nano: time.saturating_sub(self.random.u64(..9)),
            time_unix_nano: time,
            flags: self.random.u32(..2),
            value: self.point_value(),
            exemplars: if self.random.bool() {
                vec![exemplar]
            } else {
                vec![]
            },
        };
        (series, point)
    }
}
