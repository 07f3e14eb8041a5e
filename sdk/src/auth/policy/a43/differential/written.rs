//! Policies that were thought of: of every form that could be read in two ways.

use crate::auth::policy::DOCUMENT_LIMIT;

/// A policy with one rule, which has these fields.
pub(super) fn rule(fields: &str) -> String {
    policy(&format!(r#""allow_rules": [{{"name": "r", {fields}}}]"#))
}

fn policy(fields: &str) -> String {
    format!(r#"{{"name": "p", {fields}}}"#)
}

fn with_rules(fields: &str) -> String {
    policy(&format!(r#""allow_rules": [{{"name": "r"}}], {fields}"#))
}

fn header(header: &str) -> String {
    rule(&format!(r#""request": {{"headers": [{header}]}}"#))
}

fn loggers(loggers: &str) -> String {
    with_rules(&format!(
        r#""audit_logging_options": {{"audit_condition": "ON_DENY_AND_ALLOW", "audit_loggers": {loggers}}}"#
    ))
}

/// What both read alike, or both refuse.
pub(super) fn same() -> Vec<Vec<u8>> {
    let mut all = [
        "",
        " ",
        "{",
        "{}",
        "[]",
        "null",
        "\"p\"",
        "1",
        "true",
        "{]",
        "{,}",
        "{\"name\"}",
        "{name: 1}",
        "\u{feff}{}",
        "// a\n{}",
        r#"{"name": 1}"#,
        r#"{"name": ""}"#,
        r#"{"name": null}"#,
        r#"{"name": "p"}"#,
        r#"{"name": "p",}"#,
        r#"{"allow_rules": [{"name": "r"}]}"#,
        r#"{"name": "p", "allow_rules": []}"#,
        r#"{"name": "p", "allow_rules": null}"#,
        r#"{"name": "p", "allow_rules": {}}"#,
        r#"{"name": "p", "allow_rules": [1]}"#,
        r#"{"name": "p", "allow_rules": [null]}"#,
        r#"{"name": "p", "allow_rules": [[]]}"#,
        r#"{"name": "p", "allow_rules": [{}]}"#,
        r#"{"name": "p", "allow_rules": [{"name": ""}]}"#,
        r#"{"name": "p", "allow_rules": [{"name": "r"}]} "#,
        "\n\t {\"name\": \"p\",\r\n\"allow_rules\": [{\"name\": \"r\"}]}\n",
        r#"{"NAME": "p", "Allow_Rules": [{"nAmE": "r"}]}"#,
        "{\"name\": \"p\", \"allow_rule\u{17f}\": [{\"name\": \"r\"}]}",
        r#"{"n\u0061me": "p", "allow_rules": [{"name": "r"}]}"#,
        r#"{"name ": "p", "allow_rules": [{"name": "r"}]}"#,
        "{\"name\": \"a\nb\", \"allow_rules\": [{\"name\": \"r\"}]}",
        r#"{"name": "\ud83d\ude00", "allow_rules": [{"name": "r"}]}"#,
        r#"{"name": "p\u0000", "allow_rules": [{"name": "\u0000"}]}"#,
        r#"{"name": "\x", "allow_rules": [{"name": "r"}]}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend(
        [
            r#""extra": 1"#,
            r#""deny_rules": []"#,
            r#""deny_rules": null"#,
            r#""deny_rules": [{}]"#,
            r#""deny_rules": [{"name": "d"}]"#,
            r#""deny_rules": [{"name": "r"}]"#,
            r#""deny_rules": [{"name": "d", "source": {"principals": ["*"]}}]"#,
            r#""deny_rules": [{"name": "d", "source": {"principals": [""]}}]"#,
            r#""denyRules": []"#,
            r#""deny-rules": []"#,
            r#""audit_logging_options": null"#,
            r#""audit_logging_options": {}"#,
            r#""audit_logging_options": []"#,
            r#""audit_logging_options": {"extra": 1}"#,
            r#""audit_logging_options": {"audit_condition": 0}"#,
            r#""audit_logging_options": {"audit_condition": null}"#,
            r#""audit_logging_options": {"audit_condition": "NONE"}"#,
            r#""audit_logging_options": {"audit_condition": "on_deny"}"#,
            r#""audit_logging_options": {"audit_condition": "ON_DENY "}"#,
            r#""audit_logging_options": {"audit_condition": "ON_DENY_AND_ALLOW"}"#,
            r#""audit_logging_options": {"audit_condition": ""}"#,
        ]
        .map(with_rules),
    );
    all.extend(
        [
            "null",
            "[]",
            "{}",
            "[null]",
            "[{}]",
            r#"[{"name": ""}]"#,
            r#"[{"name": "stdout_logger"}]"#,
            r#"[{"name": "stdout_logger"}, {"name": "stdout_logger"}]"#,
            r#"[{"name": "other"}]"#,
            r#"[{"name": "other", "is_optional": true}]"#,
            r#"[{"name": "other", "is_optional": false}]"#,
            r#"[{"name": "other", "is_optional": null}]"#,
            r#"[{"name": "other", "is_optional": "true"}]"#,
            r#"[{"name": "STDOUT_LOGGER"}]"#,
            r#"[{"name": "a/stdout_logger"}]"#,
            r#"[{"name": "stdout_logger/"}]"#,
            r#"[{"name": "/", "is_optional": true}]"#,
            r#"[{"name": "stdout_logger/other"}]"#,
            r#"[{"name": "é", "is_optional": true}]"#,
            r#"[{"name": "stdout_logger", "config": {}}]"#,
            r#"[{"name": "stdout_logger", "config": null}]"#,
            r#"[{"name": "stdout_logger", "config": []}]"#,
            r#"[{"name": "stdout_logger", "config": 1}]"#,
            r#"[{"name": "stdout_logger", "config": "a"}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": [1, 1.5e3, -0, null, true, "b", {}]}}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": 1, "a": 2}}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": {"b": 1, "b": 2}}}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": 1e400}}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": 01}}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": "\ud800"}}]"#,
            r#"[{"name": "stdout_logger", "config": {"a": 18446744073709551616}}]"#,
            r#"[{"name": "stdout_logger", "Config": {"A": 1, "a": 2}, "IS_OPTIONAL": true}]"#,
            r#"[{"name": "stdout_logger", "extra": 1}]"#,
        ]
        .map(loggers),
    );
    all.extend(
        [
            r#""extra": 1"#,
            r#""source": null"#,
            r#""source": {}"#,
            r#""source": []"#,
            r#""source": {"extra": 1}"#,
            r#""source": {"principals": null}"#,
            r#""source": {"principals": []}"#,
            r#""source": {"principals": "a"}"#,
            r#""source": {"principals": [1]}"#,
            r#""source": {"principals": [null]}"#,
            r#""source": {"principals": [""]}"#,
            r#""source": {"principals": ["*"]}"#,
            r#""source": {"principals": ["**"]}"#,
            r#""source": {"principals": ["*a*"]}"#,
            r#""source": {"principals": ["*a"]}"#,
            r#""source": {"principals": ["a*"]}"#,
            r#""source": {"principals": ["spiffe://*"]}"#,
            r#""source": {"principals": ["SPIFFE://*"]}"#,
            r#""source": {"principals": ["*.example.org"]}"#,
            r#""source": {"principals": ["CN=*", "*CN=a"]}"#,
            r#""request": null"#,
            r#""request": {}"#,
            r#""request": {"extra": 1}"#,
            r#""request": {"paths": null}"#,
            r#""request": {"paths": []}"#,
            r#""request": {"paths": [null]}"#,
            r#""request": {"paths": [""]}"#,
            r#""request": {"paths": ["*"]}"#,
            r#""request": {"paths": ["**"]}"#,
            r#""request": {"paths": ["/*"]}"#,
            r#""request": {"paths": ["/pay*", "/pay.v1.Admin/*", "/pay.v1.Pay/C*"]}"#,
            r#""request": {"paths": ["*/Charge"]}"#,
            r#""request": {"paths": ["*/Charge*"]}"#,
            r#""request": {"paths": ["/pay.v1.Pay/Re*"]}"#,
            r#""request": {"paths": ["/pay.v1.Admin/**"]}"#,
            r#""request": {"paths": ["//*", "pay*", "*%2FCharge"]}"#,
            r#""request": {"paths": "a"}"#,
            r#""request": {"headers": null}"#,
            r#""request": {"headers": []}"#,
            r#""request": {"headers": {}}"#,
            r#""Request": {"Paths": ["/pay*"], "hEADERS": [{"KEY": "X-A", "Values": ["*"]}]}"#,
        ]
        .map(rule),
    );
    all.extend(
        [
            "null",
            "{}",
            r#"{"key": ""}"#,
            r#"{"key": null, "values": ["a"]}"#,
            r#"{"key": "x-a"}"#,
            r#"{"key": "x-a", "values": []}"#,
            r#"{"key": "x-a", "values": null}"#,
            r#"{"key": "x-a", "values": [null]}"#,
            r#"{"key": "x-a", "values": [""]}"#,
            r#"{"key": "x-a", "values": ["*"]}"#,
            r#"{"key": "X-A", "values": ["**"]}"#,
            r#"{"key": "x-a", "values": ["a,b"]}"#,
            r#"{"key": "x-a", "values": ["a,*"]}"#,
            r#"{"key": "x-a", "values": ["*,b"]}"#,
            r#"{"key": "x-a", "values": ["a,a", "b,a", "b,b", "a,b,*"]}"#,
            r#"{"key": "x-a", "values": ["*b"]}"#,
            r#"{"key": "x-a", "values": ["é"]}"#,
            r#"{"key": "x-a", "values": ["a", "b"]}"#,
            r#"{"key": "x-a", "value": ["a"]}"#,
            r#"{"key": "x-a", "values": "a"}"#,
            r#"{"key": "x-a", "values": ["a"]}, {"key": "x-b", "values": ["*"]}"#,
            r#"{"key": "x-a", "values": ["a*"]}, {"key": "X-A", "values": ["*b"]}"#,
            r#"{"key": "user-agent", "values": ["a"]}"#,
            r#"{"key": "content-type", "values": ["application/grpc"]}"#,
            r#"{"key": "content-type", "values": ["*"]}"#,
            r#"{"key": "authorization", "values": ["Bearer *"]}"#,
            r#"{"key": "cookie", "values": ["*"]}"#,
            r#"{"key": ":path", "values": ["*"]}"#,
            r#"{"key": ":authority", "values": ["*"]}"#,
            r#"{"key": "Host", "values": ["*"]}"#,
            r#"{"key": "TE", "values": ["*"]}"#,
            r#"{"key": "grpc-timeout", "values": ["*"]}"#,
            r#"{"key": "GRPC-x", "values": ["*"]}"#,
            r#"{"key": "grpc", "values": ["*"]}"#,
            r#"{"key": "connection", "values": ["*"]}"#,
            r#"{"key": "keep-alive", "values": ["*"]}"#,
            "{\"key\": \"\u{212a}eep-alive\", \"values\": [\"*\"]}",
            r#"{"key": "proxy-authenticate", "values": ["*"]}"#,
            r#"{"key": "proxy-authorization", "values": ["*"]}"#,
            r#"{"key": "trailer", "values": ["*"]}"#,
            r#"{"key": "transfer-encoding", "values": ["*"]}"#,
            r#"{"key": "upgrade", "values": ["*"]}"#,
            r#"{"key": "x-bin", "values": ["a"]}"#,
            r#"{"key": "x-bin", "values": ["*"]}"#,
            r#"{"key": "x-bin", "values": ["*a"]}"#,
        ]
        .map(header),
    );
    all.into_iter().map(Into::into).collect()
}

/// What grpc-go reads and is refused: a line of the table for each.
pub(super) fn refused() -> Vec<Vec<u8>> {
    let deep = format!(r#"[{{"name": "stdout_logger", "config": {{"a": {}{}}}}}]"#, "[".repeat(200), "]".repeat(200));
    let long = " ".repeat(DOCUMENT_LIMIT);
    let mut not_utf8 = with_rules(r#""deny_rules": [{"name": "?"}]"#).into_bytes();
    not_utf8.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
    [
        policy(r#""allow_rules": [{"name": "r"}, {"name": "r"}]"#),
        with_rules(r#""deny_rules": [{"name": "d"}, {"name": "d"}]"#),
        with_rules(r#""name": "q""#),
        with_rules(r#""NAME": "q""#),
        with_rules(r#""allow_rules": [{"name": "s"}]"#),
        with_rules(r#""deny_rules": []"#) + "x",
        with_rules(r#""deny_rules": []"#) + "}",
        with_rules(r#""deny_rules": []"#) + "{}",
        with_rules(r#""deny_rules": [{"name": "\ud800"}]"#),
        loggers(&deep),
        header(r#"{"key": "a b", "values": ["*"]}"#),
        header(r#"{"key": "é", "values": ["*"]}"#),
        long + &with_rules(r#""deny_rules": []"#),
    ]
    .into_iter()
    .map(String::into_bytes)
    .chain([not_utf8])
    .collect()
}
