//! The guard against sites whose names lead here. A browser on this machine connects for every site that it has open, and a site's name may
//! be made to lead to a loopback address (DNS rebinding). So at such an address, without TLS, who asks for another name than an address or
//! localhost is answered nothing. Where others than this machine connect, it is reached by the names of the node, which are not known here;
//! that a site's name leads there, too, tells it no more than whoever is let connect.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// Lets through what was asked for by a name that no site can have.
pub(super) async fn asked_for_here(request: Request, next: Next) -> Response {
    if is_of_here(request.headers()) {
        return next.run(request).await;
    }
    let sentence = "what is here is told to whoever asks for it by an address or as localhost: a site of another name could lead here\n";
    (StatusCode::MISDIRECTED_REQUEST, sentence).into_response()
}

/// Browsers say what they ask for; what says nothing is none.
fn is_of_here(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<http::uri::Authority>() else { return false };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_answered_that_asks_for_an_address_or_localhost_and_for_no_name_of_a_site() {
        let asked = |host: &str| is_of_here(&HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]));
        for host in ["127.0.0.1:9793", "127.0.0.1", "[::1]:9793", "localhost", "LocalHost:8080", "10.0.0.1:80"] {
            assert!(asked(host), "{host}");
        }
        for host in ["rebound.example.org:9793", "localhost.example.org", "127.0.0.1.example.org", "", "a b"] {
            assert!(!asked(host), "{host}");
        }
        assert!(is_of_here(&HeaderMap::new()), "no browser");
    }
}
