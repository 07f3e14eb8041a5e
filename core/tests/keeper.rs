//! The keeper on real files, swapped as the kubelet does it and changed as everyone else does it. The tick is an hour away where
//! nothing else is said: what happens, happens for a hint.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod recorder;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use evercert_core::digest::Digest;
use evercert_core::finding::{Check, Finding};
use evercert_core::keeper::{Reload, WatchProblem};
use evercert_core::spec::{BundleFile, FileSet};
use evercert_fixtures::{
    Authority, Files, Issued, KubeletVolume, Leaf, PlainDirectory, SwapOrder, replace_by_link, set_mode, wait,
};

use recorder::{DEADLINE, Recorder, Told, anchors_of, id_of, issued, keeper, leaf_of, spec, ticking};

#[tokio::test]
async fn two_hundred_swaps_are_all_published_in_order() {
    let authority = Authority::new("root");
    let issued: Vec<_> = (0..=200).map(|_| authority.issue_dns("a.example.org")).collect();
    let volume = KubeletVolume::new(&issued[0].files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &issued[0]).await;
    for (round, next) in issued.iter().enumerate().skip(1) {
        let order = if round % 2 == 0 { SwapOrder::SymlinksLast } else { SwapOrder::SymlinksFirst };
        volume.swap_in(order, &next.files());
        recorder.serves("a", next).await;
    }
    let expected: Vec<_> = (1..).zip(issued.iter().map(|issued| Digest::fingerprint(&issued.leaf_der))).collect();
    recorder.read(|told| assert_eq!(told.published("a"), expected));
}

#[tokio::test]
async fn of_a_burst_of_swaps_the_last_is_served_and_none_is_torn() {
    let authority = Authority::new("root");
    let issued: Vec<_> = (0..300).map(|_| authority.issue_dns("a.example.org")).collect();
    let volume = KubeletVolume::new(&issued[0].files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &issued[0]).await;
    let files: Vec<_> = issued.iter().map(Issued::files).collect();
    let volume = tokio::task::spawn_blocking(move || {
        for files in &files {
            volume.swap(files);
        }
        volume
    });
    let _volume = volume.await.unwrap();
    recorder.serves("a", issued.last().unwrap()).await;
    recorder.read(|told| {
        let rejected = told.reloads.iter().filter(|(_, result, _)| *result == Reload::Rejected).count();
        assert_eq!(rejected, 0, "a torn set was judged");
    });
}

#[tokio::test]
async fn from_a_to_b_and_back_to_a_is_published_thrice() {
    let [a, b] = issued();
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &a).await;
    volume.swap(&b.files());
    recorder.serves("a", &b).await;
    volume.swap(&a.files());
    recorder.serves("a", &a).await;
    let leaves: Vec<_> = [&a, &b, &a].map(|issued| Digest::fingerprint(&issued.leaf_der)).into();
    recorder.read(|told| {
        let published: Vec<_> = told.published("a").into_iter().map(|(_, leaf)| leaf).collect();
        assert_eq!(published, leaves);
    });
}

#[tokio::test]
async fn a_directory_that_is_deleted_and_made_again_is_watched_again() {
    let [a, b, c] = issued();
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    let served = recorder.serves("a", &a).await;
    volume.remove();
    let without = recorder.until("findings", |told| told.latest("a").filter(|s| !s.findings.is_empty()).cloned()).await;
    assert_eq!(leaf_of(&without), leaf_of(&served), "the last good stays");
    let again = KubeletVolume::at(volume.path(), &b.files());
    recorder.serves("a", &b).await;
    again.swap(&c.files());
    recorder.serves("a", &c).await;
}

#[tokio::test]
async fn a_directory_that_is_missing_is_picked_up_when_it_appears() {
    let [a, b] = issued();
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("not/yet/there");
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", &path)]);
    let nothing = recorder.until("a state", |told| told.latest("a").cloned()).await;
    assert!(nothing.snapshot.is_none() && !nothing.findings.is_empty());
    let volume = KubeletVolume::at(&path, &a.files());
    recorder.serves("a", &a).await;
    volume.swap(&b.files());
    recorder.serves("a", &b).await;
}

#[tokio::test]
async fn a_directory_that_is_replaced_by_another_is_followed() {
    let authority = Authority::new("root");
    let issued: Vec<_> = (0..3).map(|_| authority.issue_dns("a.example.org")).collect();
    let root = tempfile::tempdir().unwrap();
    let (path, other) = (root.path().join("tls"), root.path().join("other"));
    let _first = KubeletVolume::at(&path, &issued[0].files());
    let _second = KubeletVolume::at(&other, &issued[1].files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", &path)]);
    recorder.serves("a", &issued[0]).await;
    fs::rename(&path, root.path().join("gone")).unwrap();
    fs::rename(&other, &path).unwrap();
    recorder.serves("a", &issued[1]).await;
    let _third = KubeletVolume::at(&path, &issued[2].files());
    recorder.serves("a", &issued[2]).await;
}

#[tokio::test]
async fn a_directory_behind_a_symlink_is_followed_to_the_next() {
    let [a, b] = issued();
    let root = tempfile::tempdir().unwrap();
    let _one = KubeletVolume::at(&root.path().join("one"), &a.files());
    let _two = KubeletVolume::at(&root.path().join("two"), &b.files());
    let current = root.path().join("current");
    symlink("one", &current).unwrap();
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", &current)]);
    recorder.serves("a", &a).await;
    replace_by_link("two", &current);
    recorder.serves("a", &b).await;
}

#[tokio::test]
async fn a_set_copied_into_a_plain_directory_is_published_once_it_is_whole() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let (a, b) = (old.issue_dns("a.example.org"), new.issue_dns("a.example.org"));
    let bundle = new.ca_pem().to_owned() + old.ca_pem();
    let directory = PlainDirectory::new(&a.files().with("ca.crt", &bundle));
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", directory.path())]);
    recorder.serves("a", &a).await;
    // The bundle grows anchor by anchor; half of it would parse as a bundle that trusts less.
    let path = directory.path().join("ca.crt");
    for _ in 0..5 {
        fs::write(&path, new.ca_pem()).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        fs::write(&path, &bundle).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    directory.write(&b.files().with("ca.crt", &bundle));
    recorder.serves("a", &b).await;
    recorder.read(|told| {
        assert_eq!(told.published("a").len(), 2);
        assert!(told.states.iter().all(|(_, state)| anchors_of(state) == Some(2)), "half a bundle was published");
    });
}

#[tokio::test]
async fn a_plain_set_that_has_been_left_alone_is_read_at_once() {
    let directory = PlainDirectory::new(&Authority::new("root").issue_dns("a.example.org").files());
    tokio::time::sleep(Duration::from_millis(150)).await;
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", directory.path())]);
    let took = recorder.until("a reload", |told| told.reloads.first().map(|(_, _, took)| *took)).await;
    assert!(took < Duration::from_millis(90), "{took:?}");
}

#[tokio::test]
async fn files_replaced_one_by_one_are_published_as_a_whole_set() {
    let authority = Authority::new("root");
    let issued: Vec<_> = (0..5).map(|_| authority.issue_dns("a.example.org")).collect();
    let directory = PlainDirectory::new(&issued[0].files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", directory.path())]);
    recorder.serves("a", &issued[0]).await;
    for next in &issued[1..] {
        directory.replace(&next.files());
        recorder.serves("a", next).await;
    }
    recorder.read(|told| assert!(told.reloads.iter().all(|(_, result, _)| *result != Reload::Rejected)));
}

#[tokio::test]
async fn a_bundle_in_a_volume_of_its_own_is_followed_there() {
    let (one, two) = (Authority::new("one"), Authority::new("two"));
    let issued = one.issue_dns("a.example.org");
    let secret = KubeletVolume::new(&issued.files());
    let config_map = KubeletVolume::new(&Files::new().with("ca.crt", one.ca_pem()));
    let mut spec = spec("a", secret.path());
    spec.files.bundle = Some(BundleFile::Dedicated(config_map.file("ca.crt")));
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec]);
    recorder.serves("a", &issued).await;
    config_map.swap(&Files::new().with("ca.crt", one.ca_pem().to_owned() + two.ca_pem()));
    recorder.until("two anchors", |told| told.latest("a").filter(|state| anchors_of(state) == Some(2)).cloned()).await;
}

#[tokio::test]
async fn identities_that_stay_wanted_are_not_touched() {
    let authority = Authority::new("root");
    let volumes: Vec<_> = (0..3).map(|_| KubeletVolume::new(&authority.issue_dns("a.example.org").files())).collect();
    let [a, b, c] = ["a", "b", "c"].map(|name| (name, &volumes[name.as_bytes()[0] as usize - 97]));
    let specs = |names: &[(&str, &KubeletVolume)]| names.iter().map(|(n, v)| spec(n, v.path())).collect::<Vec<_>>();
    let recorder = Recorder::new();
    let keeper = keeper(&recorder, specs(&[a, b]));
    recorder.until("a and b", |told| (told.states.len() == 2).then_some(())).await;
    keeper.keep(specs(&[a, c, c]));
    recorder.until("c", |told| told.latest("c").cloned()).await;
    recorder.read(|told| {
        assert_eq!(told.removed, [id_of("b")]);
        let mut names: Vec<_> = told.states.iter().map(|(id, _)| id.name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["a", "b", "c"], "each was shown once");
        assert_eq!(told.reloads.len(), 3, "each was read once");
    });
}

#[tokio::test]
async fn other_expectations_keep_the_generation_and_what_is_served() {
    let issued = Authority::new("root").issue_dns("a.example.org");
    let volume = KubeletVolume::new(&issued.files());
    let recorder = Recorder::new();
    let keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &issued).await;
    let mut strict = spec("a", volume.path());
    strict.expectations.dns_names = vec!["b.example.org".to_owned()];
    keeper.keep(vec![strict.clone()]);
    let state =
        recorder.until("the new spec", |told| told.latest("a").filter(|state| *state.spec == strict).cloned()).await;
    assert!(!state.findings.is_empty());
    assert_eq!(state.snapshot.as_ref().unwrap().generation(), 1);
    assert_eq!(leaf_of(&state), Some(Digest::fingerprint(&issued.leaf_der)));
}

#[tokio::test]
async fn a_directory_that_two_share_is_watched_until_both_let_go() {
    let authority = Authority::new("root");
    let issued: Vec<_> = (0..3).map(|_| authority.issue_dns("a.example.org")).collect();
    let volume = KubeletVolume::new(&issued[0].files());
    let recorder = Recorder::new();
    let keeper = keeper(&recorder, vec![spec("a", volume.path()), spec("b", volume.path())]);
    recorder.serves("a", &issued[0]).await;
    recorder.serves("b", &issued[0]).await;
    volume.swap(&issued[1].files());
    recorder.serves("a", &issued[1]).await;
    recorder.serves("b", &issued[1]).await;
    keeper.keep(vec![spec("b", volume.path())]);
    recorder.until("a's end", |told| told.removed.contains(&id_of("a")).then_some(())).await;
    volume.swap(&issued[2].files());
    recorder.serves("b", &issued[2]).await;
    recorder.read(|told| assert_eq!(told.published("a").len(), 2));
}

#[tokio::test]
async fn a_rescan_reads_every_identity_and_finds_nothing_new() {
    let authority = Authority::new("root");
    let volumes: Vec<_> = (0..5).map(|_| KubeletVolume::new(&authority.issue_dns("a.example.org").files())).collect();
    let specs = volumes.iter().enumerate().map(|(n, volume)| spec(&format!("n{n}"), volume.path())).collect();
    let recorder = Recorder::new();
    let keeper = keeper(&recorder, specs);
    recorder.until("all", |told| (told.reloads.len() == 5).then_some(())).await;
    keeper.rescan();
    recorder.until("all again", |told| (told.reloads.len() == 10).then_some(())).await;
    recorder.read(|told| {
        assert!(told.reloads[5..].iter().all(|(_, result, _)| *result == Reload::Unchanged));
        assert_eq!(told.states.len(), 5);
    });
}

#[tokio::test]
async fn a_queue_that_overflows_has_everything_looked_at() {
    let [a, b] = issued();
    let (noisy, quiet) = (KubeletVolume::new(&a.files()), KubeletVolume::new(&a.files()));
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("noisy", noisy.path()), spec("quiet", quiet.path())]);
    recorder.serves("noisy", &a).await;
    recorder.serves("quiet", &a).await;
    let limit: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    // The keeper's task runs on this thread and hears nothing meanwhile.
    for round in 0..limit {
        fs::write(noisy.file(&format!("noise-{}", round % 2)), "").unwrap();
    }
    quiet.swap(&b.files());
    recorder.serves("quiet", &b).await;
    recorder.read(|told| assert_eq!(told.problems, [WatchProblem::Overflow]));
}

#[tokio::test]
async fn a_mismatched_key_is_read_again_and_then_rejected_and_the_last_good_stays() {
    let [a, b, c] = issued();
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &a).await;
    volume.swap(&b.files().with("tls.key", &a.key_pem));
    let took = recorder
        .until("a rejection", |told| {
            told.reloads.iter().find(|(_, result, _)| *result == Reload::Rejected).map(|(_, _, took)| *took)
        })
        .await;
    assert!(took >= Duration::from_millis(300), "rejected after {took:?}, without having been read again");
    recorder.read(|told| {
        let state = told.latest("a").unwrap();
        assert_eq!(leaf_of(state), Some(Digest::fingerprint(&a.leaf_der)));
        assert!(state.findings.iter().any(|finding| finding.check.as_str() == "key-mismatch"));
    });
    volume.swap(&c.files());
    recorder.serves("a", &c).await;
}

#[tokio::test]
async fn hints_without_a_change_do_not_put_a_rejection_off() {
    let [a, b] = issued();
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.serves("a", &a).await;
    volume.swap(&b.files().with("tls.key", &a.key_pem));
    let rejected = |told: &Told| told.reloads.iter().any(|(_, result, _)| *result == Reload::Rejected);
    let began = Instant::now();
    while !recorder.read(rejected) {
        assert!(began.elapsed() < DEADLINE, "never rejected");
        let link = volume.file("tls.crt");
        fs::remove_file(&link).unwrap();
        symlink("..data/tls.crt", &link).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_set_that_is_not_valid_yet_is_published_when_it_is() {
    let authority = Authority::new("root");
    let a = authority.issue_dns("a.example.org");
    let volume = KubeletVolume::new(&a.files());
    let recorder = Recorder::new();
    let mut spec = spec("a", volume.path());
    spec.expectations.clock_skew = Duration::ZERO;
    let _keeper = keeper(&recorder, vec![spec]);
    recorder.serves("a", &a).await;
    let from = SystemTime::now() + Duration::from_secs(2);
    let b = authority.issue(Leaf::for_dns("a.example.org").valid(from, from + Duration::from_secs(3600)));
    volume.swap(&b.files());
    recorder.until("it is held", |told| told.reloads.iter().find(|(_, r, _)| *r == Reload::Held).cloned()).await;
    let state = recorder.serves("a", &b).await;
    let not_before = state.snapshot.as_ref().unwrap().credential().unwrap().leaf().not_before;
    let late = state.published_at.unwrap().duration_since(not_before).unwrap();
    assert!(late < Duration::from_millis(500), "published {late:?} late");
}

#[tokio::test]
async fn the_tick_tells_that_everything_was_looked_at() {
    let volume = KubeletVolume::new(&Authority::new("root").issue_dns("a.example.org").files());
    let recorder = Recorder::new();
    let _keeper = ticking(Duration::from_millis(20), &recorder, vec![spec("a", volume.path())]);
    recorder.until("three scans", |told| (told.scans >= 3).then_some(())).await;
    recorder.read(|told| assert_eq!(told.reloads.len(), 1, "an unchanged set is not read again"));
}

#[tokio::test]
async fn a_keeper_that_is_dropped_lets_go_of_everything() {
    let volume = KubeletVolume::new(&Authority::new("root").issue_dns("a.example.org").files());
    let recorder = Recorder::new();
    let keeper = keeper(&recorder, vec![spec("a", volume.path())]);
    recorder.until("a state", |told| told.latest("a").cloned()).await;
    drop(keeper);
    wait::until_so("the keeper's task has ended", || Arc::strong_count(&recorder) == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_identities_are_all_read_and_swapped() {
    let authority = Authority::new("root");
    let issued = authority.issue_all((0..200).map(|n| Leaf::for_dns(&format!("n{n}.example.org"))));
    let volumes: Vec<_> = issued.iter().map(|issued| KubeletVolume::new(&issued.files())).collect();
    let specs = volumes.iter().enumerate().map(|(n, volume)| spec(&format!("n{n}"), volume.path())).collect();
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, specs);
    recorder.until("all", |told| (told.reloads.len() == 200).then_some(())).await;
    let next = authority.issue_all((0..200).map(|n| Leaf::for_dns(&format!("n{n}.example.org"))));
    for (volume, next) in volumes.iter().zip(&next) {
        volume.swap(&next.files());
    }
    recorder
        .until("all swapped", |told| {
            let latest: HashMap<_, _> = told.states.iter().map(|(id, state)| (id.clone(), leaf_of(state))).collect();
            let served = |n: usize| latest.get(&id_of(&format!("n{n}"))).copied().flatten();
            (0..200).all(|n| served(n) == Some(Digest::fingerprint(&next[n].leaf_der))).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_subdirectory_of_a_volume_is_read_at_its_swap_and_a_link_out_of_it_keeps_what_is_served() {
    let [first, second] = issued();
    let outside = PlainDirectory::new(&second.files());
    let beneath = |issued: &Issued| {
        let files = issued.files();
        files.iter().fold(Files::new(), |all, (name, content)| all.with(&format!("sub/{name}"), content))
    };
    let volume = KubeletVolume::new(&beneath(&first));
    let volumes = vec![volume.path().to_owned()];
    let mut spec = spec("a", &volume.file("sub"));
    spec.files = FileSet { volumes, ..spec.files };
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec]);
    recorder.serves("a", &first).await;

    replace_by_link(outside.path(), volume.file("..data"));
    let finding = recorder.until("a finding", |told| {
        let findings = &told.latest("a")?.findings;
        let of_key = |finding: &&Finding| finding.file.as_deref() == Some(&volume.file("sub/tls.key"));
        findings.iter().filter(of_key).find(|finding| finding.check == Check::OutsideVolume).cloned()
    });
    let finding = finding.await;
    assert_eq!(
        finding.sentence,
        format!(
            "{}: it is a symbolic link, or its path leads out of the volume; put the file itself into the volume: no link or mount is \
             followed out of it",
            volume.file("sub/tls.key").display()
        )
    );
    recorder.serves("a", &first).await;

    fs::remove_file(volume.file("..data")).unwrap();
    volume.swap(&beneath(&second));
    recorder.serves("a", &second).await;
}

#[tokio::test]
async fn a_chmod_of_the_key_is_on_record_at_once() {
    let [issued] = issued();
    let directory = PlainDirectory::new(&issued.files());
    let key = directory.path().join("tls.key");
    let recorder = Recorder::new();
    let _keeper = keeper(&recorder, vec![spec("a", directory.path())]);
    for mode in [0o600, 0o640, 0o400] {
        set_mode(&key, mode);
        let record = |told: &Told| told.latest("a")?.key_access.as_ref().map(|record| record.access.mode);
        recorder.until("its mode", |told| record(told).filter(|found| *found == mode)).await;
    }
    assert_eq!(recorder.read(|told| told.published("a").len()), 1);
}
