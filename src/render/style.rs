//! Colour, named by meaning. No meaning is carried by colour alone: a reader without colours loses nothing.

use std::borrow::Cow;

/// What a piece of text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Heads something.
    Heading,
    /// As it should be.
    Good,
    /// Needs somebody's attention before long.
    Warning,
    /// Went wrong.
    Failed,
    /// Of less interest than what stands around it.
    Faint,
}

impl Style {
    /// What switches the style on and off again on a terminal.
    pub(super) const fn codes(self) -> (&'static str, &'static str) {
        match self {
            Self::Heading => ("\u{1b}[1m", "\u{1b}[22m"),
            Self::Good => ("\u{1b}[32m", "\u{1b}[39m"),
            Self::Warning => ("\u{1b}[33m", "\u{1b}[39m"),
            Self::Failed => ("\u{1b}[31m", "\u{1b}[39m"),
            Self::Faint => ("\u{1b}[2m", "\u{1b}[22m"),
        }
    }
}

/// Whether there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// There are.
    On,
    /// There are none.
    Off,
}

impl Paint {
    /// The text in that style.
    pub fn apply<'t>(self, style: Style, text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
        let text = text.into();
        match self {
            Self::Off => text,
            Self::On => {
                let (on, off) = style.codes();
                Cow::Owned(format!("{on}{text}{off}"))
            }
        }
    }

    /// The text in that style if there is one.
    pub fn apply_some<'t>(self, style: Option<Style>, text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
        match style {
            Some(style) => self.apply(style, text),
            None => text.into(),
        }
    }
}
