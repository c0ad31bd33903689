//! The formats that targets are asked for, and which one an answer is in.

use config::{ScrapeProtocol, ScrapeSettings};

/// How an answer is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Prometheus' text.
    Text,
    /// OpenMetrics' text.
    OpenMetrics,
    /// Messages of Protocol Buffers, each after its length.
    Protobuf,
}

/// The text formats, the richest one first.
const TEXT: [ScrapeProtocol; 4] = [
    ScrapeProtocol::OpenMetrics1,
    ScrapeProtocol::OpenMetrics0,
    ScrapeProtocol::Text1,
    ScrapeProtocol::Text0,
];
/// The most tenths that a format is wanted by.
const MOST: usize = 6;

/// The header `Accept` of requests: the formats of the job in their order, and then anything.
pub(super) fn accept(settings: &ScrapeSettings) -> String {
    let proto = settings.scrape_native_histograms;
    let default = proto.then_some(ScrapeProtocol::Protobuf).into_iter();
    let wanted: Vec<ScrapeProtocol> = match &settings.scrape_protocols {
        Some(list) => list.0.clone(),
        None => default.chain(TEXT).collect(),
    };
    let escaping = settings.escaping().as_str();
    let mut header = String::new();
    for (at, protocol) in wanted.iter().enumerate() {
        header.push_str(media_type(*protocol));
        if has_escaping(*protocol) {
            header.push_str(";escaping=");
            header.push_str(escaping);
        }
        header.push_str(&format!(";q=0.{},", MOST - at));
    }
    header.push_str(&format!("*/*;q=0.{}", MOST - wanted.len()));
    header
}

fn media_type(protocol: ScrapeProtocol) -> &'static str {
    match protocol {
        ScrapeProtocol::Protobuf => {
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited"
        }
        ScrapeProtocol::OpenMetrics1 => "application/openmetrics-text;version=1.0.0",
        ScrapeProtocol::OpenMetrics0 => "application/openmetrics-text;version=0.0.1",
        ScrapeProtocol::Text1 => "text/plain;version=1.0.0",
        ScrapeProtocol::Text0 => "text/plain;version=0.0.4",
    }
}

/// Whether a format may have names that are no classic ones.
fn has_escaping(protocol: ScrapeProtocol) -> bool {
    matches!(
        protocol,
        ScrapeProtocol::Protobuf | ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::Text1
    )
}

/// The format that `Content-Type` names. Where it names none that is known, the fallback of the job
/// holds, and else Prometheus' text. The error says what is wrong with it.
pub(super) fn format(
    content_type: Option<&str>,
    settings: &ScrapeSettings,
) -> Result<Format, String> {
    let content_type = content_type.unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    match media_type.as_str() {
        "application/openmetrics-text" => return Ok(Format::OpenMetrics),
        "text/plain" => return Ok(Format::Text),
        "application/vnd.google.protobuf" => {}
        _ => {
            return Ok(match settings.fallback_scrape_protocol {
                Some(ScrapeProtocol::OpenMetrics1 | ScrapeProtocol::OpenMetrics0) => {
                    Format::OpenMetrics
                }
                Some(ScrapeProtocol::Protobuf) => Format::Protobuf,
                Some(ScrapeProtocol::Text1 | ScrapeProtocol::Text0) | None => Format::Text,
            });
        }
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        let expected = match name.trim().to_ascii_lowercase().as_str() {
            "proto" => "io.prometheus.client.MetricFamily",
            "encoding" => "delimited",
            _ => continue,
        };
        if value != expected {
            let shown: String = value.chars().take(60).collect();
            return Err(format!(
                "it is protobuf of `{shown}`, and not of `{expected}`"
            ));
        }
    }
    Ok(Format::Protobuf)
}

/// Whether a name is one that Prometheus took before it took any.
pub(super) fn is_classic(name: &str, metric: bool) -> bool {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || metric && byte == b':';
    !name.is_empty() && !name.as_bytes()[0].is_ascii_digit() && name.bytes().all(part)
}

#[cfg(test)]
mod tests;
