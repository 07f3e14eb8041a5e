use super::*;
use crate::cli::status::selection::Selection;
use crate::cli::status::text::tests::{after, before, finding, identity, now, pod, report, subscriber};
use crate::publication::SubscriberState::{Refused, Settled};

const DAY: u64 = 86_400;

/// One that is named and ends so.
fn ending(name: &str, end: crate::status::Moment) -> Identity {
    let mut identity = Identity { name: name.to_owned(), ..identity() };
    identity.leaf.as_mut().unwrap().not_after = end;
    identity
}

fn some() -> StatusReport {
    let mut bad = ending("bad", after(30 * DAY));
    bad.findings = vec![finding("weak-key", Severity::Warn), finding("expired", Severity::Reject)];
    bad.subscribers = vec![subscriber(1, Settled), subscriber(2, Refused)];
    let mut of_pod = ending("tls", after(2 * DAY));
    of_pod.pod = Some(pod("shop", "cart-7d8f9c6b5-x2x7q"));
    of_pod.findings = vec![finding("trust-only", Severity::Info)];
    let missing = Identity { generation: None, leaf: None, ..ending("missing", after(0)) };
    let trust = Identity { leaf: None, ..ending("trust", after(0)) };
    let mut report = report(trust);
    report.identities.extend([bad, of_pod, ending("old", before(3 * 3600)), missing]);
    report
}

#[test]
fn what_ends_first_stands_first_below_what_is_not_published_and_what_only_trusts_is_last() {
    let expected = "\
IDENTITY                       EXPIRES              FINDINGS           SUBSCRIBERS
missing                        not published        -                  none
old                            expired 3 hours ago  -                  none
shop/cart-7d8f9c6b5-x2x7q/tls  in 2 days            -                  none
bad                            in 30 days           reject expired +1  2: 1 refused, 1 settled
trust                          trusts only          -                  none
";
    assert_eq!(table(&some(), now(), None), expected);
}

#[test]
fn no_line_is_wider_than_the_terminal_and_of_a_name_its_end_stays() {
    let told = table(&some(), now(), Some(60));
    assert!(told.contains("IDENTITY                  EXPIRES              FINDINGS    …\n"), "{told}");
    assert!(told.contains("shop/cart-7d…5-x2x7q/tls"), "{told}");
    for width in 0..120 {
        let told = table(&some(), now(), Some(width));
        assert!(told.lines().all(|line| line.width() <= width.max(1)), "{width}: {told}");
    }
    let mut wide = report(ending("証明書-証明書-証明書", after(DAY)));
    wide.identities.push(ending("x\u{202e}\n", after(2 * DAY)));
    let told = table(&wide, now(), Some(40));
    assert!(told.lines().all(|line| line.width() <= 40) && told.contains('…') && told.contains("\\u{202e}"), "{told}");
}

#[test]
fn a_name_or_a_pattern_chooses_and_so_does_what_needs_attention() {
    let chosen = |name: Option<&str>, problems: bool| {
        let mut report = some();
        let selection = Selection { name: name.map(str::to_owned), problems };
        selection.apply(&mut report, now()).map_err(|error| error.to_string())?;
        Ok(report.identities.iter().map(|identity| identity.name.clone()).collect::<Vec<_>>().join(" "))
    };
    for (name, problems, found) in [
        (None, false, "trust bad tls old missing"),
        (None, true, "bad old missing"),
        (Some("bad"), false, "bad"),
        (Some("tls"), false, "tls"),
        (Some("shop/cart-7d8f9c6b5-x2x7q/tls"), false, "tls"),
        (Some("shop/*"), false, "tls"),
        (Some("shop/*"), true, ""),
        (Some("?ld"), true, "old"),
    ] {
        assert_eq!(chosen(name, problems), Ok(found.to_owned()), "{name:?}");
    }
    let error = "no identity is called missin; did you mean missing?";
    assert_eq!(chosen(Some("missin"), false), Err(error.to_owned()));
    assert_eq!(chosen(Some("%"), true), Err("no identity is called %".to_owned()));
}
