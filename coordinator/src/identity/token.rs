//! Join tokens: `hat1.<sha256 of the CA certificate, hex>.<id>.<secret>`.
//!
//! The agent learns from it which authority to trust before it has spoken to anyone; the coordinator learns from it
//! that an administrator wanted the node. Only the SHA-256 of the secret is stored. The secret is 256 random bits, so
//! that a plain hash is as good as a slow one.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::identity::ca::hex;

/// Version prefix of the text form.
const PREFIX: &str = "hat1";
/// Random bytes in the public part.
pub(super) const ID_LEN: usize = 8;
/// Random bytes in the secret part.
pub(super) const SECRET_LEN: usize = 32;

/// A join token in the clear. It is shown once and never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// SHA-256 of the authority's certificate, lower-case hex.
    pub ca_fingerprint: String,
    /// Its public name, lower-case hex.
    pub id: String,
    secret: String,
}

/// Why a text is no join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a join token: {what}. A token looks like `hat1.<64 hex digits>.<16 hex digits>.<64 hex digits>`"
)]
pub struct TokenFormatError {
    what: &'static str,
}

impl JoinToken {
    /// A new token for the authority with this fingerprint.
    pub fn generate(ca_fingerprint: String) -> Result<Self, getrandom::Error> {
        let mut id = [0u8; ID_LEN];
        let mut secret = [0u8; SECRET_LEN];
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self { ca_fingerprint, id: hex(&id), secret: hex(&secret) })
    }

    /// What is stored instead of the secret: its SHA-256, lower-case hex.
    pub fn secret_hash(&self) -> String {
        hex(&Sha256::digest(self.secret.as_bytes()))
    }

    /// Compares with a stored hash in constant time.
    pub fn matches(&self, stored_hash: &str) -> bool {
        self.secret_hash().as_bytes().ct_eq(stored_hash.as_bytes()).into()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}.{}.{}.{}", self.ca_fingerprint, self.id, self.secret)
    }
}

impl fmt::Debug for JoinToken {
    /// Without the secret, so that no log can leak it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = TokenFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |what| Err(TokenFormatError { what });
        let mut parts = text.trim().split('.');
        let (Some(PREFIX), Some(ca), Some(id), Some(secret), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return error("it has not four parts that begin with `hat1`");
        };
        if !is_hex(ca, Sha256::output_size()) {
            return error("the second part is not the SHA-256 of a CA certificate in hex");
        }
        if !is_hex(id, ID_LEN) {
            return error("the third part is not a token id");
        }
        if !is_hex(secret, SECRET_LEN) {
            return error("the fourth part is not a secret");
        }
        Ok(Self { ca_fingerprint: ca.to_owned(), id: id.to_owned(), secret: secret.to_owned() })
    }
}

pub(super) fn is_hex(text: &str, bytes: usize) -> bool {
    text.len() == bytes * 2 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_read_back_and_only_its_own_hash_matches() {
        let token = JoinToken::generate("a".repeat(64)).unwrap();
        let other = JoinToken::generate("a".repeat(64)).unwrap();
        assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
        assert!(token.matches(&token.secret_hash()));
        assert!(!token.matches(&other.secret_hash()));
        assert!(!token.matches(""));
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        let good = JoinToken::generate("a".repeat(64)).unwrap().to_string();
        for bad in ["", "hat1", "hat2.a.b.c", &good[1..], &format!("{good}.x"), &good[..good.len() - 1]] {
            assert!(bad.parse::<JoinToken>().is_err(), "{bad}");
        }
    }
}
