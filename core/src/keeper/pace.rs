//! How long the keeper waits for what.

use std::time::Duration;

/// How long the keeper waits for what. The defaults are the only values outside of tests.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    /// How long a job counts against how many may run: one that takes longer waits for its mount, not for a processor.
    pub(super) counted: Duration,
    /// How long a mount may take to answer before that is a finding.
    pub(super) unresponsive: Duration,
    /// How long plain files must have been left alone before they are read: two quick equal looks can both see a half-copied
    /// bundle, which parses as one of fewer anchors.
    pub(super) rest: Duration,
    /// How long plain files may keep changing before that is a finding.
    pub(super) restless: Duration,
    /// The pauses before a set that looks half-written is read again; after the last one it is taken as it is.
    pub(super) again: [Duration; 3],
    /// How often a sweep must have got on before it is taken to be stuck at one mount and goes on beyond it.
    pub(super) sweep_stuck: Duration,
    /// How often at most everyone is looked at because the list of mounts changed.
    pub(super) mounts: Duration,
    /// How far the wall clock may get away from the monotonic one between two looks before it counts as set.
    pub(super) clock_jump: Duration,
    /// How often the state of identities that are gone is looked through for what has ended. At a tick: no sooner than the next one.
    pub(super) state_sweep: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            counted: Duration::from_millis(200),
            unresponsive: Duration::from_secs(5),
            rest: Duration::from_millis(100),
            restless: Duration::from_secs(5),
            again: [25, 100, 250].map(Duration::from_millis),
            sweep_stuck: Duration::from_secs(1),
            mounts: Duration::from_secs(1),
            clock_jump: Duration::from_secs(1),
            state_sweep: Duration::from_secs(3600),
        }
    }
}
