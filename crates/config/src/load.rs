//! From a file and the environment to a checked [`Config`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::rules::{RuleFile, Syntax, parse_rule_file};
use crate::section::{Context, Value};
use crate::settings::Config;
use crate::values::PathPattern;
use crate::yaml::{self, Node};
use crate::{ConfigError, environment};

/// A configuration or rule file larger than this is refused.
pub const RULE_FILE_BYTES_MAX: u64 = 16 << 20;

impl Config {
    /// Reads the file, if there is one, and then the variables, of which only those that start
    /// with `THROUGHLINE_` count. All mistakes are reported at once, in the order of the file.
    pub fn load(
        path: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<ConfigError>> {
        let Some(path) = path else {
            return Self::from_text("default", "", PathBuf::new(), variables);
        };
        let text = read_file(path).map_err(|error| vec![error])?;
        Self::from_text(&path.to_string_lossy(), &text, base_dir(path), variables)
    }

    pub(crate) fn from_text(
        file: &str,
        text: &str,
        base_dir: PathBuf,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let root = yaml::parse(file, text, &mut errors);
        let broken = root.is_none();
        let mut root = root.unwrap_or_else(|| Node::empty_map(file));
        if root.is_null() {
            root = Node::empty_map(file);
        }
        environment::apply(&mut root, variables, &mut errors);
        let mut cx = Context {
            errors: &mut errors,
            base_dir,
        };
        let config = Self::read(&root, &mut cx);
        if let (Some(config), false) = (&config, broken) {
            check_together(config, &root, &mut cx);
        }
        errors.sort();
        errors.dedup();
        match config {
            Some(config) if errors.is_empty() => Ok(config),
            _ => Err(errors),
        }
    }

    /// The rule files that `rules.files` names at this moment, in order. A name without
    /// wildcards must exist.
    pub fn rule_files(&self) -> Result<Vec<PathBuf>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut files = BTreeSet::new();
        for pattern in &self.rules.files {
            expand(pattern, &mut files, &mut errors);
        }
        if errors.is_empty() {
            Ok(files.into_iter().collect())
        } else {
            Err(errors)
        }
    }

    /// Reads all rule files; the mistakes of all of them come together.
    pub fn load_rules(&self, syntax: &dyn Syntax) -> Result<Vec<RuleFile>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut rules = Vec::new();
        for path in self.rule_files()? {
            match load_rule_file(&path, syntax) {
                Ok(file) => rules.push(file),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() {
            Ok(rules)
        } else {
            Err(errors)
        }
    }
}

/// Reads one rule file from disk.
pub(crate) fn load_rule_file(
    path: &Path,
    syntax: &dyn Syntax,
) -> Result<RuleFile, Vec<ConfigError>> {
    let text = read_file(path).map_err(|error| vec![error])?;
    parse_rule_file(&path.to_string_lossy(), &text, syntax)
}

/// The files that a pattern stands for at this moment; a name without wildcards must exist.
pub(crate) fn expand(
    pattern: &PathPattern,
    files: &mut BTreeSet<PathBuf>,
    errors: &mut Vec<ConfigError>,
) {
    let paths = match glob::glob(&pattern.text) {
        Ok(paths) => paths,
        Err(error) => {
            return errors.push(pattern.error(format!("invalid wildcard: {}", error.msg)));
        }
    };
    let mut found = false;
    for path in paths {
        match path {
            Ok(path) if path.is_dir() => {}
            Ok(path) => {
                found = true;
                files.insert(path);
            }
            Err(error) => errors.push(pattern.error(format!("cannot read: {error}"))),
        }
    }
    if !found && !pattern.has_wildcards() {
        errors.push(pattern.error(format!("there is no rule file {}", pattern.text)));
    }
}

pub(crate) fn base_dir(path: &Path) -> PathBuf {
    path.parent().map(Path::to_owned).unwrap_or_default()
}

/// The text of a file; not finding it, its size and its encoding are mistakes like others.
pub(crate) fn read_file(path: &Path) -> Result<String, ConfigError> {
    let name = path.to_string_lossy();
    let failed = |error: std::io::Error| ConfigError::whole(&name, format!("cannot read: {error}"));
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > RULE_FILE_BYTES_MAX {
        let message = format!("is {size} bytes long, the limit is {RULE_FILE_BYTES_MAX}");
        return Err(ConfigError::whole(&name, message));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        let start = good
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&good[start..]).chars().count() + 1;
        ConfigError {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            ..ConfigError::whole(&name, "not UTF-8 text".to_owned())
        }
    })
}

/// An agent's collectors are named in one place, each of them once.
fn check_collectors(config: &Config, root: &Node, cx: &mut Context<'_>) {
    let agent = &config.agent;
    if agent.collector.is_some() && !agent.collectors.is_empty() {
        let node = root.at("agent.collectors").unwrap_or(root);
        let message = "both `agent.collector` and `agent.collectors` are given".to_owned();
        let hint = "name all of them in `agent.collectors`".to_owned();
        cx.error(node, message, Some(hint));
    }
    let nodes = root.at("agent.collectors").map_or(&[][..], Node::items);
    for (index, endpoint) in agent.collectors.iter().enumerate() {
        if agent.collectors[..index].contains(endpoint) {
            let node = nodes.get(index).unwrap_or(root);
            cx.error(node, format!("{endpoint} is named twice"), None);
        }
    }
}

/// Metrics that are dropped before they are downsampled are gone.
fn check_downsampling(config: &Config, root: &Node, cx: &mut Context<'_>) {
    let Some(after) = config.retention.downsampling.after else {
        return;
    };
    let of_tenants = config.retention.tenants.iter().enumerate();
    let of_tenants = of_tenants.map(|(at, tenant)| {
        let list = root.at("retention.tenants");
        let node = list.and_then(|list| list.items().get(at));
        (
            format!("retention.tenants[{at}].metrics.age"),
            node,
            tenant.metrics.age,
        )
    });
    let everybody = (
        "retention.metrics.age".to_owned(),
        root.at("retention.metrics.age"),
        config.retention.metrics.age,
    );
    for (key, node, age) in std::iter::once(everybody).chain(of_tenants) {
        if age.is_some_and(|age| age <= after) {
            let node = node.or_else(|| root.at("retention.downsampling.after"));
            let message = format!("{key} is no longer than retention.downsampling.after");
            let hint = "keep every sample for longer, since buckets are made from them".to_owned();
            cx.error(node.unwrap_or(root), message, Some(hint));
        }
    }
}

/// A list that would do nothing is a mistake.
fn check_promotion(config: &Config, root: &Node, cx: &mut Context<'_>) {
    let otlp = &config.otlp;
    let all = otlp.promote_all_resource_attributes;
    let (useless, message) = if all {
        let message = "has no effect beside `promote_all_resource_attributes`";
        ("promote_resource_attributes", message)
    } else {
        let message = "has no effect without `promote_all_resource_attributes`";
        ("ignore_resource_attributes", message)
    };
    let list = if all {
        &otlp.promote_resource_attributes
    } else {
        &otlp.ignore_resource_attributes
    };
    if !list.is_empty() {
        let node = root.at(&format!("otlp.{useless}")).unwrap_or(root);
        cx.error(node, format!("`{useless}` {message}"), None);
    }
}

/// What no key can check alone.
fn check_together(config: &Config, root: &Node, cx: &mut Context<'_>) {
    let listen = &config.listen;
    let addresses: [(&str, SocketAddr); 4] = [
        ("listen.otlp_grpc", listen.otlp_grpc),
        ("listen.otlp_http", listen.otlp_http),
        ("listen.query", listen.query),
        ("listen.internal", listen.internal),
    ];
    for (index, (key, address)) in addresses.iter().enumerate() {
        let taken = addresses[..index]
            .iter()
            .find(|(_, other)| other == address);
        if let (Some((other, _)), true) = (taken, address.port() != 0) {
            let node = root.at(key).or_else(|| root.at(other)).unwrap_or(root);
            let hint = "give each listener a port of its own, or port 0".to_owned();
            cx.error(
                node,
                format!("{key} and {other} are both {address}"),
                Some(hint),
            );
        }
    }
    if config.limits.wal_bytes < config.limits.head_bytes {
        let node = root
            .at("limits.wal_bytes")
            .or_else(|| root.at("limits.head_bytes"));
        let message = format!(
            "limits.wal_bytes ({}) is smaller than limits.head_bytes ({})",
            config.limits.wal_bytes, config.limits.head_bytes
        );
        let hint = "the log must hold at least one head".to_owned();
        cx.error(node.unwrap_or(root), message, Some(hint));
    }
    check_downsampling(config, root, cx);
    check_promotion(config, root, cx);
    check_collectors(config, root, cx);
    crate::settings::check_jobs(&config.agent.scrape_configs, root, cx);
    for (index, files) in config.agent.files.iter().enumerate() {
        if files.include.is_empty() {
            let node = root
                .at("agent.files")
                .and_then(|list| list.items().get(index));
            let hint = "name at least one file".to_owned();
            cx.error(
                node.unwrap_or(root),
                "`include` is empty".to_owned(),
                Some(hint),
            );
        }
    }
}
