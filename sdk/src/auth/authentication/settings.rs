//! The decisions that are the user's.

/// What becomes of a call by a caller that has proven nothing, neither by a certificate nor by a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Anonymous {
    /// It is refused with `UNAUTHENTICATED`.
    #[default]
    Refused,
    /// It goes on without a [`Principal`](crate::auth::Principal): whatever is inside decides, such as a policy that lets anybody call a method.
    PassedOn,
}

/// What becomes of a call, of its stream above all, whose token expires while it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnExpiry {
    /// It ends with `UNAUTHENTICATED`, once the leeway for clocks has passed too: a handler that has not answered yet is dropped, its
    /// response gets its trailers, and what it reads of the request fails.
    #[default]
    EndCall,
    /// It goes on: the token was valid when the call was made.
    GoOn,
}

/// What handlers see of the header that a verified token came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AuthorizationHeader {
    /// All of it, marked as sensitive, so that `Debug` of the headers does not show it: for handlers that call others in the caller's name.
    #[default]
    Sensitive,
    /// Nothing.
    Removed,
}
