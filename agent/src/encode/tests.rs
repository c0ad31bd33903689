use super::*;

#[test]
fn rows_of_what_we_write_are_counted() {
    let mut rows = Vec::new();
    let log = Log {
        body: Value::Str("x".repeat(300)),
        attributes: vec![KeyValue::new("a", 1i64)],
        ..Log::default()
    };
    put_log(&mut rows, &log);
    put_log(&mut rows, &log);
    let mut request = Vec::new();
    let resource = resource(&[KeyValue::new("service.name", "checkout")]);
    put_envelope(&mut request, &resource, &scope("filelog"), &rows);
    put_envelope(&mut request, &resource, &scope("filelog"), &rows);
    assert_eq!(count_rows(Signal::Logs, &request).unwrap(), 4);
    assert_eq!(count_rows(Signal::Logs, &[]).unwrap(), 0);
    assert!(count_rows(Signal::Logs, &request[..request.len() - 1]).is_err());
}

#[test]
fn points_are_the_rows_of_metrics() {
    let mut rows = Vec::new();
    let points: Vec<Point> = vec![
        (vec![("state", "used".to_owned())], Number::Int(-3)),
        (vec![("state", "free".to_owned())], Number::Double(0.5)),
    ];
    let kind = Kind::Counter { start_unix_nano: 7 };
    put_metric(&mut rows, ("m", "By", "help"), kind, 9, &points);
    put_metric(&mut rows, ("n", "1", ""), Kind::Gauge, 9, &points);
    let mut request = Vec::new();
    put_envelope(&mut request, &[], &scope("hostmetrics"), &rows);
    assert_eq!(count_rows(Signal::Metrics, &request).unwrap(), 4);
}

#[test]
fn long_messages_get_long_lengths() {
    let mut out = Vec::new();
    put_message(&mut out, 1, |out| out.extend_from_slice(&[b'x'; 20_000]));
    let mut reader = Reader::new(&out);
    let (number, field) = reader.next().unwrap().unwrap();
    assert_eq!(number, 1);
    assert_eq!(field.bytes(&reader).unwrap().len(), 20_000);
    assert!(reader.is_empty());
}
