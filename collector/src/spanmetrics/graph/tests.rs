use std::collections::HashMap;

use model::Resource;

use super::*;
use crate::spanmetrics::table::VALUE_BYTES_MAX;
use storage::write::SpanDetails;

const WAIT: u64 = 10;

/// Attributes by place, and links.
#[derive(Default)]
struct Details {
    attributes: HashMap<usize, &'static str>,
    links: Vec<(TraceId, SpanId)>,
}

impl<'a> SpanDetails<'a> for Details {
    fn attribute(&self, place: usize) -> Option<Cow<'a, str>> {
        self.attributes.get(&place).map(|text| Cow::Borrowed(*text))
    }

    fn resource_attribute(&self, _: usize) -> Option<Cow<'a, str>> {
        None
    }

    fn links(&self, each: &mut dyn FnMut(TraceId, SpanId)) {
        for (trace_id, span_id) in &self.links {
            each(*trace_id, *span_id);
        }
    }
}

#[derive(Clone, Copy)]
struct Sent {
    service: &'static str,
    kind: SpanKind,
    trace: u8,
    id: u8,
    parent: Option<u8>,
    start: u64,
    failed: bool,
    attributes: &'static [(&'static str, &'static str)],
    links: &'static [(u8, u8)],
}

fn sent(service: &'static str, kind: SpanKind, id: u8, parent: Option<u8>) -> Sent {
    Sent {
        service,
        kind,
        trace: 1,
        id,
        parent,
        start: 0,
        failed: false,
        attributes: &[],
        links: &[],
    }
}

struct Fixture {
    graph: Graph,
    places: Vec<String>,
    edges: Vec<String>,
    lost: Vec<String>,
}

impl Fixture {
    fn new(most: usize) -> Self {
        let mut places: Vec<String> = Vec::new();
        let mut place = |name: &str| {
            let known = places.iter().position(|known| known == name);
            known.unwrap_or_else(|| {
                places.push(name.to_owned());
                places.len() - 1
            })
        };
        let peers = ["peer.service", "messaging.system", "server.address"].map(str::to_owned);
        let attributes = Attributes::new(&peers, &mut place);
        Self {
            graph: Graph::new(attributes, Duration::from_nanos(WAIT), most),
            places,
            edges: Vec::new(),
            lost: Vec::new(),
        }
    }

    fn see(&mut self, now: u64, sent: Sent) {
        self.see_of(&Tenant::default(), now, sent);
    }

    fn see_of(&mut self, tenant: &Tenant, now: u64, sent: Sent) {
        let place = |name: &str| self.places.iter().position(|known| known == name);
        let attributes = sent.attributes.iter();
        let details = Details {
            attributes: attributes
                .filter_map(|(name, value)| Some((place(name)?, *value)))
                .collect(),
            links: sent
                .links
                .iter()
                .map(|(trace, id)| (TraceId([*trace; 16]), SpanId([*id; 8])))
                .collect(),
        };
        let trace_id = TraceId([sent.trace; 16]);
        let span_id = SpanId([sent.id; 8]);
        let span = StoredSpan {
            tenant,
            service: sent.service,
            resource: &Resource::default(),
            name: "op",
            kind: sent.kind as i32,
            status: if sent.failed { 2 } else { 0 },
            start_unix_nano: sent.start,
            end_unix_nano: now,
            trace_id,
            span_id,
            parent_span_id: sent.parent.map(|id| SpanId([id; 8])),
            bytes: 0,
            details: &details,
        };
        let example = Example {
            trace_id,
            span_id,
            time_unix_nano: now,
            seconds: f64::from(sent.id),
        };
        let told = (&mut self.edges, &mut self.lost);
        let mut tell = teller(told);
        self.graph.see(&span, example, now, &mut tell);
    }

    fn expire(&mut self, now: u64) {
        let told = (&mut self.edges, &mut self.lost);
        let mut tell = teller(told);
        self.graph.expire(now, &mut tell);
    }

    #[track_caller]
    fn assert_lost(&mut self, lost: &[&str]) {
        let mut told = std::mem::take(&mut self.lost);
        told.sort();
        assert_eq!(told, lost);
    }

    #[track_caller]
    fn assert(&mut self, edges: &[&str], (held, unpaired, evicted): (usize, u64, u64)) {
        assert_eq!(std::mem::take(&mut self.edges), edges);
        assert_eq!(self.graph.held(), held);
        assert_eq!(self.graph.outcomes, Outcomes { unpaired, evicted });
        assert_eq!(self.graph.waiting.is_empty(), held == 0);
    }
}

/// Writes down what becomes of spans.
fn teller<'t>(
    (edges, lost): (&'t mut Vec<String>, &'t mut Vec<String>),
) -> impl FnMut(&Tenant, Event<'_>) + 't {
    move |tenant, event| match event {
        Event::Edge(edge) => edges.push(told(tenant, &edge)),
        Event::Lost(Lost {
            client,
            server,
            connection,
            loss,
        }) => lost.push(format!("{client}>{server} {connection:?} {loss:?}")),
    }
}

fn told(tenant: &Tenant, edge: &Edge<'_>) -> String {
    let side = |side: Option<Example>| side.map_or("-".to_owned(), |side| side.seconds.to_string());
    let tenant = match tenant.as_str() {
        "default" => String::new(),
        other => format!("{other}: "),
    };
    let failed = if edge.failed { " failed" } else { "" };
    let transit = edge
        .transit
        .map_or(String::new(), |way| format!(" in {}", way.seconds));
    format!(
        "{tenant}{} {} {:?} {} {}{failed}{transit}",
        edge.client,
        edge.server,
        edge.connection,
        side(edge.client_side),
        side(edge.server_side)
    )
}

#[test]
fn the_two_sides_of_a_call_are_joined_whichever_comes_first() {
    let mut fixture = Fixture::new(100);
    let call = sent("web", SpanKind::Client, 2, Some(1));
    let answer = Sent {
        failed: true,
        ..sent("cart", SpanKind::Server, 3, Some(2))
    };
    fixture.see(0, call);
    fixture.assert(&[], (1, 0, 0));
    fixture.see(WAIT - 1, answer);
    fixture.assert(&["web cart Direct 2 3 failed"], (0, 0, 0));
    fixture.see(20, answer);
    fixture.see(21, call);
    fixture.assert(&["web cart Direct 2 3 failed"], (0, 0, 0));
    fixture.expire(1000);
    fixture.assert(&[], (0, 0, 0));
}

#[test]
fn several_servers_of_one_call_wait_for_it() {
    let mut fixture = Fixture::new(100);
    fixture.see(0, sent("a", SpanKind::Server, 3, Some(2)));
    fixture.see(1, sent("b", SpanKind::Server, 4, Some(2)));
    fixture.assert(&[], (2, 0, 0));
    fixture.see(2, sent("web", SpanKind::Client, 2, None));
    fixture.assert(&["web a Direct 2 3", "web b Direct 2 4"], (0, 0, 0));
}

#[test]
fn spans_of_other_tenants_and_traces_are_not_joined() {
    let mut fixture = Fixture::new(100);
    fixture.see(0, sent("web", SpanKind::Client, 2, None));
    let server = sent("cart", SpanKind::Server, 3, Some(2));
    fixture.see_of(&Tenant::new("other").unwrap(), 1, server);
    fixture.see(1, Sent { trace: 9, ..server });
    fixture.assert(&[], (3, 0, 0));
    fixture.expire(100);
    fixture.assert(&[], (0, 3, 0));
    fixture.assert_lost(&[
        ">cart Direct Unpaired",
        ">cart Direct Unpaired",
        "web> Direct Unpaired",
    ]);
}

#[test]
fn a_database_needs_no_spans_of_its_own() {
    let mut fixture = Fixture::new(100);
    let call = sent("cart", SpanKind::Client, 2, Some(1));
    for attributes in [
        &[("db.system", "redis"), ("server.address", "cache-1")][..],
        &[("db.name", "orders")],
        &[("db.namespace", "shop"), ("peer.service", "main-db")],
        &[
            ("db.system.name", "mysql"),
            ("network.peer.address", "10.0.0.9"),
            ("network.peer.port", "3306"),
        ],
        &[("db.system", "sqlite")],
    ] {
        fixture.see(0, Sent { attributes, ..call });
    }
    fixture.assert(
        &[
            "cart cache-1 Database 2 2",
            "cart orders Database 2 2",
            "cart main-db Database 2 2",
            "cart 10.0.0.9:3306 Database 2 2",
            "cart sqlite Database 2 2",
        ],
        (0, 0, 0),
    );
}

#[test]
fn whoever_sends_no_spans_is_a_virtual_node() {
    let mut fixture = Fixture::new(100);
    fixture.see(0, sent("web", SpanKind::Server, 1, None));
    let named = &[("peer.service", "scheduler"), ("server.address", "web")];
    let attributes = Sent {
        attributes: named,
        ..sent("web", SpanKind::Server, 1, None)
    };
    fixture.see(0, attributes);
    fixture.assert(
        &["user web Virtual - 1", "scheduler web Virtual - 1"],
        (0, 0, 0),
    );

    let call = Sent {
        attributes: &[("server.address", "bank.example")],
        failed: true,
        ..sent("web", SpanKind::Client, 2, Some(1))
    };
    fixture.see(0, call);
    fixture.see(1, sent("web", SpanKind::Client, 4, Some(1)));
    fixture.see(2, sent("cart", SpanKind::Server, 6, Some(5)));
    fixture.expire(WAIT - 1);
    fixture.assert(&[], (3, 0, 0));
    fixture.expire(WAIT + 2);
    fixture.assert(&["web bank.example Virtual 2 - failed"], (0, 2, 0));
    fixture.assert_lost(&[">cart Direct Unpaired", "web> Direct Unpaired"]);
    // A server that comes after all does not count the request once more.
    fixture.see(WAIT + 3, sent("bank", SpanKind::Server, 3, Some(2)));
    fixture.expire(100);
    fixture.assert(&[], (0, 3, 0));
}

#[test]
fn a_message_is_joined_to_all_its_consumers_by_parent_or_by_link() {
    let mut fixture = Fixture::new(100);
    let send = Sent {
        attributes: &[("messaging.system", "kafka")],
        ..sent("shop", SpanKind::Producer, 2, Some(1))
    };
    let linked = Sent {
        trace: 5,
        links: &[(1, 2), (1, 2), (1, 9)],
        ..sent("mail", SpanKind::Consumer, 3, None)
    };
    fixture.see(0, send);
    fixture.see(1, linked);
    fixture.see(2, sent("audit", SpanKind::Consumer, 4, Some(2)));
    // What it links to beside the message is waited for.
    fixture.assert(
        &[
            "shop mail Messaging 2 3 in 0",
            "shop audit Messaging 2 4 in 0",
        ],
        (2, 0, 0),
    );
    fixture.expire(100);
    fixture.assert(&[], (0, 0, 0));

    // Nobody took it: the queue is all that is known.
    fixture.see(100, send);
    fixture.expire(200);
    fixture.assert(&["shop kafka Virtual 2 -"], (0, 0, 0));
}

#[test]
fn a_batch_is_lost_once_and_only_where_none_of_its_producers_comes() {
    let batch = Sent {
        trace: 5,
        links: &[(1, 2), (1, 3), (1, 4), (1, 5)],
        ..sent("mail", SpanKind::Consumer, 9, None)
    };
    let mut fixture = Fixture::new(100);
    fixture.see(0, batch);
    fixture.assert(&[], (4, 0, 0));
    fixture.expire(100);
    fixture.assert(&[], (0, 1, 0));
    fixture.assert_lost(&[">mail Messaging Unpaired"]);
    // One that comes later, and one that was there.
    fixture.see(100, batch);
    fixture.see(101, sent("shop", SpanKind::Producer, 3, None));
    fixture.see(102, Sent { id: 8, ..batch });
    fixture.assert(
        &["shop mail Messaging 3 9", "shop mail Messaging 3 8"],
        (3 + 1 + 3, 1, 0),
    );
    fixture.expire(200);
    fixture.assert(&[], (0, 1, 0));
    fixture.assert_lost(&[]);
    // Without room for any of the places where it waits.
    let mut fixture = Fixture::new(0);
    fixture.see(0, batch);
    fixture.assert(&[], (0, 0, 1));
    fixture.assert_lost(&[">mail Messaging Dropped"]);
}

#[test]
fn a_message_is_on_its_way_from_the_end_of_one_span_to_the_start_of_the_other() {
    let mut fixture = Fixture::new(100);
    let second = 1_000_000_000;
    fixture.see(second, sent("shop", SpanKind::Producer, 2, Some(1)));
    for (id, start) in [(3, 3 * second), (4, second), (5, second - 1)] {
        let taken = sent("mail", SpanKind::Consumer, id, Some(2));
        fixture.see(second, Sent { start, ..taken });
    }
    fixture.assert(
        &[
            "shop mail Messaging 2 3 in 2",
            "shop mail Messaging 2 4 in 0",
            // By its clock it was taken before it was sent.
            "shop mail Messaging 2 5",
        ],
        (1, 0, 0),
    );
    // A call has no way.
    fixture.see(second, sent("web", SpanKind::Client, 6, None));
    let start = 9 * second;
    let answer = sent("cart", SpanKind::Server, 7, Some(6));
    fixture.see(second, Sent { start, ..answer });
    fixture.assert(&["web cart Direct 6 7"], (1, 0, 0));
}

#[test]
fn what_waits_is_bounded_and_the_oldest_goes_first() {
    let mut fixture = Fixture::new(2);
    for id in 1..=4 {
        let call = sent("web", SpanKind::Client, id, None);
        fixture.see(
            0,
            Sent {
                attributes: &[("peer.service", "p")],
                ..call
            },
        );
    }
    fixture.assert(&["web p Virtual 1 -", "web p Virtual 2 -"], (2, 0, 2));
    fixture.assert_lost(&[]);
    // Under one key as well.
    for id in 10..=20 {
        fixture.see(0, sent("web", SpanKind::Server, id, Some(9)));
    }
    fixture.expire(100);
    let mut lost = [">web Direct Dropped"; 11];
    lost[9..].fill(">web Direct Unpaired");
    fixture.assert_lost(&lost);
    // Each is counted once: the four callers and nine of these had to go, two waited in vain.
    let rest = ["web p Virtual 3 -", "web p Virtual 4 -"];
    fixture.assert(&rest, (0, 2, 4 + 9));
    // A span without an id has no other side, and one that comes twice is not joined twice.
    let mut fixture = Fixture::new(10);
    fixture.see(0, sent("web", SpanKind::Client, 0, None));
    fixture.see(0, sent("web", SpanKind::Client, 1, None));
    fixture.see(0, sent("web", SpanKind::Client, 1, None));
    fixture.assert(&[], (1, 2, 0));
    fixture.assert_lost(&["web> Direct Unpaired"; 2]);
}

#[test]
fn long_names_take_no_more_memory_than_shows_that_they_are_long() {
    let long = "\u{e9}".repeat(1 << 20);
    let name = kept(&long);
    assert!(name.len() > VALUE_BYTES_MAX && name.len() <= VALUE_BYTES_MAX + 4);
    assert_eq!(&*kept("shop"), "shop");
}

#[test]
fn what_was_joined_leaves_nothing_behind() {
    let mut fixture = Fixture::new(10);
    for _ in 0..50_000 {
        fixture.see(0, sent("web", SpanKind::Client, 1, None));
        fixture.see(0, sent("cart", SpanKind::Server, 2, Some(1)));
    }
    assert_eq!(fixture.edges.len(), 50_000);
    assert!(fixture.graph.order.len() < 2000);
}
