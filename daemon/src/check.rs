//! Judges files as the daemon would, without one: the same readers, the same lifecycle, at any time.
//!
//! ```text
//! what was written ─→ inputs (directories, files, standard input) ─→ subjects (what the daemon would make of each)
//!                       Lifecycle ─→ findings now, and what time changes of them ─→ held against each other ─→ report
//! ```

mod given;
mod inputs;
mod judging;
mod loading;
mod neighbours;
mod places;
mod report;
mod sarif;
mod text;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::SystemTime;

use evercert_core::spec::Expectations;

pub use given::{Reports, reports_of};
pub(crate) use inputs::TooMany;
pub(crate) use report::{Report, Verdict};
pub(crate) use sarif::sarif;
pub(crate) use text::{Style, text};

use judging::{Judgement, judged};
use neighbours::beside_each_other;

/// The most threads that judge. Most of the time goes into signatures, so more than there are processors would not help.
const THREADS: usize = 16;

/// What is asked of everything that is judged.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The demands on a leaf.
    pub(crate) expectations: Expectations,
    /// The bundle that everything has to chain to, instead of what is beside it; an absolute path.
    pub(crate) bundle: Option<PathBuf>,
    /// The instant for which it is judged.
    pub(crate) at: SystemTime,
    /// The instant until which it is told what changes; absent: nothing of it is told.
    pub(crate) until: Option<SystemTime>,
}

/// Judges all that is meant by what was written. `progress` is told after each input how many there are; it is called from several
/// threads.
///
/// # Errors
///
/// More is meant than is judged at once.
pub(crate) fn judge(
    written: &[OsString],
    question: &Question,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Report, TooMany> {
    let inputs = inputs::expand(written)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done: Vec<(usize, Vec<Judgement>)> = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(input) = inputs.get(place) else { return done };
            done.push((
                place,
                loading::load(input, question).into_iter().map(|loaded| judged(loaded, question)).collect(),
            ));
            progress(inputs.len());
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(THREADS).min(inputs.len());
    let mut all: Vec<_> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        // A thread that panicked has judged nothing that could be told: the panic goes on.
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        own.into_iter().chain(others.into_iter().flat_map(join)).collect()
    });
    all.sort_by_key(|(place, _)| *place);
    let all = all.into_iter().flat_map(|(_, judged)| judged).collect();
    Ok(Report::of(beside_each_other(all), question))
}

#[cfg(test)]
mod tests;
