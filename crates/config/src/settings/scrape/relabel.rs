//! Relabeling: changes to the labels of targets and of samples.

use regex::Regex;

use super::Text;
use crate::section::{Context, Key, Value, choice, section};
use crate::yaml::Node;

section! {
    /// One change to a set of labels.
    pub struct RelabelSettings {
        /// Labels whose values are joined and matched.
        source_labels: Vec<String> = "[]";
        /// What is put between them.
        separator: Text = ";";
        /// The label that gets the result.
        target_label: Option<String> = "null";
        /// What the joined values have to match as a whole.
        regex: WholePattern = "'(.*)'";
        /// For `hashmod`: the number of parts.
        modulus: u64 = "0";
        /// The result; `$1`, `${1}` and `${name}` are groups of `regex`.
        replacement: Text = "$1";
        /// What is done.
        action: RelabelAction = "replace";
    }
}

choice! {
    /// What a relabeling does.
    pub enum RelabelAction {
        /// Sets the target label to the replacement if the pattern matches.
        Replace = "replace",
        /// Drops what does not match.
        Keep = "keep",
        /// Drops what matches.
        Drop = "drop",
        /// Drops what does not have the joined values in the target label.
        KeepEqual = "keepequal",
        /// Drops what has the joined values in the target label.
        DropEqual = "dropequal",
        /// Sets the target label to a hash of the joined values, modulo `modulus`.
        HashMod = "hashmod",
        /// Copies each label whose name matches to the replacement as a name.
        LabelMap = "labelmap",
        /// Removes labels whose name matches.
        LabelDrop = "labeldrop",
        /// Removes labels whose name does not match.
        LabelKeep = "labelkeep",
        /// Sets the target label to the joined values in lower case.
        Lowercase = "lowercase",
        /// Sets the target label to the joined values in upper case.
        Uppercase = "uppercase",
    }
}

/// A regular expression that has to match a text as a whole.
#[derive(Clone, Debug)]
pub struct WholePattern(pub Regex);

impl Value for WholePattern {
    const KIND: &'static str = "a regular expression";

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Text(text) = Text::read(node, cx)?;
        // By itself first, so that a mistake is one of what was written.
        crate::values::compile(node, &text, cx)?;
        crate::values::compile(node, &format!("^(?s:{text})$"), cx).map(Self)
    }
}

/// One change to a set of labels, checked.
#[derive(Clone, Debug)]
pub struct Relabel(pub RelabelSettings);

impl Value for Relabel {
    const KIND: &'static str = RelabelSettings::KIND;
    const IS_SECTION: bool = true;

    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        use RelabelAction as Action;
        let settings = RelabelSettings::read(node, cx)?;
        let action = settings.action;
        let needs_target = matches!(
            action,
            Action::Replace
                | Action::KeepEqual
                | Action::DropEqual
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
        );
        let mut sound = true;
        let mut wrong = |message: String| {
            cx.error(node, message, None);
            sound = false;
        };
        let name = action.as_str();
        if needs_target && settings.target_label.is_none() {
            wrong(format!("the action {name} needs a `target_label`"));
        }
        if action == Action::HashMod && settings.modulus == 0 {
            wrong("the action hashmod needs a `modulus` above 0".to_owned());
        }
        if matches!(action, Action::LabelDrop | Action::LabelKeep) {
            for key in [
                "source_labels",
                "target_label",
                "modulus",
                "separator",
                "replacement",
            ] {
                if node.get(key).is_some() {
                    wrong(format!(
                        "the action {name} takes a `regex` alone, not `{key}`"
                    ));
                }
            }
        }
        sound.then_some(Self(settings))
    }

    fn keys(prefix: &str, out: &mut Vec<Key>) {
        RelabelSettings::keys(prefix, out);
    }
}
