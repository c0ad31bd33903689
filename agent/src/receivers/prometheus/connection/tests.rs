use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use model::room::Budget;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::super::connector::Connector;
use super::super::fetch::{Asked, ScrapeError, fetch};
use super::super::target;
use super::super::tests::settings;
use super::*;

const CA: &str = include_str!("testdata/ca.pem");
/// Signed by the former, for `localhost`.
const CERTIFICATE: &str = include_str!("testdata/target.pem");
const KEY: &str = include_str!("testdata/target.key");

/// Reads a request and answers it; returns its head.
fn answer(mut stream: impl Read + Write, head: &str) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return String::new(),
            Ok(length) => request.extend(&buffer[..length]),
        }
    }
    let body = "a 1\n";
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
    String::from_utf8_lossy(&request).into_owned()
}

/// Answers each connection on a thread; what asked first is told.
fn serve<F>(each: F) -> (SocketAddr, std::sync::mpsc::Receiver<String>)
where
    F: Fn(TcpStream) -> String + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if tell.send(each(stream)).is_err() {
                return;
            }
        }
    });
    (address, told)
}

async fn scrape(lines: &str) -> Result<String, ScrapeError> {
    let settings = settings(lines);
    let _already = rustls::crypto::ring::default_provider().install_default();
    let connector = Connector::new(Arc::new(settings.clone())).unwrap();
    let group = &settings.static_configs[0];
    let target = target::of_group(&settings, group, None).remove(0).unwrap();
    let budget = Arc::new(Budget::new(1 << 20));
    let own = Connector::of_target(&Arc::new(settings.clone()), &target.url);
    let connector = own.map_or(connector, Result::unwrap);
    let asked = Asked {
        client: connector.look().0,
        named: connector.named(&target.url),
        tokens: None,
    };
    let answer = fetch(&asked, &settings, &target, &budget).await?;
    Ok(String::from_utf8(answer.body).unwrap())
}

#[tokio::test]
async fn a_target_is_known_by_the_certificates_that_are_configured() {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let server = Arc::new(server);
    let (address, _told) = serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&server)).unwrap();
        answer(rustls::StreamOwned::new(connection, stream), "200 OK")
    });
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, CA).unwrap();
    let target = format!(
        "scheme: https\nstatic_configs: [{{targets: [\"localhost:{}\"]}}]\n",
        address.port()
    );
    let refused = scrape(&target).await.unwrap_err();
    assert!(matches!(refused, ScrapeError::Connect(_)), "{refused}");
    for tls in [
        format!("{{ca_file: {}}}", ca.display()),
        format!("{{ca: {CA:?}, min_version: TLS13}}"),
        "{insecure_skip_verify: true}".to_owned(),
    ] {
        let text = scrape(&format!("{target}tls_config: {tls}")).await;
        assert_eq!(text.unwrap(), "a 1\n", "{tls}");
    }
    // The certificate has to have the name that is said, whatever the address.
    let target = format!("scheme: https\nstatic_configs: [{{targets: ['{address}']}}]\n");
    for (name, fine) in [("localhost", true), ("elsewhere", false)] {
        let tls = format!("{{ca: {CA:?}, server_name: {name}}}");
        let text = scrape(&format!("{target}tls_config: {tls}")).await;
        assert_eq!(text.is_ok(), fine, "{name}: {text:?}");
    }
}

#[tokio::test]
async fn requests_have_the_headers_of_their_job() {
    let (address, told) = serve(|stream| answer(stream, "200 OK"));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tenant");
    std::fs::write(&file, "from a file\n").unwrap();
    let lines = format!(
        "static_configs: [{{targets: ['{address}']}}]\nhttp_headers:\n  X-Scope-OrgID: {{values: [a], \
         secrets: [b], files: ['{}']}}",
        file.display()
    );
    scrape(&lines).await.unwrap();
    let asked = told.recv().unwrap();
    for value in ["a", "b", "from a file"] {
        let header = format!("x-scope-orgid: {value}\r\n");
        assert!(asked.contains(&header), "{asked}");
    }
    std::fs::remove_file(&file).unwrap();
    let error = scrape(&lines).await.unwrap_err();
    assert_eq!(error.label(), "credentials");
}

#[test]
fn clients_follow_the_files_that_they_are_made_of() {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, CA).unwrap();
    let lines = format!("tls_config: {{ca_file: '{}'}}", ca.display());
    let connector = Connector::new(Arc::new(settings(&lines))).unwrap();
    assert!(connector.has_files());
    assert_eq!(connector.look().1, None);
    // What does not read leaves what there is, and is told once.
    std::fs::write(&ca, "half a certificate").unwrap();
    let problem = connector.look().1.unwrap();
    assert!(problem.contains("ca"), "{problem}");
    assert_eq!(connector.look().1, None);
    std::fs::remove_file(&ca).unwrap();
    assert!(connector.look().1.is_some());
    std::fs::write(&ca, format!("{CA}\n")).unwrap();
    assert_eq!(connector.look().1, None);
    let none = Connector::new(Arc::new(settings("scheme: https"))).unwrap();
    assert!(!none.has_files());
}

#[tokio::test]
async fn requests_go_through_the_proxy_and_redirects_are_followed_where_they_may() {
    let (proxy, told) = serve(|stream| answer(stream, "200 OK"));
    let lines = format!(
        "proxy_url: http://{proxy}\nstatic_configs: [{{targets: [\"target.invalid:80\"]}}]"
    );
    assert_eq!(scrape(&lines).await.unwrap(), "a 1\n");
    let asked = told.recv().unwrap();
    let line = asked.lines().next();
    assert_eq!(line, Some("GET http://target.invalid/metrics HTTP/1.1"));

    let (moved, _told) = serve(move |stream| {
        answer(
            stream,
            &format!("302 Found\r\nLocation: http://{proxy}/there"),
        )
    });
    let target = format!("static_configs: [{{targets: [\"{moved}\"]}}]\n");
    let followed = scrape(&format!("{target}enable_http2: false")).await;
    assert_eq!(followed.unwrap(), "a 1\n");
    let refused = scrape(&format!("{target}follow_redirects: false")).await;
    assert!(
        matches!(refused, Err(ScrapeError::Status(302))),
        "{refused:?}"
    );
}

#[test]
fn files_that_do_not_read_are_named() {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let bad = dir.path().join("bad.pem");
    std::fs::write(&bad, "no certificate").unwrap();
    let bad = bad.display();
    for (tls, problem) in [
        ("{ca_file: /nowhere/ca.pem}".to_owned(), "/nowhere/ca.pem"),
        (format!("{{ca_file: {bad}}}"), "ca: "),
        (
            format!("{{cert_file: {bad}, key_file: {bad}}}"),
            "cert and key",
        ),
    ] {
        let error = client(Some(&settings(&format!("tls_config: {tls}")).access())).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
    assert!(is_plain(&settings("scheme: https").access()));
    assert!(!is_plain(&settings("follow_redirects: false").access()));
}
