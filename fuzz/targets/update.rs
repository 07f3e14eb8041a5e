//! Whatever comes over the wire as an update: it is refused or makes a snapshot with the promised digest.
#![no_main]

use evercert_api::{snapshot_from_update, update_from_snapshot, v1};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|input: &[u8]| {
    let Ok(update) = v1::Update::decode(input) else { return };
    let promised = update.digest.clone();
    if let Ok(snapshot) = snapshot_from_update(update) {
        assert_eq!(promised, snapshot.digest().as_bytes());
        let again = update_from_snapshot(1, &snapshot, &[], v1::Deliver::Full).expect("a key came with it");
        assert_eq!(snapshot_from_update(again).expect("what was sent can be read").digest(), snapshot.digest());
    }
});
