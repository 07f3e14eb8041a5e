//! The server under attack.

use std::net::SocketAddr;

use evercert_fixtures::{Authority, KubeletVolume};
use evercert_tests::side;

use crate::greeter;
use crate::process::Process;

/// A running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) process: Process,
    _volume: KubeletVolume,
}

impl Server {
    pub(super) fn start(authority: &Authority) -> Self {
        let volume = KubeletVolume::new(&authority.issue(side::leaf()).files());
        let (address, process) = greeter::start(volume.path());
        Self { address, process, _volume: volume }
    }
}
