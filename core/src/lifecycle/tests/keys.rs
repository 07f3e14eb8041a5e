//! Keys are in memory only while somebody wants them.

use super::*;

impl Kept {
    /// One whose key nobody wants yet.
    fn unwanted(spec: IdentitySpec) -> Self {
        let mut kept = Self::new(spec);
        assert!(!kept.lifecycle.keep_keys(false));
        kept
    }

    /// Whether a key is in the state that is shown, in what was read last and in the last good.
    fn keys(&self) -> [bool; 3] {
        let has_key = |credential: &Arc<Credential>| credential.key().is_some();
        let shown = self.served().and_then(|snapshot| snapshot.credential());
        let read = self.lifecycle.material.as_ref().and_then(|material| match &material.credential {
            Part::Whole(keyed) => Some(&keyed.credential),
            _ => None,
        });
        [shown, read, self.lifecycle.credential.as_ref()].map(|credential| credential.is_some_and(has_key))
    }
}

const NOWHERE: [bool; 3] = [false; 3];
const EVERYWHERE: [bool; 3] = [true; 3];

#[test]
fn a_key_that_nobody_wants_is_nowhere_once_it_is_known_to_be_the_leafs() {
    let (mut kept, root) = (Kept::unwanted(spec()), Entity::root("root"));
    let (first, second) = (root.leaf(), root.leaf());
    let _ = kept.read(&Files::of(&first, &[], &[&root]));
    assert!(kept.serves(&first));
    assert_eq!((kept.keys(), kept.told()), (NOWHERE, vec![]));
    let foreign = Files::of(&second, &[], &[&root]).with_key(key().serialize_pem());
    assert_eq!(kept.read(&foreign).reload, Some(Reload::Rejected));
    assert_eq!((kept.keys(), kept.told()), (NOWHERE, vec![(Check::KeyMismatch, REJECT)]));
    let _ = kept.read(&Files::of(&second, &[], &[&root]));
    assert!(kept.serves(&second));
    assert_eq!((kept.keys(), kept.generation()), (NOWHERE, 2));
}

#[test]
fn the_pair_check_holds_without_the_key_when_time_passes() {
    let (mut kept, root) = (Kept::unwanted(spec()), Entity::root("root"));
    let leaf = root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into());
    let _ = kept.read(&Files::of(&leaf, &[], &[&root]));
    assert_eq!((kept.generation(), kept.keys()), (0, NOWHERE));
    let _ = kept.time(now() + 2 * HOUR);
    assert!(kept.serves(&leaf));
    assert_eq!((kept.keys(), kept.told()), (NOWHERE, vec![]));
}

#[test]
fn a_key_comes_and_goes_within_one_generation() {
    let (mut kept, root) = (Kept::unwanted(spec()), Entity::root("root"));
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]);
    let _ = kept.read(&files);
    let bare = Arc::clone(kept.served().unwrap());
    let published_at = kept.lifecycle.state().published_at;
    assert!(!kept.lifecycle.keep_keys(true), "a key comes with the next reading");
    assert_eq!((kept.keys(), kept.told()), (NOWHERE, vec![]));
    kept.at += HOUR;
    let step = kept.read(&files);
    assert!(step.changed);
    assert_eq!((step.reload, kept.keys(), kept.told()), (Some(Reload::Unchanged), EVERYWHERE, vec![]));
    let whole = Arc::clone(kept.served().unwrap());
    assert!(whole.is_complete() && !bare.is_complete());
    assert_eq!((whole.generation(), whole.digest()), (bare.generation(), bare.digest()));
    assert!(!kept.read(&files).changed);
    assert!(!kept.time(now() + 2 * HOUR).changed);
    assert!(kept.lifecycle.keep_keys(false));
    assert_eq!((kept.keys(), kept.told()), (NOWHERE, vec![]));
    let again = kept.served().unwrap();
    assert_eq!((again.generation(), again.digest()), (bare.generation(), bare.digest()));
    assert_eq!(kept.lifecycle.state().published_at, published_at);
    let chain = |snapshot: &Snapshot| snapshot.credential().unwrap().chain().as_ptr();
    assert_eq!(chain(again), chain(&whole), "the chain is not copied");
    assert!(!kept.lifecycle.keep_keys(false));
}

#[test]
fn a_key_that_is_wanted_and_replaced_by_then_comes_with_the_next_generation() {
    let (mut kept, root) = (Kept::unwanted(spec()), Entity::root("root"));
    let _ = kept.read(&Files::of(&root.leaf(), &[], &[&root]));
    let _ = kept.lifecycle.keep_keys(true);
    let next = root.leaf();
    assert_eq!(kept.read(&Files::of(&next, &[], &[&root])).reload, Some(Reload::Published));
    assert!(kept.serves(&next));
    assert_eq!((kept.generation(), kept.keys()), (2, EVERYWHERE));
}

#[test]
fn a_key_that_is_wanted_and_no_longer_on_disk_is_a_finding_until_it_is_there_or_nobody_wants_it() {
    let (mut kept, root) = (Kept::unwanted(spec()), Entity::root("root"));
    let leaf = root.leaf();
    let files = Files::of(&leaf, &[], &[&root]);
    let _ = kept.read(&files);
    let foreign = files.clone().with_key(key().serialize_pem());
    let _ = kept.read(&foreign);
    assert_eq!(kept.told(), vec![(Check::KeyMismatch, REJECT)]);
    let _ = kept.lifecycle.keep_keys(true);
    let _ = kept.read(&foreign);
    assert_eq!(kept.told(), vec![(Check::KeyMismatch, REJECT), (Check::KeyNotInMemory, WARN)]);
    assert!(kept.serves(&leaf) && !kept.served().unwrap().is_complete());
    assert!(kept.lifecycle.keep_keys(false));
    assert_eq!(kept.told(), vec![(Check::KeyMismatch, REJECT)]);
    let _ = kept.lifecycle.keep_keys(true);
    assert!(kept.read(&Files::default()).changed);
    assert!(kept.told().contains(&(Check::KeyNotInMemory, WARN)));
    assert!(kept.read(&files).changed);
    assert_eq!((kept.generation(), kept.keys(), kept.told()), (1, EVERYWHERE, vec![]));
}

#[test]
fn the_key_of_what_is_served_is_taken_even_where_it_would_not_be_admitted_today() {
    let (mut kept, root) = (Kept::unwanted(spec()), Entity::root("root"));
    let leaf = root.leaf_with(|leaf| leaf.not_after = (now() + HOUR).into());
    let files = Files::of(&leaf, &[], &[&root]);
    let _ = kept.read(&files);
    kept.at = now() + 2 * HOUR;
    let _ = kept.lifecycle.keep_keys(true);
    let _ = kept.read(&files);
    assert!(kept.told().contains(&(Check::Expired, REJECT)));
    assert_eq!((kept.generation(), kept.keys()), (1, EVERYWHERE));
}

#[test]
fn a_key_that_was_held_back_goes_when_nobody_wants_it() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let (first, second) = (root.leaf(), root.leaf_with(|leaf| leaf.not_before = (now() + HOUR).into()));
    let _ = kept.read(&Files::of(&first, &[], &[&root]));
    let _ = kept.read(&Files::of(&second, &[], &[&root]));
    assert!(kept.serves(&first));
    assert_eq!(kept.keys(), EVERYWHERE);
    assert!(kept.lifecycle.keep_keys(false));
    assert_eq!(kept.keys(), NOWHERE);
    let _ = kept.time(now() + 2 * HOUR);
    assert!(kept.serves(&second));
    assert_eq!(kept.keys(), NOWHERE);
}
