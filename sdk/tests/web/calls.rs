//! Calls, their ends and their encodings.

use base64ct::{Base64, Encoding as _};
use http::Version;
use tonic::Code;

use super::stage::{APP, Answer, Ask, BOTH, CHECK, MESSAGE, REPLY, Stage, WATCH};

/// A call of a page in the form that is text.
fn text(path: &'static str, message: &[u8]) -> Ask {
    Ask::call(path)
        .without("content-type")
        .with("content-type", "application/grpc-web-text")
        .with("accept", "application/grpc-web-text")
        .with("origin", APP)
        .body(Base64::encode_string(message))
}

/// The answer to such a call, as its page decodes it: each piece by itself.
fn decoded(mut answer: Answer) -> Answer {
    assert_eq!(answer.header("content-type"), Some("application/grpc-web-text+proto"));
    let body = String::from_utf8(answer.body.to_vec()).unwrap();
    let pieces = body.split_inclusive('=').collect::<Vec<_>>();
    let mut whole = Vec::new();
    let mut piece = String::new();
    for part in pieces {
        piece += part;
        if piece.len().is_multiple_of(4) {
            whole.extend(Base64::decode_vec(&std::mem::take(&mut piece)).unwrap());
        }
    }
    whole.extend(Base64::decode_vec(&piece).unwrap());
    answer.body = whole.into();
    answer
}

#[tokio::test]
async fn a_call_that_is_refused_for_want_of_a_token_tells_its_page_so() {
    let stage = Stage::new().await;
    for version in BOTH {
        let ask = Ask::call(CHECK).without("authorization").with("origin", APP);
        let answer = stage.ask(version, ask).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
        let message = "bring%20a%20token,%20and%20then%20some:%20%C3%BC";
        assert_eq!(answer.outcome(), (Code::Unauthenticated, message.into(), &[][..]));
    }
}

#[tokio::test]
async fn a_stream_that_is_ended_tells_its_page_why_after_all_that_it_brought() {
    let stage = Stage::new().await;
    let message = || "the%20token%20has%20expired".to_owned();
    for version in BOTH {
        let answer = stage.ask(version, Ask::call(WATCH).with("origin", APP)).await;
        assert_eq!(answer.outcome(), (Code::Unauthenticated, message(), &[REPLY, REPLY].concat()[..]));
        let answer = decoded(stage.ask(version, text(WATCH, MESSAGE)).await);
        assert_eq!(answer.outcome(), (Code::Unauthenticated, message(), &[REPLY, REPLY].concat()[..]));
    }
}

#[tokio::test]
async fn a_call_whose_deadline_is_over_tells_its_page_so() {
    let stage = Stage::new().await;
    for version in BOTH {
        for timeout in ["50m", "50000u", "0S"] {
            let ask = Ask::call(CHECK).with("origin", APP).with("forever", "").with("grpc-timeout", timeout);
            let answer = stage.ask(version, ask).await;
            assert_eq!(answer.header("access-control-allow-origin"), Some(APP));
            assert_eq!(answer.header("content-type"), Some("application/grpc-web+proto"));
            assert_eq!(answer.outcome().0, Code::DeadlineExceeded);
        }
    }
}

#[tokio::test]
async fn the_form_that_is_text_is_spoken_both_ways() {
    let stage = Stage::new().await;
    for version in BOTH {
        let answer = decoded(stage.ask(version, text(CHECK, MESSAGE)).await);
        assert_eq!(answer.outcome(), (Code::Ok, String::new(), REPLY));
    }
}

#[tokio::test]
async fn a_message_that_is_cut_off_or_no_text_reaches_no_handler() {
    let stage = Stage::new().await;
    for version in BOTH {
        for body in [&b"AAAA*AAA"[..], b"AAAAAA", b"AAA", b"AAAA"] {
            let answer = stage.ask(version, text(CHECK, MESSAGE).body(body)).await;
            let (code, _, replies) = answer.outcome();
            assert!(code != Code::Ok && replies.is_empty(), "{body:?}: {code:?}");
        }
        for body in [&[][..], &[0; 3], &[0, 0, 0, 0, 9, 1], &[0x80, 0, 0, 0, 0], &[0, 0xff, 0xff, 0xff, 0xff, 1]] {
            let answer = stage.ask(version, Ask::call(CHECK).with("origin", APP).body(body)).await;
            let (code, _, replies) = answer.outcome();
            assert!(code != Code::Ok && replies.is_empty(), "{body:?}: {code:?}");
        }
    }
    assert_eq!(stage.calls(), 0);
}

#[tokio::test]
async fn grpc_by_http_2_is_served_beside() {
    let stage = Stage::new().await;
    for content_type in ["application/grpc", "application/grpc+proto"] {
        let ask = Ask::call(CHECK).without("content-type").with("content-type", content_type);
        let answer = stage.ask(Version::HTTP_2, ask).await;
        assert_eq!((answer.header("content-type"), &answer.body[..]), (Some("application/grpc"), REPLY));
        assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    }
}

#[tokio::test]
async fn an_answer_says_that_the_connection_ends_with_it_where_its_request_was_not_read_to_its_end() {
    let stage = Stage::new().await;
    let mut client = stage.connect(Version::HTTP_11).await;
    for ask in [Ask::call(CHECK), Ask::call(CHECK).without("authorization"), Ask::call(WATCH), Ask::preflight(APP)] {
        assert_eq!(client.ask(ask).await.header("connection"), None);
    }
    // As many octets as are not read at once.
    let long = || Ask::call(CHECK).body([&[0, 0, 0x20, 0, 0][..], &vec![0; 0x20_0000]].concat());
    let refused = |ask: Ask| ask.without("content-type").with("content-type", "text/plain");
    for ask in [refused(long()), long().with("origin", "https://evil.example.net"), refused(Ask::call(CHECK))] {
        let answer = stage.ask(Version::HTTP_11, ask.clone()).await;
        assert_eq!(answer.header("connection"), Some("close"), "{}", answer.status);
        assert_eq!(stage.ask(Version::HTTP_2, ask).await.header("connection"), None);
    }
}
