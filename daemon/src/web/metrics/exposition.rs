//! Prometheus' text format, version 0.0.4.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use evercert_core::text::{self, WORD_LIMIT};

/// The media type of a page.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The name, help and type of a family of samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct Family {
    /// The name of every sample.
    pub(super) name: &'static str,
    /// One sentence, of one line.
    pub(super) help: &'static str,
    /// `gauge` or `counter`.
    pub(super) kind: &'static str,
}

impl Family {
    /// A gauge.
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: "gauge" }
    }

    /// A counter.
    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: "counter" }
    }

    /// Begins the family: its samples have to follow, with nothing between.
    pub(super) fn begin(&self, text: &mut String) {
        let Self { name, help, kind } = self;
        append(text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Adds a sample. Labels without a value are left out, which to Prometheus is the same.
    pub(super) fn sample(&self, text: &mut String, labels: &[(&str, &str)], value: impl fmt::Display) {
        text.push_str(self.name);
        write_labels(text, labels);
        append(text, format_args!(" {value}\n"));
    }
}

/// The labels of a sample as they are written.
pub(super) fn rendered(labels: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(256);
    write_labels(&mut text, labels);
    text
}

fn write_labels(text: &mut String, labels: &[(&str, &str)]) {
    let mut separator = '{';
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(separator);
        text.push_str(name);
        text.push_str("=\"");
        write_value(text, value);
        text.push('"');
        separator = ',';
    }
    if separator == ',' {
        text.push('}');
    }
}

/// Appends a label's value as the format wants it: what is not seen is written out, as in every other text.
fn write_value(text: &mut String, value: &str) {
    // Nearly every value is this, in pages of tens of megabytes.
    let stands_for_itself = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\\' && byte != b'"';
    if value.len() <= WORD_LIMIT && value.bytes().all(stands_for_itself) {
        return text.push_str(value);
    }
    let value: Cow<'_, str> = if value.len() > WORD_LIMIT { text::word(value).into() } else { text::plain(value) };
    for character in value.chars() {
        if matches!(character, '\\' | '"') {
            text.push('\\');
        }
        text.push(character);
    }
}

fn append(text: &mut String, arguments: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = text.write_fmt(arguments);
}

/// Seconds since 1970, before which they are negative.
pub(super) fn seconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
    }
}

/// Seconds since 1970 with their fraction, for what happened rather than what a certificate says.
pub(super) fn fractional_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn label_values_are_escaped_and_empty_ones_left_out() {
        let mut text = String::new();
        let family = Family::gauge("x", "Help.");
        family.begin(&mut text);
        family.sample(&mut text, &[("a", "q\"b\\n\nl ä"), ("b", ""), ("c", "1")], 2);
        family.sample(&mut text, &[], -1);
        assert_eq!(text, "# HELP x Help.\n# TYPE x gauge\nx{a=\"q\\\"b\\\\n\\\\nl ä\",c=\"1\"} 2\nx -1\n");
    }

    proptest::proptest! {
        #[test]
        fn no_label_value_begins_a_line_of_its_own(value in "\\PC*|[\\u{0}-\\u{2100}]*|(?s).{0,40}") {
            let mut text = String::new();
            Family::gauge("x", "Help.").sample(&mut text, &[("a", &value), ("b", "1")], 2);
            proptest::prop_assert!(text.ends_with("b=\"1\"} 2\n"), "{text}");
            proptest::prop_assert!(!text.trim_end_matches('\n').contains(text::is_unseen), "{text:?}");
        }
    }

    #[test]
    fn times_before_1970_are_negative() {
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(5)), -5);
    }
}
