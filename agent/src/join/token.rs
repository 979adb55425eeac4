//! The join token: `hat1.<sha256 of the CA certificate, hex>.<id>.<secret>`.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// What an administrator hands to a new node. It names the authority to trust before anything was said to anyone.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    text: String,
    ca: Fingerprint,
    id_at: std::ops::Range<usize>,
}

/// The SHA-256 of a certificate's DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// Why a text is no join token. Never repeats the text: it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not a join token: {0}. A token looks like hat1.<64 hex digits>.<id>.<secret>; copy the whole line that \
     `hactl node token` printed"
)]
pub struct InvalidToken(&'static str);

impl JoinToken {
    /// The authority it vouches for.
    pub fn ca(&self) -> Fingerprint {
        self.ca
    }

    /// Its public name, for messages.
    pub fn id(&self) -> &str {
        self.text.get(self.id_at.clone()).unwrap_or_default()
    }

    /// The whole token, for the coordinator alone.
    pub fn secret_text(&self) -> &str {
        &self.text
    }
}

impl FromStr for JoinToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let parts: Vec<&str> = text.split('.').collect();
        let [version, ca, id, secret] = parts[..] else {
            return Err(InvalidToken("it has not four parts with dots between"));
        };
        if version != "hat1" {
            return Err(InvalidToken("it does not begin with hat1"));
        }
        let ca = Fingerprint::from_hex(ca).ok_or(InvalidToken("its second part is not 64 hex digits"))?;
        let plain = |part: &str| {
            (1..=128).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        if !plain(id) {
            return Err(InvalidToken("its third part is not a token's id"));
        }
        if !plain(secret) {
            return Err(InvalidToken("its fourth part is not a secret"));
        }
        let id_start = "hat1.".len() + 64 + 1;
        Ok(Self { text: text.to_owned(), ca, id_at: id_start..id_start + id.len() })
    }
}

impl fmt::Debug for JoinToken {
    /// Without the secret, so that no log can leak it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("ca", &self.ca).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Fingerprint {
    /// Of a certificate's DER.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d)).collect();
        (text.len() == 64).then_some(Self(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
