//! The collectors that an agent sends to.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use agent::exporters::Destination;
use anyhow::{Context, bail};
use config::{Compression, Config, Endpoint, Listen};
use otlp::client::{Client, ClientLimits, Protocol};
use otlp::inflate::Encoding;

use super::lookup::look_up;

/// The collectors that the command line names, else those of the configuration.
pub(super) fn endpoints(arguments: &[String], config: &Config) -> anyhow::Result<Vec<Endpoint>> {
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for address in arguments {
        let endpoint = Endpoint::parse(address)
            .with_context(|| format!("--collector {address}: write HOST:PORT or a URL"))?;
        if endpoints.contains(&endpoint) {
            bail!("--collector {address} is given twice");
        }
        endpoints.push(endpoint);
    }
    if endpoints.is_empty() {
        endpoints.clone_from(&config.agent.collectors);
        endpoints.extend(config.agent.collector.clone());
    }
    if endpoints.is_empty() {
        bail!("an agent needs --collector ADDR, or agent.collector in the config");
    }
    Ok(endpoints)
}

/// A connection to each, with the name by which the queue remembers what it has acknowledged.
pub(super) fn connect(
    endpoints: &[Endpoint],
    compression: Compression,
) -> anyhow::Result<Vec<(String, Arc<dyn Destination>)>> {
    let compression = match compression {
        Compression::None => Encoding::Identity,
        Compression::Gzip => Encoding::Gzip,
        Compression::Zstd => Encoding::Zstd,
    };
    let connect = |endpoint: &Endpoint| {
        let limits = ClientLimits::default();
        let client = Client::new(&endpoint.url(), Protocol::Grpc, compression, limits)?;
        // A single collector may move without its agents sending everything again.
        let name = match endpoints {
            [_] => "collector".to_owned(),
            _ => endpoint.to_string(),
        };
        Ok((name, Arc::new(client) as Arc<dyn Destination>))
    };
    endpoints.iter().map(connect).collect()
}

/// An agent that sends to its own listener would send the same data in circles.
pub(super) async fn refuse_itself(endpoints: &[Endpoint], listen: &Listen) -> anyhow::Result<()> {
    for endpoint in endpoints {
        // A name that means nothing yet may mean something later; then the relay knows its stamp.
        for address in look_up(endpoint).await.unwrap_or_default() {
            for (own, option) in [
                (listen.otlp_grpc, "--otlp-grpc"),
                (listen.otlp_http, "--otlp-http"),
            ] {
                if leads_to(address, own) {
                    bail!(
                        "the agent would send to itself: the collector {endpoint} is its own \
                         listener {own}; give that another port with {option}"
                    );
                }
            }
        }
    }
    Ok(())
}

/// Whether who connects to an address reaches a listener of this machine.
fn leads_to(address: SocketAddr, listener: SocketAddr) -> bool {
    if address.port() != listener.port() {
        return false;
    }
    let (to, at) = (address.ip().to_canonical(), listener.ip().to_canonical());
    // Connecting to "any address" connects to this machine.
    let to_this_machine = to.is_unspecified() || is_of_this_machine(to);
    match at {
        at if at == to => true,
        IpAddr::V4(at) if at.is_unspecified() => to.is_ipv4() && to_this_machine,
        IpAddr::V6(at) if at.is_unspecified() => to_this_machine,
        at => to.is_unspecified() && at.is_loopback(),
    }
}

/// Whether an interface of this machine has the address: only then can a socket be bound to it.
fn is_of_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback() || UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leads(to: &str, at: &str) -> bool {
        leads_to(to.parse().unwrap(), at.parse().unwrap())
    }

    #[test]
    fn every_spelling_of_an_own_listener_is_known() {
        for (to, at) in [
            ("127.0.0.1:4317", "127.0.0.1:4317"),
            ("127.0.0.1:4317", "0.0.0.0:4317"),
            ("127.0.0.2:4317", "0.0.0.0:4317"),
            ("0.0.0.0:4317", "0.0.0.0:4317"),
            ("0.0.0.0:4317", "127.0.0.1:4317"),
            ("[::1]:4317", "[::1]:4317"),
            ("[::1]:4317", "[::]:4317"),
            ("127.0.0.1:4317", "[::]:4317"),
            ("[::ffff:127.0.0.1]:4317", "127.0.0.1:4317"),
        ] {
            assert!(leads(to, at), "{to} is {at}");
        }
        for (to, at) in [
            ("127.0.0.1:4317", "127.0.0.1:4318"),
            ("127.0.0.2:4317", "127.0.0.1:4317"),
            ("[::1]:4317", "0.0.0.0:4317"),
            // An address that is kept for documentation, so no machine has it.
            ("192.0.2.1:4317", "0.0.0.0:4317"),
            ("192.0.2.1:4317", "[::]:4317"),
        ] {
            assert!(!leads(to, at), "{to} is not {at}");
        }
    }

    #[test]
    fn the_command_line_wins_and_names_each_collector_once() {
        let named = |arguments: &[&str], config: &Config| {
            let owned: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
            let endpoints = endpoints(&owned, config).map_err(|error| error.to_string())?;
            let urls = endpoints.iter().map(Endpoint::url);
            Ok::<_, String>(urls.collect::<Vec<_>>())
        };
        let mut config = Config::default();
        assert!(named(&[], &config).unwrap_err().contains("--collector"));
        config.agent.collector = Endpoint::parse("a:1");
        assert_eq!(named(&[], &config).unwrap(), ["http://a:1"]);
        assert_eq!(
            named(&["b:2", "https://c"], &config).unwrap(),
            ["http://b:2", "https://c:443"]
        );
        let twice = named(&["b:2", "http://b:2"], &config).unwrap_err();
        assert!(twice.contains("twice"), "{twice}");
        let broken = named(&["b"], &config).unwrap_err();
        assert!(broken.contains("HOST:PORT"), "{broken}");
    }
}
