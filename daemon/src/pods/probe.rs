//! Enters volumes, on threads of their own: a mount that does not answer holds up nobody but the thread that asked.

use std::collections::{HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Listen;
use super::contents::{self, Contents, Fingerprint};

/// How many threads there are, with those that are stuck.
const THREADS: usize = 8;

/// How long a volume may take to answer.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long all of them may take together; what is left is looked into the next time.
const BUDGET: Duration = Duration::from_secs(3);

/// A volume to look into.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// Where it is.
    pub(super) root: PathBuf,
    /// How it was found before.
    pub(super) known: Option<Fingerprint>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Answer {
    /// Where the volume is.
    pub(super) root: PathBuf,
    /// What it holds.
    pub(super) contents: Result<Contents, Errno>,
}

/// What a volume is looked into with.
type Look = fn(&Path, Option<&Fingerprint>) -> Result<Contents, Errno>;

/// The threads that look into volumes.
pub(super) struct Probe {
    look: Look,
    deadline: Duration,
    /// The volumes at which a thread is now.
    entered: Arc<Mutex<HashSet<PathBuf>>>,
}

impl Probe {
    /// No thread yet.
    pub(super) fn new() -> Self {
        Self::with(contents::look, DEADLINE)
    }

    fn with(look: Look, deadline: Duration) -> Self {
        Self { look, deadline, entered: Arc::default() }
    }

    /// Looks into these volumes. Those that do not answer in time, or at which a thread is stuck already, are not among the answers.
    pub(super) fn answers(&self, requests: Vec<Request>, listen: &Arc<dyn Listen>) -> Vec<Answer> {
        let until = Instant::now() + BUDGET;
        let stuck: HashSet<PathBuf> = lock(&self.entered).clone();
        let requests: VecDeque<_> = requests.into_iter().filter(|request| !stuck.contains(&request.root)).collect();
        let mut missing = requests.len();
        let mut answers = Vec::with_capacity(missing);
        let threads = THREADS.saturating_sub(stuck.len()).min(missing);
        let requests = Arc::new(Mutex::new(requests));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads {
            let work = Work {
                look: self.look,
                requests: Arc::clone(&requests),
                entered: Arc::clone(&self.entered),
                listen: Arc::clone(listen),
                answers: sender.clone(),
            };
            if let Err(error) = thread::Builder::new().name("volumes".to_owned()).spawn(move || work.run()) {
                tracing::warn!(%error, "a thread to look into volumes cannot be started");
            }
        }
        drop(sender);
        while missing > 0 {
            let left = until.saturating_duration_since(Instant::now()).min(self.deadline);
            match receiver.recv_timeout(left) {
                Ok(answer) => {
                    answers.push(answer);
                    missing -= 1;
                }
                // Those that are stuck find nothing more to do when they come back.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        lock(&requests).clear();
        answers
    }
}

/// What one thread has.
struct Work {
    look: Look,
    requests: Arc<Mutex<VecDeque<Request>>>,
    entered: Arc<Mutex<HashSet<PathBuf>>>,
    listen: Arc<dyn Listen>,
    answers: Sender<Answer>,
}

impl Work {
    fn run(self) {
        loop {
            let Some(Request { root, known }) = lock(&self.requests).pop_front() else { return };
            lock(&self.entered).insert(root.clone());
            // Heard first, so that what happens while it is looked into is not missed.
            self.listen.volume(&root);
            let contents = (self.look)(&root, known.as_ref());
            if matches!(&contents, Ok(Contents::Now(_, credentials)) if !credentials.is_empty()) {
                self.listen.settled(&root);
            }
            lock(&self.entered).remove(&root);
            if self.answers.send(Answer { root, contents }).is_err() {
                return;
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single step; a panic leaves no half of one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pods::discovery::tests::Deaf;

    const SHORT: Duration = Duration::from_millis(500);

    /// A volume whose name begins with "dead" answers when the FIFO in it is written to.
    fn look(root: &Path, _: Option<&Fingerprint>) -> Result<Contents, Errno> {
        if root.file_name().unwrap().to_str().unwrap().starts_with("dead") {
            drop(std::fs::read(root.join("fifo")).unwrap());
        }
        Ok(Contents::Unchanged)
    }

    fn ask(probe: &Probe, roots: &[PathBuf]) -> Vec<PathBuf> {
        let requests = roots.iter().map(|root| Request { root: root.clone(), known: None }).collect();
        let mut answers: Vec<_> =
            probe.answers(requests, &Deaf::shared()).into_iter().map(|answer| answer.root).collect();
        answers.sort();
        answers
    }

    #[test]
    fn a_volume_that_does_not_answer_holds_up_no_other_and_is_asked_again_when_it_does() {
        let home = tempfile::tempdir().unwrap();
        let dead: Vec<_> = (0..THREADS - 1).map(|number| home.path().join(format!("dead{number}"))).collect();
        for root in &dead {
            std::fs::create_dir(root).unwrap();
            let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
            rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }
        let good: Vec<_> = (0..100).map(|number| home.path().join(format!("good{number:02}"))).collect();
        let all: Vec<_> = dead.iter().chain(&good).cloned().collect();
        let probe = Probe::with(look, SHORT);
        assert_eq!(ask(&probe, &all), good);
        assert_eq!(lock(&probe.entered).len(), dead.len());
        // Nobody waits for them a second time.
        let began = Instant::now();
        assert_eq!(ask(&probe, &all), good);
        assert!(began.elapsed() < SHORT);

        dead.iter().for_each(|root| std::fs::write(root.join("fifo"), "").unwrap());
        let deadline = Instant::now() + Duration::from_secs(20);
        while !lock(&probe.entered).is_empty() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        // They do not answer again, but they are asked.
        assert_eq!(ask(&probe, &all), good);
        assert_eq!(lock(&probe.entered).len(), dead.len());
        dead.iter().for_each(|root| std::fs::write(root.join("fifo"), "").unwrap());
    }
}
