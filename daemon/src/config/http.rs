//! `[http]`: where metrics, liveness and readiness are served, and how.

use std::net::SocketAddr;

use evercert_core::identity::IdentityName;
use evercert_core::spec::IdentitySpec;
use serde::Deserialize;
use toml::Spanned;

use super::error::Problem;
use super::file;
use super::spanned::at;

/// Where the HTTP side is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Http {
    /// Where everything is served; absent: nowhere.
    pub(crate) listen: Option<SocketAddr>,
    /// The certificate that is presented there; absent: there is no TLS.
    pub(crate) tls: Option<HttpTls>,
    /// Where liveness and readiness are served besides, without TLS; absent: nowhere.
    pub(crate) probes: Option<SocketAddr>,
    /// The most identities that metrics tell of, and besides the most certificates, revocation lists, CAs and federated bundles.
    pub(crate) metrics_limit: usize,
    /// Where the page is.
    pub(crate) page: PageAt,
}

/// Who is shown the page at `/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PageAt {
    /// Nobody.
    Off,
    /// Whoever connects, where the address is one that this machine alone reaches.
    Loopback,
    /// Whoever connects, which takes a certificate.
    On,
}

/// The largest limit that can be set.
const METRICS_LIMIT: u32 = 1_000_000;

/// TLS at the address of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpTls {
    /// The identity of the node whose certificate is presented.
    pub(crate) identity: IdentityName,
    /// Whether whoever asks has to show a certificate that the identity's bundle vouches for.
    pub(crate) client_certificates: bool,
}

/// `written` as it makes sense beside `identities`, and beside directories in which there may be more of them.
pub(super) fn http(
    written: &file::Http,
    identities: &[IdentitySpec],
    has_directories: bool,
) -> Result<Http, Spanned<Problem>> {
    let listen = address(&written.listen, || Problem::Listen)?;
    if !(1..=METRICS_LIMIT).contains(written.metrics_limit.get_ref()) {
        return Err(at(
            &written.metrics_limit,
            Problem::OutOfRange { key: "metrics_limit", least: "1", most: "1000000" },
        ));
    }
    let metrics_limit = *written.metrics_limit.get_ref() as usize;
    let probes = written.probes.as_ref();
    if let (Some(identity), None) = (&written.identity, probes) {
        return Err(at(identity, Problem::NoProbes));
    }
    let probes = probes.map(|probes| Ok((probes, address(probes, || Problem::Probes)?))).transpose()?;
    if let Some((written, Some(address))) = probes
        && Some(address) == listen
        && address.port() != 0
    {
        return Err(at(written, Problem::SameAddress));
    }
    let probes = probes.and_then(|(_, address)| address);
    let page = *written.page.get_ref();
    let demanded = written.client_certificates.as_ref().filter(|demanded| *demanded.get_ref());
    if page == PageAt::On && demanded.is_none() {
        return Err(at(&written.page, Problem::PageForAnybody));
    }
    let Some(identity) = &written.identity else {
        return match demanded {
            Some(written) => Err(at(written, Problem::ClientsWithoutTls)),
            None => Ok(Http { listen, tls: None, probes, metrics_limit, page }),
        };
    };
    let name: IdentityName = identity.get_ref().parse().map_err(|_| at(identity, Problem::HttpIdentity))?;
    match identities.iter().find(|spec| spec.id.name == name) {
        Some(spec) if spec.files.credential.is_none() => return Err(at(identity, Problem::HttpTrustOnly)),
        Some(spec) if spec.files.bundle.is_none() => {
            if let Some(written) = demanded {
                return Err(at(written, Problem::ClientsWithoutBundle));
            }
        }
        Some(_) => {}
        None if has_directories => {}
        None => return Err(at(identity, Problem::HttpIdentity)),
    }
    let tls = Some(HttpTls { identity: name, client_certificates: demanded.is_some() });
    Ok(Http { listen, tls, probes, metrics_limit, page })
}

fn address(text: &Spanned<String>, problem: impl FnOnce() -> Problem) -> Result<Option<SocketAddr>, Spanned<Problem>> {
    match text.get_ref().as_str() {
        "off" => Ok(None),
        address => address.parse().map(Some).map_err(|_| at(text, problem())),
    }
}
