//! Enters volumes, on threads of their own: a mount that does not answer holds up nobody but the thread that asked.
//!
//! A thread that waits for a dead mount cannot be ended, so how many there may be is what has to be shared. A few look into volumes at
//! once ([`AT_WORK`]); one that has not come back after [`COUNTED`] waits for its file system, not for a processor, and its place goes to
//! the next volume. It stays where it is, and its volume is not asked again before it answers. Such threads count against the driver
//! whose volume it is, never against another one's. A pod may hold a share of what its driver has left, and one in any case: many dead
//! volumes of some pods leave room for the first one of every other.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::time::{Duration, Instant};

use evercert_core::detached::Threads;
use parking_lot::Mutex;
use rustix::io::Errno;

use super::contents::{self, Contents, Sought};
use super::mounts::Mount;
use super::{Listen, Silent};

/// The number of threads that look into volumes at once.
const AT_WORK: usize = 8;

/// The time a look counts as one of [`AT_WORK`].
const COUNTED: Duration = Duration::from_millis(100);

/// The interval of looks for threads that have not come back.
const PACE: Duration = Duration::from_millis(20);

/// The time a volume may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// The time all of them may take together; what is left is looked into the next time.
const BUDGET: Duration = Duration::from_secs(3);

/// The most threads that may be stuck in volumes of one driver. Each costs some 30 KiB.
const STUCK: usize = 512;

/// The number of them shared by pods that have several; the others are each for the only one of a pod, and more than the pods of a node.
const SHARED: usize = 256;

/// A pod may hold one of so many places that are left of [`SHARED`].
const SHARE: usize = 4;

/// The stack of a thread, in bytes: enough for paths and a directory's entries. The content of files is on the heap.
const STACK: usize = 256 * 1024;

/// The owner that a stuck thread counts against.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    /// The CSI driver whose volume it is; absent: it is the kubelet's own.
    pub(super) driver: Option<Arc<str>>,
    /// The UID of the pod.
    pub(super) pod: Arc<str>,
}

/// A volume to look into.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Its path.
    pub(super) root: PathBuf,
    /// The mount there: another mount is another volume.
    pub(super) mount: Option<Mount>,
    pub(super) owner: Owner,
    /// The content looked for in it.
    pub(super) sought: Sought,
}

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// The volume's path.
    pub(super) root: PathBuf,
    /// Its contents.
    pub(super) contents: Result<Contents, Errno>,
}

/// The answers to all requests.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The answers that came in time.
    pub(super) answers: Vec<Answer>,
    /// The number of volumes without an answer, by reason.
    pub(super) silent: Silent,
}

/// The function that looks into a volume.
type LookFn = fn(&Path, &Sought) -> Result<Contents, Errno>;

/// A volume, for as long as it is mounted.
type MountedVolume = (PathBuf, Option<Mount>);

/// The threads that look into volumes.
pub(super) struct Probe {
    look: LookFn,
    deadline: Duration,
    threads: Threads,
    entered: Arc<Mutex<Entered>>,
}

impl Probe {
    /// No thread yet.
    pub(super) fn new() -> Self {
        Self::with(contents::look, DEADLINE)
    }

    fn with(look: LookFn, deadline: Duration) -> Self {
        Self { look, deadline, threads: Threads::named("volumes").with_stack(STACK), entered: Arc::default() }
    }

    /// Looks into these volumes, of each owner into the first one before any second one. Those that do not answer in time, or at which
    /// a thread is stuck already, are not among the answers.
    pub(super) fn answers(&self, requests: Vec<Request>, listen: &Arc<dyn Listen>) -> Answers {
        let began = Instant::now();
        let waiting = Waiting { requests: in_turn(requests, &self.entered.lock()), crowded_out: 0 };
        let asked = waiting.requests.len();
        let waiting = Arc::new(Mutex::new(waiting));
        let (sender, receiver) = mpsc::channel();
        let (mut answers, mut started) = (Vec::with_capacity(asked), 0);
        'looking: loop {
            let left = waiting.lock().requests.len();
            let is_over = answers.len() + waiting.lock().crowded_out == asked || began.elapsed() > BUDGET;
            let idle = (AT_WORK + self.entered.lock().count_since(began, COUNTED)).saturating_sub(started);
            if is_over || left == 0 && !self.entered.lock().has_any_since(began, self.deadline) {
                break;
            }
            for _ in 0..left.min(idle) {
                let work = ProbeThread {
                    look: self.look,
                    waiting: Arc::clone(&waiting),
                    entered: Arc::clone(&self.entered),
                    listen: Arc::clone(listen),
                    answers: sender.clone(),
                };
                if self.threads.run(move || work.run()).is_err() {
                    break 'looking;
                }
                started += 1;
            }
            if let Ok(answer) = receiver.recv_timeout(PACE) {
                answers.push(answer);
            }
        }
        // Those that are stuck find nothing more to do when they come back.
        let mut waiting = waiting.lock();
        let (postponed, crowded_out) = (std::mem::take(&mut waiting.requests).len(), waiting.crowded_out);
        let entered = self.entered.lock();
        answers.extend(receiver.try_iter());
        Answers { answers, silent: Silent { stuck: entered.0.len(), crowded_out, postponed } }
    }
}

/// Those at which no thread is, so that no pod waits for the many volumes of another.
fn in_turn(requests: Vec<Request>, entered: &Entered) -> VecDeque<Request> {
    let mut turns: HashMap<Owner, usize> = HashMap::new();
    let mut sorted: BTreeMap<usize, Vec<Request>> = BTreeMap::new();
    for request in requests.into_iter().filter(|request| !entered.0.contains_key(&request.mounted())) {
        let turn = turns.entry(request.owner.clone()).or_default();
        sorted.entry(*turn).or_default().push(request);
        *turn += 1;
    }
    sorted.into_values().flatten().collect()
}

impl Request {
    fn mounted(&self) -> MountedVolume {
        (self.root.clone(), self.mount.clone())
    }
}

/// The volumes at which a thread is now: since when, and whose they are.
#[derive(Default)]
struct Entered(HashMap<MountedVolume, (Instant, Owner)>);

impl Entered {
    /// The number of threads that went in after `began` and have not come back for longer than this.
    fn count_since(&self, began: Instant, longer_than: Duration) -> usize {
        self.0.values().filter(|(since, _)| *since >= began && since.elapsed() > longer_than).count()
    }

    /// Whether a thread that went in after `began` may still be waited for.
    fn has_any_since(&self, began: Instant, patience: Duration) -> bool {
        self.0.values().any(|(since, _)| *since >= began && since.elapsed() <= patience)
    }

    /// Whether one more thread may get stuck for `owner`.
    fn has_room_for(&self, owner: &Owner) -> bool {
        let stuck = self.0.values().filter(|(since, other)| other.driver == owner.driver && since.elapsed() > COUNTED);
        let (mut of_driver, mut of_pod) = (0, 0);
        for (_, other) in stuck {
            of_driver += 1;
            of_pod += usize::from(other.pod == owner.pod);
        }
        of_pod < SHARED.saturating_sub(of_driver) / SHARE || of_pod == 0 && of_driver < STUCK
    }
}

/// The volumes that are still to be looked into.
struct Waiting {
    requests: VecDeque<Request>,
    crowded_out: usize,
}

/// One thread of the probe.
struct ProbeThread {
    look: LookFn,
    waiting: Arc<Mutex<Waiting>>,
    entered: Arc<Mutex<Entered>>,
    listen: Arc<dyn Listen>,
    answers: Sender<Answer>,
}

impl ProbeThread {
    fn run(self) {
        while let Some(request) = self.next() {
            let (mounted, Request { root, sought, .. }) = (request.mounted(), request);
            // Heard first, so that what happens while it is looked into is not missed.
            self.listen.volume(&root);
            let contents = (self.look)(&root, &sought);
            if contents.as_ref().is_ok_and(Contents::is_complete) {
                self.listen.unlisten(&root);
            }
            let mut entered = self.entered.lock();
            entered.0.remove(&mounted);
            // In one step: whoever sees that the thread is back finds its answer.
            if self.answers.send(Answer { root, contents }).is_err() {
                return;
            }
        }
    }

    /// The next volume that there is room for, which is entered.
    fn next(&self) -> Option<Request> {
        let mut waiting = self.waiting.lock();
        let mut entered = self.entered.lock();
        while let Some(request) = waiting.requests.pop_front() {
            if entered.has_room_for(&request.owner) {
                entered.0.insert(request.mounted(), (Instant::now(), request.owner.clone()));
                return Some(request);
            }
            waiting.crowded_out += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests;
