//! Why a process does nothing, as the kernel shows it. For showing only: the process's number may have gone to another by now.

use std::fs;
use std::time::Duration;

use crate::subscribers::SubscriberStatus;

/// How long a subscriber may be behind before its process is looked at: at a rotation all of them are for a moment.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many processes are looked at for one identity at a time.
pub(super) const LOOKED_AT: usize = 256;

/// Why the process of a subscriber that is behind does nothing; absent where it is not held up, or that cannot be told.
pub(super) fn of(status: &SubscriberStatus) -> Option<&'static str> {
    if status.subscriber.pid == 0 || status.behind_for.is_none_or(|behind| behind < PATIENCE) {
        return None;
    }
    told_by(&fs::read_to_string(format!("/proc/{}/stat", status.subscriber.pid)).ok()?)
}

/// By the text of `/proc/PID/stat`. The command's name in it may hold anything, parentheses too.
fn told_by(stat: &str) -> Option<&'static str> {
    match stat.rsplit_once(") ")?.1.chars().next()? {
        'T' => Some("its process is stopped (SIGSTOP)"),
        't' => Some("its process is stopped by a debugger"),
        'D' => Some("its process waits for a disk"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_read_behind_whatever_the_command_calls_itself() {
        assert_eq!(told_by("7 (a) T (b) T 1 7 7"), Some("its process is stopped (SIGSTOP)"));
        assert_eq!(told_by("7 (a) D (b) S 1 7 7"), None);
        assert_eq!(told_by("7 (greeter) D 1 7 7"), Some("its process waits for a disk"));
        assert_eq!(told_by(""), None);
    }
}
