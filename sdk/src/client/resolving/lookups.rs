//! The lookups of the system's resolver that are under way.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::runtime::of_identities;

/// A host and a port.
type Name = (String, u16);
type Answer = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// The lookups that are under way, one for each name.
///
/// Nothing ends `getaddrinfo` but its own limits, which are longer than those of an attempt to connect: where no DNS server answers, the
/// threads of given up lookups would pile up until the runtime has none left for anything else. So whoever asks for the same name
/// meanwhile waits for the lookup that is there.
#[derive(Debug, Default)]
pub(super) struct Lookups(Mutex<BTreeMap<Name, Shared<oneshot::Receiver<Answer>>>>);

/// A lookup that is under way for as long as this lives.
struct UnderWay {
    lookups: &'static Lookups,
    name: Name,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.lookups.0.lock().remove(&self.name);
    }
}

impl Lookups {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// The answer of the lookup that is under way, or of another one, which `ask` makes on a thread that it may block.
    pub(super) async fn join(
        &'static self,
        name: Name,
        ask: impl FnOnce(&Name) -> io::Result<Vec<SocketAddr>> + Send + 'static,
    ) -> io::Result<Vec<SocketAddr>> {
        let (answer, lookup) = {
            let mut lookups = self.0.lock();
            match lookups.get(&name) {
                Some(lookup) => (None, lookup.clone()),
                None => {
                    let (answer, lookup) = oneshot::channel();
                    let lookup = lookup.shared();
                    lookups.insert(name.clone(), lookup.clone());
                    (Some(answer), lookup)
                }
            }
        };
        if let Some(answer) = answer {
            let under_way = UnderWay { lookups: self, name: name.clone() };
            let look_up = move || {
                let found = ask(&under_way.name);
                drop(under_way);
                _ = answer.send(found.map_err(Arc::new));
            };
            // On the runtime that never ends, whose threads nobody else takes. It panics where the system has no thread, and keeps what it
            // was to do: nobody has to wait for that.
            if catch_unwind(AssertUnwindSafe(|| of_identities().spawn_blocking(look_up))).is_err() {
                self.0.lock().remove(&name);
                return Err(io::Error::other("there is no thread to look a name up on"));
            }
        }
        match lookup.await {
            Ok(answer) => answer.map_err(|error| io::Error::new(error.kind(), error)),
            Err(_) => Err(io::Error::other("the lookup of the name was given up")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::runtime::Builder;

    use super::*;

    const ADDRESS: ([u8; 4], u16) = ([192, 0, 2, 1], 443);

    fn lookups() -> &'static Lookups {
        Box::leak(Box::default())
    }

    fn name() -> Name {
        ("api.example.org".to_owned(), 443)
    }

    #[tokio::test]
    async fn whoever_asks_for_a_name_waits_for_the_lookup_that_another_has_given_up() {
        let lookups = lookups();
        let (asked, questions) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let answers = Arc::new(Mutex::new(answers));
        let join = || {
            let (asked, answers) = (asked.clone(), Arc::clone(&answers));
            lookups.join(name(), move |_| {
                asked.send(()).unwrap();
                answers.lock().recv().unwrap()
            })
        };
        for _ in 0..5 {
            assert!(join().now_or_never().is_none());
        }
        // It asks before there is an answer: behind that it would begin another lookup.
        let mut waiting = std::pin::pin!(join());
        assert!(waiting.as_mut().now_or_never().is_none());
        answer.send(Ok(vec![ADDRESS.into()])).unwrap();
        assert_eq!(waiting.await.unwrap(), [ADDRESS.into()]);
        assert_eq!(questions.try_iter().count(), 1);

        answer.send(Err(io::ErrorKind::NotFound.into())).unwrap();
        assert_eq!(join().await.unwrap_err().kind(), io::ErrorKind::NotFound, "what has ended is asked for anew");
        assert_eq!(questions.try_iter().count(), 1);
        assert!(lookups.0.lock().is_empty());
    }

    #[test]
    fn a_lookup_that_panics_is_an_error_and_the_next_is_made_anew() {
        let lookups = lookups();
        let running = Builder::new_current_thread().build().unwrap();
        running.block_on(lookups.join(name(), |_| panic!("on purpose"))).unwrap_err();
        assert_eq!(running.block_on(lookups.join(name(), |_| Ok(vec![ADDRESS.into()]))).unwrap(), [ADDRESS.into()]);
    }
    #[test]
    fn a_runtime_without_a_thread_to_spare_holds_up_no_lookup() {
        let lookups = lookups();
        let full = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (end, ended) = mpsc::channel::<()>();
        full.spawn_blocking(move || _ = ended.recv());
        let address = full.block_on(lookups.join(name(), |_| Ok(vec![ADDRESS.into()])));
        drop(end);
        assert_eq!(address.unwrap(), [ADDRESS.into()]);
    }
}
