use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use super::super::tests::settings;
use super::*;

/// A token server that gives these answers, one after the other, and tells what it was asked.
fn server(answers: Vec<(&'static str, String)>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            loop {
                let length = stream.read(&mut buffer).unwrap();
                request.extend(&buffer[..length]);
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let head = text.find("\r\n\r\n").map(|at| at + 4);
                let sent = text
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                let whole = head.zip(sent.and_then(|sent| sent.parse::<usize>().ok()));
                if length == 0 || whole.is_some_and(|(head, sent)| request.len() >= head + sent) {
                    break;
                }
            }
            let _ = tell.send(String::from_utf8(request).unwrap());
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close");
            let _ = stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes());
        }
    });
    (url, told)
}

fn tokens(url: &str, more: &str) -> Tokens {
    let _already = rustls::crypto::ring::default_provider().install_default();
    let lines = format!("oauth2: {{client_id: 'a b', token_url: '{url}', {more}}}");
    Tokens::new(settings(&lines).oauth2.unwrap()).unwrap()
}

fn granted(token: &str, more: &str) -> (&'static str, String) {
    ("200 OK", format!("{{\"access_token\": \"{token}\"{more}}}"))
}

#[tokio::test]
async fn a_token_is_asked_for_once_while_it_lives() {
    let long = ", \"token_type\": \"bearer\", \"expires_in\": 3600";
    let (url, told) = server(vec![
        granted("first", long),
        granted("short", ", \"token_type\": \"MAC\", \"expires_in\": 5"),
        granted("third", ""),
    ]);
    let more = "client_secret: 'p:w', scopes: [x, y/z], endpoint_params: {audience: q&r}";
    let tokens = tokens(&url, more);
    assert_eq!(tokens.header().await.unwrap(), "Bearer first");
    assert_eq!(tokens.header().await.unwrap(), "Bearer first");
    let asked = told.recv().unwrap();
    // `a%20b:p%3Aw`
    assert!(asked.contains("Basic YSUyMGI6cCUzQXc="), "{asked}");
    let form = "grant_type=client_credentials&scope=x%20y%2Fz&audience=q%26r";
    assert!(asked.ends_with(form), "{asked}");
    tokens.forget("Bearer other").await;
    assert_eq!(tokens.header().await.unwrap(), "Bearer first");
    tokens.forget("Bearer first").await;
    // One that ends at once is used this time.
    assert_eq!(tokens.header().await.unwrap(), "MAC short");
    assert_eq!(tokens.header().await.unwrap(), "Bearer third");
    assert_eq!(tokens.header().await.unwrap(), "Bearer third");
}

#[tokio::test]
async fn a_server_that_takes_credentials_in_the_body_gets_them_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    std::fs::write(&file, "p w\n").unwrap();
    let (url, told) = server(vec![("401 Unauthorized", String::new()), granted("t", "")]);
    let tokens = tokens(&url, &format!("client_secret_file: '{}'", file.display()));
    assert_eq!(tokens.header().await.unwrap(), "Bearer t");
    assert!(
        told.recv()
            .unwrap()
            .ends_with("grant_type=client_credentials")
    );
    let asked = told.recv().unwrap();
    assert!(
        asked.ends_with("&client_id=a%20b&client_secret=p%20w"),
        "{asked}"
    );
}

#[tokio::test]
async fn what_is_no_token_fails_the_scrape_with_its_reason() {
    let long = "x".repeat(ANSWER_BYTES_MAX + 1);
    for (answer, reason) in [
        (("403 Forbidden", String::new()), "403"),
        (("200 OK", "{}".to_owned()), "has no token"),
        (("200 OK", "<html>".to_owned()), "has no token"),
        (("200 OK", long), "too long"),
    ] {
        let (url, _told) = server(vec![answer]);
        let error = tokens(&url, "client_secret: x").header().await.unwrap_err();
        assert_eq!(error.label(), "credentials");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let nobody = tokens("http://127.0.0.1:1/token", "client_secret: x");
    assert!(nobody.header().await.is_err());
}
