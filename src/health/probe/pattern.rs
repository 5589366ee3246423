//! A monitor's `match_re`: searched in octets of any kind, ignoring case. Linear in them, whatever the pattern.

use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};

/// A pattern and its text.
pub(super) struct Pattern {
    pub(super) text: Arc<str>,
    /// `None` when it does not compile, which the configuration does not let pass.
    regex: Option<Regex>,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        Pattern { text: text.into(), regex: RegexBuilder::new(text).case_insensitive(true).build().ok() }
    }

    /// Whether it cannot be searched for.
    pub(super) fn is_broken(&self) -> bool {
        self.regex.is_none()
    }

    pub(super) fn is_match(&self, octets: &[u8]) -> bool {
        self.regex.as_ref().is_some_and(|regex| regex.is_match(octets))
    }
}
