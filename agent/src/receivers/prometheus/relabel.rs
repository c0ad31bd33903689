//! Relabeling: changes to a set of labels, in the order of the configuration.

use config::{Relabel, RelabelAction as Action};

use super::labels::Labels;

/// Applies every change; tells whether what has these labels is kept.
pub(super) fn apply(changes: &[Relabel], labels: &mut Labels) -> bool {
    changes.iter().all(|Relabel(change)| one(change, labels))
}

fn one(change: &config::RelabelSettings, labels: &mut Labels) -> bool {
    let regex = &change.regex.0;
    let values: Vec<&str> = change
        .source_labels
        .iter()
        .map(|name| labels.get(name))
        .collect();
    let joined = values.join(&change.separator.0);
    let target = change.target_label.as_deref().unwrap_or_default();
    match change.action {
        Action::Keep => return regex.is_match(&joined),
        Action::Drop => return !regex.is_match(&joined),
        Action::KeepEqual => return labels.get(target) == joined,
        Action::DropEqual => return labels.get(target) != joined,
        Action::Replace => {
            let Some(groups) = regex.captures(&joined) else {
                return true;
            };
            let expand = |template: &str| {
                let mut out = String::new();
                groups.expand(template, &mut out);
                out
            };
            let (name, value) = (expand(target), expand(&change.replacement.0));
            if !name.is_empty() {
                labels.set(&name, value);
            }
        }
        Action::Lowercase => labels.set(target, joined.to_lowercase()),
        Action::Uppercase => labels.set(target, joined.to_uppercase()),
        Action::HashMod => {
            // The lower half of an MD5, as Prometheus takes it: several scrapers share targets by it.
            let [_, _, _, _, _, _, _, _, half @ ..] = md5::compute(joined.as_bytes()).0;
            let part = u64::from_be_bytes(half) % change.modulus.max(1);
            labels.set(target, part.to_string());
        }
        Action::LabelMap => {
            let copies: Vec<(String, String)> = labels
                .iter()
                .filter(|(name, _)| regex.is_match(name))
                .map(|(name, value)| {
                    let copy = regex.replace_all(name, change.replacement.0.as_str());
                    (copy.into_owned(), value.to_owned())
                })
                .collect();
            for (name, value) in copies {
                if !name.is_empty() {
                    labels.set(&name, value);
                }
            }
        }
        Action::LabelDrop => labels.retain(|name| !regex.is_match(name)),
        Action::LabelKeep => labels.retain(|name| regex.is_match(name)),
    }
    true
}
