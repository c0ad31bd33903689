//! From configuration to the options of each role.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use config::Config;
use env::Env;
use model::{KeyValue, room};
use query::alerts;

use crate::cli::{Place, Role};

/// Reads the configuration; options of the command line win.
pub(crate) fn load(role: &Role) -> anyhow::Result<Config> {
    // A variable that is set to nothing counts as not set.
    let named = std::env::var_os("THROUGHLINE_CONFIG").filter(|name| !name.is_empty());
    let file = role.config.clone().or(named.map(PathBuf::from));
    load_file(file.as_deref(), &role.place)
}

/// The same with this file, or with none.
pub(crate) fn load_file(file: Option<&Path>, place: &Place) -> anyhow::Result<Config> {
    let variables = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
    let mut config = Config::load(file, variables).map_err(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration is wrong:\n{}", lines.join("\n"))
    })?;
    if let Some(dir) = &place.data_dir {
        config.data_dir.clone_from(dir);
    }
    let listen = &mut config.listen;
    for (option, setting) in [
        (place.otlp_grpc, &mut listen.otlp_grpc),
        (place.otlp_http, &mut listen.otlp_http),
        (place.query, &mut listen.query),
        (place.internal, &mut listen.internal),
    ] {
        if let Some(address) = option {
            *setting = address;
        }
    }
    Ok(config)
}

/// How the store is opened.
pub(crate) fn store(config: &Config, name: String) -> storage::Options {
    let bytes = |size: config::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    let policy = |policy: &config::RetentionPolicy| storage::retention::Policy {
        age: policy.age,
        bytes: policy.bytes.map(|bytes| bytes.0),
    };
    let keep = &config.retention;
    let tenants = keep.tenants.iter().map(|own| {
        let policies = storage::retention::Policies {
            traces: policy(&own.traces),
            logs: policy(&own.logs),
            metrics: policy(&own.metrics),
        };
        (own.tenant.clone(), policies)
    });
    let request_bytes = bytes(config.limits.request_bytes);
    storage::Options {
        name,
        retention: storage::retention::Retention {
            all: storage::retention::Policies {
                traces: policy(&keep.traces),
                logs: policy(&keep.logs),
                metrics: policy(&keep.metrics),
            },
            tenants: tenants.collect(),
            reserve_bytes: keep.reserve_bytes.0,
        },
        downsampling: storage::downsampling::Downsampling {
            after: keep.downsampling.after,
            ages: [keep.downsampling.age_5m, keep.downsampling.age_1h],
        },
        head_bytes: bytes(config.limits.head_bytes),
        wal_bytes: config.limits.wal_bytes.0,
        series: config.limits.series,
        metric_series: config.limits.metric_series,
        labels: storage::LabelLimits {
            count: config.limits.series_labels,
            name_bytes: bytes(config.limits.label_name_bytes),
            value_bytes: bytes(config.limits.label_value_bytes),
        },
        time_ahead: config.limits.time_ahead,
        start_zero_samples: config.metrics.start_zero_samples,
        unmerged_files: config.limits.unmerged_files,
        repeat_window: config.limits.repeat_window.unwrap_or_default(),
        count_spans: config.span_metrics.enabled || config.service_graph.enabled,
        pending_bytes: (request_bytes * 2).clamp(1, u32::MAX as usize),
        in_flight_bytes: in_flight_bytes(&config.limits),
        decoded_bytes: room::decoded_bytes(request_bytes),
        correlation: Arc::new(config.correlation.to_model()),
        ..storage::Options::default()
    }
}

/// What the query service may use.
pub(crate) fn query(config: &Config, env: &Env) -> query::Options {
    let limits = &config.limits;
    let mut options = query::Options::new(env.clock.clone());
    options.limits = storage::message::Limits {
        timeout_ms: u64::try_from(limits.query_timeout.as_millis()).unwrap_or(u64::MAX),
        scanned_bytes: limits.query_bytes.0,
        answer_bytes: limits.response_bytes.0,
    };
    options.answer_bytes = limits.response_bytes.0;
    options.sizes.rows = limits.query_rows;
    options.sizes.tail_buffer = limits.tail_buffer;
    options.concurrency = limits.query_concurrency;
    options.tails = limits.tails;
    options.promql.lookback_ms =
        i64::try_from(config.promql.lookback_delta.as_millis()).unwrap_or(i64::MAX);
    options.promql.delayed_name_removal = config.promql.experimental;
    options.promql_timeout = config.promql.query_timeout;
    options.promql.subquery_step_ms =
        i64::try_from(config.rules.interval.as_millis()).unwrap_or(i64::MAX);
    options.promql.features = crate::check::features(config.promql.experimental);
    options.promotion = promotion(&config.otlp);
    options.cors_origin = config.query.cors_origin.as_ref().map(|of| of.0.clone());
    options.promql_limits.max_samples = limits.query_samples;
    options.promql_limits.max_read = limits.query_samples_read;
    options.sizes.samples = limits.query_samples;
    options.sizes.series = limits.query_selected_series;
    options.promql_limits.max_steps = limits.query_steps;
    options.promql_limits.max_series = limits.query_series;
    options
}

fn promotion(otlp: &config::Otlp) -> model::prometheus::Promotion {
    use model::prometheus::Promotion;
    if otlp.promote_all_resource_attributes {
        Promotion::AllBut(otlp.ignore_resource_attributes.clone())
    } else {
        Promotion::Listed(otlp.promote_resource_attributes.clone())
    }
}

/// How metrics of OTLP that come from now on are named.
pub(crate) fn naming(config: &Config) -> model::prometheus::Naming {
    use config::TranslationStrategy as Of;
    use model::prometheus::{Naming, Strategy};
    let otlp = &config.otlp;
    Naming {
        strategy: match otlp.translation_strategy {
            Of::UnderscoreEscapingWithSuffixes => Strategy::UnderscoreEscapingWithSuffixes,
            Of::UnderscoreEscapingWithoutSuffixes => Strategy::UnderscoreEscapingWithoutSuffixes,
            Of::NoUtf8EscapingWithSuffixes => Strategy::NoUtf8EscapingWithSuffixes,
            Of::NoTranslation => Strategy::NoTranslation,
        },
        scope: otlp.promote_scope_metadata,
        native_bounds: otlp.convert_histograms_to_nhcb,
        identity: otlp.keep_identifying_resource_attributes,
        guard_underscore: otlp.label_name_underscore_sanitization,
        keep_underscores: otlp.label_name_preserve_multiple_underscores,
    }
}

/// The rules and receivers. `url` is where people reach the query service.
pub(crate) fn alerts(config: &Config, url: String) -> anyhow::Result<alerts::AlertsOptions> {
    let groups = rules(config).map_err(anyhow::Error::msg)?;
    let again = config.clone();
    let webhooks = config
        .alerts
        .webhooks
        .iter()
        .map(|to| alerts::bind::webhook(&to.url.0, to.send_resolved, to.timeout))
        .collect();
    Ok(alerts::AlertsOptions {
        groups,
        reading: Some(alerts::manager::Reading::new(move || rules(&again))),
        alerts_max: config.limits.rule_alerts,
        external_labels: external_labels(config),
        notifier: alerts::notifier::NotifierOptions {
            webhooks,
            external_url: url,
            ..alerts::notifier::NotifierOptions::default()
        },
    })
}

/// The groups of the rule files as they are now.
fn rules(config: &Config) -> Result<Vec<alerts::Group>, String> {
    let files = config
        .load_rules(&crate::check::RuleSyntax {
            experimental: config.promql.experimental,
        })
        .map_err(|errors| {
            let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
            format!("the rule files are wrong:\n{}", lines.join("\n"))
        })?;
    let interval = config.rules.interval;
    let groups = |file| alerts::bind::groups(file, interval);
    Ok(files.into_iter().flat_map(groups).collect())
}

/// Labels that name this installation; one without a value is none.
fn external_labels(config: &Config) -> alerts::Labels {
    let labels = config.alerts.external_labels.clone().into_iter();
    labels.filter(|(_, value)| !value.is_empty()).collect()
}

/// What the query service says of itself in Prometheus' API.
pub(crate) fn about(config: &Config, dir: &Path, url: String) -> query::http::About {
    // Rule files that cannot be read are an error elsewhere.
    let files = config.rule_files().unwrap_or_default();
    query::http::About {
        external_url: url,
        external_labels: external_labels(config),
        host_name: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        data_dir: dir.display().to_string(),
        rule_files: files
            .iter()
            .map(|file| file.display().to_string())
            .collect(),
        rule_interval: config.rules.interval,
        retention: config.retention.metrics.age,
    }
}

/// What requests in work may take together.
fn in_flight_bytes(limits: &config::Limits) -> usize {
    let bytes = |size: config::ByteSize| usize::try_from(size.0).unwrap_or(usize::MAX);
    room::in_flight_bytes(bytes(limits.in_flight_bytes), bytes(limits.request_bytes))
}

/// Where services send to the agent, and how much.
pub(crate) fn relay(config: &Config) -> agent::options::RelayOptions {
    let (listen, limits) = (&config.listen, &config.limits);
    let mut relay = agent::options::RelayOptions::new(listen.otlp_grpc, listen.otlp_http);
    relay.request_bytes_max = usize::try_from(limits.request_bytes.0).unwrap_or(usize::MAX);
    relay.inflight_bytes_max = in_flight_bytes(limits);
    relay.connections = limits.connections;
    relay.concurrent_requests = limits.concurrent_requests;
    relay
}

/// What the agent reads and how it sends; `relay` where services send to it.
pub(crate) fn agent(
    config: &Config,
    relay: Option<agent::options::RelayOptions>,
) -> anyhow::Result<agent::Options> {
    use agent::options as to;
    let settings = &config.agent;
    let request_bytes =
        usize::try_from(config.limits.request_bytes.0).context("limits.request_bytes")?;
    Ok(to::Options {
        relay,
        files: settings.files.iter().map(log_files).collect(),
        filelog: to::FilelogOptions {
            line_bytes_max: usize::try_from(config.limits.log_record_bytes.0)?,
            open_files_max: config.limits.open_files,
            ..to::FilelogOptions::default()
        },
        scrape: to::ScrapeOptions {
            jobs: settings.scrape_configs.clone(),
            memory_bytes: usize::try_from(settings.scrape_memory.0)
                .context("agent.scrape_memory")?,
        },
        host: settings.host.enabled.then(|| to::HostOptions {
            interval: settings.host.interval,
            ..to::HostOptions::default()
        }),
        queue: to::QueueOptions {
            bytes: settings.queue.bytes.0,
            entry_bytes_max: request_bytes,
            ..to::QueueOptions::default()
        },
        export: to::ExportOptions {
            concurrency: settings.concurrency,
            ..to::ExportOptions::default()
        },
        attributes: attributes(&settings.attributes),
        correlation: None,
    })
}

/// What the agent reads of log files that one entry of the configuration names.
fn log_files(files: &config::LogFiles) -> agent::options::FileOptions {
    use agent::options as to;
    let patterns = |patterns: &[config::PathPattern]| -> Vec<String> {
        patterns
            .iter()
            .map(|pattern| pattern.text.clone())
            .collect()
    };
    to::FileOptions {
        include: patterns(&files.include),
        exclude: patterns(&files.exclude),
        format: match files.format {
            config::LogFormat::Auto => to::Format::Auto,
            config::LogFormat::Plain => to::Format::Plain,
            config::LogFormat::Json => to::Format::Json,
            config::LogFormat::Logfmt => to::Format::Logfmt,
            config::LogFormat::Cri => to::Format::Cri,
            config::LogFormat::Docker => to::Format::Docker,
        },
        multiline: files.multiline.as_ref().map(|multiline| to::Multiline {
            pattern: multiline.pattern.0.clone(),
            negate: multiline.negate,
            at: match multiline.r#match {
                config::MatchSide::After => to::Match::After,
                config::MatchSide::Before => to::Match::Before,
            },
            max_lines: multiline.max_lines,
            timeout: multiline.timeout,
        }),
        service: files.service.clone(),
        attributes: attributes(&files.attributes),
        start_at: match files.start_at {
            config::StartAt::Beginning => to::StartAt::Beginning,
            config::StartAt::End => to::StartAt::End,
        },
    }
}

fn attributes(map: &BTreeMap<String, String>) -> Vec<KeyValue> {
    map.iter()
        .map(|(key, value)| KeyValue::new(key, value.as_str()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subqueries_without_a_step_take_the_interval_of_rules() {
        let mut config = Config::default();
        assert_eq!(query(&config, &Env::real()).promql.subquery_step_ms, 60_000);
        config.rules.interval = std::time::Duration::from_secs(15);
        assert_eq!(query(&config, &Env::real()).promql.subquery_step_ms, 15_000);
    }

    #[test]
    fn an_agent_has_the_limits_of_the_configuration() {
        let mut config = Config::default();
        config.limits.request_bytes = config::ByteSize(100 << 20);
        config.limits.connections = 3;
        config.limits.concurrent_requests = 5;
        config.agent.concurrency = 7;
        config.agent.scrape_memory = config::ByteSize(3 << 20);
        let to = relay(&config);
        assert_eq!(to.request_bytes_max, 100 << 20);
        // What one request may need.
        assert_eq!(to.inflight_bytes_max, 400 << 20);
        assert_eq!((to.connections, to.concurrent_requests), (3, 5));
        config.limits.in_flight_bytes = config::ByteSize(500 << 20);
        assert_eq!(relay(&config).inflight_bytes_max, 500 << 20);
        let options = agent(&config, Some(to)).unwrap();
        assert_eq!(options.export.concurrency, 7);
        assert_eq!(options.scrape.memory_bytes, 3 << 20);
        assert_eq!(options.queue.entry_bytes_max, 100 << 20);
    }
}
