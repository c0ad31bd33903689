//! The collectors that a query service reads.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{bail, ensure};
use config::{Config, Endpoint};
use query::remote::RemoteReader;
use storage::read::Read;

use super::lookup::look_up;

/// A reader of each collector that the command line names, else of those of the configuration.
/// One that is named twice, however it is spelled, would be asked twice, and all that it holds
/// would be in every answer twice: that is an error.
pub(super) async fn readers(
    arguments: &[String],
    config: &Config,
) -> anyhow::Result<Vec<Arc<dyn Read>>> {
    let mut addresses = arguments.to_vec();
    if addresses.is_empty() {
        let configured = config.query.collectors.iter();
        addresses = configured.map(ToString::to_string).collect();
    }
    if addresses.is_empty() {
        bail!("no collector to read from; name one with --collector ADDR or in query.collectors");
    }
    let mut known: Vec<(&str, BTreeSet<Place>)> = Vec::new();
    let mut readers: Vec<Arc<dyn Read>> = Vec::new();
    for address in &addresses {
        readers.push(Arc::new(RemoteReader::new(address)?));
        let places = places(address).await;
        let again = known.iter().find(|(_, other)| !other.is_disjoint(&places));
        ensure!(
            again.is_none(),
            "{} and {address} are the same collector; name each once",
            again.map_or("", |(other, _)| *other)
        );
        known.push((address, places));
    }
    Ok(readers)
}

/// Where a collector is: its address, or its name where that cannot be looked up.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Address(SocketAddr),
    Name(String),
}

async fn places(address: &str) -> BTreeSet<Place> {
    let Some(endpoint) = Endpoint::parse(address) else {
        return BTreeSet::from([Place::Name(address.to_owned())]);
    };
    match look_up(&endpoint).await {
        Some(found) => found.into_iter().map(reached).map(Place::Address).collect(),
        None => {
            let Endpoint { host, port, .. } = endpoint;
            BTreeSet::from([Place::Name(format!("{}:{port}", host.to_lowercase()))])
        }
    }
}

/// The address that is reached by connecting to this one: "any address" is this machine.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn named(addresses: &[&str]) -> Result<usize, String> {
        let owned: Vec<String> = addresses.iter().map(|text| (*text).to_owned()).collect();
        let readers = readers(&owned, &Config::default()).await;
        readers
            .map(|readers| readers.len())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_collector_may_be_named_once_however_it_is_spelled() {
        for [first, second] in [
            ["127.0.0.1:4410", "127.0.0.1:4410"],
            ["127.0.0.1:4410", "http://127.0.0.1:4410"],
            ["127.0.0.1:4410", "http://127.0.0.1:4410/"],
            ["127.0.0.1:4410", "localhost:4410"],
            ["LOCALHOST:4410", "localhost:4410"],
            ["0.0.0.0:4410", "127.0.0.1:4410"],
            ["[::]:4410", "[::1]:4410"],
            ["[::ffff:127.0.0.1]:4410", "127.0.0.1:4410"],
            ["nowhere.invalid:4410", "Nowhere.invalid:4410"],
        ] {
            let refused = named(&[first, "127.0.0.1:4411", second]).await;
            let message = format!("{first} and {second} are the same collector; name each once");
            assert_eq!(refused, Err(message));
        }
        let several = [
            "127.0.0.1:4410",
            "127.0.0.1:4411",
            "127.0.0.2:4410",
            "nowhere.invalid:4410",
        ];
        assert_eq!(named(&several).await, Ok(4));
        let none = named(&[]).await.unwrap_err();
        assert!(none.contains("no collector to read from"), "{none}");
    }
}
