//! Certificate revocation lists: published beside the rest, and holding nothing back.

use super::*;

#[test]
fn a_crl_that_appears_is_published_and_a_broken_or_missing_one_keeps_the_last_good() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let files = Files::of(&root.leaf_number(8), &[], &[&root]);
    let _ = kept.read(&files);
    let crl = root.crl(&[7], now());
    let with_crl = files.clone().with_crl(crl.as_ref());
    assert_eq!((kept.read(&with_crl).reload, kept.generation()), (Some(Reload::Published), 2));
    assert_eq!((kept.crls(), kept.told()), (vec![crl.clone()], vec![]));
    assert_eq!(kept.lifecycle.state().crls.len(), 1);
    assert_eq!(kept.read(&files.clone().with_crl("nonsense")).reload, Some(Reload::Rejected));
    assert_eq!((kept.crls(), kept.told()), (vec![crl.clone()], vec![(Check::Unparsable, REJECT)]));
    assert_eq!(kept.read(&files).reload, Some(Reload::Rejected));
    assert_eq!((kept.crls(), kept.told()), (vec![crl], vec![(Check::FileMissing, REJECT)]));
    let other = Entity::root("other");
    let shrunk = Files::of(&root.leaf_number(9), &[], &[&root, &other]).with_crl("nonsense");
    let _ = kept.read(&shrunk);
    assert_eq!((kept.generation(), kept.crls().len()), (3, 1), "a broken CRL holds nothing else back");
    assert!(kept.served().unwrap().bundles().own.as_ref().unwrap().anchors().len() == 2);
    let newer = root.crl(&[7], now() + HOUR);
    let _ = kept.read(&shrunk.with_crl(newer.as_ref()));
    assert_eq!((kept.crls(), kept.told()), (vec![newer], vec![]));
}

#[test]
fn nothing_is_published_before_a_crl_that_was_asked_for_was_there() {
    let root = Entity::root("root");
    for only_trusts in [false, true] {
        let mut spec = spec();
        spec.files.crls = vec![CrlFile::Dedicated("/trust/ca.crl".into())];
        if only_trusts {
            spec.files.credential = None;
            spec.files.bundle = Some(BundleFile::Dedicated("/trust/ca.crt".into()));
        }
        let mut kept = Kept::new(spec);
        let files = Files::of(&root.leaf(), &[], &[&root]);
        let _ = kept.read(&files);
        assert_eq!((kept.generation(), kept.told()), (0, vec![(Check::FileMissing, REJECT)]));
        let _ = kept.read(&files.clone().with_crl(root.crl(&[], now()).as_ref()));
        assert_eq!((kept.generation(), kept.told()), (1, vec![]));
    }
}

#[test]
fn a_damaged_list_holds_the_first_publication_back_only_where_it_was_asked_for() {
    let root = Entity::root("root");
    for (crl, generation) in
        [(CrlFile::OfCredential("/tls/ca.crl".into()), 1), (CrlFile::Dedicated("/trust/ca.crl".into()), 0)]
    {
        let mut spec = spec();
        spec.files.crls = vec![crl];
        let mut kept = Kept::new(spec);
        let _ = kept.read(&Files::of(&root.leaf(), &[], &[&root]).with_crl("nonsense"));
        assert_eq!((kept.generation(), kept.told()), (generation, vec![(Check::Unparsable, REJECT)]));
    }
}

#[test]
fn a_crl_that_revokes_the_served_leaf_is_published_all_the_same_and_a_revoked_leaf_is_not() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let served = root.leaf_number(7);
    let _ = kept.read(&Files::of(&served, &[], &[&root]));
    let crl = root.crl(&[7, 9], now());
    let _ = kept.read(&Files::of(&served, &[], &[&root]).with_crl(crl.as_ref()));
    assert_eq!((kept.crls().len(), kept.told()), (1, vec![(Check::LeafRevoked, REJECT)]));
    assert!(kept.serves(&served));
    let _ = kept.read(&Files::of(&root.leaf_number(9), &[], &[&root]).with_crl(crl.as_ref()));
    assert!(kept.serves(&served) && kept.told().contains(&(Check::LeafRevoked, REJECT)));
    let good = root.leaf_number(10);
    let _ = kept.read(&Files::of(&good, &[], &[&root]).with_crl(crl.as_ref()));
    assert!(kept.serves(&good) && kept.told().is_empty());
}

#[test]
fn a_crl_whose_successor_is_overdue_is_told_when_it_is() {
    let (mut kept, root) = (Kept::new(spec()), Entity::root("root"));
    let crl = root.crl(&[], now());
    let step = kept.read(&Files::of(&root.leaf(), &[], &[&root]).with_crl(crl.as_ref()));
    assert_eq!((step.wake_at, kept.told()), (Some(now() + DAY + SECOND), vec![]));
    let _ = kept.time(now() + DAY + SECOND);
    assert_eq!((kept.told(), kept.generation()), (vec![(Check::CrlStale, WARN)], 1));
}
