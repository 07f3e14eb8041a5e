//! Every method, token and certificate.

use evercert_tests::guarded::{Method, Stage, Token};
use tonic::Code;

#[tokio::test]
async fn every_call_ends_as_the_policy_says_and_none_that_it_denies_reaches_a_handler() {
    let stage = Stage::new();
    let server = stage.serve(stage.security().build().unwrap()).await;
    let (mut calls, mut bypasses, mut wrong) = (0, 0, Vec::new());
    for has_certificate in [true, false] {
        let channel = stage.channel(&server, has_certificate).await;
        for token in Token::ALL {
            let bearer = stage.token(token);
            for method in Method::ALL {
                // Twice: a token that was seen before goes another way.
                for _ in 0..2 {
                    let expected = method.expected(token, has_certificate);
                    let before = server.counted.reached();
                    let code = method.call(&channel, bearer.as_deref()).await;
                    let has_reached = server.counted.reached() > before;
                    calls += 1;
                    bypasses += u32::from(has_reached && expected != Code::Ok);
                    if code != expected || has_reached != (expected == Code::Ok) {
                        wrong.push(format!(
                            "{method:?} {token:?} certificate {has_certificate}: {code:?}, not {expected:?}"
                        ));
                    }
                }
            }
        }
    }
    assert_eq!((calls, bypasses), (192, 0));
    assert!(wrong.is_empty(), "{wrong:#?}");
}
