//! Messages as the runner passes them, and what they say of metadata and errors.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Write as _, stdout};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use evercert::Identity;
use evercert::source::directory::{Expectations, RequireChain};
use evercert::source::{DirectorySettings, DirectorySource};
use prost::Message;
use prost_types::Any;
use tonic::metadata::{Ascii, AsciiMetadataKey, Binary, BinaryMetadataKey, KeyAndValueRef, MetadataMap, MetadataValue};
use tonic::{Code, Status};

use crate::v1;

/// The most bytes of one message of the runner's, which sends some of a few hundred kilobytes.
const LONGEST: usize = 64 << 20;

/// The time in which an identity has to be there.
const START: Duration = Duration::from_secs(3);

/// The next message, each behind its length in four octets; `None` at the end.
pub(crate) fn read<M: Message + Default>(from: &mut impl Read) -> Option<M> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let length = u32::from_be_bytes(length) as usize;
    assert!(length <= LONGEST, "a message of {length} bytes");
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).unwrap();
    Some(M::decode(&bytes[..]).unwrap())
}

/// Says a message to the runner.
pub(crate) fn write(message: &impl Message) {
    let bytes = message.encode_to_vec();
    let length = u32::try_from(bytes.len()).unwrap();
    let mut output = stdout().lock();
    output.write_all(&length.to_be_bytes()).unwrap();
    output.write_all(&bytes).unwrap();
    output.flush().unwrap();
}

/// A message of the suite's package, and its name.
pub(crate) fn any(name: &str, message: &impl Message) -> Any {
    let type_url = format!("type.googleapis.com/connectrpc.conformance.v1.{name}");
    Any { type_url, value: message.encode_to_vec() }
}

/// Adds these headers, whose binary values come in base64, as they go over the wire.
pub(crate) fn add(headers: &[v1::Header], to: &mut MetadataMap) {
    for header in headers {
        let name = header.name.to_lowercase();
        for value in &header.value {
            if name.ends_with("-bin") {
                let value = MetadataValue::<Binary>::try_from(value.as_bytes()).unwrap();
                to.append_bin(BinaryMetadataKey::from_bytes(name.as_bytes()).unwrap(), value);
            } else {
                let value: MetadataValue<Ascii> = value.parse().unwrap();
                to.append(AsciiMetadataKey::from_bytes(name.as_bytes()).unwrap(), value);
            }
        }
    }
}

/// As they came over the wire.
pub(crate) fn headers(metadata: &MetadataMap) -> Vec<v1::Header> {
    let mut headers = BTreeMap::<&str, Vec<String>>::new();
    for entry in metadata.iter() {
        let (name, value) = match entry {
            KeyAndValueRef::Ascii(name, value) => (name.as_str(), value.as_encoded_bytes()),
            KeyAndValueRef::Binary(name, value) => (name.as_str(), value.as_encoded_bytes()),
        };
        headers.entry(name).or_default().push(String::from_utf8_lossy(value).into_owned());
    }
    headers.into_iter().map(|(name, value)| v1::Header { name: name.to_owned(), value }).collect()
}

/// The status that an error is, with this metadata.
pub(crate) fn status(error: v1::Error, metadata: MetadataMap) -> Status {
    let message = error.message.unwrap_or_default();
    let details = tonic_types::pb::Status { code: error.code, message: message.clone(), details: error.details };
    let details = if details.details.is_empty() { Vec::new() } else { details.encode_to_vec() };
    Status::with_details_and_metadata(Code::from(error.code), message, details.into(), metadata)
}

/// The error that a status is.
pub(crate) fn error(status: &Status) -> v1::Error {
    let details = tonic_types::pb::Status::decode(status.details()).unwrap_or_default().details;
    v1::Error { code: status.code().into(), message: Some(status.message().to_owned()), details }
}

/// An identity of these files, with which one side trusts the other: `tls.crt` and `tls.key` where it shows a certificate, and `ca.crt`.
/// The suite's certificates signed themselves, so none of them chains to what the other side is trusted by.
pub(crate) async fn identity(directory: &Path, own: Option<&v1::TlsCreds>, trusted: &[u8]) -> Identity {
    let write = |name: &str, content: &[u8]| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.join(name)).unwrap();
        file.write_all(content).unwrap();
    };
    write("ca.crt", trusted);
    let mut expectations = Expectations::default();
    expectations.require_chain = RequireChain::Never;
    let mut settings = DirectorySettings::new(directory).observed(false).expectations(expectations);
    match own {
        Some(own) => {
            write("tls.crt", &own.cert);
            write("tls.key", &own.key);
        }
        None => settings = settings.trust_only(),
    }
    let source = DirectorySource::start(&settings).unwrap();
    Identity::from_source("conformance", source).timeout(START).start().await.unwrap()
}
