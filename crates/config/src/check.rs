//! `throughline check`: any of our files, by its content.

use std::path::Path;

use crate::ConfigError;
use crate::load::{base_dir, read_file};
use crate::rule_tests::check_rule_tests;
use crate::rules::{Syntax, parse_rule_file};
use crate::settings::Config;
use crate::yaml::{self, Node};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Config,
    /// Recording and alerting rules: it has `groups`.
    Rules,
    /// Unit tests of rules: it has `tests`.
    RuleTests,
}

/// Tells by the keys at the top what a file is; what is neither rules nor tests of rules is
/// taken for a configuration.
pub fn kind_of(path: &Path) -> Result<FileKind, ConfigError> {
    let text = read_file(path)?;
    let mut errors = Vec::new();
    let root = yaml::parse(&path.to_string_lossy(), &text, &mut errors);
    Ok(root.map_or_else(|| kind_of_text(&text), |root| kind_of_tree(&root)))
}

fn kind_of_tree(root: &Node) -> FileKind {
    if root.get("groups").is_some() {
        FileKind::Rules
    } else if root.get("tests").is_some() || root.get("rule_files").is_some() {
        FileKind::RuleTests
    } else {
        FileKind::Config
    }
}

/// For a file that is not valid YAML.
fn kind_of_text(text: &str) -> FileKind {
    let has = |key: &str| text.lines().any(|line| line.starts_with(key));
    if has("groups:") {
        FileKind::Rules
    } else if has("tests:") || has("rule_files:") {
        FileKind::RuleTests
    } else {
        FileKind::Config
    }
}

/// Everything that is wrong with a file, and with the rule files that it names. `syntax` is asked
/// for the dialect in which expressions may use what is experimental, or may not: a configuration
/// says which; a file of rules or of their tests by itself may be meant for any.
pub fn check<S: Syntax>(path: &Path, syntax: impl Fn(bool) -> S) -> Vec<ConfigError> {
    let kind = match kind_of(path) {
        Ok(kind) => kind,
        Err(error) => return vec![error],
    };
    let name = path.to_string_lossy();
    let text = match read_file(path) {
        Ok(text) => text,
        Err(error) => return vec![error],
    };
    match kind {
        FileKind::Rules => parse_rule_file(&name, &text, &syntax(true))
            .err()
            .unwrap_or_default(),
        FileKind::RuleTests => check_rule_tests(&name, &text, base_dir(path), &syntax(true)),
        FileKind::Config => {
            match Config::from_text(&name, &text, base_dir(path), std::iter::empty()) {
                Ok(config) => {
                    let rules = config.load_rules(&syntax(config.promql.experimental));
                    rules.err().unwrap_or_default()
                }
                Err(errors) => errors,
            }
        }
    }
}

#[cfg(test)]
mod tests;
