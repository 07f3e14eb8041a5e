//! A URI as Go writes it again after it has read one (net/url): a rule's text is compared with that.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

/// A part of a URI, by what may stand in it without an escape.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    User,
    Host,
    Path,
    Fragment,
}

/// The URI that Go would write, which nearly always is the same; `None` for one that it would not read in a certificate.
pub(super) fn normal(uri: &str) -> Option<String> {
    if uri.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let (uri, fragment) = uri.split_once('#').unwrap_or((uri, ""));
    let mut text = if uri == "*" { uri.to_owned() } else { without_fragment(uri)? };
    if !fragment.is_empty() {
        text.push('#');
        text.push_str(&again(fragment, Part::Fragment)?);
    }
    Some(text)
}

fn without_fragment(uri: &str) -> Option<String> {
    let (scheme, rest) = scheme(uri)?;
    let (rest, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let mut text = scheme.to_ascii_lowercase();
    if !scheme.is_empty() {
        text.push(':');
        if !rest.starts_with('/') {
            // It is opaque.
            return Some(text + rest + query);
        }
    }
    let has_colon_in_front = |path: &str| path.split('/').next().is_some_and(|segment| segment.contains(':'));
    if has_colon_in_front(rest) {
        return None;
    }
    let authority = rest.strip_prefix("//").filter(|authority| !scheme.is_empty() || !authority.starts_with('/'));
    let mut path = rest;
    if let Some(after) = authority {
        let (authority, after) = after.split_at(after.find('/').unwrap_or(after.len()));
        path = after;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(self::user(user)?), host),
            None => (None, authority),
        };
        let host = self::host(scheme, host)?;
        let is_said = !scheme.is_empty() || !host.is_empty() || user.is_some();
        if is_said && (!host.is_empty() || !path.is_empty() || user.is_some()) {
            text.push_str("//");
        }
        if let Some(user) = user {
            text.push_str(&user);
            text.push('@');
        }
        text.push_str(&host);
    }
    let path = again(path, Part::Path)?;
    if text.is_empty() && has_colon_in_front(&path) {
        text.push_str("./");
    }
    Some(text + &path + query)
}

/// The scheme, which may be missing, and what follows it; `None` where there is a colon without a scheme.
fn scheme(uri: &str) -> Option<(&str, &str)> {
    let end = uri.find(|char: char| !char.is_ascii_alphanumeric() && !"+-.".contains(char));
    match end.map(|end| (end, uri.split_at(end))) {
        Some((0, (_, rest))) if rest.starts_with(':') => None,
        Some((_, (scheme, rest)))
            if rest.starts_with(':') && scheme.starts_with(|first: char| first.is_ascii_alphabetic()) =>
        {
            Some((scheme, &rest[1..]))
        }
        _ => Some(("", uri)),
    }
}

/// User and password.
fn user(user: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
    if !user.bytes().all(is_allowed) {
        return None;
    }
    let written = |text: &str| Some(escape(&unescape(text)?, Part::User));
    match user.split_once(':') {
        Some((user, password)) => Some(format!("{}:{}", written(user)?, written(password)?)),
        None => written(user),
    }
}

/// Host and port.
fn host(scheme: &str, host: &str) -> Option<String> {
    let host = match host.rfind('[') {
        Some(0) => {
            let (address, port) = host[1..].rsplit_once(']')?;
            if !is_port(port) {
                return None;
            }
            format!("[{}]{port}", address_in_brackets(address)?).into_bytes()
        }
        Some(_) => return None,
        None => {
            let is_strict = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
            let colon = if is_strict { host.find(':') } else { host.rfind(':') };
            if !colon.is_none_or(|colon| is_port(&host[colon..])) {
                return None;
            }
            unescape_host(host)?
        }
    };
    is_domain(&host).then(|| escape(&host, Part::Host))
}

fn address_in_brackets(address: &str) -> Option<String> {
    let (address, zone) = match address.find("%25") {
        Some(zone) => (&address[..zone], Some(&address[zone + 3..])),
        None => (address, None),
    };
    address.parse::<Ipv6Addr>().ok()?;
    let Some(zone) = zone else { return Some(address.to_owned()) };
    // What a zone may hold as an escape, it may hold without.
    let is_plain = |byte: &u8| !is_escaped(*byte, Part::Host) || *byte == b'%';
    let zone = String::from_utf8(unescape(zone)?).ok()?;
    (!zone.is_empty() && zone.as_bytes().iter().all(is_plain)).then(|| format!("{address}%{zone}"))
}

fn is_port(port: &str) -> bool {
    port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A host, in which only bytes beyond ASCII and the percent sign may be escaped.
fn unescape_host(host: &str) -> Option<Vec<u8>> {
    let is_allowed = |byte: u8| byte == b'%' || !is_escaped(byte, Part::Host);
    let mut escapes = host.match_indices('%').map(|(at, _)| host.get(at..at + 3));
    let are_allowed =
        escapes.all(|escape| escape.is_some_and(|escape| escape == "%25" || escape.as_bytes()[1] >= b'8'));
    if !host.bytes().all(is_allowed) || !are_allowed {
        return None;
    }
    unescape(host)
}

/// Whether Go takes a host for one, in a certificate.
fn is_domain(host: &[u8]) -> bool {
    host.is_empty()
        || (host.iter().all(u8::is_ascii_graphic) && host.split(|byte| *byte == b'.').all(|label| !label.is_empty()))
}

/// A path or a fragment, as it is written if nothing in it needs an escape, and else with every escape anew.
fn again(text: &str, part: Part) -> Option<String> {
    let plain = unescape(text)?;
    let may_stay = |byte: u8| b"!$&'()*+,;=:@[]%".contains(&byte) || !is_escaped(byte, part);
    Some(if text.bytes().all(may_stay) { text.to_owned() } else { escape(&plain, part) })
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        if *first == b'%' {
            let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Some(bytes)
}

fn escape(bytes: &[u8], part: Part) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len()), |mut text, byte| {
        if is_escaped(*byte, part) {
            _ = write!(text, "%{byte:02X}");
        } else {
            text.push(char::from(*byte));
        }
        text
    })
}

fn is_escaped(byte: u8, part: Part) -> bool {
    let others: &[u8] = match part {
        Part::User => b"$&+,;=",
        Part::Host => b"!$&'()*+,;=:[]<>\"",
        Part::Path => b"$&+,/:;=@",
        Part::Fragment => b"$&+,/:;=?@!()*",
    };
    !byte.is_ascii_alphanumeric() && !b"-_.~".contains(&byte) && !others.contains(&byte)
}
