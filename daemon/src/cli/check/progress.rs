//! How far a check is, on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a second the line is drawn at the most.
const DRAWN: u8 = 10;

/// Fewer inputs than these are done before a line could be read.
const MANY: usize = 200;

/// A line on stderr. Where that is no terminal there is none.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(DRAWN));
        let style = ProgressStyle::with_template("{wide_bar} {pos} of {len}, {eta} left");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    /// One more of `all` is done.
    pub(super) fn step(&self, all: usize) {
        if all < MANY {
            return;
        }
        self.0.set_length(all.try_into().unwrap_or(u64::MAX));
        self.0.inc(1);
    }

    /// The line goes, so that it is not among what is printed.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
