//! A receiver of webhooks that can refuse.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

/// Listens on a port chosen by the system until the test ends.
pub struct Webhook {
    url: String,
    posts: Receiver<Value>,
}

impl Webhook {
    /// Answers the first `refused` posts with 503 and the others with 200.
    pub fn start(refused: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hook", listener.local_addr().expect("bound"));
        let (sender, posts) = channel();
        std::thread::spawn(move || serve(&listener, &sender, refused));
        Self { url, posts }
    }

    /// Where to post.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next post, refused ones included.
    pub fn next(&self, deadline: Duration) -> Value {
        self.posts
            .recv_timeout(deadline)
            .expect("a webhook in time")
    }

    /// Posts that came and were not looked at.
    pub fn rest(&self) -> Vec<Value> {
        self.posts.try_iter().collect()
    }
}

fn serve(listener: &TcpListener, sender: &Sender<Value>, mut refused: usize) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let Some(post) = read(&stream) else { continue };
        let status = if refused > 0 {
            "503 Service Unavailable"
        } else {
            "200 OK"
        };
        refused = refused.saturating_sub(1);
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        if sender.send(post).is_err() || (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
