//! What shows only where inputs are held against each other, as the daemon holds the identities of a node.

use evercert_core::finding::Finding;

use super::judging::{Judgement, told};
use super::report::{Judged, Verdict};
use crate::publication::Census;

/// The judgements, each with what is found of it beside the others.
pub(super) fn beside_each_other(mut judgements: Vec<Judgement>) -> Vec<Judged> {
    let places: Vec<_> = (0..judgements.len()).collect();
    let published = judgements.iter().map(|judgement| judgement.shown.as_ref()?.0.snapshot.as_deref());
    let mut census = Census::of_one_moment();
    census.catch_up(places.iter().zip(published));
    for (place, found) in census.news(true) {
        let Some(Judgement { judged, shown: Some((state, places)) }) = judgements.get_mut(place) else { continue };
        let findings: Vec<Finding> = found.iter().map(|found| found.finding(&state.spec)).collect();
        judged.verdict = judged.verdict.max(Verdict::of(&findings));
        judged.findings.extend(told(&findings, places));
        judged.findings.sort_by_key(|told| std::cmp::Reverse(told.finding.severity));
    }
    judgements.into_iter().map(|judgement| judgement.judged).collect()
}
