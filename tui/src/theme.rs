//! Colours by what they mean, for truecolor, 256, 16 and no colours.
//!
//! Nothing is told by colour alone: errors, warnings and inferred spans also have glyphs, so that
//! a screen without colours loses nothing.

use ratatui::style::{Color, Modifier, Style};

/// How many colours the terminal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorLevel {
    /// None: only bold, dim and reverse.
    None,
    /// The sixteen colours of the user's own palette.
    Sixteen,
    /// The fixed 256 colours.
    Fixed,
    /// 24 bits.
    True,
}

impl ColorLevel {
    /// From the environment, as terminals and users announce it.
    pub fn detect(no_color: bool, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        if no_color || set("NO_COLOR").is_some() || term == "dumb" {
            return Self::None;
        }
        match set("COLORTERM").as_deref() {
            Some("truecolor" | "24bit") => Self::True,
            _ if term.contains("direct") => Self::True,
            _ if term.contains("256color") => Self::Fixed,
            _ => Self::Sixteen,
        }
    }
}

/// Styles by meaning.
#[derive(Debug, Clone)]
pub struct Theme {
    pub(crate) text: Style,
    pub(crate) dim: Style,
    pub(crate) strong: Style,
    pub(crate) accent: Style,
    pub(crate) error: Style,
    pub(crate) warn: Style,
    pub(crate) good: Style,
    /// A text that was searched for.
    pub(crate) found: Style,
    pub(crate) selected: Style,
    bars: Vec<Style>,
}

/// One colour at each level.
struct Shade {
    rgb: (u8, u8, u8),
    fixed: u8,
    sixteen: Color,
}

const ACCENT: Shade = Shade {
    rgb: (97, 175, 239),
    fixed: 75,
    sixteen: Color::Cyan,
};
const ERROR: Shade = Shade {
    rgb: (240, 98, 98),
    fixed: 203,
    sixteen: Color::Red,
};
const WARN: Shade = Shade {
    rgb: (229, 181, 80),
    fixed: 179,
    sixteen: Color::Yellow,
};
const GOOD: Shade = Shade {
    rgb: (126, 192, 110),
    fixed: 108,
    sixteen: Color::Green,
};
const BARS: [Shade; 6] = [
    Shade {
        rgb: (97, 175, 239),
        fixed: 75,
        sixteen: Color::Blue,
    },
    Shade {
        rgb: (126, 192, 110),
        fixed: 108,
        sixteen: Color::Green,
    },
    Shade {
        rgb: (198, 120, 221),
        fixed: 176,
        sixteen: Color::Magenta,
    },
    Shade {
        rgb: (86, 182, 194),
        fixed: 73,
        sixteen: Color::Cyan,
    },
    Shade {
        rgb: (209, 154, 102),
        fixed: 173,
        sixteen: Color::LightBlue,
    },
    Shade {
        rgb: (160, 170, 190),
        fixed: 146,
        sixteen: Color::LightGreen,
    },
];

impl Theme {
    /// The theme for a terminal.
    pub fn new(level: ColorLevel) -> Self {
        let plain = Style::new();
        let paint = |shade: &Shade| match level {
            ColorLevel::None => plain,
            ColorLevel::Sixteen => plain.fg(shade.sixteen),
            ColorLevel::Fixed => plain.fg(Color::Indexed(shade.fixed)),
            ColorLevel::True => plain.fg(Color::Rgb(shade.rgb.0, shade.rgb.1, shade.rgb.2)),
        };
        Self {
            text: plain,
            dim: plain.add_modifier(Modifier::DIM),
            strong: plain.add_modifier(Modifier::BOLD),
            accent: paint(&ACCENT).add_modifier(Modifier::BOLD),
            error: paint(&ERROR).add_modifier(Modifier::BOLD),
            warn: paint(&WARN),
            good: paint(&GOOD),
            found: plain.add_modifier(Modifier::UNDERLINED | Modifier::BOLD),
            selected: plain.add_modifier(Modifier::REVERSED),
            bars: BARS.iter().map(paint).collect(),
        }
    }

    /// The colour of a service by its number in the trace.
    pub(crate) fn bar(&self, service: u32) -> Style {
        self.bars[service as usize % self.bars.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(no_color: bool, variables: &[(&str, &str)]) -> ColorLevel {
        ColorLevel::detect(no_color, |name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_level_follows_the_environment() {
        assert_eq!(
            detect(true, &[("COLORTERM", "truecolor")]),
            ColorLevel::None
        );
        assert_eq!(
            detect(false, &[("NO_COLOR", "1"), ("TERM", "xterm")]),
            ColorLevel::None
        );
        assert_eq!(
            detect(false, &[("NO_COLOR", ""), ("TERM", "xterm")]),
            ColorLevel::Sixteen
        );
        assert_eq!(
            detect(false, &[("COLORTERM", "truecolor")]),
            ColorLevel::True
        );
        assert_eq!(
            detect(false, &[("TERM", "tmux-256color")]),
            ColorLevel::Fixed
        );
        assert_eq!(detect(false, &[("TERM", "dumb")]), ColorLevel::None);
    }

    #[test]
    fn without_colours_no_style_has_one() {
        let theme = Theme::new(ColorLevel::None);
        let all = [
            theme.text,
            theme.dim,
            theme.accent,
            theme.error,
            theme.warn,
            theme.good,
            theme.bar(3),
        ];
        assert!(
            all.iter()
                .all(|style| style.fg.is_none() && style.bg.is_none())
        );
    }
}
