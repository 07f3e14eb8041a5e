//! Content that is judged without a file.

use std::time::SystemTime;

use evercert_core::mount::FileRead;
use evercert_core::spec::Expectations;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::judging::judged;
use super::neighbours::beside_each_other;
use super::report::Report;
use super::{Question, Style, loading, sarif, text};

/// One report of `evercertd check`, in each of its forms.
#[derive(Debug, Clone, PartialEq)]
pub struct Reports {
    /// Of `--format json`.
    pub json: Value,
    /// Of `--format sarif`.
    pub sarif: Value,
    /// Of `--format text`.
    pub text: String,
}

/// Judges `content` as `evercertd check - --at AT --until UNTIL` judges standard input.
#[must_use]
pub fn reports_of(content: &[u8], at: SystemTime, until: SystemTime) -> Reports {
    let question = Question { expectations: Expectations::default(), bundle: None, at, until: Some(until) };
    let read = FileRead::given(loading::STANDARD.into(), Zeroizing::new(content.to_vec()));
    let loaded = loading::of_content("-", read, None, &question);
    let judged = loaded.into_iter().map(|loaded| judged(loaded, &question)).collect();
    let report = Report::of(beside_each_other(judged), &question);
    Reports { json: json!(report), sarif: sarif(&report, "/".as_ref()), text: text(&report, Style::Plain) }
}
