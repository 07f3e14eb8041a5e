//! The bounds of a caller's messages: all that is kept of them has a bound, which is looked at before anything is kept.

use evercert_api::v1;
use evercert_core::digest::Digest;
use evercert_core::identity::NAME_LIMIT;
use tonic::Status;

use crate::publication::Report;

/// The digest that a caller says it holds.
///
/// # Errors
///
/// It names an identity with more than a name can have, or says to hold what no digest is.
pub(super) fn of_open(open: &v1::Open) -> Result<Option<Digest>, Status> {
    if open.identity.len() > NAME_LIMIT {
        return Err(too_long());
    }
    digest("held_digest", &open.held_digest)
}

/// The digest that a caller says it holds as it asks for its identities.
///
/// # Errors
///
/// As [`of_open`].
pub(super) fn of_list(request: &v1::ListRequest) -> Result<Option<Digest>, Status> {
    if request.name.len() > NAME_LIMIT {
        return Err(too_long());
    }
    digest("held_digest", &request.held_digest)
}

/// A caller's report of what it does with what it was told; its one text is cut where it is kept.
///
/// # Errors
///
/// The digest in it has the wrong length.
pub(super) fn of_report(report: v1::Report) -> Result<Report, Status> {
    digest("digest", &report.digest)?;
    Ok(report.into())
}

fn too_long() -> Status {
    Status::invalid_argument(format!("the name of an identity has at most {NAME_LIMIT} bytes"))
}

fn digest(field: &str, bytes: &[u8]) -> Result<Option<Digest>, Status> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let wrong = || Status::invalid_argument(format!("`{field}` has {} bytes: a digest has 32, or none", bytes.len()));
    Digest::try_from(bytes).map(Some).map_err(|_| wrong())
}
