use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::proto::MetricType;
use tonic::Code;

use super::*;
use crate::telemetry::{FileKind, HandshakeResult, OTHER_METHOD, TokenFailure};

const GET_USER: &str = "/example.v1.Users/GetUser";

/// A registry and its recorder, which was told everything there is once.
fn told() -> (Registry, Arc<PrometheusRecorder>) {
    let registry = Registry::new();
    let recorder = PrometheusRecorder::register(&registry).unwrap();
    let (target, duration) = ("https://api.internal:50051", Duration::from_micros(1500));
    for event in [
        Event::ServerHandshake { result: HandshakeResult::Success, kind: Some(HandshakeKind::Resumed) },
        Event::ServerHandshake { result: HandshakeResult::CertificateExpired, kind: None },
        Event::ClientHandshake { target, result: HandshakeResult::Success, kind: Some(HandshakeKind::Full) },
        Event::NotAccepted { target, reason: HandshakeResult::CertificateRevoked },
        Event::Call { method: GET_USER, code: Code::NotFound, duration },
        Event::Call { method: OTHER_METHOD, code: Code::Unimplemented, duration },
        Event::Denied { method: GET_USER, code: Code::PermissionDenied },
        Event::DryRun { method: GET_USER, is_allowed: false },
        Event::TokenRefused { failure: TokenFailure::Expired },
        Event::Reloaded { file: FileKind::Policy, is_used: false },
    ] {
        recorder.record(&event);
    }
    (registry, recorder)
}

fn page(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

/// The samples of a page that are not 0, buckets aside.
fn samples(registry: &Registry) -> Vec<String> {
    let page = page(registry);
    let lines =
        page.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{") && !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

#[test]
fn a_scrape_has_all_that_was_told_under_the_names_of_grpcs_proposals_and_of_ours() {
    assert_eq!(
        samples(&told().0),
        [
            r#"evercert_calls_denied_total{grpc_method="example.v1.Users/GetUser",grpc_status="PERMISSION_DENIED"} 1"#,
            r#"evercert_client_connections_not_accepted_total{grpc_target="https://api.internal:50051",reason="CERTIFICATE_REVOKED"} 1"#,
            r#"evercert_dry_runs_total{grpc_method="example.v1.Users/GetUser",result="denied"} 1"#,
            r#"evercert_file_reloads_total{file="policy",result="rejected"} 1"#,
            r#"evercert_tokens_refused_total{reason="expired"} 1"#,
            r#"grpc_client_tls_handshakes_total{grpc_target="https://api.internal:50051",grpc_tls_handshake_result="SUCCESS",grpc_tls_handshake_resumed="FULL_HANDSHAKE"} 1"#,
            r#"grpc_server_call_duration_seconds_sum{grpc_method="example.v1.Users/GetUser",grpc_status="NOT_FOUND"} 0.0015"#,
            r#"grpc_server_call_duration_seconds_count{grpc_method="example.v1.Users/GetUser",grpc_status="NOT_FOUND"} 1"#,
            r#"grpc_server_call_duration_seconds_sum{grpc_method="other",grpc_status="UNIMPLEMENTED"} 0.0015"#,
            r#"grpc_server_call_duration_seconds_count{grpc_method="other",grpc_status="UNIMPLEMENTED"} 1"#,
            r#"grpc_server_tls_handshakes_total{grpc_tls_handshake_result="CERTIFICATE_EXPIRED",grpc_tls_handshake_resumed=""} 1"#,
            r#"grpc_server_tls_handshakes_total{grpc_tls_handshake_result="SUCCESS",grpc_tls_handshake_resumed="RESUMED_HANDSHAKE"} 1"#,
        ]
    );
}

/// What `promtool check metrics` has to say of names, helps and units.
#[test]
fn nothing_is_to_be_said_of_the_names_and_helps() {
    for family in told().0.gather() {
        let (name, help) = (family.name(), family.help());
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert!(help.ends_with('.') && !help.contains('\n'), "{name}: {help:?}");
        match family.get_field_type() {
            MetricType::COUNTER => assert!(name.ends_with("_total"), "{name}"),
            MetricType::HISTOGRAM => assert!(name.ends_with("_seconds"), "{name}"),
            other => panic!("{name} is a {other:?}"),
        }
        for reserved in ["_count", "_sum", "_bucket", "_info", "gauge", "counter", "histogram"] {
            assert!(!name.contains(reserved), "{name}");
        }
        for label in family.get_metric().iter().flat_map(|metric| metric.get_label()) {
            let label = label.name();
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_') && label != "le", "{name}: {label}");
        }
    }
}

#[test]
fn counters_whose_labels_are_known_are_there_from_the_start() {
    let registry = Registry::new();
    let _recorder = PrometheusRecorder::register(&registry).unwrap();
    let series: BTreeMap<_, _> =
        registry.gather().iter().map(|family| (family.name().to_owned(), family.get_metric().len())).collect();
    assert_eq!(
        series,
        [
            ("evercert_file_reloads_total".to_owned(), 2 * FileKind::ALL.len()),
            ("evercert_tokens_refused_total".to_owned(), TokenFailure::ALL.len()),
            ("grpc_server_tls_handshakes_total".to_owned(), HandshakeResult::ALL.len() + 1),
        ]
        .into()
    );
}

#[test]
fn targets_beyond_the_limit_are_counted_as_others() {
    let (registry, recorder) = told();
    for n in 0..2 * MOST_TARGETS {
        let (target, result) = (format!("https://10.0.0.{n}"), HandshakeResult::HandshakeTimeout);
        recorder.record(&Event::ClientHandshake { target: &target, result, kind: None });
        recorder.record(&Event::NotAccepted { target: &target, reason: result });
    }
    let samples = samples(&registry);
    let clients: Vec<_> = samples.iter().filter(|line| line.starts_with("grpc_client_tls_handshakes_total")).collect();
    assert_eq!(clients.len(), MOST_TARGETS + 1);
    let others = clients.iter().find(|line| line.contains(r#"grpc_target="other""#)).unwrap();
    assert!(others.ends_with(&format!(" {}", MOST_TARGETS + 1)), "{others}");
    let not_accepted = samples.iter().filter(|line| line.starts_with("evercert_client_connections_not_accepted_total"));
    assert_eq!(not_accepted.count(), MOST_TARGETS + 1);
}

#[test]
fn a_second_recorder_of_one_registry_is_an_error_and_leaves_the_first_alone() {
    let (registry, recorder) = told();
    assert!(PrometheusRecorder::register(&registry).is_err());
    let before = page(&registry);
    recorder.record(&Event::TokenRefused { failure: TokenFailure::Expired });
    assert_ne!(page(&registry), before);
}
