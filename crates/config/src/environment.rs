//! Overrides from the environment: `THROUGHLINE_LISTEN__QUERY` stands for `listen.query`, a
//! double underscore for each dot. Lists and maps are written as YAML flow text.

use crate::ConfigError;
use crate::error::suggest;
use crate::settings::Config;
use crate::yaml::{self, Node};

const PREFIX: &str = "THROUGHLINE_";

/// Variables with our prefix that are not keys: the command line and the tests read them.
const NOT_KEYS: [&str; 7] = [
    "THROUGHLINE_CONFIG",
    "THROUGHLINE_LOG",
    "THROUGHLINE_PYTHON",
    "THROUGHLINE_REQUIRE_CLIENTS",
    "THROUGHLINE_REQUIRE_TESTDATA",
    "THROUGHLINE_TESTDATA",
    "THROUGHLINE_URL",
];

/// The variable that overrides a key.
pub(crate) fn variable(path: &str) -> String {
    format!("{PREFIX}{}", path.replace('.', "__").to_uppercase())
}

/// Puts the overrides into the tree.
pub(crate) fn apply(
    root: &mut Node,
    variables: impl Iterator<Item = (String, String)>,
    errors: &mut Vec<ConfigError>,
) {
    let keys = Config::keys();
    let known: Vec<(String, &str)> = keys
        .iter()
        .filter(|key| !key.path.contains("[]"))
        .map(|key| (variable(&key.path), key.path.as_str()))
        .collect();
    let mut ours: Vec<(String, String)> = variables
        .filter(|(name, _)| name.starts_with(PREFIX) && !NOT_KEYS.contains(&name.as_str()))
        .collect();
    // The environment has no order of its own; errors should have one.
    ours.sort();
    for (name, value) in ours {
        let Some((_, path)) = known.iter().find(|(variable, _)| *variable == name) else {
            let hint = suggest(&name, known.iter().map(|(variable, _)| variable.as_str()));
            let hint = hint.filter(|hint| hint.starts_with("did you mean"));
            let message = "unknown environment variable".to_owned();
            errors.push(ConfigError {
                hint,
                ..ConfigError::whole(&name, message)
            });
            continue;
        };
        if let Some(node) = read(&name, &value, errors) {
            root.set(path, node);
        }
    }
}

fn read(name: &str, value: &str, errors: &mut Vec<ConfigError>) -> Option<Node> {
    if value.trim_start().starts_with(['[', '{']) || value.trim().is_empty() || value == "null" {
        return yaml::parse(name, value, errors);
    }
    Some(Node::text(name, value))
}
