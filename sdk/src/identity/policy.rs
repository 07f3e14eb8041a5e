//! User decisions about an identity as a whole.

/// The policy for servers and channels when the own leaf has expired and nothing newer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExpiryPolicy {
    /// It is presented all the same, and the log says so: peers decide whether they accept it, and those that look at it less closely
    /// are served.
    #[default]
    Retain,
    /// No handshake presents it: servers close new connections unanswered, channels do not connect and calls say why, health is
    /// NOT_SERVING, and connections that exist are drained. A newer generation ends that.
    FailClosed,
}
