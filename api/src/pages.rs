//! The pages of a status, put together.

use tonic::{Status, Streaming};

use crate::v1;

/// The status of a daemon whose pages these are.
///
/// # Errors
///
/// A page did not come, or there was none, or a page goes on with an identity that the one before did not end with.
pub async fn whole_status(mut pages: Streaming<v1::StatusResponse>) -> Result<v1::StatusResponse, Status> {
    let first = pages.message().await?.ok_or_else(|| Status::internal("the status has no page"))?;
    let mut whole = v1::StatusResponse { identities: Vec::new(), ..first.clone() };
    append(&mut whole, first.identities)?;
    while let Some(page) = pages.message().await? {
        append(&mut whole, page.identities)?;
    }
    Ok(whole)
}

fn append(whole: &mut v1::StatusResponse, identities: Vec<v1::IdentityStatus>) -> Result<(), Status> {
    for identity in identities {
        if !identity.continued {
            whole.identities.push(identity);
            continue;
        }
        let last = whole.identities.last_mut();
        let last = last.filter(|last| {
            let uid = |identity: &v1::IdentityStatus| identity.pod.as_ref().map(|pod| pod.uid.clone());
            last.identity == identity.identity && uid(last) == uid(&identity)
        });
        let last = last.ok_or_else(|| Status::internal("a page of the status goes on with another identity"))?;
        last.subscribers.extend(identity.subscribers);
    }
    Ok(())
}
