//! Events that are heard while a job looks.

use std::ffi::OsStr;
use std::time::Instant;

use super::super::jobs::Jobs;
use super::super::key_requests::KeyRetention;
use super::super::numbers::SlotKey;
use super::super::slot::Slot;
use super::*;
use crate::watch::Interest;

/// Whether another look is wanted after a job in which these names were heard, and after which those are on the way.
fn looks_again(heard: &[&str], on_the_way: Option<&[&str]>) -> bool {
    let (inotify, now) = (Inotify::open().unwrap(), Instant::now());
    let interests =
        |names: &[&str]| names.iter().map(|name| inotify.name(1, OsStr::new(name))).collect::<Vec<Interest>>();
    let mut slot = Slot::new(spec("a", Path::new("/nowhere")).into(), KeyRetention::Always);
    slot.reread(now);
    let number = Jobs::default().start(SlotKey(1), now);
    let job = slot.begin(SlotKey(1), number, now, Some(inotify.clone()), &Pace::default()).unwrap();
    assert!(interests(heard).into_iter().all(|interest| slot.defer(interest, now)));
    if let Some(since) = slot.looked(on_the_way.map(interests).as_deref()) {
        slot.hint(since);
    }
    assert!(!slot.defer(inotify.name(1, OsStr::new("later")), now), "no job looks any more");
    _ = slot.give_back(job.lifecycle.take().unwrap());
    slot.wants_job()
}

#[test]
fn what_is_heard_while_a_job_looks_is_looked_at_again_if_it_is_still_on_the_way() {
    assert!(!looks_again(&[], Some(&["..data"])));
    assert!(
        !looks_again(&["..former", "tls.key"], Some(&["..data", "..current"])),
        "a kubelet empties the former directory"
    );
    assert!(looks_again(&["..former", "..data"], Some(&["..data", "..current"])));
    assert!(looks_again(&["..former"], None), "not all of the way is known");
}
