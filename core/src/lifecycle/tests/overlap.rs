//! The overlap, sentence by sentence.

use proptest::prelude::*;

use super::*;
use crate::digest::Digest;
use crate::spec::RequireChain;
use crate::test_files::bundle;

fn fingerprint(anchor: &Entity) -> Digest {
    Digest::fingerprint(&anchor.der())
}

impl Kept {
    /// The anchors that are told to be retained, and until when.
    fn retains(&self) -> Vec<(Digest, SystemTime)> {
        self.lifecycle.state().overlap.iter().map(|anchor| (anchor.facts.fingerprint, anchor.until)).collect()
    }

    /// The same identity in the next process, which remembers what it should.
    fn restarted(&self) -> Self {
        let mut lifecycle = Lifecycle::new(Arc::new(self.spec.clone()));
        lifecycle.recall(self.lifecycle.overlap().clone());
        Self { lifecycle, spec: self.spec.clone(), at: self.at, start: self.start }
    }
}

/// An identity that served the first root's leaf and has just read the second's set.
fn rolled(spec: IdentitySpec) -> (Kept, [Entity; 2], Files) {
    let mut kept = Kept::new(spec);
    let roots = [Entity::root("old"), Entity::root("new")];
    let _ = kept.read(&Files::of(&roots[0].leaf(), &[], &[&roots[0]]));
    let files = Files::of(&roots[1].leaf(), &[], &[&roots[1]]);
    let step = kept.read(&files);
    assert_eq!(step.reload, Some(Reload::Published));
    (kept, roots, files)
}

#[test]
fn an_anchor_that_left_stays_for_the_overlap_and_not_a_moment_longer() {
    let (mut kept, [old, new], _) = rolled(spec());
    assert!(kept.trusts(&[&old, &new]));
    assert_eq!(kept.retains(), [(fingerprint(&old), now() + DAY)]);
    assert_eq!(kept.told(), [(Check::TrustOverlap, WARN)]);
    let finding = &kept.lifecycle.state().findings[0];
    for part in [fingerprint(&old).to_string(), "2026-01-02T00:00:00Z".to_owned(), "evercertd trust drop".to_owned()] {
        assert!(finding.sentence.contains(&part), "{}", finding.sentence);
    }
    let step = kept.time(now() + DAY - SECOND);
    assert!(kept.trusts(&[&old, &new]) && step.wake_at == Some(now() + DAY));
    let step = kept.time(now() + DAY);
    assert!(kept.trusts(&[&new]) && step.changed && step.remember);
    assert_eq!((kept.generation(), kept.told(), kept.retains()), (3, vec![], vec![]));
}

#[test]
fn an_anchor_that_left_goes_with_the_outgoing_leaf() {
    let mut kept = Kept::new(spec());
    let [old, new] = ["old", "new"].map(Entity::root);
    let ends = now() + HOUR;
    let _ = kept.read(&Files::of(&old.leaf_with(|leaf| leaf.not_after = ends.into()), &[], &[&old]));
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    assert_eq!(kept.retains(), [(fingerprint(&old), ends + SECOND)]);
    let _ = kept.time(ends + SECOND);
    assert!(kept.trusts(&[&new]));
}

#[test]
fn a_leaf_that_has_expired_already_leaves_no_overlap() {
    let mut kept = Kept::new(spec());
    let [old, new] = ["old", "new"].map(Entity::root);
    let ends = now() + HOUR;
    let _ = kept.read(&Files::of(&old.leaf_with(|leaf| leaf.not_after = ends.into()), &[], &[&old]));
    let _ = kept.time(ends + HOUR);
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    assert!(kept.trusts(&[&new]) && kept.retains().is_empty());
}

#[test]
fn without_an_overlap_and_with_a_dedicated_bundle_a_removed_ca_bites_at_once() {
    let none = IdentitySpec { overlap: Duration::ZERO, ..spec() };
    for spec in [none, dedicated()] {
        let (kept, [_, new], _) = rolled(spec);
        assert!(kept.trusts(&[&new]) && kept.retains().is_empty());
        assert_eq!(kept.told(), []);
    }
}

#[test]
fn an_overlap_is_never_longer_than_a_day() {
    let (kept, [old, _], _) = rolled(IdentitySpec { overlap: 30 * DAY, ..spec() });
    assert_eq!(kept.retains(), [(fingerprint(&old), now() + DAY)]);
}

#[test]
fn an_anchor_that_comes_back_is_no_longer_retained() {
    let (mut kept, [old, new], _) = rolled(spec());
    let both = Files::of(&new.leaf(), &[], &[&new, &old]);
    let _ = kept.read(&both);
    assert!(kept.trusts(&[&old, &new]) && kept.retains().is_empty());
    assert_eq!(kept.told(), []);
    // And its next departure has a deadline of its own.
    kept.at = now() + HOUR;
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    assert_eq!(kept.retains(), [(fingerprint(&old), now() + HOUR + DAY)]);
}

#[test]
fn each_anchor_has_the_deadline_of_its_own_departure() {
    let (mut kept, [old, new], _) = rolled(spec());
    let third = Entity::root("third");
    kept.at = now() + HOUR;
    let _ = kept.read(&Files::of(&third.leaf(), &[], &[&third]));
    assert!(kept.trusts(&[&old, &new, &third]));
    assert_eq!(kept.retains(), [(fingerprint(&old), now() + DAY), (fingerprint(&new), now() + HOUR + DAY)]);
    let step = kept.time(now() + DAY);
    assert!(kept.trusts(&[&new, &third]) && step.wake_at == Some(now() + HOUR + DAY));
}

#[test]
fn a_leaf_under_an_anchor_that_just_left_is_still_good_and_is_disowned_when_that_ends() {
    let mut kept = Kept::new(spec());
    let [old, new] = ["old", "new"].map(Entity::root);
    let _ = kept.read(&Files::of(&old.leaf(), &[], &[&old]));
    let renewed = old.leaf();
    let step = kept.read(&Files::of(&renewed, &[], &[&new]));
    assert_eq!(step.reload, Some(Reload::Published));
    assert!(kept.serves(&renewed) && kept.trusts(&[&old, &new]));
    assert_eq!(kept.told(), [(Check::TrustOverlap, WARN)]);
    let _ = kept.time(now() + DAY);
    assert!(kept.serves(&renewed) && kept.trusts(&[&new]));
    assert_eq!(kept.told(), [(Check::OwnLeafUntrusted, WARN)]);
}

#[test]
fn a_rejected_bundle_starts_no_overlap_and_ends_none() {
    let (mut kept, [old, new], files) = rolled(spec());
    let expired = Entity::root_with("expired", |ca| ca.not_after = (now() - DAY).into());
    for broken in [expired.pem(), "nonsense".to_owned()] {
        let _ = kept.read(&files.clone().with_bundle(broken));
        assert!(kept.trusts(&[&old, &new]));
        assert_eq!(kept.retains(), [(fingerprint(&old), now() + DAY)]);
    }
    let _ = kept.time(now() + DAY);
    assert!(kept.trusts(&[&new]), "and the deadline holds meanwhile");
}

#[test]
fn the_end_of_an_overlap_bites_at_once() {
    let (mut kept, [old, new], files) = rolled(spec());
    kept.lifecycle.remembered();
    let step = kept.event(Event::OverlapEnded(fingerprint(&old)));
    assert!(step.changed && step.remember && kept.trusts(&[&new]));
    assert_eq!((kept.generation(), kept.told()), (3, vec![]));
    kept.lifecycle.remembered();
    let step = kept.read(&files);
    assert!(!step.changed && !step.remember && kept.trusts(&[&new]), "what was dropped stays dropped");
}

#[test]
fn a_restart_neither_ends_an_overlap_nor_extends_it() {
    let (kept, [old, new], files) = rolled(spec());
    let mut kept = kept.restarted();
    kept.at = now() + HOUR;
    let _ = kept.read(&files);
    assert!(kept.trusts(&[&old, &new]));
    assert_eq!(kept.retains(), [(fingerprint(&old), now() + DAY)]);
    let mut kept = kept.restarted();
    kept.at = now() + DAY;
    let step = kept.read(&files);
    assert!(kept.trusts(&[&new]) && step.remember);
}

#[test]
fn a_clock_that_is_set_back_leaves_no_more_than_the_overlap_from_then() {
    let (mut kept, [old, _], files) = rolled(spec());
    let step = kept.time(now() - 5 * DAY);
    assert_eq!(kept.retains(), [(fingerprint(&old), now() - 4 * DAY)]);
    assert_eq!(step.wake_at, Some(now() - 4 * DAY));
    let (other, [old, _], other_files) = rolled(spec());
    let mut restarted = other.restarted();
    restarted.at = now() - 5 * DAY;
    let _ = restarted.read(&other_files);
    assert_eq!(restarted.retains(), [(fingerprint(&old), now() - 4 * DAY)], "nor over a restart");
    let _ = kept.read(&files);
}

#[test]
fn other_files_by_configuration_bite_at_once() {
    let (mut kept, [_, new], files) = rolled(spec());
    let mut moved = spec();
    moved.files.bundle = Some(BundleFile::OfCredential("/elsewhere/ca.crt".into()));
    kept.spec = moved.clone();
    kept.lifecycle.respec(Arc::new(moved));
    let step = kept.read(&files);
    assert!(kept.trusts(&[&new]) && step.remember);
    let third = Entity::root("third");
    let mut moved = dedicated();
    moved.files.bundle = Some(BundleFile::OfCredential("/third/ca.crt".into()));
    kept.spec = moved.clone();
    kept.lifecycle.respec(Arc::new(moved));
    let _ = kept.read(&Files::of(&third.leaf(), &[], &[&third]));
    assert!(kept.trusts(&[&third]), "what another file held did not leave this one");
}

#[test]
fn an_overlap_ends_in_time_where_nothing_can_be_read_any_more() {
    let (mut kept, [old, new], _) = rolled(spec());
    let mut moved = spec();
    moved.files.credential = None;
    kept.lifecycle.respec(Arc::new(moved));
    assert_eq!(kept.time(now() + HOUR).wake_at, Some(now() + DAY));
    assert!(kept.trusts(&[&old, &new]));
    let step = kept.time(now() + DAY);
    assert!(step.changed && kept.trusts(&[&new]));
    assert_eq!((kept.told(), kept.retains()), (vec![], vec![]));
}

#[test]
fn what_never_was_published_is_not_retained() {
    let mut kept = Kept::new(spec());
    let [old, new] = ["old", "new"].map(Entity::root);
    let held = old.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let _ = kept.read(&Files::of(&held, &[], &[&old]));
    assert_eq!(kept.generation(), 0);
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    assert!(kept.trusts(&[&new]));
}

#[test]
fn who_was_revoked_under_an_anchor_that_left_stays_revoked() {
    let [old, new] = ["old", "new"].map(Entity::root);
    let crl = |ca: &Entity| evercert_fixtures::pem("X509 CRL", &ca.crl(&[], now()));
    let mut kept = Kept::new(spec());
    let _ = kept.read(&Files::of(&old.leaf(), &[], &[&old]).with_bundle(old.pem() + &crl(&old)));
    let before = kept.served().unwrap().bundles().own.clone().unwrap();
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    let after = kept.served().unwrap().bundles().own.clone().unwrap();
    assert_eq!(after.crls(), before.crls());
    let newer = crl(&old);
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]).with_bundle(new.pem() + &newer));
    let own = kept.served().unwrap().bundles().own.clone().unwrap();
    assert_eq!(own.crls().len(), 1, "the file's own takes its place");
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    let _ = kept.event(Event::OverlapEnded(fingerprint(&old)));
    assert_eq!(kept.served().unwrap().bundles().own.as_deref(), Some(&bundle(&[&new])));
}

#[test]
fn a_newer_crl_of_an_anchor_that_left_counts_also_when_it_is_gone_from_the_file() {
    let [old, new] = ["old", "new"].map(Entity::root);
    let mut kept = Kept::new(spec());
    let pem = |crl: &[u8]| evercert_fixtures::pem("X509 CRL", crl);
    let [first, second] = [(&[7][..], now() - HOUR), (&[7, 8], now())].map(|(revoked, at)| old.crl(revoked, at));
    let _ = kept.read(&Files::of(&old.leaf(), &[], &[&old]).with_bundle(old.pem() + &pem(&first)));
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]).with_bundle(new.pem() + &pem(&second)));
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    let own = |kept: &Kept| kept.served().unwrap().bundles().own.clone().unwrap();
    assert_eq!(own(&kept).crls(), std::slice::from_ref(&second));
    let mut kept = kept.restarted();
    let _ = kept.read(&Files::of(&new.leaf(), &[], &[&new]));
    assert_eq!(own(&kept).crls(), [second]);
}

#[test]
fn anchors_that_leave_one_after_the_other_leave_no_more_than_the_latest_crl_of_each() {
    let mut kept = Kept::new(spec());
    let signer = Entity::root("signer");
    let pem = |crl: &[u8]| evercert_fixtures::pem("X509 CRL", crl);
    for hour in 0..12 {
        let root = Entity::root(&format!("root {hour}"));
        let crl = pem(&signer.crl(&[7], now() + hour * HOUR));
        let _ = kept.read(&Files::of(&root.leaf(), &[], &[&root]).with_bundle(root.pem() + &crl));
    }
    assert_eq!(kept.lifecycle.overlap().crls().len(), 1);
}

thread_local! {
    static ROOTS: Vec<Entity> = (0..4).map(|n| Entity::root(&format!("root {n}"))).collect();
    static LEAF: Entity = ROOTS.with(|roots| roots[0].leaf_with(|leaf| {
        leaf.not_before = (now() - 500 * DAY).into();
        leaf.not_after = (now() + 500 * DAY).into();
    }));
}

#[derive(Debug, Clone)]
enum Act {
    /// The file holds these roots, as bits.
    Replace(u8),
    /// The file cannot be parsed.
    Break,
    /// So much time passes.
    Pass(Duration),
    /// The clock is set back by so much.
    SetBack(Duration),
    Drop(usize),
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let hours = |range: std::ops::Range<u64>| range.prop_map(|hours| HOUR * u32::try_from(hours).unwrap());
    prop_oneof![
        4 => (1u8..16).prop_map(Act::Replace),
        1 => Just(Act::Break),
        4 => hours(1..30).prop_map(Act::Pass),
        1 => hours(1..30).prop_map(Act::SetBack),
        1 => (0usize..4).prop_map(Act::Drop),
        1 => Just(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_anchor_outside_the_file_is_never_published_beyond_its_deadline(
        acts in proptest::collection::vec(act(), 1..25),
        hours in 0u32..30,
    ) {
        ROOTS.with(|roots| LEAF.with(|leaf| -> Result<(), TestCaseError> {
            let mut spec = IdentitySpec { overlap: HOUR * hours, ..spec() };
            spec.expectations.require_chain = RequireChain::Never;
            let longest = spec.overlap.min(DAY);
            let files = |bits: u8| {
                let anchors: Vec<_> = roots.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0).map(|(_, root)| root).collect();
                Files::of(leaf, &[], &anchors)
            };
            let mut kept = Kept::new(spec);
            let mut bits = 15;
            let mut current = files(bits);
            let _ = kept.read(&current);
            // When each anchor left the file, by a clock that is never set, and how long it may stay by it.
            let mut true_time = Duration::ZERO;
            let mut may_stay_until: [Option<Duration>; 4] = [None; 4];
            for act in acts {
                match act {
                    Act::Replace(next) => {
                        for (n, end) in may_stay_until.iter_mut().enumerate() {
                            match (bits & (1 << n) != 0, next & (1 << n) != 0) {
                                (true, false) => *end = Some(true_time + longest),
                                (_, true) => *end = None,
                                _ => {}
                            }
                        }
                        bits = next;
                        current = files(bits);
                        let _ = kept.read(&current);
                    }
                    Act::Break => {
                        let _ = kept.read(&files(bits).with_bundle("nonsense"));
                    }
                    Act::Pass(span) => {
                        // Woken when it asked for it, as the keeper does.
                        let to = kept.at + span;
                        while let Some(wake) = kept.lifecycle.wake_at.filter(|wake| *wake <= to) {
                            true_time += wake.duration_since(kept.at).unwrap();
                            let _ = kept.time(wake);
                        }
                        true_time += to.duration_since(kept.at).unwrap();
                        let _ = kept.time(to);
                    }
                    Act::SetBack(span) => {
                        for end in may_stay_until.iter_mut().flatten().filter(|end| **end > true_time) {
                            *end = (*end + span).min(true_time + longest);
                        }
                        let _ = kept.time(kept.at - span);
                    }
                    Act::Drop(n) => {
                        let _ = kept.event(Event::OverlapEnded(fingerprint(&roots[n])));
                        if bits & (1 << n) == 0 {
                            may_stay_until[n] = Some(Duration::ZERO);
                        }
                    }
                    Act::Restart => {
                        kept = kept.restarted();
                        let _ = kept.read(&current);
                    }
                }
                let published = kept.served().unwrap().bundles().own.clone().unwrap();
                for (n, root) in roots.iter().enumerate() {
                    let is_published = published.anchors().contains(&root.der());
                    let in_file = bits & (1 << n) != 0;
                    if in_file {
                        prop_assert!(is_published);
                    } else {
                        let within = may_stay_until[n].is_some_and(|end| true_time < end);
                        prop_assert_eq!(is_published, within, "{} at {:?}, may stay until {:?}", n, true_time, may_stay_until[n]);
                    }
                }
            }
            Ok(())
        }))?;
    }
}
