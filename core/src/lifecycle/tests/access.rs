//! The permissions to read the key of what is served, as they are kept on record.

use super::*;

/// The mode and the group of the file whose access is on record.
fn on_record(kept: &Kept) -> Option<(u32, u32)> {
    kept.lifecycle.state().key_access.as_ref().map(|record| (record.access.mode, record.access.group))
}

#[test]
fn a_replacement_that_is_rejected_leaves_on_record_who_could_read_the_key_that_is_served() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let good = Files::of(&root.leaf_number(8), &[], &[&root]);
    assert_eq!(on_record(&kept), None);
    let _ = kept.read(&good.clone().with_mode(0o400, 1));
    assert_eq!(on_record(&kept), Some((0o400, 1)));
    let next = Files::of(&root.leaf_number(9), &[], &[&root]).with_mode(0o644, 2);
    for (replacement, mark) in [
        (next.clone().with_key("nonsense"), "a key that is none"),
        (next.clone().with_key(good.key.clone().unwrap()), "another leaf's key"),
        (next.clone().with_chain("nonsense"), "no chain"),
        (Files { key: None, ..next.clone() }, "no key"),
    ] {
        assert_eq!(kept.read(&replacement).reload, Some(Reload::Rejected), "{mark}");
        assert_eq!(on_record(&kept), Some((0o400, 1)), "{mark}");
    }
    let _ = kept.time(now() + HOUR);
    assert_eq!(on_record(&kept), Some((0o400, 1)));
    assert_eq!(kept.read(&next).reload, Some(Reload::Published));
    assert_eq!(on_record(&kept), Some((0o644, 2)));
}

#[test]
fn a_credential_that_is_held_leaves_the_record_of_the_one_that_is_served() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let _ = kept.read(&Files::of(&root.leaf_number(8), &[], &[&root]).with_mode(0o400, 1));
    let later = root.leaf_with(|params| params.not_before = (now() + DAY).into());
    let _ = kept.read(&Files::of(&later, &[], &[&root]).with_mode(0o644, 2));
    assert_eq!(on_record(&kept), Some((0o400, 1)));
    let _ = kept.time(now() + DAY + SKEW);
    assert!(kept.serves(&later));
    assert_eq!(on_record(&kept), Some((0o644, 2)));
}

#[test]
fn a_change_of_who_may_read_the_key_is_a_change_of_the_state_and_no_generation() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let files = Files::of(&root.leaf_number(8), &[], &[&root]);
    let _ = kept.read(&files.clone().with_mode(0o440, 1));
    let step = kept.read(&files.clone().with_mode(0o400, 1));
    assert_eq!((step.changed, step.reload, on_record(&kept)), (true, Some(Reload::Unchanged), Some((0o400, 1))));
    let step = kept.read(&files.with_mode(0o400, 1));
    assert_eq!((step.changed, kept.generation()), (false, 1));
}

#[test]
fn of_an_identity_without_a_key_it_is_on_record_who_could_read_its_bundle() {
    let (mut wanted, root) = (dedicated(), Entity::root("root"));
    wanted.files.credential = None;
    let mut kept = Kept::new(wanted);
    let bundle = Files::default().with_bundle(root.pem());
    let _ = kept.read(&bundle.with_mode(0o440, 1));
    assert_eq!(on_record(&kept), Some((0o440, 1)));
    let _ = kept.read(&Files::default().with_bundle("nonsense").with_mode(0o644, 2));
    assert_eq!(on_record(&kept), Some((0o440, 1)));
}
