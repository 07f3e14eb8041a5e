//! Sessions that clients of one server may resume, of one generation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{ServerSessionMemoryCache, StoresServerSessions};
use tokio::time::Instant;

/// The number of sessions a server keeps; the oldest go first. A client whose session is gone shakes hands in full.
const SERVER_SESSIONS: usize = 1024;

/// The most bytes a session may have, nearly all of which are the client's chain; longer ones are not kept.
const SESSION_BYTES: usize = 16 * 1024;

/// The longest time a session may be resumed: what RFC 5246 §F.1.4 suggests, and what rustls tells the clients.
const SESSION_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The number of TLS 1.3 tickets a client is sent after a handshake: it needs one to reconnect, and gets the next one then.
pub(super) const TICKETS: usize = 1;

/// The number of sessions a channel keeps. It has one server; rustls keeps eight TLS 1.3 tickets of each.
pub(super) const CLIENT_SESSIONS: usize = 8;

/// The sessions of one server and generation. They can be forgotten all at once, and are when they reach their lifetime.
pub(super) struct ServerSessions(ArcSwap<Kept>);

struct Kept {
    since: Instant,
    sessions: Arc<ServerSessionMemoryCache>,
}

impl ServerSessions {
    /// Forgets all sessions.
    pub(super) fn forget(&self) {
        self.0.store(Kept::none());
    }

    fn kept(&self) -> Arc<Kept> {
        let kept = self.0.load_full();
        if kept.since.elapsed() < SESSION_LIFETIME {
            return kept;
        }
        self.forget();
        self.0.load_full()
    }
}

impl Kept {
    fn none() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), sessions: ServerSessionMemoryCache::new(SERVER_SESSIONS) })
    }
}

impl Default for ServerSessions {
    fn default() -> Self {
        Self(ArcSwap::new(Kept::none()))
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        value.len() <= SESSION_BYTES && self.kept().sessions.put(key, value)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept().sessions.get(key)
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.kept().sessions.take(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for ServerSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerSessions").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(sessions: &ServerSessions, name: u16, bytes: usize) -> bool {
        sessions.put(name.to_be_bytes().to_vec(), vec![0; bytes])
    }

    fn keeps(sessions: &ServerSessions, name: u16) -> bool {
        sessions.get(&name.to_be_bytes()).is_some()
    }

    #[test]
    fn sessions_are_bounded_in_number_and_size() {
        let sessions = ServerSessions::default();
        assert!(!keep(&sessions, 0, SESSION_BYTES + 1));
        assert!(!keeps(&sessions, 0));
        let all = 4 * SERVER_SESSIONS as u16;
        (0..all).for_each(|name| assert!(keep(&sessions, name, 1)));
        let kept = (0..all).filter(|name| keeps(&sessions, *name)).count();
        assert!((SERVER_SESSIONS..=2 * SERVER_SESSIONS).contains(&kept), "{kept}");
        assert!(keeps(&sessions, all - 1));
    }

    #[test]
    fn forgotten_sessions_are_gone_and_later_ones_are_kept() {
        let sessions = ServerSessions::default();
        keep(&sessions, 1, 1);
        sessions.forget();
        keep(&sessions, 2, 1);
        assert_eq!([1, 2].map(|name| keeps(&sessions, name)), [false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_session_outlasts_the_lifetime() {
        let sessions = ServerSessions::default();
        keep(&sessions, 1, 1);
        tokio::time::advance(SESSION_LIFETIME - Duration::from_secs(1)).await;
        keep(&sessions, 2, 1);
        assert_eq!([1, 2].map(|name| keeps(&sessions, name)), [true, true]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([1, 2].map(|name| keeps(&sessions, name)), [false, false]);
    }
}
