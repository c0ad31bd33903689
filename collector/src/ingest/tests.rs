use std::borrow::Cow;

use bytes::Bytes;
use model::Tenant;
use model::row::{Decode, DecodeError, Undecoded};
use otlp::server::Transport;
use parking_lot::Mutex;

use storage::write::{SpanDetails, StoredSpan};

use super::*;

/// Decodes what it is given and keeps it; says what a test put in instead, if anything.
#[derive(Default)]
pub(crate) struct FakeSink {
    pub(crate) batches: Mutex<Vec<Batch>>,
    pub(crate) answer: Mutex<Option<Result<Ack, WriteError>>>,
    pub(crate) observer: Mutex<Option<Box<dyn Observe>>>,
    /// Up to where each write of counts covers spans, and what was said of all of them.
    pub(crate) covers: Mutex<Vec<Option<Mark>>>,
    pub(crate) counted: Mutex<Vec<Mark>>,
}

impl Sink for FakeSink {
    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Ack, WriteError>> {
        Box::pin(async move {
            if let Some(answer) = self.answer.lock().clone() {
                return answer;
            }
            let rows = match decoded(&batch) {
                Ok(rows) => rows,
                Err(Undecoded::Malformed(error)) => return Err(error.into()),
                Err(Undecoded::NoRoom(no)) => panic!("{no}"),
            };
            if let Some(observer) = &mut *self.observer.lock() {
                show(observer.as_mut(), &batch.tenant, &rows.spans);
            }
            self.batches.lock().push(batch);
            let accepted = rows.spans.len() + rows.logs.len() + rows.points.len();
            Ok(Ack {
                accepted: accepted as u64,
                rejected: rows.rejected,
                ..Ack::default()
            })
        })
    }

    fn write_counts(
        &self,
        batch: Batch,
        to: Option<Mark>,
    ) -> BoxFuture<'_, Result<Ack, WriteError>> {
        self.covers.lock().push(to);
        self.write(batch)
    }

    fn counted(&self, mark: Mark) {
        self.counted.lock().push(mark);
    }

    fn counts_wanted(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    fn observe(&self, observer: Box<dyn Observe>) {
        *self.observer.lock() = Some(observer);
    }

    fn observed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn budget(&self) -> Arc<Budget> {
        Arc::new(Budget::new(usize::MAX))
    }

    fn metrics(&self) -> Vec<Sample> {
        vec![Sample::new(
            "throughline_storage_rows_total",
            &[("signal", "logs")],
            7.0,
        )]
    }
}

fn decoded(batch: &Batch) -> Result<otlp::rows::Rows, Undecoded> {
    let mut rows = otlp::rows::Rows::default();
    crate::Decoder::default().decode(batch.format, batch.signal, &batch.request, &mut rows)?;
    Ok(rows)
}

/// A span's attributes and links, as they were sent.
struct Details<'a>(&'a model::Span, Arc<[String]>);

impl<'a> Details<'a> {
    fn text(&self, among: &'a [model::KeyValue], place: usize) -> Option<Cow<'a, str>> {
        let value = model::value::last(among, &self.1[place])?;
        Some(Cow::Owned(value.to_text()))
    }
}

impl<'a> SpanDetails<'a> for Details<'a> {
    fn attribute(&self, place: usize) -> Option<Cow<'a, str>> {
        self.text(&self.0.attributes, place)
    }

    fn resource_attribute(&self, place: usize) -> Option<Cow<'a, str>> {
        self.text(&self.0.resource.attributes, place)
    }

    fn links(&self, each: &mut dyn FnMut(model::TraceId, model::SpanId)) {
        for link in &self.0.links {
            let ids = (
                model::TraceId::from_wire(&link.trace_id),
                model::SpanId::from_wire(&link.span_id),
            );
            if let (Some(trace_id), Some(span_id)) = ids {
                each(trace_id, span_id);
            }
        }
    }
}

/// Shows spans as a store does.
pub(crate) fn show(observer: &mut dyn Observe, tenant: &Tenant, spans: &[model::Span]) {
    let attributes = observer.attributes();
    observer.spans(Mark::default(), &mut |see| {
        for span in spans {
            see(&StoredSpan {
                tenant,
                service: span.resource.service(),
                resource: &span.resource,
                name: &span.name,
                kind: span.kind,
                status: span.status_code,
                start_unix_nano: span.start_unix_nano,
                end_unix_nano: span.end_unix_nano,
                trace_id: span.trace_id,
                span_id: span.span_id,
                parent_span_id: span.parent_span_id,
                bytes: 100,
                details: &Details(span, Arc::clone(&attributes)),
            });
        }
    });
}

fn export(request: Bytes) -> Export {
    Export {
        tenant: Tenant::default(),
        signal: Signal::Traces,
        request,
        stamp: Some(StampHeaders {
            agent: "a".to_owned(),
            epoch: 1,
            ..StampHeaders::default()
        }),
        transport: Transport::Grpc,
        received_unix_nano: 0,
    }
}

#[tokio::test]
async fn rows_are_counted_and_rejects_explained() {
    let sink = Arc::new(FakeSink::default());
    let ingest = Ingest::new(Arc::clone(&sink) as Arc<dyn Sink>, Admission::new(4));
    let good = model::Span {
        trace_id: model::TraceId([1; 16]),
        span_id: model::SpanId([1; 8]),
        ..model::Span::default()
    };
    let spans = [good.clone(), good, model::Span::default()];
    let verdict = ingest
        .accept(export(otlp::encode::traces(&spans).into()))
        .await;
    let message = "1 spans rejected: 1 x span with a trace id that is not 16 bytes or is all zero";
    assert_eq!(
        verdict,
        Verdict::Accepted {
            rejected: 1,
            message: message.to_owned()
        }
    );
    assert_eq!(sink.batches.lock()[0].stamp.as_ref().unwrap().agent, "a");
    let value = |name: &str, label: &str| {
        let samples = ingest.metrics();
        let matches = |s: &&Sample| s.name == name && s.labels.iter().any(|(_, v)| v == label);
        samples.iter().filter(matches).map(|s| s.value).sum::<f64>()
    };
    assert_eq!(
        value("throughline_collector_accepted_rows_total", "traces"),
        2.0
    );
    assert_eq!(
        value(
            "throughline_collector_rejected_rows_total",
            "invalid_trace_id"
        ),
        1.0
    );
    let malformed = ingest.accept(export(Bytes::from_static(&[0xff]))).await;
    assert!(matches!(malformed, Verdict::Malformed(reason) if reason.contains("byte")));
    assert_eq!(
        value("throughline_collector_unstored_batches_total", "malformed"),
        1.0
    );
}

#[test]
fn what_the_store_says_becomes_what_the_sender_hears() {
    let error = DecodeError {
        offset: 3,
        reason: "truncated field",
    };
    let heard = refusal(WriteError::Malformed(error));
    assert!(matches!(heard, Verdict::Malformed(text) if text.contains("byte 3")));
    let too_large = WriteError::TooLarge("many bytes".to_owned());
    let heard = refusal(too_large);
    assert_eq!(heard, Verdict::TooLarge("many bytes".to_owned()));
    let retry = WriteError::Retry {
        reason: "disk full".to_owned(),
        after_ms: 1500,
    };
    let heard = refusal(retry);
    let retry_after = Duration::from_millis(1500);
    assert_eq!(
        heard,
        Verdict::Unavailable {
            retry_after,
            reason: "disk full".to_owned()
        }
    );
    assert!(matches!(
        refusal(WriteError::Closed),
        Verdict::Unavailable { .. }
    ));
    let duplicate = Ack {
        duplicate: true,
        ..Ack::default()
    };
    assert_eq!(success(Signal::Logs, &duplicate), Verdict::STORED);
}

#[tokio::test]
async fn nobody_is_let_in_after_the_door_is_closed() {
    let ingest = Ingest::new(Arc::new(FakeSink::default()), Admission::new(1));
    ingest.admission().close();
    let heard = ingest.accept(export(Bytes::new())).await;
    assert!(matches!(heard, Verdict::Unavailable { .. }));
}
