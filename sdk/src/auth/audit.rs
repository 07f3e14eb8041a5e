//! Decisions for those who have to answer for them (gRPC A59).

use std::fmt;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::SystemTime;

use evercert_core::clock::rfc3339;
use evercert_core::text;
use serde_json::json;

/// Takes decisions down. Calls wait for it, so it must neither block for long nor panic: a call whose decision could not be taken down is
/// not made.
///
/// Nothing bounds how many decisions there are. Where a policy wants denials audited, strangers cause them too, as fast as they can call:
/// keep `audit` to what is allowed, or have a logger that hands on to a queue of bounded length.
pub trait AuditLogger: Send + Sync + 'static {
    /// A decision was made, and is about to be carried out.
    fn log(&self, event: &AuditEvent<'_>);
}

/// A decision about a call, by the names of gRPC A59.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct AuditEvent<'a> {
    /// `/package.Service/Method`: the path as it is on the wire.
    pub rpc_method: &'a str,
    /// Who calls, as [`Principal::key`](crate::auth::Principal::key) writes it; empty for a caller that has proven nothing.
    pub principal: &'a str,
    /// The name of the policy.
    pub policy_name: &'a str,
    /// The name of the rule that decided; empty where none fits.
    pub matched_rule: &'a str,
    /// Whether the call may be made.
    pub authorized: bool,
}

/// One line of JSON for each decision on the standard output, as grpc-go's `stdout_logger` writes them. Calls wait
/// until the line is written, and for as long as nobody reads a pipe that is full.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdoutAuditLogger;

impl AuditLogger for StdoutAuditLogger {
    fn log(&self, event: &AuditEvent<'_>) {
        let line = line(event, SystemTime::now());
        // An output that is closed must not end the service.
        _ = writeln!(io::stdout().lock(), "{line}");
    }
}

fn line(event: &AuditEvent<'_>, now: SystemTime) -> serde_json::Value {
    json!({"grpc_audit_log": {
        "timestamp": rfc3339(now).to_string(),
        "rpc_method": event.rpc_method,
        "principal": event.principal,
        "policy_name": event.policy_name,
        "matched_rule": event.matched_rule,
        "authorized": event.authorized,
    }})
}

/// One event of `tracing` for each decision, under the target `evercert::audit`.
#[derive(Debug, Clone, Copy, Default)]
pub struct TracingAuditLogger;

impl AuditLogger for TracingAuditLogger {
    fn log(&self, event: &AuditEvent<'_>) {
        tracing::info!(
            target: "evercert::audit",
            rpc_method = text::word(event.rpc_method),
            principal = event.principal,
            policy_name = event.policy_name,
            matched_rule = event.matched_rule,
            authorized = event.authorized,
            "decision"
        );
    }
}

/// The loggers of a server, in their order.
#[derive(Clone, Default)]
pub(super) struct AuditLoggers(Arc<[Arc<dyn AuditLogger>]>);

impl AuditLoggers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn and(&self, logger: Arc<dyn AuditLogger>) -> Self {
        Self(self.0.iter().cloned().chain([logger]).collect())
    }

    pub(super) fn log(&self, event: &AuditEvent<'_>) {
        for logger in &*self.0 {
            logger.log(event);
        }
    }
}

impl fmt::Debug for AuditLoggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditLoggers").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_fields_of_grpcs_own_logger() {
        let event = AuditEvent {
            rpc_method: "/a.B/C",
            principal: "spiffe://example.org/a",
            policy_name: "p",
            matched_rule: "",
            authorized: false,
        };
        let line = line(&event, SystemTime::UNIX_EPOCH);
        let log = line["grpc_audit_log"].as_object().unwrap();
        let mut fields: Vec<_> = log.keys().map(String::as_str).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["authorized", "matched_rule", "policy_name", "principal", "rpc_method", "timestamp"]);
        assert_eq!(log["timestamp"], "1970-01-01T00:00:00Z");
        assert_eq!(log["authorized"], false);
    }
}
