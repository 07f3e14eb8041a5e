//! A token in a file that rotates, as a projected service account token does.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evercert_core::text;
use http::HeaderValue;
use parking_lot::Mutex;

use super::token::{BearerTokenError, InvalidToken, LONGEST, Token};
use crate::auth::followed::{FileError, Files, FollowError, Followed};
use crate::telemetry::{FileKind, Recorder};

/// The longest wait for a look at the file: one on a dead mount gives none.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

/// The most bytes of a file: a token, and the white space around it.
const LONGEST_FILE: usize = LONGEST + 1024;

/// The token in a file.
#[derive(Debug)]
pub(super) struct TokenFile {
    followed: Followed<Token>,
    /// Why the file of now is not used, if it is not.
    problem: Arc<Mutex<Option<BearerTokenError>>>,
}

impl TokenFile {
    pub(super) fn open(path: &Path) -> Result<Self, FollowError<TokenFileError>> {
        let problem = Arc::new(Mutex::new(None));
        let found = Arc::clone(&problem);
        let read = move |files: &mut Files, path: &Path| {
            let token = read(files, path);
            *found.lock() = token.as_ref().err().map(TokenFileError::of_call);
            token
        };
        let followed = Followed::open(FileKind::Token, path, read, |_| {})?;
        Ok(Self { followed, problem })
    }

    /// What is sent with a call now, without waiting; nothing where the token is near its end.
    pub(super) fn cached(&self, now: SystemTime) -> Option<HeaderValue> {
        let token = self.followed.current();
        (!token.is_old(now)).then(|| token.header().clone())
    }

    /// The token after another look at the file.
    ///
    /// # Errors
    ///
    /// It has expired, and there is no other.
    pub(super) async fn fresh(&self, now: SystemTime) -> Result<HeaderValue, BearerTokenError> {
        let looked = tokio::time::timeout(LOOK_LIMIT, self.followed.looked()).await;
        let token = self.followed.current();
        let Err(expired) = token.unexpired(now) else { return Ok(token.header().clone()) };
        if looked.is_err() {
            return Err(BearerTokenError::TooSlow(LOOK_LIMIT));
        }
        Err(self.problem.lock().clone().unwrap_or(expired.into()))
    }

    /// Has a look taken soon.
    pub(super) fn refresh(&self) {
        self.followed.look();
    }

    pub(super) fn record_to(&self, recorder: Arc<dyn Recorder>) {
        self.followed.record_to(recorder);
    }
}

fn read(files: &mut Files, path: &Path) -> Result<Token, TokenFileError> {
    let content = files.read(path, LONGEST_FILE)?;
    let invalid = |why| TokenFileError::Invalid { path: path.to_owned(), why };
    let text = str::from_utf8(&content).map_err(|_| invalid(InvalidToken::Characters))?;
    let token = Token::new(text.trim_ascii(), None, SystemTime::now()).map_err(invalid)?;
    // Nobody would know when to look for the next one in vain.
    token.end().ok_or_else(|| invalid(InvalidToken::Unending))?;
    Ok(token)
}

/// A file that holds no token which could be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] FileError),
    /// What it holds is no token, or none that says when it expires.
    #[error("{}: {why}", text::path(.path))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: InvalidToken,
    },
}

impl TokenFileError {
    /// The same, for calls.
    fn of_call(&self) -> BearerTokenError {
        match self {
            Self::Unreadable(error) => {
                let told: Box<dyn Error + Send + Sync> = error.to_string().into();
                BearerTokenError::Unreadable(told.into())
            }
            Self::Invalid { why, .. } => why.clone().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64ct::{Base64UrlUnpadded, Encoding as _};
    use evercert_fixtures::wait;
    use tonic::Code;

    use super::*;

    /// A JWT that ends so many seconds from now.
    fn jwt(name: &str, seconds: i64) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = format!(r#"{{"sub":"{name}","exp":{}}}"#, now.checked_add_signed(seconds).unwrap());
        format!("e30.{}.c2ln", Base64UrlUnpadded::encode_string(claims.as_bytes()))
    }

    fn is(header: &HeaderValue, token: &str) -> bool {
        header.to_str().unwrap() == format!("Bearer {token}")
    }

    fn now() -> SystemTime {
        SystemTime::now()
    }

    #[test]
    fn what_holds_no_token_at_first_is_an_error_that_names_it_and_shows_nothing_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let long = "a".repeat(LONGEST_FILE + 1);
        for (content, told) in [
            (None, "cannot be read"),
            (Some(""), "empty"),
            (Some("s3cret"), "nothing says when"),
            (Some("e30.e30.s3cret"), "nothing says when"),
            (Some("Bearer s3cret"), "characters"),
            (Some("s3cret\u{e9}"), "characters"),
            (Some(&long), "bytes"),
        ] {
            if let Some(content) = content {
                fs::write(&path, content).unwrap();
            }
            let error = TokenFile::open(&path).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("/token") && !error.contains("s3cret"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_token_that_is_written_is_used_long_before_the_one_before_it_expires() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let (first, second) = (jwt("first", 3600), jwt("second", 3600));
        fs::write(&path, format!("{first}\n")).unwrap();
        let file = TokenFile::open(&path).unwrap();
        assert!(is(&file.cached(now()).unwrap(), &first));
        fs::write(directory.path().join("next"), &second).unwrap();
        fs::rename(directory.path().join("next"), &path).unwrap();
        let taken_up = || file.cached(now()).filter(|header| is(header, &second));
        wait::blocking(taken_up, || "the second token".to_owned());
    }

    #[tokio::test]
    async fn a_call_that_finds_an_old_one_waits_for_a_look_and_fails_only_if_there_is_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let (second, third) = (jwt("second", 3600), jwt("third", 3600));
        fs::write(&path, jwt("first", -1)).unwrap();
        let file = TokenFile::open(&path).unwrap();
        assert!(file.cached(now()).is_none());
        let error = file.fresh(now()).await.unwrap_err();
        assert_eq!(error.status().code(), Code::Unauthenticated, "{error}");
        assert!(matches!(error, BearerTokenError::Invalid(InvalidToken::Expired(_))), "{error}");

        fs::write(&path, "no token").unwrap();
        assert_eq!(file.fresh(now()).await.unwrap_err().status().code(), Code::Unauthenticated);
        fs::remove_file(&path).unwrap();
        let error = file.fresh(now()).await.unwrap_err();
        assert_eq!(error.status().code(), Code::Unavailable, "{error}");

        fs::write(&path, &second).unwrap();
        assert!(is(&file.fresh(now()).await.unwrap(), &second));
        // Of what cannot be used nothing is seen while the last good one lasts.
        fs::write(&path, "no token").unwrap();
        assert!(is(&file.fresh(now()).await.unwrap(), &second));
        fs::write(&path, &third).unwrap();
        assert!(is(&file.fresh(now()).await.unwrap(), &third));
    }
}
