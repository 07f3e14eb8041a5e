use std::time::{Duration, Instant};

use evercert_fixtures::{DAY, Entity, ExtendedKeyUsagePurpose, HOUR, key, now};

use super::*;
use crate::finding::Severity;
use crate::spec::{BundleFile, CrlFile, Renewal, Usage};
use crate::test_files::{Files, dedicated, spec};

const SKEW: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);

/// A lifecycle on a clock that the test sets.
struct Kept {
    lifecycle: Lifecycle,
    spec: IdentitySpec,
    at: SystemTime,
    start: Instant,
}

impl Kept {
    fn new(spec: IdentitySpec) -> Self {
        Self { lifecycle: Lifecycle::new(Arc::new(spec.clone())), spec, at: now(), start: Instant::now() }
    }

    fn event(&mut self, event: Event) -> Step {
        let step = self.lifecycle.handle(event, Now { wall: self.at, monotonic: self.start });
        assert!(step.wake_at.is_none_or(|at| at > self.at), "{step:?}");
        step
    }

    fn read(&mut self, files: &Files) -> Step {
        let material = files.read(&self.spec);
        self.event(Event::Read { material, final_try: true })
    }

    fn first_read(&mut self, files: &Files) -> Step {
        let material = files.read(&self.spec);
        self.event(Event::Read { material, final_try: false })
    }

    fn time(&mut self, at: SystemTime) -> Step {
        self.at = at;
        self.event(Event::TimePassed)
    }

    fn served(&self) -> Option<&Arc<Snapshot>> {
        self.lifecycle.state().snapshot.as_ref()
    }

    fn generation(&self) -> u64 {
        self.served().map_or(0, |snapshot| snapshot.generation())
    }

    fn serves(&self, leaf: &Entity) -> bool {
        self.served().and_then(|snapshot| snapshot.credential()).is_some_and(|served| served.chain()[0] == leaf.der())
    }

    fn trusts(&self, anchors: &[&Entity]) -> bool {
        self.served().and_then(|snapshot| snapshot.bundles().own.as_deref())
            == Some(&crate::test_files::bundle(anchors))
    }

    fn crls(&self) -> Vec<rustls_pki_types::CertificateRevocationListDer<'static>> {
        self.served().and_then(|snapshot| snapshot.bundles().own.clone()).map_or(Vec::new(), |own| own.crls().to_vec())
    }

    fn told(&self) -> Vec<(Check, Severity)> {
        self.lifecycle.state().findings.iter().map(|finding| (finding.check, finding.severity)).collect()
    }
}

const REJECT: Severity = Severity::Reject;
const WARN: Severity = Severity::Warn;

#[test]
fn a_federated_bundle_is_kept_for_itself_and_holds_nothing_back() {
    let mut spec = spec();
    spec.files.federated.insert("partner.example.org".parse().unwrap(), "/trust/partner.pem".into());
    let (mut kept, root, partner) = (Kept::new(spec), Entity::root("root"), Entity::root("partner"));
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let _ = kept.read(&files);
    assert_eq!((kept.generation(), kept.told()), (1, vec![(Check::FileMissing, REJECT)]));
    let finding = &kept.lifecycle.state().findings[0];
    assert!(finding.sentence.starts_with("federated trust domain partner.example.org: "), "{}", finding.sentence);
    let _ = kept.read(&files.clone().with_federated("partner.example.org", partner.pem()));
    let federated = |kept: &Kept| kept.served().unwrap().bundles().federated.clone();
    assert_eq!((kept.generation(), kept.told()), (2, vec![]));
    assert_eq!(*federated(&kept)[&"partner.example.org".parse().unwrap()], crate::test_files::bundle(&[&partner]));
    let _ = kept.read(&files.with_federated("partner.example.org", "nonsense"));
    assert_eq!((kept.generation(), kept.told()), (2, vec![(Check::Unparsable, REJECT)]));
    assert_eq!(federated(&kept).len(), 1);
}

#[test]
fn the_first_good_set_is_generation_one() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let leaf = root.leaf();
    let step = kept.first_read(&Files::of(&leaf, &[], &[&root]));
    assert!(step.changed && !step.read_again);
    assert_eq!(step.reload, Some(Reload::Published));
    assert!(kept.serves(&leaf) && kept.trusts(&[&root]));
    assert_eq!(kept.generation(), 1);
    let state = kept.lifecycle.state();
    assert_eq!((state.published_at, state.on_disk.len(), state.findings.len()), (Some(now()), 2, 0));
    assert_eq!(state.snapshot.as_ref().unwrap().renewal_due(), Some(now() + 50 * DAY));
}

#[test]
fn what_is_served_already_is_unchanged_and_a_to_b_to_a_is_two_rotations() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let [a, b] = [root.leaf(), root.leaf()].map(|leaf| Files::of(&leaf, &[], &[&root]));
    let _ = kept.read(&a);
    let step = kept.read(&a);
    assert_eq!((step.changed, step.reload, kept.generation()), (false, Some(Reload::Unchanged), 1));
    assert_eq!((kept.read(&b).reload, kept.generation()), (Some(Reload::Published), 2));
    assert_eq!((kept.read(&a).reload, kept.generation()), (Some(Reload::Published), 3));
}

#[test]
fn a_torn_pair_is_read_again_before_anybody_is_alarmed() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let leaf = root.leaf();
    let good = Files::of(&leaf, &[], &[&root]);
    let _ = kept.read(&good);
    let wake_at = kept.lifecycle.wake_at;
    for torn in [
        good.clone().with_key(key().serialize_pem()),
        good.clone().with_chain(&good.chain.as_ref().unwrap()[..100]),
        Files { key: None, ..good.clone() },
        Files { bundle: None, ..good.clone() },
        good.clone().with_bundle(""),
    ] {
        let step = kept.first_read(&torn);
        assert_eq!(step, Step { wake_at, read_again: true, ..Step::default() });
        assert_eq!(kept.told(), []);
        let step = kept.read(&torn);
        assert_eq!((step.read_again, step.reload), (false, Some(Reload::Rejected)));
        assert_eq!(kept.told().len(), 1);
        assert!(kept.serves(&leaf) && kept.trusts(&[&root]));
        assert_eq!(kept.read(&good).reload, Some(Reload::Unchanged));
        assert_eq!(kept.told(), []);
    }
    assert_eq!(kept.generation(), 1);
}

#[test]
fn what_is_merely_bad_is_not_read_again() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let expired = root.leaf_with(|leaf| leaf.not_after = (now() - DAY).into());
    let step = kept.first_read(&Files::of(&expired, &[], &[&root]));
    assert_eq!((step.read_again, step.reload), (false, Some(Reload::Rejected)));
    let mut kept = Kept::new(spec());
    assert!(!kept.first_read(&Files::of(&root.leaf(), &[], &[])).read_again, "ACME leaves no ca.crt");
}

#[test]
fn what_falls_due_while_a_torn_set_is_read_again_is_not_missed() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let held = root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let files = Files::of(&held, &[], &[&root]);
    let _ = kept.read(&files);
    kept.at = now() + HOUR;
    let step = kept.first_read(&Files { key: None, ..files });
    assert!(step.read_again && step.changed);
    assert!(kept.serves(&held));
}

#[test]
fn a_rejected_credential_keeps_the_last_good_one_and_a_new_bundle_is_published_all_the_same() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let (leaf, other) = (root.leaf(), Entity::root("other"));
    let _ = kept.read(&Files::of(&leaf, &[], &[&root]));
    let bad = root.leaf_with(|leaf| leaf.not_after = (now() - DAY).into());
    let step = kept.read(&Files::of(&bad, &[], &[&root, &other]));
    assert_eq!((step.reload, kept.generation()), (Some(Reload::Published), 2));
    assert!(kept.serves(&leaf) && kept.trusts(&[&root, &other]));
    assert_eq!(kept.told(), [(Check::Expired, REJECT)]);
}

#[test]
fn a_rejected_bundle_keeps_the_last_good_one_and_a_new_credential_is_published_all_the_same() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let _ = kept.read(&Files::of(&root.leaf(), &[], &[&root]));
    let leaf = root.leaf();
    let step = kept.read(&Files::of(&leaf, &[], &[]).with_bundle("nothing"));
    assert_eq!((step.reload, kept.generation()), (Some(Reload::Published), 2));
    assert!(kept.serves(&leaf) && kept.trusts(&[&root]));
    assert_eq!(kept.told(), [(Check::Unparsable, REJECT)]);
}

#[test]
fn a_bundle_that_disowns_our_own_leaf_is_published() {
    for spec in [IdentitySpec { overlap: Duration::ZERO, ..spec() }, dedicated()] {
        let (mut kept, root, other) = (Kept::new(spec), Entity::root("root"), Entity::root("other"));
        let leaf = root.leaf();
        let _ = kept.read(&Files::of(&leaf, &[], &[&root, &other]));
        assert_eq!(kept.told(), []);
        let step = kept.read(&Files::of(&leaf, &[], &[&other]));
        assert_eq!((step.reload, kept.generation()), (Some(Reload::Published), 2));
        assert!(kept.serves(&leaf) && kept.trusts(&[&other]));
        assert_eq!(kept.told(), [(Check::OwnLeafUntrusted, WARN)]);

        assert_eq!(kept.read(&Files::of(&leaf, &[], &[&other])).reload, Some(Reload::Unchanged));
        let _ = kept.read(&Files::of(&leaf, &[], &[&other, &root]));
        assert_eq!(kept.told(), []);
    }
}

#[test]
fn a_bundle_that_never_trusted_our_own_leaf_does_not_disown_it() {
    let (mut kept, public, private) = (Kept::new(dedicated()), Entity::root("public"), Entity::root("private"));
    let files = Files::of(&public.leaf(), &[], &[&private]);
    let _ = kept.read(&files);
    assert_eq!(kept.told(), [(Check::ChainUntrusted, WARN)]);
    let _ = kept.read(&Files { key: None, ..files.clone() });
    assert_eq!(kept.told(), [(Check::FileMissing, REJECT)]);
    // Nor after another credential, which it did trust.
    let _ = kept.read(&Files::of(&private.leaf(), &[], &[&private]));
    let _ = kept.read(&files);
    assert_eq!(kept.told(), [(Check::ChainUntrusted, WARN)]);
}

#[test]
fn a_set_of_the_future_is_published_the_moment_it_is_due() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let old = root.leaf();
    let _ = kept.read(&Files::of(&old, &[], &[&root]));
    let held = root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let step = kept.read(&Files::of(&held, &[], &[&root]));
    let due = now() + HOUR - SKEW;
    assert_eq!((step.reload, step.wake_at), (Some(Reload::Held), Some(due)), "what is held is not rejected");
    assert_eq!(kept.told(), [(Check::NotYetValid, WARN)]);

    let step = kept.time(due - SECOND);
    assert!(!step.changed && step.wake_at == Some(due) && kept.serves(&old));
    let step = kept.time(due);
    assert!(step.changed && step.reload.is_none() && kept.serves(&held));
    assert_eq!((kept.generation(), kept.lifecycle.state().published_at), (2, Some(due)));
}

#[test]
fn a_newer_set_replaces_one_that_is_held() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let future = || root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let (held, newer) = (future(), root.leaf());
    let _ = kept.read(&Files::of(&held, &[], &[&root]));
    let _ = kept.read(&Files::of(&newer, &[], &[&root]));
    assert!(!kept.time(now() + HOUR).changed);
    assert!(kept.serves(&newer));
}

#[test]
fn a_newer_set_that_is_rejected_takes_the_held_one_back() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let held = root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let _ = kept.read(&Files::of(&held, &[], &[&root]));
    let _ = kept.read(&Files::of(&held, &[], &[&root]).with_key(key().serialize_pem()));
    let _ = kept.time(now() + HOUR);
    assert_eq!(kept.generation(), 0);
}

#[test]
fn a_served_leaf_that_expires_is_still_served_loudly() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let leaf = root.leaf();
    let _ = kept.read(&Files::of(&leaf, &[], &[&root]));
    let overdue = now() + 50 * DAY + HOUR;
    assert_eq!(kept.lifecycle.wake_at, Some(overdue));
    assert!(kept.time(overdue).changed);
    assert_eq!(kept.told(), [(Check::RenewalOverdue, WARN)]);
    let expiry = now() + 80 * DAY + SECOND;
    assert_eq!(kept.lifecycle.wake_at, Some(expiry));
    assert!(kept.time(expiry).changed);
    assert_eq!(kept.told(), [(Check::Expired, REJECT)]);
    assert!(kept.serves(&leaf) && kept.generation() == 1);
    assert_eq!(kept.read(&Files::of(&leaf, &[], &[&root])).reload, Some(Reload::Unchanged));
}

#[test]
fn what_is_served_is_watched_over_while_the_files_are_bad() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let _ = kept.read(&files);
    let _ = kept.read(&Files { key: None, ..files });
    let missing = (Check::FileMissing, REJECT);
    assert_eq!(kept.told(), [missing]);
    assert!(kept.time(kept.lifecycle.wake_at.unwrap()).changed);
    assert_eq!(kept.told(), [missing, (Check::RenewalOverdue, WARN)]);
    assert!(kept.time(now() + 81 * DAY).changed);
    assert_eq!(kept.told(), [missing, (Check::Expired, REJECT)]);
}

#[test]
fn a_clock_that_is_set_back_or_forward_re_evaluates_everything() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let leaf = root.leaf();
    kept.at = now() + 100 * DAY;
    let _ = kept.read(&Files::of(&leaf, &[], &[&root]));
    assert_eq!((kept.generation(), kept.told()), (0, vec![(Check::Expired, REJECT)]));
    assert!(kept.time(now()).changed);
    assert!(kept.serves(&leaf) && kept.told().is_empty());
    assert!(kept.time(now() - 50 * DAY).changed);
    assert!(kept.serves(&leaf) && kept.generation() == 1);
    assert_eq!(kept.told(), [(Check::NotYetValid, WARN)]);
    assert!(kept.time(now() + DAY).changed);
    assert_eq!((kept.generation(), kept.told()), (1, vec![]));
}

#[test]
fn an_identity_that_only_trusts_is_published_with_its_bundle() {
    let (root, mut spec) = (Entity::root("root"), spec());
    spec.files.credential = None;
    let mut kept = Kept::new(spec);
    assert_eq!(kept.read(&Files::default()).reload, Some(Reload::Unchanged));
    assert_eq!(kept.generation(), 0);
    let _ = kept.read(&Files::of(&root.leaf(), &[], &[&root]));
    assert!(kept.trusts(&[&root]) && kept.served().unwrap().credential().is_none());
}

#[test]
fn nothing_is_published_without_the_credential_or_the_trust_that_is_wanted() {
    let root = Entity::root("root");
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let mut kept = Kept::new(dedicated());
    let _ = kept.read(&Files { bundle: None, ..files.clone() });
    assert_eq!((kept.generation(), kept.told()), (0, vec![(Check::FileMissing, REJECT)]));
    let mut kept = Kept::new(dedicated());
    let _ = kept.read(&Files { key: None, ..files.clone() });
    assert_eq!((kept.generation(), kept.told()), (0, vec![(Check::FileMissing, REJECT)]));
    let _ = kept.read(&files);
    assert_eq!((kept.generation(), kept.told()), (1, vec![]));

    let mut kept = Kept::new(spec());
    let _ = kept.read(&files.clone().with_bundle("rubbish"));
    assert_eq!(kept.generation(), 0);
    let _ = kept.read(&Files { bundle: None, ..files });
    assert_eq!((kept.generation(), kept.told()), (1, vec![(Check::NoBundle, Severity::Info)]));
}

#[test]
fn a_credential_and_a_bundle_admitted_in_different_readings_make_a_generation() {
    let (mut kept, root) = (Kept::new(dedicated()), Entity::root("root"));
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]);
    let _ = kept.read(&Files { key: None, ..files.clone() });
    let _ = kept.read(&Files { bundle: None, ..files });
    assert!(kept.serves(&leaf) && kept.trusts(&[&root]));
}

#[test]
fn a_credential_that_no_bundle_has_judged_is_not_the_last_good_one() {
    let (mut kept, root, other) = (Kept::new(spec()), Entity::root("root"), Entity::root("other"));
    let _ = kept.read(&Files::of(&root.leaf(), &[], &[]).with_bundle("rubbish"));
    let _ = kept.read(&Files { key: None, ..Files::of(&root.leaf(), &[], &[&other]) });
    assert_eq!(kept.generation(), 0);
}

#[test]
fn what_is_served_without_a_bundle_is_not_held_up_by_a_bad_one() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let _ = kept.read(&Files::of(&root.leaf(), &[], &[]));
    let leaf = root.leaf();
    let _ = kept.read(&Files::of(&leaf, &[], &[]).with_bundle("rubbish"));
    assert!(kept.serves(&leaf) && kept.generation() == 2);
    assert_eq!(kept.told(), [(Check::Unparsable, REJECT)]);
}

#[test]
fn changed_expectations_keep_the_generation_and_the_last_good() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let leaf = root.leaf_with(|leaf| leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]);
    let _ = kept.read(&Files::of(&leaf, &[], &[&root]));

    let mut spec = spec();
    spec.expectations.renewal = Renewal::Before(DAY);
    kept.lifecycle.respec(Arc::new(spec.clone()));
    assert!(kept.time(now()).changed);
    let snapshot = kept.served().unwrap();
    assert_eq!((snapshot.generation(), snapshot.renewal_due()), (1, Some(now() + 79 * DAY)));

    spec.expectations.usages = vec![Usage::ServerAuth];
    kept.lifecycle.respec(Arc::new(spec.clone()));
    assert!(kept.time(now()).changed);
    assert_eq!(kept.told(), [(Check::ExtendedKeyUsage, REJECT)]);
    assert!(kept.serves(&leaf) && kept.generation() == 1);
    assert_eq!(*kept.lifecycle.state().spec, spec);
}

#[test]
fn other_files_are_not_judged_by_what_was_read_of_the_old_ones() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let held = root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let _ = kept.read(&Files::of(&held, &[], &[&root]));
    let mut spec = spec();
    spec.files.bundle = Some(BundleFile::Dedicated("/trust/ca.crt".into()));
    kept.lifecycle.respec(Arc::new(spec));
    assert_eq!(kept.time(now() + HOUR), Step::default());
    assert_eq!(kept.generation(), 0);
}

#[test]
fn a_reading_shares_what_is_held_already() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let files = Files::of(&root.leaf(), &[], &[&root]);
    let _ = kept.read(&files);
    let _ = kept.read(&files);
    let (material, snapshot) = (kept.lifecycle.material.as_ref().unwrap(), kept.served().unwrap());
    let Part::Whole(keyed) = &material.credential else { panic!() };
    let Part::Whole(bundle) = &material.bundle else { panic!() };
    assert!(Arc::ptr_eq(&keyed.credential, snapshot.credential().unwrap()));
    assert!(Arc::ptr_eq(bundle, snapshot.bundles().own.as_ref().unwrap()));
    assert!(Arc::ptr_eq(material.on_disk(), &kept.lifecycle.state().on_disk));
}

mod access;
mod crls;
mod keys;
mod overlap;
mod properties;
mod rollback;
