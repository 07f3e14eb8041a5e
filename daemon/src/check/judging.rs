//! The judgement: what a daemon that starts on the files says of them, and what it says as time passes.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use evercert_core::check;
use evercert_core::clock::Now;
use evercert_core::finding::{Finding, Severity};
use evercert_core::keeper::IdentityState;
use evercert_core::lifecycle::{Event, Lifecycle};
use evercert_core::material::Material;

use super::Question;
use super::loading::{Loaded, What};
use super::places::Places;
use super::report::{Change, Judged, LocatedFinding, Verdict};

/// The most instants that one input is judged at: each of its certificates and lists changes something a few times. What changes after
/// them is told as of the end of the outlook.
const STEPS: usize = 1000;

/// The judgement on one input.
pub(super) struct Judgement {
    pub(super) judged: Judged,
    /// What the daemon would show of it, and where its certificates are, if it can be an identity's.
    pub(super) shown: Option<(Arc<IdentityState>, Places)>,
}

pub(super) fn judged(loaded: Loaded, question: &Question) -> Judgement {
    let Loaded { input, kind, what, is_readable, note, line } = loaded;
    let mut shown = None;
    let judged = match what {
        What::Nothing(finding) => Judged::of_findings(&[finding]),
        What::Key(file) => Judged::of_findings(&check::key_alone(file)),
        What::Set { spec, reading } => {
            let material = Material::parse(&spec, *reading);
            let mut lifecycle = Lifecycle::new(Arc::new(*spec));
            // As for one whose key nobody asks for: it was seen to be the leaf's.
            let _ = lifecycle.keep_keys(false);
            let now = Now { wall: question.at, monotonic: Instant::now() };
            let _ = lifecycle.handle(Event::Read { material, final_try: true }, now);
            let state = Arc::clone(lifecycle.state());
            let places = Places::of(&state, line);
            let outlook = question.until.map(|until| outlook(&mut lifecycle, now, until, STEPS, &places));
            let judged = Judged {
                verdict: Verdict::of(&state.findings),
                published: Some(state.snapshot.is_some()),
                certificates: places.certificates(),
                findings: told(state.findings.iter().chain(&note), &places),
                outlook: outlook.unwrap_or_default(),
                ..Judged::of_findings(&[])
            };
            shown = Some((state, places));
            judged
        }
    };
    let verdict = if is_readable { judged.verdict } else { Verdict::Unreadable };
    Judgement { judged: Judged { input, kind, verdict, ..judged }, shown }
}

/// What becomes worse until then, and when, by so many steps.
fn outlook(lifecycle: &mut Lifecycle, now: Now, until: SystemTime, steps: usize, places: &Places) -> Vec<Change> {
    let mut changes = Vec::new();
    lifecycle.foresee(now, until, steps, |at, before, after| {
        let new = worse(before, after);
        if !new.is_empty() {
            changes.push(Change::new(at, Verdict::of(&after.findings), told(&new, places)));
        }
    });
    changes
}

/// The findings that were not there before, and that say that something is wrong.
fn worse(before: &IdentityState, after: &IdentityState) -> Vec<Finding> {
    let is_new = |finding: &&Finding| finding.severity > Severity::Info && !before.findings.contains(finding);
    after.findings.iter().filter(is_new).cloned().collect()
}

/// The findings with their places, the worst first.
pub(super) fn told<'f>(findings: impl IntoIterator<Item = &'f Finding>, places: &Places) -> Vec<LocatedFinding> {
    let about = |finding| places.of_finding(finding).map(|on_disk| (on_disk, places.line_of(on_disk)));
    let mut told: Vec<_> = findings.into_iter().map(|finding| LocatedFinding::of(finding, about(finding))).collect();
    told.sort_by_key(|told| std::cmp::Reverse(told.finding.severity));
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evercert_core::spec::Expectations;
    use evercert_fixtures::{Authority, Leaf, PlainDirectory};

    use super::super::inputs::Input;
    use super::super::loading;
    use super::*;

    #[test]
    fn more_changes_than_are_looked_at_hide_no_failure() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let at = SystemTime::now();
        let leaf = Leaf::for_dns("a.example.org").valid(at - DAY, at + 20 * DAY);
        let directory = PlainDirectory::new(&Authority::new("root").issue(leaf).files());
        let question = Question { expectations: Expectations::default(), bundle: None, at, until: None };
        for steps in [1, 2, 3, STEPS] {
            let loaded = loading::load(&Input::Directory(directory.path().to_owned()), &question).remove(0);
            let What::Set { spec, reading } = loaded.what else { panic!("it is a set") };
            let material = Material::parse(&spec, *reading);
            let mut lifecycle = Lifecycle::new(Arc::new(*spec));
            let now = Now { wall: at, monotonic: Instant::now() };
            let _ = lifecycle.handle(Event::Read { material, final_try: true }, now);
            let places = Places::of(lifecycle.state(), None);
            let changes = outlook(&mut lifecycle, now, at + 30 * DAY, steps, &places);
            assert_eq!(changes.last().map(|change| change.verdict), Some(Verdict::Rejected), "{steps}: {changes:?}");
        }
    }
}
