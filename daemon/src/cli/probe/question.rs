//! What is asked, of whom and how.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use evercert::spiffe::{InvalidSpiffeId, SpiffeId};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, BinaryMetadataKey, BinaryMetadataValue, MetadataMap};

use super::Args;
use super::credentials::{Credentials, roots_of_the_system};
use crate::config::Endpoint;

/// The header whose value is a secret whatever it is (RFC 9110 §11.6.2).
const AUTHORIZATION: &str = "authorization";

/// A question whose flags fit together.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) address: Address,
    pub(super) service: String,
    pub(super) headers: MetadataMap,
    pub(super) user_agent: String,
    pub(super) compresses: bool,
    pub(super) connect_timeout: Duration,
    pub(super) rpc_timeout: Duration,
    pub(super) credentials: Credentials,
    /// What the server's certificate has to be for, where that is not the host.
    pub(super) server_name: Option<String>,
    pub(super) server_ids: Vec<SpiffeId>,
    says: bool,
}

impl Question {
    /// # Errors
    ///
    /// The flags do not fit together, or one of them is not understood.
    pub(super) fn new(args: Args) -> Result<Self, InvalidQuestion> {
        refuse_what_is_not_there(&args)?;
        let credentials = credentials(&args)?;
        let server_name = text(args.tls_server_name);
        let server_ids = server_ids(args.server_spiffe_id)?;
        let headers = headers(&args.rpc_header)?;
        if matches!(credentials, Credentials::None) {
            if headers.contains_key(AUTHORIZATION) {
                return Err(InvalidQuestion::PlainAuthorization);
            }
            for (flag, is_given) in
                [("-tls-server-name", server_name.is_some()), ("--server-spiffe-id", !server_ids.is_empty())]
            {
                if is_given {
                    return Err(InvalidQuestion::Without { flag, missing: "-tls" });
                }
            }
        }
        Ok(Self {
            address: Address::new(&text(args.addr).ok_or(InvalidQuestion::NoAddress)?)?,
            service: args.service.unwrap_or_default(),
            headers,
            user_agent: args.user_agent,
            compresses: args.gzip,
            connect_timeout: args.connect_timeout,
            rpc_timeout: args.rpc_timeout,
            credentials,
            server_name,
            server_ids,
            says: args.verbose,
        })
    }

    /// Says what is done, where that is asked for.
    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.says {
            eprintln!("{}", evercert_core::text::plain(&what()));
        }
    }
}

/// Flags of grpc_health_probe that are known, and answered with what to do instead.
fn refuse_what_is_not_there(args: &Args) -> Result<(), InvalidQuestion> {
    for (is_given, flag, instead) in [
        (args.alts, "-alts", "use TLS"),
        (args.spiffe, "-spiffe", "name an identity of the daemon by --identity, and the server by --server-spiffe-id"),
        (
            args.tls_no_verify,
            "-tls-no-verify",
            "a server that is not verified may be any. Say by -tls-server-name what its certificate is for, and by -tls-ca-cert who \
             vouches for it",
        ),
    ] {
        if is_given {
            return Err(InvalidQuestion::NotThere { flag, instead });
        }
    }
    Ok(())
}

fn credentials(args: &Args) -> Result<Credentials, InvalidQuestion> {
    use InvalidQuestion::{Together, Without};
    let (directory, identity) = (path(args.identity_dir.as_deref()), text(args.identity.clone()));
    let ca = path(args.tls_ca_cert.as_deref());
    let (chain, key) = (path(args.tls_client_cert.as_deref()), path(args.tls_client_key.as_deref()));
    let has_identity = directory.is_some() || identity.is_some();
    for (flag, is_given) in [("-tls-ca-cert", ca.is_some()), ("-tls-client-cert", chain.is_some())] {
        match (is_given, args.tls, has_identity) {
            (true, false, false) => return Err(Without { flag, missing: "-tls" }),
            (true, _, true) => return Err(Together { one: flag, other: "--identity-dir or --identity" }),
            _ => {}
        }
    }
    let pair = match (chain, key) {
        (Some(_), None) => return Err(Without { flag: "-tls-client-cert", missing: "-tls-client-key" }),
        (None, Some(_)) => return Err(Without { flag: "-tls-client-key", missing: "-tls-client-cert" }),
        (chain, key) => chain.zip(key),
    };
    Ok(match (directory, identity) {
        (Some(_), Some(_)) => return Err(Together { one: "--identity-dir", other: "--identity" }),
        (Some(directory), None) => Credentials::Directory(directory),
        (None, Some(name)) => Credentials::Daemon { name, socket: args.agent_socket.clone() },
        (None, None) if args.tls => {
            let roots = ca.or_else(roots_of_the_system).ok_or(InvalidQuestion::NoRoots)?;
            Credentials::Files { roots, pair }
        }
        (None, None) => Credentials::None,
    })
}

fn server_ids(given: Vec<String>) -> Result<Vec<SpiffeId>, InvalidQuestion> {
    let parsed = |id: String| id.parse().map_err(|source| InvalidQuestion::SpiffeId { id, source });
    given.into_iter().map(parsed).collect()
}

/// An empty value is none.
fn text(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn path(path: Option<&OsStr>) -> Option<PathBuf> {
    path.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// The headers of `name: value`; those whose names end with -bin are sent as bytes, as in gRPC.
fn headers(given: &[String]) -> Result<MetadataMap, InvalidQuestion> {
    let mut headers = MetadataMap::new();
    for header in given {
        let (name, value) = header.split_once(':').ok_or(InvalidQuestion::NoHeader)?;
        // The value may be a secret.
        let invalid = || InvalidQuestion::Header { name: name.to_owned() };
        let (key, value) = (name.to_ascii_lowercase(), value.trim_start());
        if key.ends_with("-bin") {
            let key: BinaryMetadataKey = key.parse().map_err(|_| invalid())?;
            headers.append_bin(key, BinaryMetadataValue::from_bytes(value.as_bytes()));
        } else {
            let key: AsciiMetadataKey = key.parse().map_err(|_| invalid())?;
            let mut value: AsciiMetadataValue = value.parse().map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
    }
    Ok(headers)
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A name or an address, and a port.
    Tcp(Endpoint),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The names that gRPC gives to places, as far as they are to be connected to: `host:port`, also with `dns:///` or `passthrough:///`
    /// before it, and `unix:path`.
    fn new(text: &str) -> Result<Self, InvalidQuestion> {
        if let Some(path) = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")) {
            return Ok(Self::Unix(path.into()));
        }
        let invalid = || InvalidQuestion::Address(text.to_owned());
        let bare = ["dns:///", "passthrough:///", "dns:"].into_iter().find_map(|scheme| text.strip_prefix(scheme));
        bare.unwrap_or(text).parse().map(Self::Tcp).map_err(|_| invalid())
    }

    /// The authority of a URI.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Tcp(endpoint) => endpoint.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }

    pub(super) fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(endpoint) => endpoint.fmt(f),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Flags that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum InvalidQuestion {
    #[error("-addr is missing: write -addr=HOST:PORT")]
    NoAddress,
    #[error("there is nothing at {0:?}: -addr takes HOST:PORT, :PORT or unix:PATH")]
    Address(String),
    #[error("{flag} is of use with {missing} alone: give both")]
    Without { flag: &'static str, missing: &'static str },
    #[error("{one} and {other} are not for the same probe: give one of them")]
    Together { one: &'static str, other: &'static str },
    #[error("{flag} is not there: {instead}")]
    NotThere { flag: &'static str, instead: &'static str },
    #[error("-rpc-header takes \"NAME: VALUE\", and one has no colon")]
    NoHeader,
    #[error("-rpc-header takes \"NAME: VALUE\" of printable ASCII, and that of {name:?} is none")]
    Header { name: String },
    #[error("-rpc-header names authorization, which is sent over TLS alone: use -tls, or leave it out")]
    PlainAuthorization,
    #[error("--server-spiffe-id takes a SPIFFE ID, and {id:?} is none: {source}")]
    SpiffeId { id: String, source: InvalidSpiffeId },
    #[error("this system has no file with roots that vouch for servers: name one by -tls-ca-cert")]
    NoRoots,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::probe::as_words;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn asked(flags: &[&str]) -> Result<Question, String> {
        let words: Vec<_> = ["evercertd", "probe"].iter().chain(flags).map(std::ffi::OsString::from).collect();
        let mut words = as_words(&words).unwrap();
        words.remove(1);
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        Question::new(line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_is_what_grpc_takes_for_one() {
        let tcp = |host: &str| Some((host.to_owned(), 50051));
        for (text, expected) in [
            ("a.example.org:50051", tcp("a.example.org")),
            (":50051", tcp("localhost")),
            ("[::1]:50051", tcp("::1")),
            ("dns:///a:50051", tcp("a")),
            ("passthrough:///a:50051", tcp("a")),
            ("a", None),
            ("a:b", None),
            ("::1:50051", None),
            ("http://a:50051", None),
            ("a:70000", None),
        ] {
            let read = Address::new(text).ok().map(|address| match address {
                Address::Tcp(Endpoint { host, port }) => (host, port),
                Address::Unix(_) => panic!("{text}"),
            });
            assert_eq!(read, expected, "{text}");
        }
        for text in ["unix:///run/a.sock", "unix:/run/a.sock"] {
            assert_eq!(Address::new(text).unwrap(), Address::Unix("/run/a.sock".into()));
        }
        assert_eq!(Address::new("[::1]:1").unwrap().authority(), "[::1]:1");
    }

    #[test]
    fn flags_that_do_not_fit_together_are_refused() {
        for (flags, part) in [
            (&[][..], "-addr is missing"),
            (&["-addr=:1", "-tls-ca-cert=f"], "-tls-ca-cert is of use with -tls alone"),
            (&["-addr=:1", "-tls-client-cert=f", "-tls-client-key=f"], "-tls-client-cert is of use with -tls alone"),
            (&["-addr=:1", "-rpc-header=Authorization: Bearer a"], "-rpc-header names authorization"),
            (&["-addr=unix:/run/a", "-tls=false", "-rpc-header=authorization:"], "use -tls"),
            (&["-addr=:1", "-tls-server-name=a"], "-tls-server-name is of use with -tls alone"),
            (&["-addr=:1", "--server-spiffe-id=spiffe://a/b"], "--server-spiffe-id is of use with -tls alone"),
            (&["-addr=:1", "-tls", "-tls-client-cert=f"], "-tls-client-cert is of use with -tls-client-key alone"),
            (&["-addr=:1", "-tls", "-tls-client-key=f"], "-tls-client-key is of use with -tls-client-cert alone"),
            (&["-addr=:1", "-tls", "-tls-no-verify"], "-tls-no-verify is not there"),
            (&["-addr=:1", "-alts"], "-alts is not there"),
            (&["-addr=:1", "-spiffe"], "-spiffe is not there"),
            (&["-addr=:1", "--identity-dir=a", "--identity=b"], "not for the same probe"),
            (&["-addr=:1", "-tls", "-tls-ca-cert=f", "--identity=b"], "not for the same probe"),
            (&["-addr=:1", "-tls=maybe"], "unexpected value"),
            (&["-addr=:1", "-rpc-timeout=0s"], "longer than nothing"),
            (&["-addr=:1", "-rpc-header=a"], "NAME: VALUE"),
            (&["-addr=:1", "--identity=a", "--server-spiffe-id=a"], "is none"),
            (&["-addr=:1", "-unheard-of"], "--unheard-of"),
        ] {
            let refused = asked(flags).unwrap_err();
            assert!(refused.contains(part), "{flags:?}: {refused}");
        }
    }

    #[test]
    fn flags_that_are_given_again_count_as_the_last_one_and_headers_all() {
        let flags = ["-addr=:1", "-addr=:2", "-tls", "-tls=false", "-rpc-header=a: 1", "-rpc-header", "A:  2"];
        let question = asked(&flags).unwrap();
        assert_eq!(question.address.authority(), "localhost:2");
        assert!(matches!(question.credentials, Credentials::None));
        assert_eq!(question.headers.get_all("a").iter().collect::<Vec<_>>(), ["1", "2"]);
    }

    #[test]
    fn a_header_with_a_token_is_sent_over_tls() {
        for tls in [&["-tls", "-tls-ca-cert=f"][..], &["--identity=a"], &["--identity-dir=a"]] {
            let question = asked(&[&["-addr=:1", "-rpc-header=authorization: Bearer a"], tls].concat()).unwrap();
            assert!(question.headers.get("authorization").unwrap().is_sensitive());
        }
    }

    #[test]
    fn a_header_is_not_printed_where_it_cannot_be_sent() {
        let refused = asked(&["-addr=:1", "-rpc-header=authorization: Bearer s\u{7}cret"]).unwrap_err();
        assert!(refused.contains("authorization") && !refused.contains("cret"), "{refused}");
        let refused = asked(&["-addr=:1", "-rpc-header=authorization Bearer secret"]).unwrap_err();
        assert!(!refused.contains("cret"), "{refused}");
    }
}
