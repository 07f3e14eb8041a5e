use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use evercert_core::clock::Now;
use evercert_core::finding::Check;
use evercert_core::lifecycle::{Event, Lifecycle};
use evercert_core::material::Material;
use evercert_core::mount;
use evercert_core::spec::{Expectations, FileSet, IdentitySpec};
use evercert_fixtures::{Authority, Files, KubeletVolume};
use serde_json::Value;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::callers::PodName;
use crate::publication::{Delivery, NewSubscriber, Outcome, Refused, RefusedCode, Report, Store};

const POD: &str = "0b3f1c9e-3c44-4c7f-9d0a-6f1a2b3c4d5e";

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The lines, as JSON, that `work` has written.
fn lines(work: impl FnOnce()) -> Vec<Value> {
    let written = Written::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(written.clone());
    tracing::subscriber::with_default(subscriber.finish(), work);
    let text = String::from_utf8(written.0.lock().clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Deaf;

impl SubscriberObserver for Deaf {
    fn acknowledged(&self, _: &IdentityId, _: Duration) {}
    fn refused(&self, _: &IdentityId, _: &NewSubscriber, _: &Report, _: &Refused) {}
    fn lost(&self, _: &IdentityId, _: &NewSubscriber, _: Option<u64>) {}
    fn disconnected(&self, _: &IdentityId, _: crate::publication::Disconnect) {}
    fn limit_reached(&self, _: crate::publication::SubscriberLimit) {}
}

/// A journal, on a node with a pod that is called by its name.
fn journal() -> Journal {
    journal_that_tells(|| ())
}

/// The same, which tells `left_out` of each line that is.
fn journal_that_tells(left_out: impl Fn() + Send + Sync + 'static) -> Journal {
    let name = PodName { namespace: "shop".into(), name: "cart-0".into() };
    let wanted = Wanted { pods: [(Arc::from(POD), name)].into(), ..Wanted::default() };
    Journal::new(Store::new(1), watch::channel(Arc::new(wanted)).1, left_out)
}

/// An identity that is read as the keeper does it.
struct Kept {
    volume: KubeletVolume,
    lifecycle: Lifecycle,
}

impl Kept {
    fn new(id: IdentityId, files: &Files) -> Self {
        let volume = KubeletVolume::new(files);
        let files = FileSet::cert_manager(volume.path());
        let (expectations, overlap) = (Expectations::default(), IdentitySpec::OVERLAP);
        let spec = IdentitySpec { id, files, expectations, overlap };
        Self { volume, lifecycle: Lifecycle::new(Arc::new(spec)) }
    }

    fn read(&mut self, journal: &Journal) {
        let spec = Arc::clone(&self.lifecycle.state().spec);
        let material = Material::parse(&spec, mount::read(&spec.files));
        let now = Now { wall: SystemTime::now(), monotonic: Instant::now() };
        let step = self.lifecycle.handle(Event::Read { material, final_try: true }, now);
        if step.changed {
            journal.state(&spec.id, Arc::clone(self.lifecycle.state()));
        }
        if let Some(reload) = step.reload {
            journal.reload(&spec.id, reload, Duration::ZERO);
        }
    }

    fn swap(&mut self, files: &Files, journal: &Journal) {
        self.volume.swap(files);
        self.read(journal);
    }
}

#[test]
fn a_rotation_is_one_line_with_the_leaf_the_one_before_it_and_the_pod_by_its_name() {
    let ca = Authority::new("CA");
    let leaves = [ca.issue_dns("a.example.org"), ca.issue_dns("a.example.org")];
    let mut kept = Kept::new(IdentityId::pod(POD, "tls".parse().unwrap()), &leaves[0].files());
    let journal = journal();
    let lines = lines(|| {
        kept.read(&journal);
        kept.swap(&leaves[1].files(), &journal);
    });
    let published: Vec<_> = lines.iter().filter(|line| line["message"] == "published").collect();
    assert_eq!(published.len(), 2, "{lines:#?}");
    let fingerprint =
        |leaf: &evercert_fixtures::Issued| evercert_core::digest::Digest::fingerprint(&leaf.leaf_der).to_string();
    for (line, leaf) in published.iter().zip(&leaves) {
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["identity"], "shop/cart-0/tls");
        assert_eq!(line["pod_uid"], POD);
        assert_eq!(line["serial"], format!("{:x}", leaf.serial_number()));
        assert_eq!(line["fingerprint"], fingerprint(leaf));
        assert!(line["not_after"].as_str().unwrap().ends_with('Z'));
    }
    assert_eq!(published[0].get("previous"), None);
    assert_eq!(published[1]["previous"], fingerprint(&leaves[0]));
    assert_eq!((&published[1]["generation"], &published[1]["previous_generation"]), (&2.into(), &1.into()));
}

#[test]
fn a_rejection_is_one_line_however_often_the_same_is_wrong_with_it() {
    let ca = Authority::new("CA");
    let (good, other) = (ca.issue_dns("a.example.org").files(), ca.issue_dns("a.example.org").files());
    let mismatched = good.clone().with("tls.key", other.content("tls.key").unwrap());
    let again = other.clone().with("tls.key", good.content("tls.key").unwrap());
    let mut kept = Kept::new(IdentityId::node("x".parse().unwrap()), &good);
    let journal = journal();
    let lines = lines(|| {
        kept.read(&journal);
        kept.swap(&mismatched, &journal);
        kept.swap(&again, &journal);
    });
    let rejected: Vec<_> =
        lines.iter().filter(|line| line["message"].as_str().unwrap().starts_with("rejected")).collect();
    assert_eq!(rejected.len(), 2, "{lines:#?}");
    for line in rejected {
        assert_eq!(line["message"], "rejected: the last good stays");
        assert_eq!((&line["level"], &line["identity"], &line["generation"]), (&"ERROR".into(), &"x".into(), &1.into()));
        assert_eq!(line["checks"], "key-mismatch");
        assert_eq!(line["fingerprint"].as_str().unwrap().len(), 64);
    }
}

#[test]
fn a_refusal_is_one_line_with_the_subscriber_and_its_words() {
    let refused = Refused { code: RefusedCode::Credential, detail: "no such curve".to_owned() };
    let report = Report { generation: 7, outcome: Some(Outcome::Refused(refused.clone())), ..Report::default() };
    let lines = lines(|| {
        let id = IdentityId::pod(POD, "tls".parse().unwrap());
        journal().of_subscribers(Arc::new(Deaf)).refused(&id, &subscriber(), &report, &refused);
    });
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    assert_eq!(line["message"], "a subscriber refuses a generation and keeps what it had: no such curve");
    for (field, value) in [
        ("level", Value::from("WARN")),
        ("identity", "shop/cart-0/tls".into()),
        ("generation", 7.into()),
        ("code", "credential".into()),
        ("command", "greeter".into()),
        ("pod", "shop/cart-0".into()),
        ("pod_uid", POD.into()),
    ] {
        assert_eq!(line[field], value, "{field}");
    }
}

#[test]
fn a_flood_of_one_kind_is_said_a_few_times_and_counted_and_hides_no_other_kind() {
    let id = |number: u32| IdentityId::node(format!("x{number}").parse().unwrap());
    let state = |number, finding: Option<Finding>| {
        let (files, expectations) = (FileSet::cert_manager(Path::new("/x")), Expectations::default());
        let spec = IdentitySpec { id: id(number), files, expectations, overlap: IdentitySpec::OVERLAP };
        let state = IdentityState::clone(Lifecycle::new(Arc::new(spec)).state());
        Arc::new(IdentityState { findings: finding.into_iter().collect(), ..state })
    };
    let expired = || Some(Finding::new(Check::Expired, Severity::Reject, "the leaf has expired"));
    let left_out = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&left_out);
    let lines = lines(|| {
        let journal = journal_that_tells(move || _ = counter.fetch_add(1, Ordering::Relaxed));
        (0..10_000).for_each(|number| journal.state(&id(number), state(number, expired())));
        journal.state(&id(10_000), state(10_000, Some(Finding::new(Check::NoSan, Severity::Warn, "no name"))));
        journal.scanned(SystemTime::now());
        journal.scanned(SystemTime::now());
    });
    let of = |check: &str| lines.iter().filter(|line| line["check"] == check).collect::<Vec<_>>();
    let (written, counted): (Vec<_>, Vec<_>) =
        of("expired").into_iter().partition(|line| line.get("identity").is_some());
    assert!((50..200).contains(&written.len()), "{}", written.len());
    let counted: u64 = counted.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(written.len() as u64 + counted, 10_000);
    assert_eq!(left_out.load(Ordering::Relaxed), counted);
    assert_eq!(of("no-san").len(), 1);
}

#[test]
fn an_identity_is_warned_of_whose_directory_went_and_not_one_that_is_no_longer_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = format!("[watch]\ndirectories = [\"{}/*\"]", directory.path().display());
    let config = crate::config::Config::parse(Path::new("x.toml"), &text).unwrap();
    let sources = crate::inventory::sources::resolve(
        &config,
        &[],
        crate::inventory::sources::Stay::All,
        &crate::inventory::Accounts::default(),
    );
    let journal = Journal::new(Store::new(1), watch::channel(Arc::new(sources.wanted())).1, || ());
    let (gone, unwanted) = (IdentityId::node("gone".parse().unwrap()), IdentityId::node("unwanted".parse().unwrap()));
    let lines = lines(|| {
        for (id, path) in [(&gone, path("gone")), (&unwanted, "/elsewhere/unwanted".into())] {
            let (files, expectations) = (FileSet::cert_manager(&path), Expectations::default());
            let spec = IdentitySpec { id: id.clone(), files, expectations, overlap: IdentitySpec::OVERLAP };
            journal.state(id, Arc::clone(Lifecycle::new(Arc::new(spec)).state()));
            journal.removed(id);
        }
    });
    let levels: Vec<_> = lines.iter().map(|line| (line["identity"].as_str(), line["level"].as_str())).collect();
    assert_eq!(levels, [(Some("gone"), Some("WARN")), (Some("unwanted"), Some("INFO"))], "{lines:#?}");
    assert_eq!(lines[0]["directory"], path("gone").to_str().unwrap());
}

fn subscriber() -> NewSubscriber {
    NewSubscriber {
        pid: 1,
        uid: 1,
        command: "greeter".to_owned(),
        sdk_version: String::new(),
        deliver: Delivery::Full,
        is_attested: true,
        pod: Some(POD.into()),
        unit: None,
        life: None,
    }
}
