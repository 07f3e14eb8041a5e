//! Tries the addresses of a name, until the server at one of them has accepted a connection.

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};

use super::addresses::Known;
use super::dialing::{Dialing, Step};
use super::error::{AddressFailure, ConnectFailure};

/// The first connection that `attempt` makes to one of the addresses, which is all of it: an address that takes connections and says
/// nothing does not win over one whose server accepts. The attempts that are not over by then are dropped.
///
/// # Errors
///
/// The failure of each address, in the order of the failures.
pub(super) async fn dial<C, A>(
    resolved: &[SocketAddr],
    known: &mut Known,
    attempt: impl Fn(SocketAddr) -> A,
) -> Result<C, Vec<AddressFailure>>
where
    A: Future<Output = Result<C, ConnectFailure>>,
{
    let mut dialing = Dialing::new(known.order(resolved));
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        let ended = match dialing.step(Instant::now().into_std()) {
            Step::Try(address) => {
                let attempt = attempt(address);
                running.push(async move { (address, attempt.await) });
                continue;
            }
            Step::Wait(None) => running.next().await,
            Step::Wait(Some(limit)) => timeout(limit, running.next()).await.ok().flatten(),
            Step::GiveUp => return Err(failures),
        };
        match ended {
            Some((address, Ok(connection))) => {
                known.accepted(address);
                return Ok(connection);
            }
            Some((address, Err(failure))) => {
                known.failed(address);
                dialing.failed();
                failures.push(AddressFailure { address, failure });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::client::dialing::ATTEMPT_DELAY;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (0..count).map(|n| ([192, 0, 2, n], 443).into()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn one_living_address_among_dead_ones_is_found_and_is_the_first_next_time() {
        let (all, mut known, start) = (addresses(10), Known::default(), Instant::now());
        let living = all[9];
        let tried = RefCell::new(Vec::new());
        let attempt = async |address| {
            tried.borrow_mut().push(address);
            if address == living { Ok(address) } else { pending().await }
        };
        assert_eq!(dial(&all, &mut known, &attempt).await.unwrap(), living);
        assert_eq!(start.elapsed(), 9 * ATTEMPT_DELAY);
        assert_eq!(tried.take(), all);
        assert_eq!(dial(&all, &mut known, &attempt).await.unwrap(), living);
        assert_eq!(tried.take(), [living]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_address_is_not_given_up_for_one_that_is_tried_beside_it() {
        let (all, mut known) = (addresses(2), Known::default());
        let attempt = async |address| {
            let takes = if address == all[0] { ATTEMPT_DELAY * 2 } else { ATTEMPT_DELAY * 4 };
            sleep(takes).await;
            Ok(address)
        };
        assert_eq!(dial(&all, &mut known, attempt).await.unwrap(), all[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_that_failed_is_told_with_its_failure() {
        let (all, mut known, start) = (addresses(3), Known::default(), Instant::now());
        let failures = dial::<(), _>(&all, &mut known, async |_| Err(ConnectFailure::NoHttp2)).await.unwrap_err();
        assert_eq!(failures.iter().map(|failure| failure.address).collect::<Vec<_>>(), all);
        assert_eq!(start.elapsed(), Duration::ZERO, "failures are not waited after");
    }
}
