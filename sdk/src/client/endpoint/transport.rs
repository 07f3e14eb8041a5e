//! The settings of HTTP/2 and TCP.

use std::net::IpAddr;
use std::time::Duration;

use super::Endpoint;
use crate::client::request::FOREVER;

/// The sizes that a frame may be limited to (RFC 9113 §4.2).
const LEAST_FRAME: u32 = 1 << 14;
const MOST_FRAME: u32 = (1 << 24) - 1;
/// The largest flow-control window (RFC 9113 §6.9.1).
const MOST_WINDOW: u32 = (1 << 31) - 1;

/// The limits of what tcp(7) takes for its probes.
const SECOND: Duration = Duration::from_secs(1);
const MOST_TCP: Duration = Duration::from_secs(32_767);
const MOST_PROBES: u32 = 127;

/// The settings of HTTP/2 and TCP.
impl Endpoint {
    /// The interval at which an HTTP/2 PING asks whether the server is there, while calls run. Default: never. Servers may close
    /// connections that ask more often than they allow (gRPC's own: every five minutes).
    #[must_use]
    pub fn keep_alive_interval(mut self, interval: Duration) -> Self {
        self.settings.http2.keep_alive_interval = Some(interval.min(FOREVER));
        self
    }

    /// The time the answer to a PING may take before the connection counts as lost. Default: 20 s.
    #[must_use]
    pub fn keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.settings.http2.keep_alive_timeout = Some(limit.min(FOREVER));
        self
    }

    /// Whether to ask while no call runs too. Default: no.
    #[must_use]
    pub fn keep_alive_while_idle(mut self, idle: bool) -> Self {
        self.settings.http2.keep_alive_while_idle = Some(idle);
        self
    }

    /// The flow-control window of a stream, in bytes: 2³¹ - 1 at most, what is beyond counts as that (RFC 9113 §6.9.1). Default: hyper's,
    /// as in tonic (2 MiB).
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.settings.http2.stream_window = Some(bytes.min(MOST_WINDOW));
        self
    }

    /// The flow-control window of the connection, in bytes: 2³¹ - 1 at most, what is beyond counts as that (RFC 9113 §6.9.1). Default:
    /// hyper's, as in tonic (5 MiB).
    #[must_use]
    pub fn connection_window(mut self, bytes: u32) -> Self {
        self.settings.http2.connection_window = Some(bytes.min(MOST_WINDOW));
        self
    }

    /// Whether the windows follow the bandwidth-delay product, which overrides both sizes. Default: no.
    #[must_use]
    pub fn adaptive_window(mut self, adaptive: bool) -> Self {
        self.settings.http2.adaptive_window = Some(adaptive);
        self
    }

    /// The most bytes that the headers of a response may have (`SETTINGS_MAX_HEADER_LIST_SIZE`, RFC 9113 §6.5.2). Default: hyper's, as in
    /// tonic (16 KiB).
    #[must_use]
    pub fn max_header_list_size(mut self, bytes: u32) -> Self {
        self.settings.http2.max_header_list_size = Some(bytes);
        self
    }

    /// The size of the largest frame that the server may send, in bytes: 16 KiB to 16 MiB - 1, what is beyond counts as the nearer end
    /// (RFC 9113 §4.2). Default: hyper's, as in tonic (16 KiB).
    #[must_use]
    pub fn max_frame_size(mut self, bytes: u32) -> Self {
        self.settings.http2.max_frame_size = Some(bytes.clamp(LEAST_FRAME, MOST_FRAME));
        self
    }

    /// The time a TCP connection is silent before the kernel probes it (`TCP_KEEPIDLE`), in whole seconds. Default: never.
    /// [`Endpoint::keep_alive_interval`] asks the server itself, and through proxies.
    #[must_use]
    pub fn tcp_keepalive(mut self, idle: Duration) -> Self {
        self.settings.tcp.keepalive = Some(idle.clamp(SECOND, MOST_TCP));
        self
    }

    /// The time between two of these probes (`TCP_KEEPINTVL`), in whole seconds. Default: the system's (75 s).
    #[must_use]
    pub fn tcp_keepalive_interval(mut self, interval: Duration) -> Self {
        self.settings.tcp.keepalive_interval = Some(interval.clamp(SECOND, MOST_TCP));
        self
    }

    /// The number of probes without an answer after which the connection is lost (`TCP_KEEPCNT`), 1 to 127. Default: the system's (9).
    #[must_use]
    pub fn tcp_keepalive_retries(mut self, retries: u32) -> Self {
        self.settings.tcp.keepalive_retries = Some(retries.clamp(1, MOST_PROBES));
        self
    }

    /// The address of this host that connections are made from. Addresses of the server of another family cannot be reached then.
    /// Default: the system's choice.
    #[must_use]
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.settings.tcp.local_address = Some(address);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_that_nobody_takes_count_as_the_nearest_that_are_taken() {
        let endpoint = Endpoint::new("https://api.internal").unwrap();
        let settings = endpoint.max_frame_size(0).tcp_keepalive(Duration::ZERO).tcp_keepalive_interval(FOREVER);
        let settings = settings.tcp_keepalive_retries(0).settings;
        assert_eq!((settings.http2.max_frame_size, settings.tcp.keepalive_retries), (Some(LEAST_FRAME), Some(1)));
        assert_eq!((settings.tcp.keepalive, settings.tcp.keepalive_interval), (Some(SECOND), Some(MOST_TCP)));
    }
}
