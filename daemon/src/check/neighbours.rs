//! What shows only where inputs are held against each other, as the daemon holds the identities of a node.

use evercert_core::finding::Finding;

use super::judging::{Judgement, told};
use super::report::{Judged, Verdict};
use crate::publication::Census;

/// The judgements, each with what is found of it beside the others.
pub(super) fn beside_each_other(mut judgements: Vec<Judgement>) -> Vec<Judged> {
    let mut census = Census::of_one_moment();
    for (place, judgement) in judgements.iter().enumerate() {
        let state = judgement.shown.as_ref().map(|(state, _)| state);
        census.take_in(&place, state.and_then(|state| state.snapshot.as_deref()));
    }
    for (place, found) in census.news(true) {
        let Some(Judgement { judged, shown: Some((state, places)) }) = judgements.get_mut(place) else { continue };
        let findings: Vec<Finding> = found.iter().map(|found| found.finding(&state.spec)).collect();
        judged.verdict = judged.verdict.max(Verdict::of(&findings));
        judged.findings.extend(told(&findings, places));
        judged.findings.sort_by_key(|told| std::cmp::Reverse(told.finding.severity));
    }
    judgements.into_iter().map(|judgement| judgement.judged).collect()
}
