//! The changes from one set to the next, as tower's balancer wants them.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tower::discover::Change;

use super::candidate::Candidate;
use super::set::Set;

/// The changes that one balancer has not seen yet.
#[derive(Debug)]
pub(super) struct Discovery {
    sets: WatchStream<Arc<Set>>,
    /// The numbers of the candidates that the balancer has.
    candidates: BTreeSet<u64>,
    changes: VecDeque<Change<u64, Candidate>>,
}

impl Discovery {
    pub(super) fn new(sets: watch::Receiver<Arc<Set>>) -> Self {
        Self { sets: WatchStream::new(sets), candidates: BTreeSet::new(), changes: VecDeque::new() }
    }

    fn follow(&mut self, set: &Set) {
        let candidates: BTreeSet<u64> = set.slots.iter().map(|slot| slot.number).collect();
        self.changes.extend(self.candidates.difference(&candidates).map(|gone| Change::Remove(*gone)));
        let new = set.slots.iter().filter(|slot| !self.candidates.contains(&slot.number));
        self.changes.extend(new.map(|slot| Change::Insert(slot.number, Candidate::new(slot))));
        self.candidates = candidates;
    }
}

impl Stream for Discovery {
    type Item = Result<Change<u64, Candidate>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(change) = self.changes.pop_front() {
                return Poll::Ready(Some(Ok(change)));
            }
            match ready!(Pin::new(&mut self.sets).poll_next(cx)) {
                Some(set) => self.follow(&set),
                None => return Poll::Ready(None),
            }
        }
    }
}
