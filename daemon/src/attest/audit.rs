//! The log, line by line, of who was given a key and who was denied an identity.
//!
//! A flood of refusals must not become a flood of lines, nor hide in silence: what the limit holds back is counted, and told as
//! one line for each party as soon as the limit lets another one through, or after [`TELL_AFTER`].

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use evercert_core::identity::{IdentityId, NAME_LIMIT};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::DecisionObserver;
use super::denial::{Denial, NamedOrigin};
use super::reason::{DecisionReason, Grant};
use crate::callers::{Caller, Party, Rates};
use crate::inventory::pods::PodNames;

/// The target of every line.
macro_rules! target {
    () => {
        "evercertd::audit"
    };
}

/// The most lines a second of one party.
const LINES_PER_PARTY: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// The most lines a second in all.
const LINES: NonZeroU32 = NonZeroU32::new(100).unwrap();

/// After how long it is told at the latest what was held back.
const TELL_AFTER: Duration = Duration::from_secs(10);

/// The most parties whose lines are held back that are told apart; further ones are counted together.
const PARTIES: usize = 1024;

/// The log of decisions.
pub(crate) struct Audit {
    observer: Arc<dyn DecisionObserver>,
    rates: Rates,
    held_back: Mutex<HeldBack>,
}

#[derive(Default)]
struct HeldBack {
    parties: HashMap<Party, Count>,
    others: Count,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    denied: u64,
    granted: u64,
}

#[derive(Clone, Copy)]
enum AuditOutcome {
    Denied,
    Granted,
}

impl Audit {
    /// Nothing is held back yet; `observer` is told of each line that is.
    pub(super) fn new(observer: Arc<dyn DecisionObserver>) -> Self {
        Self { observer, rates: Rates::new(LINES, LINES_PER_PARTY), held_back: Mutex::default() }
    }

    /// `caller` may not have `id`, or nothing at all.
    pub(super) fn denied(&self, caller: &Caller, id: Option<&IdentityId>, denial: &Denial, pods: &PodNames) {
        if self.may_tell(caller, AuditOutcome::Denied) {
            let CallerFacts { pod, pod_uid, unit, command } = CallerFacts::of(caller, pods);
            warn!(
                target: target!(),
                identity = id.map(|id| display(pods.title(id))), uid = caller.uid(), pid = caller.pid(), pod, pod_uid, unit, command,
                rule = denial.reason().as_str(), outcome = "denied", "{denial}"
            );
        }
    }

    /// `caller` asked for something that is no identity, or none of its.
    pub(super) fn unknown(&self, caller: &Caller, name: &str, pods: &PodNames) {
        if self.may_tell(caller, AuditOutcome::Denied) {
            let CallerFacts { pod, pod_uid, unit, command } = CallerFacts::of(caller, pods);
            let name: String = name.chars().take(NAME_LIMIT).collect();
            warn!(
                target: target!(),
                identity = name, uid = caller.uid(), pid = caller.pid(), pod, pod_uid, unit, command,
                rule = DecisionReason::UnknownName.as_str(), outcome = "denied", "there is no such identity for the caller"
            );
        }
    }

    /// `caller` is given the key of `id`, as `grant` allows.
    pub(super) fn granted(&self, caller: &Caller, id: &IdentityId, grant: &Grant, pods: &PodNames) {
        if self.may_tell(caller, AuditOutcome::Granted) {
            let CallerFacts { pod, pod_uid, unit, command } = CallerFacts::of(caller, pods);
            info!(
                target: target!(),
                identity = %pods.title(id), uid = caller.uid(), pid = caller.pid(), pod, pod_uid, unit, command,
                rule = %grant, outcome = "granted", "a subscriber is given the key"
            );
        }
    }

    /// Tells every [`TELL_AFTER`] what was held back until then.
    pub(crate) async fn tell(&self) -> Infallible {
        loop {
            tokio::time::sleep(TELL_AFTER).await;
            self.tell_now();
        }
    }

    /// Tells what was held back until now.
    pub(crate) fn tell_now(&self) {
        let HeldBack { parties, others } = std::mem::take(&mut *self.held_back.lock());
        parties.iter().for_each(|(party, count)| count.tell(&party.to_string()));
        others.tell("other callers");
    }

    /// Whether the limit lets a line of `caller` through; else it is counted.
    fn may_tell(&self, caller: &Caller, outcome: AuditOutcome) -> bool {
        let party = caller.party();
        let may_tell = self.rates.check(&party).is_ok();
        let mut held_back = self.held_back.lock();
        if may_tell {
            let before = held_back.parties.remove(&party);
            drop(held_back);
            before.unwrap_or_default().tell(&party.to_string());
        } else {
            held_back.count(party).add(outcome);
            drop(held_back);
            self.observer.line_left_out();
        }
        may_tell
    }
}

impl HeldBack {
    fn count(&mut self, party: Party) -> &mut Count {
        if self.parties.len() >= PARTIES && !self.parties.contains_key(&party) {
            return &mut self.others;
        }
        self.parties.entry(party).or_default()
    }
}

impl Count {
    fn add(&mut self, outcome: AuditOutcome) {
        match outcome {
            AuditOutcome::Denied => self.denied += 1,
            AuditOutcome::Granted => self.granted += 1,
        }
    }

    fn tell(self, party: &str) {
        let Self { denied, granted } = self;
        if denied > 0 {
            warn!(target: target!(), denied, "… and {denied} more of {party} were denied since");
        }
        if granted > 0 {
            info!(target: target!(), granted, "… and {granted} more of {party} were given keys since");
        }
    }
}

/// Facts told of a caller beside its numbers.
struct CallerFacts {
    /// `namespace/name`, where that is known.
    pod: Option<String>,
    pod_uid: Option<String>,
    unit: Option<String>,
    command: String,
}

impl CallerFacts {
    fn of(caller: &Caller, pods: &PodNames) -> Self {
        let (mut pod_uid, mut name, mut unit) = (None, None, None);
        match NamedOrigin::of(caller, pods) {
            NamedOrigin::Pod { uid, name: pod } => {
                (pod_uid, name) = (Some(uid.to_string()), pod.map(|pod| pod.to_string()))
            }
            NamedOrigin::Unit(name) => unit = Some(name.to_string()),
            NamedOrigin::Host | NamedOrigin::Container | NamedOrigin::Unclear => {}
        }
        Self { pod: name, pod_uid, unit, command: caller.command() }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::callers::Origin;

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

    /// Counts the lines that are held back.
    #[derive(Default)]
    struct Counting(AtomicU64);

    impl DecisionObserver for Counting {
        fn decided(&self, _: DecisionReason, _: Duration) {}

        fn line_left_out(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The lines that `work` writes, and how many of others the observer was told.
    fn lines(work: impl FnOnce(&Audit)) -> (Vec<String>, u64) {
        let written = Written::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(written.clone()).with_ansi(false).without_time().finish();
        let observer = Arc::new(Counting::default());
        let audit = Audit::new(Arc::clone(&observer) as _);
        tracing::subscriber::with_default(subscriber, || work(&audit));
        let text = String::from_utf8(written.0.lock().clone()).unwrap();
        (text.lines().map(str::to_owned).collect(), observer.0.load(Ordering::Relaxed))
    }

    /// How many denials of `party` these lines tell of.
    fn denials(lines: &[String], party: &str) -> usize {
        let more = format!(" more of {party} were denied since");
        let of = |line: &String| match line.split_once(&more) {
            Some((before, _)) => before.rsplit(' ').next().unwrap().parse().unwrap(),
            None => usize::from(line.contains("outcome=\"denied\"") && line.contains(&party.replace(' ', "="))),
        };
        lines.iter().map(of).sum()
    }

    fn caller(uid: u32) -> Caller {
        Caller::new(std::process::id(), uid, vec![])
    }

    fn denial() -> Denial {
        Denial::OtherPod { caller: NamedOrigin::Host }
    }

    #[test]
    fn ten_thousand_denials_are_few_lines_that_tell_of_ten_thousand() {
        let id = IdentityId::node("x".parse().unwrap());
        let (lines, left_out) = lines(|audit| {
            for _ in 0..10_000 {
                audit.denied(&caller(1001), Some(&id), &denial(), &PodNames::new());
            }
            audit.denied(&caller(1002), Some(&id), &denial(), &PodNames::new());
            audit.tell_now();
            audit.tell_now();
        });
        assert!(lines.len() < 1000, "{} lines", lines.len());
        assert_eq!(denials(&lines, "uid 1001"), 10_000);
        assert_eq!(denials(&lines, "uid 1002"), 1);
        let each = lines.iter().filter(|line| line.contains("outcome=\"denied\"")).count() as u64;
        assert_eq!(left_out, 10_001 - each, "each line that is not written is counted");
    }

    #[test]
    fn a_line_says_who_what_and_by_which_rule() {
        let id = IdentityId::pod("11111111-2222-3333-4444-555555555555", "x".parse().unwrap());
        let (lines, left_out) = lines(|audit| {
            audit.denied(&caller(7), Some(&id), &denial(), &PodNames::new());
            let unit = caller(8).of_origin(Origin::Host { unit: Some("pay.service".into()) });
            audit.granted(&unit, &id, &Grant::Rule("uid:8".parse().unwrap()), &PodNames::new());
            audit.unknown(&caller(9), "../../etc\n/shadow", &PodNames::new());
        });
        assert_eq!(left_out, 0);
        let command = caller(7).command();
        let pid = std::process::id();
        assert_eq!(
            lines,
            [
                format!(
                    " WARN evercertd::audit: pod: what is mounted in a pod is for that pod's containers alone, and the caller is in no \
                     pod and no unit identity=pod/11111111-2222-3333-4444-555555555555/x uid=7 pid={pid} command={command:?} \
                     rule=\"other_pod\" outcome=\"denied\""
                ),
                format!(
                    " INFO evercertd::audit: a subscriber is given the key identity=pod/11111111-2222-3333-4444-555555555555/x uid=8 \
                     pid={pid} unit=\"pay.service\" command={command:?} rule=uid:8 outcome=\"granted\""
                ),
                format!(
                    " WARN evercertd::audit: there is no such identity for the caller identity=\"../../etc\\n/shadow\" uid=9 pid={pid} \
                     command={command:?} rule=\"unknown_name\" outcome=\"denied\""
                ),
            ]
        );
    }

    #[test]
    fn of_very_many_parties_the_last_are_counted_together() {
        let mut held_back = HeldBack::default();
        for uid in 0..3000 {
            held_back.count(Party::User(uid)).add(AuditOutcome::Denied);
        }
        assert_eq!(held_back.parties.len(), PARTIES);
        assert_eq!(held_back.others, Count { denied: 3000 - PARTIES as u64, granted: 0 });
    }
}
