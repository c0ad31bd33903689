use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::tests::settings;
use super::*;

/// Gives one answer after the other, each to a connection, and tells what was asked.
fn serve(answers: Vec<(&'static str, String)>) -> (String, std::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for (head, body) in answers {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(0) | Err(_) => break,
                    Ok(length) => request.extend(&buffer[..length]),
                }
            }
            let length = body.len();
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close");
            // The client may have gone away.
            let _ = write!(stream, "{head}\r\n\r\n{body}");
            let _ = tell.send(String::from_utf8_lossy(&request).into_owned());
        }
    });
    (format!("http://{address}/targets"), told)
}

#[tokio::test]
async fn the_last_list_holds_until_there_is_another_one() {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let list = |host: &str| format!(r#"[{{"targets": ["{host}:1"], "labels": {{"a": "b"}}}}]"#);
    let (url, asked) = serve(vec![
        ("200 OK", list("first")),
        ("500 Oh", String::new()),
        ("200 OK", "[{\"targets\": 5}]".to_owned()),
        ("204 No Content", String::new()),
        ("206 Partial Content", list("part")),
        ("200 OK", String::new()),
        ("200 OK", list("second")),
    ]);
    let lines = format!(
        "http_sd_configs: [{{url: '{url}', refresh_interval: 1s, basic_auth: {{username: u, password: p}}}}]"
    );
    let failures = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&failures);
    let failed = move || {
        count.fetch_add(1, Ordering::Relaxed);
    };
    let lists = Lists::start(&settings(&lines).http_sd_configs, failed).unwrap();
    let first_target = |lists: &Lists| lists.groups()[0].1[0].targets[0].clone();
    for (target, problem) in [
        ("first:1", None),
        ("first:1", Some("status 500")),
        ("first:1", Some("does not read")),
        ("first:1", Some("status 204")),
        ("first:1", Some("status 206")),
        ("first:1", Some("is empty")),
        ("second:1", None),
    ] {
        lists.changed().await;
        assert_eq!(first_target(&lists), target);
        let problems = lists.problems();
        match problem {
            None => assert!(problems.is_empty(), "{problems:?}"),
            Some(problem) => assert!(problems[0].contains(problem), "{problems:?}"),
        }
    }
    assert_eq!(failures.load(Ordering::Relaxed), 5);
    let request = asked.recv().unwrap().to_ascii_lowercase();
    for part in [
        "get /targets",
        "accept: application/json",
        "x-prometheus-refresh-interval-seconds: 1",
        "authorization: basic dtpw",
    ] {
        assert!(request.contains(part), "{part}: {request}");
    }
    let group = &lists.groups()[0];
    let target = super::super::target::of_group(
        &settings("relabel_configs: [{source_labels: [__meta_url], target_label: from}]"),
        &group.1[0],
        Some(("__meta_url", &group.0)),
    );
    assert_eq!(target[0].as_ref().unwrap().labels.get("from"), url);
}
