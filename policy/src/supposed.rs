//! The caller that is asked about.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use evercert::auth::policy::Supposed;
use evercert::spiffe::{InvalidSpiffeId, SpiffeId};
use http::{HeaderName, HeaderValue};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::error::Error;

/// The longest file that is read, in bytes: a set of descriptors has the comments of its sources.
const FILE_LIMIT: u64 = 64 * 1024 * 1024;

/// A call to ask about, and who makes it.
#[derive(Debug, Args)]
#[command(next_help_heading = "A call to explain")]
pub(crate) struct Call {
    /// The method that is called, as /package.Service/Method
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Somebody whose certificate has this SPIFFE ID and no other name
    #[arg(long = "as", value_name = "SPIFFE-ID", value_parser = spiffe_id, conflicts_with = "certificate", requires = "method")]
    spiffe_id: Option<SpiffeId>,
    /// Somebody who shows this leaf, in PEM or DER
    #[arg(long, value_name = "FILE", requires = "method")]
    certificate: Option<PathBuf>,
    /// Somebody whose token says this: a file with the object of its claims in JSON; no signature is looked at, nor a time
    #[arg(long, value_name = "FILE", requires = "method")]
    claims: Option<PathBuf>,
    /// The token is a JWT-SVID: its subject is a SPIFFE ID
    #[arg(long, requires = "claims")]
    jwt_svid: bool,
    /// A header of the call, as NAME=VALUE; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header, requires = "method")]
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Call {
    /// The call, if one is asked about.
    pub(crate) fn supposed(&self) -> Result<Option<Supposed>, Error> {
        let Some(method) = &self.method else { return Ok(None) };
        let mut call = Supposed::call(method);
        if let Some(id) = &self.spiffe_id {
            call = call.by_spiffe_id(id);
        }
        if let Some(file) = &self.certificate {
            let content = read(file)?;
            let leaf = CertificateDer::from_pem_slice(&content).unwrap_or_else(|_| CertificateDer::from(content));
            call = call.by_certificate(&leaf).map_err(|source| Error::Certificate { file: file.clone(), source })?;
        }
        if let Some(file) = &self.claims {
            let claims = read(file)?;
            let call_with = if self.jwt_svid { Supposed::by_jwt_svid } else { Supposed::by_claims };
            call = call_with(call, &claims).map_err(|source| Error::Claims { file: file.clone(), source })?;
        }
        Ok(Some(self.headers.iter().fold(call, |call, (name, value)| call.header(name.clone(), value.clone()))))
    }
}

/// The ID of a workload: a trust domain alone is none.
fn spiffe_id(text: &str) -> Result<SpiffeId, String> {
    let id: SpiffeId = text.parse().map_err(|error: InvalidSpiffeId| error.to_string())?;
    if id.path().is_empty() {
        Err("it has no path, so that no server takes it for anybody's".to_owned())
    } else {
        Ok(id)
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).map_err(|error| error.to_string())?;
    Ok((name, HeaderValue::from_str(value).map_err(|error| error.to_string())?))
}

/// A file, of bounded length.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { file: file.to_owned(), source };
    let mut content = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(FILE_LIMIT + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > FILE_LIMIT {
        return Err(Error::TooLarge { file: file.to_owned(), limit: FILE_LIMIT });
    }
    Ok(content)
}
