use super::*;

fn checked(content_type: Option<&str>, encoding: Option<&str>) -> Result<Format, u16> {
    let mut headers = HeaderMap::new();
    for (name, value) in [(CONTENT_TYPE, content_type), (CONTENT_ENCODING, encoding)] {
        if let Some(value) = value {
            headers.insert(name, value.parse().unwrap());
        }
    }
    check(&Method::POST, &headers).map_err(|(status, _)| status.as_u16())
}

#[test]
fn headers_name_the_version() {
    let one = Ok(Format::RemoteWrite1);
    let two = Ok(Format::RemoteWrite2);
    let cases = [
        (Some("application/x-protobuf"), Some("snappy"), one),
        (None, None, one),
        (
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
            Some("Snappy"),
            one,
        ),
        (
            Some("application/x-protobuf; proto=io.prometheus.write.v2.Request"),
            Some("snappy"),
            two,
        ),
        (
            Some("Application/X-Protobuf;proto=\"io.prometheus.write.v2.Request\";x=y"),
            Some("snappy"),
            two,
        ),
        (Some("application/x-protobuf;proto=other"), None, Err(415)),
        (Some("application/json"), Some("snappy"), Err(415)),
        (Some("application/x-protobuf"), Some("gzip"), Err(415)),
        (Some("application/x-protobuf"), Some("zstd"), Err(415)),
    ];
    for (content_type, encoding, expected) in cases {
        let found = checked(content_type, encoding);
        assert_eq!(found, expected, "{content_type:?} {encoding:?}");
    }
    let get = check(&Method::GET, &HeaderMap::new());
    assert_eq!(get.unwrap_err().0, StatusCode::METHOD_NOT_ALLOWED);
}

#[test]
fn what_may_come_again_is_not_given_up_on() {
    let retry_after = std::time::Duration::from_millis(1_500);
    let reason = String::from("busy");
    for verdict in [
        Verdict::Overloaded {
            retry_after,
            reason: reason.clone(),
        },
        Verdict::Unavailable {
            retry_after,
            reason,
        },
    ] {
        let response = refused(verdict);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        assert_eq!(response.headers()[&WRITTEN[0]], "0");
    }
    let large = refused(Verdict::TooLarge("large".to_owned()));
    assert_eq!(large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!large.headers().contains_key(RETRY_AFTER));
}
