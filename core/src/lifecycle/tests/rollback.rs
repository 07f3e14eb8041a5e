//! A set that is older than what was served.

use super::*;

const TOLD: (Check, Severity) = (Check::RolledBack, WARN);

/// A leaf that is valid from so many days ago.
fn issued(root: &Entity, days_ago: u32) -> Entity {
    root.leaf_with(|leaf| leaf.not_before = (now() - days_ago * DAY).into())
}

#[test]
fn a_leaf_that_is_older_than_the_served_one_is_published_with_a_warning_until_a_newer_one_comes() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let [older, served, between, newer] = [9, 5, 7, 1].map(|days| issued(&root, days));
    let mut read = |leaf: &Entity| {
        let outcome = kept.read(&Files::of(leaf, &[], &[&root])).reload;
        (outcome, kept.serves(leaf), kept.told())
    };
    let published = Some(Reload::Published);
    assert_eq!(read(&served), (published, true, vec![]));
    assert_eq!(read(&older), (published, true, vec![TOLD]));
    assert_eq!(read(&older), (Some(Reload::Unchanged), true, vec![TOLD]), "it is still so");
    assert_eq!(read(&between), (published, true, vec![TOLD]), "an older one than was served, too");
    assert_eq!(read(&served), (published, true, vec![]), "what was rolled back is back");
    assert_eq!(read(&newer), (published, true, vec![]), "a renewal");
}

#[test]
fn both_instants_are_told() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    for days in [5, 9] {
        let _ = kept.read(&Files::of(&issued(&root, days), &[], &[&root]));
    }
    let finding = kept.lifecycle.state().findings[0].clone();
    assert_eq!(finding.found.as_deref(), Some("valid from 2025-12-23T00:00:00Z"));
    assert_eq!(finding.expected.as_deref(), Some("2025-12-27T00:00:00Z or later"));
    assert!(finding.file.is_some());
}

#[test]
fn leaves_of_one_instant_are_no_step_back_nor_is_an_older_one_that_was_never_served_before() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    for days in [9, 5, 5] {
        let _ = kept.read(&Files::of(&issued(&root, days), &[], &[&root]));
        assert_eq!(kept.told(), []);
    }
    // What is rejected was never served.
    let expired = root.leaf_with(|leaf| {
        (leaf.not_before, leaf.not_after) = ((now() - 2 * DAY).into(), (now() - DAY).into());
    });
    let _ = kept.read(&Files::of(&expired, &[], &[&root]));
    let _ = kept.read(&Files::of(&issued(&root, 4), &[], &[&root]));
    assert_eq!(kept.told(), []);
}

#[test]
fn whoever_wants_it_rejected_keeps_what_is_served() {
    let mut spec = spec();
    spec.expectations.severities.set(Check::RolledBack, Severity::Reject).unwrap();
    let (mut kept, root) = (Kept::new(spec), Entity::root("root"));
    let [served, older] = [5, 9].map(|days| issued(&root, days));
    let _ = kept.read(&Files::of(&served, &[], &[&root]));
    assert_eq!(kept.read(&Files::of(&older, &[], &[&root])).reload, Some(Reload::Rejected));
    assert_eq!(kept.told(), [(Check::RolledBack, REJECT)]);
    assert!(kept.serves(&served) && kept.generation() == 1);
}

#[test]
fn other_files_may_hold_what_is_older() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let [served, older] = [5, 9].map(|days| issued(&root, days));
    let _ = kept.read(&Files::of(&served, &[], &[&root]));
    let other = IdentitySpec { files: crate::spec::FileSet::cert_manager(std::path::Path::new("/other")), ..spec() };
    kept.lifecycle.respec(Arc::new(other.clone()));
    kept.spec = other;
    let _ = kept.read(&Files::of(&older, &[], &[&root]));
    assert!(kept.serves(&older));
    assert_eq!(kept.told(), []);
}
