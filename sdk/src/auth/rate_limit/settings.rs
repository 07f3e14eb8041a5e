//! How often a caller may call.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;

/// The longest time after which a burst may come again. It is counted in nanoseconds, by 64 bits.
const LONGEST_REST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How often one principal may call: so many times in a while, spread over it as they come, and as many at once after a rest.
///
/// ```
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// use evercert::auth::RateLimit;
///
/// let hundred = NonZeroU32::new(100).expect("not zero");
/// let limit = RateLimit::per_principal(hundred, Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    calls: NonZeroU32,
    per: Duration,
    burst: NonZeroU32,
    pub(super) anonymous: AnonymousLimit,
}

/// What becomes of calls by nobody, where a policy lets anybody call something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum AnonymousLimit {
    /// All of them together are held to the limit of one principal: nothing of theirs tells one from another that they could not make up.
    /// Calls that the policy goes on to refuse count too, so whoever makes many of those uses up what is open to anybody.
    #[default]
    Shared,
    /// They are refused.
    Refused,
}

impl RateLimit {
    /// `calls` in each `per`, for each principal: the issuer and subject of its token, or its SPIFFE ID, or its certificate.
    #[must_use]
    pub const fn per_principal(calls: NonZeroU32, per: Duration) -> Self {
        Self { calls, per, burst: calls, anonymous: AnonymousLimit::Shared }
    }

    /// As many at once after a rest. As many as in the whole time unless set.
    #[must_use]
    pub const fn burst(self, burst: NonZeroU32) -> Self {
        Self { burst, ..self }
    }

    /// What becomes of calls by nobody. [`AnonymousLimit::Shared`] unless set.
    #[must_use]
    pub const fn anonymous(self, anonymous: AnonymousLimit) -> Self {
        Self { anonymous, ..self }
    }

    pub(super) fn quota(self) -> Result<Quota, InvalidRateLimit> {
        let period = self.per / self.calls.get();
        let quota = Quota::with_period(period).ok_or(InvalidRateLimit::TooOften(self.calls, self.per))?;
        let after_a_burst = period.checked_mul(self.burst.get()).filter(|rest| *rest <= LONGEST_REST);
        after_a_burst.ok_or(InvalidRateLimit::TooSeldom(self.burst, period))?;
        Ok(quota.allow_burst(self.burst))
    }
}

/// A rate limit that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRateLimit {
    /// It comes to more than one call a nanosecond.
    #[error("a rate limit of {0} calls in {1:?} is none: give it a longer time, or leave it out")]
    TooOften(NonZeroU32, Duration),
    /// So many calls at once take longer to be allowed again than can be counted.
    #[error(
        "a rate limit of {0} calls at once, with one more every {1:?}, takes more than a hundred years to be used again: give it a \
         shorter time or a smaller burst"
    )]
    TooSeldom(NonZeroU32, Duration),
}
