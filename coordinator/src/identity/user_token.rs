//! People's tokens: `hut1.<id>.<secret>`.
//!
//! For programs and for people without a certificate: sent as `authorization: Bearer …` with every call, inside TLS. As
//! of a join token, only the SHA-256 of the secret is stored, and the secret is 256 random bits.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::identity::{
    ca::hex,
    token::{ID_LEN, SECRET_LEN, is_hex},
};

/// Version prefix of the text form.
const PREFIX: &str = "hut1";

/// A person's token in the clear. It is shown once and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct UserToken {
    /// Its public name, lower-case hex.
    pub id: String,
    secret: String,
}

/// A text is no such token. Says nothing of the text: it may be a password meant for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a user's token, which looks like `hut1.<16 hex digits>.<64 hex digits>`")]
pub struct NoUserToken;

impl UserToken {
    /// A new token.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut id = [0u8; ID_LEN];
        let mut secret = [0u8; SECRET_LEN];
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self { id: hex(&id), secret: hex(&secret) })
    }

    /// What is stored instead of the secret: its SHA-256, lower-case hex.
    pub fn secret_hash(&self) -> String {
        hex(&Sha256::digest(self.secret.as_bytes()))
    }
}

impl fmt::Display for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}", self.id, self.secret)
    }
}

impl fmt::Debug for UserToken {
    /// Without the secret, so that no log can leak it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for UserToken {
    type Err = NoUserToken;

    fn from_str(text: &str) -> Result<Self, NoUserToken> {
        let mut parts = text.trim().split('.');
        let (Some(PREFIX), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(NoUserToken);
        };
        if is_hex(id, ID_LEN) && is_hex(secret, SECRET_LEN) {
            Ok(Self { id: id.to_owned(), secret: secret.to_owned() })
        } else {
            Err(NoUserToken)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_read_back_and_never_shown() {
        let token = UserToken::generate().unwrap();
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_ne!(UserToken::generate().unwrap().secret_hash(), token.secret_hash());
        assert_eq!(token.secret_hash().len(), 64);
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let good = UserToken::generate().unwrap().to_string();
        for bad in [
            "",
            "hut1",
            "hut2.a.b",
            &good[1..],
            &format!("{good}.x"),
            &good[..good.len() - 1],
            &good.to_uppercase(),
        ] {
            assert_eq!(bad.parse::<UserToken>(), Err(NoUserToken), "{bad}");
        }
    }
}
