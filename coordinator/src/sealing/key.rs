//! The key, and the library's AEAD under it.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest as _, Sha256};

use super::SealError;

/// How the file begins; a line of base64 follows.
const HEAD: &str = "hafleet-secrets-key:v1:";
const KEY_LEN: usize = 32;
const ID_LEN: usize = 4;
/// Far more than the longest fleet file.
const TEXT_LEN_MAX: usize = 64 << 20;

/// Tells one key from another, and nothing of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId([u8; ID_LEN]);

impl fmt::Display for KeyId {
    /// `9f86d081`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key.
pub(super) struct Key {
    id: KeyId,
    aead: LessSafeKey,
}

impl Key {
    /// The text of a new one's file.
    pub fn generate() -> Result<String, getrandom::Error> {
        let mut bytes = [0; KEY_LEN];
        getrandom::fill(&mut bytes)?;
        Ok(format!("{HEAD}{}\n", STANDARD.encode(bytes)))
    }

    /// Reads such a text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.trim_end().strip_prefix(HEAD)?).ok()?;
        let aead = UnboundKey::new(&CHACHA20_POLY1305, &bytes).ok()?;
        let digest = Sha256::new().chain_update(HEAD).chain_update(&bytes).finalize();
        let id = KeyId(digest.first_chunk().copied()?);
        Some(Self { id, aead: LessSafeKey::new(aead) })
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key that a sealed text is for.
    pub fn id_of(sealed: &[u8]) -> Option<KeyId> {
        sealed.first_chunk().copied().map(KeyId)
    }

    pub fn seal(&self, place: &[u8], text: &[u8]) -> Result<Vec<u8>, SealError> {
        let too_long = || SealError::TooLong { bytes: text.len() };
        if text.len() > TEXT_LEN_MAX {
            return Err(too_long());
        }
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(SealError::Random)?;
        let mut body = text.to_vec();
        self.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(place), &mut body)
            .map_err(|_| too_long())?;
        Ok([&self.id.0[..], &nonce, &body].concat())
    }

    /// What is in it; `None` when it was not sealed by this key for this place.
    pub fn open<'s>(&self, place: &[u8], sealed: &'s mut [u8]) -> Option<&'s [u8]> {
        let (_, rest) = sealed.split_first_chunk_mut::<ID_LEN>()?;
        let (nonce, body) = rest.split_first_chunk_mut::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        self.aead.open_in_place(nonce, Aad::from(place), body).ok().map(|opened| &*opened)
    }
}
