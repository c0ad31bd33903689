//! Which attributes say whom a span calls.

use std::borrow::Cow;

use storage::write::StoredSpan;

/// Which attributes are looked at, by their place among those that the store is asked for.
#[derive(Debug)]
pub(in crate::spanmetrics) struct Attributes {
    /// What names a caller's peer.
    pub(super) peers: Vec<usize>,
    /// What names whoever calls a server.
    pub(super) callers: Vec<usize>,
    /// What tells that a peer is a database.
    database_marks: Vec<usize>,
    /// What names a database.
    database_names: Vec<usize>,
    address: usize,
    port: usize,
}

impl Attributes {
    /// `place` gives an attribute its place.
    pub(in crate::spanmetrics) fn new(
        peers: &[String],
        place: &mut dyn FnMut(&str) -> usize,
    ) -> Self {
        let mut all = |names: &[&str]| names.iter().map(|name| place(name)).collect::<Vec<_>>();
        Self {
            callers: all(&["peer.service", "service.peer.name"]),
            database_marks: all(&["db.namespace", "db.name", "db.system.name", "db.system"]),
            database_names: all(&[
                "peer.service",
                "service.peer.name",
                "server.address",
                "network.peer.address",
                "db.namespace",
                "db.name",
                "db.system.name",
                "db.system",
            ]),
            address: place("network.peer.address"),
            port: place("network.peer.port"),
            peers: peers.iter().map(|name| place(name)).collect(),
        }
    }

    pub(super) fn first<'a>(
        span: &StoredSpan<'a>,
        among: &[usize],
    ) -> Option<(usize, Cow<'a, str>)> {
        let mut found = among
            .iter()
            .filter_map(|at| Some((*at, span.details.attribute(*at)?)));
        found.find(|(_, text)| !text.is_empty())
    }

    /// The name of the database that a span calls, if it calls one.
    pub(super) fn database<'a>(&self, span: &StoredSpan<'a>) -> Option<Cow<'a, str>> {
        Self::first(span, &self.database_marks)?;
        let (at, name) = Self::first(span, &self.database_names)?;
        if at != self.address {
            return Some(name);
        }
        Some(match span.details.attribute(self.port) {
            Some(port) if !port.is_empty() => Cow::Owned(format!("{name}:{port}")),
            _ => name,
        })
    }
}
