//! Requests between two services, and the spans that are their sides.

use std::borrow::Cow;

use model::{SpanKind, StatusCode, Tenant};
use storage::write::StoredSpan;

use crate::spanmetrics::histogram::Example;
use crate::spanmetrics::table::VALUE_BYTES_MAX;

/// How two services are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spanmetrics) enum Connection {
    /// One calls the other.
    Direct,
    /// Through a queue.
    Messaging,
    /// The other one is a database.
    Database,
    /// One of them sends no spans.
    Virtual,
}

impl Connection {
    /// The value of the label `connection_type`.
    pub(in crate::spanmetrics) fn label(self) -> &'static str {
        match self {
            Connection::Direct => "",
            Connection::Messaging => "messaging_system",
            Connection::Database => "database",
            Connection::Virtual => "virtual_node",
        }
    }
}

/// One request.
#[derive(Debug, PartialEq)]
pub(in crate::spanmetrics) struct Edge<'a> {
    pub client: Cow<'a, str>,
    pub server: Cow<'a, str>,
    pub connection: Connection,
    pub failed: bool,
    /// As the caller saw it, where it sends spans.
    pub client_side: Option<Example>,
    /// As the other side saw it; of a database as its caller did.
    pub server_side: Option<Example>,
    /// How long a message was on its way, where the clocks of its two sides allow to say.
    pub transit: Option<Example>,
    /// Which side sends no spans.
    pub virtual_side: VirtualSide,
}

/// The side of a request that sends no spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spanmetrics) enum VirtualSide {
    None,
    Client,
    Server,
}

impl VirtualSide {
    /// The value of the label `virtual_node`.
    pub(in crate::spanmetrics) fn label(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Why a span became no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::spanmetrics) enum Loss {
    /// Its other side did not come, nor is known.
    Unpaired,
    /// Too many waited for their other side.
    Dropped,
}

/// A span that became no request.
#[derive(Debug, PartialEq)]
pub(in crate::spanmetrics) struct Lost<'a> {
    /// Whose it is, if it is a caller's.
    pub client: &'a str,
    /// Whose it is otherwise.
    pub server: &'a str,
    pub connection: Connection,
    pub loss: Loss,
}

/// What becomes of spans.
#[derive(Debug, PartialEq)]
pub(in crate::spanmetrics) enum Event<'a> {
    Edge(Edge<'a>),
    Lost(Lost<'a>),
}

/// Takes what becomes of spans.
pub(in crate::spanmetrics) type Found<'f> = dyn FnMut(&Tenant, Event<'_>) + 'f;

/// A span that has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) service: &'a str,
    pub(super) example: Example,
    pub(super) start_unix_nano: u64,
    pub(super) failed: bool,
    pub(super) messaging: bool,
}

/// The same while it waits.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) service: Box<str>,
    pub(super) example: Example,
    pub(super) start_unix_nano: u64,
    pub(super) failed: bool,
    pub(super) messaging: bool,
}

impl Side<'_> {
    pub(super) fn keep(self) -> Kept {
        Kept {
            service: kept(self.service),
            example: self.example,
            start_unix_nano: self.start_unix_nano,
            failed: self.failed,
            messaging: self.messaging,
        }
    }
}

impl Kept {
    /// The span as one that became no request.
    pub(super) fn lost(&self, is_caller: bool, loss: Loss) -> Lost<'_> {
        let service = &*self.service;
        let (client, server) = if is_caller {
            (service, "")
        } else {
            ("", service)
        };
        let connection = if self.messaging {
            Connection::Messaging
        } else {
            Connection::Direct
        };
        Lost {
            client,
            server,
            connection,
            loss,
        }
    }

    pub(super) fn side(&self) -> Side<'_> {
        Side {
            service: &self.service,
            example: self.example,
            start_unix_nano: self.start_unix_nano,
            failed: self.failed,
            messaging: self.messaging,
        }
    }
}

pub(super) fn side<'a>(span: &StoredSpan<'a>, kind: SpanKind, example: Example) -> Side<'a> {
    Side {
        service: span.service,
        example,
        start_unix_nano: span.start_unix_nano,
        failed: span.status == StatusCode::Error as i32,
        messaging: matches!(kind, SpanKind::Producer | SpanKind::Consumer),
    }
}

/// A name as it is kept while a span waits: of one that is too long to be a label no more than
/// shows that it is.
pub(super) fn kept(name: &str) -> Box<str> {
    let end = name.floor_char_boundary(VALUE_BYTES_MAX + char::MAX.len_utf8());
    name[..end].into()
}

pub(super) fn join<'a>(client: Side<'a>, server: Side<'a>) -> Edge<'a> {
    Edge {
        client: Cow::Borrowed(client.service),
        server: Cow::Borrowed(server.service),
        connection: if client.messaging || server.messaging {
            Connection::Messaging
        } else {
            Connection::Direct
        },
        failed: client.failed || server.failed,
        client_side: Some(client.example),
        server_side: Some(server.example),
        transit: transit(client, server),
        virtual_side: VirtualSide::None,
    }
}

/// How long a message was on its way: from the end of its producer's span to the beginning of its
/// consumer's. Where that begins earlier, by its clock or since it waited for the message, nothing can be
/// said.
#[allow(clippy::cast_precision_loss)]
fn transit(producer: Side<'_>, consumer: Side<'_>) -> Option<Example> {
    if !producer.messaging || !consumer.messaging {
        return None;
    }
    let sent = producer.example.time_unix_nano;
    let nanos = consumer.start_unix_nano.checked_sub(sent)?;
    Some(Example {
        seconds: nanos as f64 / 1e9,
        ..consumer.example
    })
}
