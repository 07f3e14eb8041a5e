//! A snapshot crosses the wire whole, its key only where it was asked for, and never into a log.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_api::v1::{Deliver, Update, WatchResponse, watch_response};
use evercert_api::{KeyNotInMemory, MalformedUpdate, snapshot_from_update, update_from_snapshot};
use evercert_core::bundle::{Bundle, Bundles};
use evercert_core::credential::{Credential, PrivateKey};
use evercert_core::snapshot::Snapshot;
use evercert_fixtures::{Authority, Issued, Leaf};
use prost::Message;

const EPOCH: u64 = 7;

fn issued() -> Issued {
    Authority::new("root.example.org").issue(Leaf::for_dns("a.example.org"))
}

fn snapshot(issued: &Issued) -> Snapshot {
    let key = PrivateKey::from_pkcs8(issued.key_der.clone().into()).unwrap();
    let credential = Credential::new(vec![issued.leaf_der.clone().into()], key).unwrap();
    let bundle = Arc::new(Bundle::new(vec![issued.ca_der.clone().into()], Vec::new()));
    let federated = [("other.example.org".parse().unwrap(), Arc::clone(&bundle))].into();
    let renewal_due = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000);
    Snapshot::new(3, Some(Arc::new(credential)), Bundles { own: Some(bundle), federated }, Some(renewal_due))
}

fn update(issued: &Issued, deliver: Deliver) -> Update {
    update_from_snapshot(EPOCH, &snapshot(issued), &[], deliver).unwrap()
}

#[test]
fn a_snapshot_comes_out_as_it_went_in() {
    let issued = issued();
    let before = snapshot(&issued);
    let bytes = update(&issued, Deliver::Full).encode_to_vec();
    let after = snapshot_from_update(Update::decode(&bytes[..]).unwrap()).unwrap();
    assert_eq!((after.generation(), after.digest()), (before.generation(), before.digest()));
    assert_eq!((after.bundles(), after.renewal_due()), (before.bundles(), before.renewal_due()));
    let (after, before) = (after.credential().unwrap(), before.credential().unwrap());
    assert_eq!((after.chain(), after.key().unwrap().pkcs8()), (before.chain(), before.key().unwrap().pkcs8()));
}

#[test]
fn a_key_crosses_only_where_it_was_asked_for() {
    let issued = issued();
    let holds_key = |deliver| {
        let bytes = update(&issued, deliver).encode_to_vec();
        bytes.windows(issued.key_der.len()).any(|window| window == issued.key_der)
    };
    assert!(holds_key(Deliver::Full) && !holds_key(Deliver::Digest));
    let without = update(&issued, Deliver::Digest);
    assert_eq!(snapshot_from_update(without).unwrap_err(), MalformedUpdate::ChainWithoutKey);
}

#[test]
fn a_snapshot_whose_key_is_not_in_memory_crosses_only_where_no_key_is_asked_for() {
    let issued = issued();
    let bare = snapshot(&issued).without_key();
    let refused = update_from_snapshot(EPOCH, &bare, &[], Deliver::Full).unwrap_err();
    assert_eq!(refused, KeyNotInMemory { generation: 3 });
    let digest = update_from_snapshot(EPOCH, &bare, &[], Deliver::Digest).unwrap();
    assert_eq!(digest, update(&issued, Deliver::Digest));
    let trusting = Snapshot::new(1, None, Bundles::default(), None);
    assert_eq!(update_from_snapshot(EPOCH, &trusting, &[], Deliver::Full).unwrap().key, None);
}

#[test]
fn a_key_is_in_no_debug_output() {
    let issued = issued();
    let response = WatchResponse { message: Some(watch_response::Message::Update(update(&issued, Deliver::Full))) };
    let shown = format!("{response:?} {:?}", snapshot(&issued));
    let secret = format!("{:?}", &issued.key_der[40..60]);
    assert!(shown.contains("redacted") && !shown.contains(secret.trim_matches(['[', ']'])), "{shown}");
}

#[test]
fn what_does_not_hash_to_its_digest_is_refused() {
    let issued = issued();
    let mut tampered = update(&issued, Deliver::Full);
    tampered.bundle = None;
    let refused = snapshot_from_update(tampered).unwrap_err();
    assert!(matches!(refused, MalformedUpdate::DigestMismatch { .. }), "{refused}");
}

#[test]
fn a_federated_bundle_of_what_is_no_trust_domain_is_refused() {
    let mut strange = update(&issued(), Deliver::Full);
    let bundle = strange.federated.pop_first().unwrap().1;
    strange.federated.insert("Other.example.org:443".to_owned(), bundle);
    let refused = snapshot_from_update(strange).unwrap_err();
    assert!(matches!(refused, MalformedUpdate::TrustDomain(_)), "{refused}");
}
