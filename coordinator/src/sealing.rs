//! Secrets at rest: what is in the database and in coordinator.toml is sealed with a key that is in neither.
//!
//! ```text
//! sealed:v1:base64( key id, 4 bytes │ nonce, 12 random bytes │ ciphertext │ tag, 16 bytes )      ChaCha20-Poly1305 (RFC 8439)
//! ```
//!
//! Purpose and name are associated data: what was sealed for one place opens in no other. The key id only tells a wrong key from
//! a damaged text. One key seals at most 2^32 texts safely with random nonces; a fleet applies a few a day.

mod key;
#[cfg(test)]
mod tests;

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use self::key::{Key, KeyId};
use crate::{
    data_dir::{DataDir, DataDirError, SECRETS_KEY},
    store::{Store, StoreError},
};

/// How every sealed text begins. No fleet file, and no password that a fence program takes, does.
pub const PREFIX: &str = "sealed:v1:";

/// The purpose of a text of the fleet's configuration; its name is the generation.
pub const GENERATION: &str = "config_generations.text";
/// The purpose of a parameter of a fence device; its name is NODE/RUNG/PARAMETER.
pub const FENCE_PARAMETER: &str = "fencing.device.parameters";

/// Seals and opens with the key of a data directory, or says why it cannot.
#[derive(Clone)]
pub struct Sealing {
    path: PathBuf,
    key: Option<Arc<Key>>,
}

/// Why there is no key to work with.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] DataDirError),
    /// Its mode cannot be looked at.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Whether a key is missed is not known.
    #[error("cannot find out whether there are texts that a key is missed for")]
    Store(#[from] StoreError),
    /// Others may read it.
    #[error("{0} has mode {mode:04o}: only its owner may read it (chmod 0600 {0})", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is no key.
    #[error("{} is no key that `ha-coordinator init` makes; put the file back as it was", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes for {}", path.display())]
    Random {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: getrandom::Error,
    },
}

/// Why something is not sealed or opened. No word of a secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no key.
    #[error(
        "{} is missing: put it back from where ca.key and it are kept; without it what is sealed cannot be read by anybody, \
         and has to be given anew",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// It was sealed with another key.
    #[error(
        "it is sealed with the key {sealed_with}, and {} is the key {found}: put back the file that belongs to it",
        path.display()
    )]
    OtherKey {
        /// The key that is here.
        path: PathBuf,
        /// Its id.
        found: KeyId,
        /// The id of the one that is wanted.
        sealed_with: KeyId,
    },
    /// The text is damaged, or was sealed for another place.
    #[error("it is damaged, or was sealed for something else than {purpose} {name}")]
    Damaged {
        /// For what.
        purpose: &'static str,
        /// For which.
        name: String,
    },
    /// It does not begin as a sealed text does, or is no base64.
    #[error("it is no text that hafleet sealed ({PREFIX}…)")]
    NotSealed,
    /// Nothing can be sealed.
    #[error("the system gave no random bytes to seal with")]
    Random(#[source] getrandom::Error),
    /// Nothing can be sealed.
    #[error("{bytes} bytes are too long to be sealed")]
    TooLong {
        /// So many.
        bytes: usize,
    },
}

/// Whether a text is sealed.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// With the key of a data directory, made if nothing there was ever sealed: with a new key in the place of a lost one nobody could
/// tell any more what is missing. `is_awaited`: the configuration has something that is sealed.
///
/// # Errors
/// The key, or the database, cannot be used.
pub async fn of_store(dir: &DataDir, store: &Store, is_awaited: bool) -> Result<Sealing, SealingError> {
    let sealing = Sealing::load(dir)?;
    if sealing.has_key() || is_awaited {
        return Ok(sealing);
    }
    if store.has_sealed_texts().await? {
        tracing::error!(
            "{} is missing, and the fleet's configuration in the database is sealed with it: it cannot be shown, compared or \
             applied until the file is put back and the coordinator started again; agents go on as they are",
            sealing.path().display()
        );
        return Ok(sealing);
    }
    tracing::info!("made {}: back it up with ca.key", sealing.path().display());
    Sealing::make(dir)
}

impl Sealing {
    /// With the key of a data directory. That there is none is no error here: nothing may need it.
    ///
    /// # Errors
    /// The file is there and cannot be used.
    pub fn load(dir: &DataDir) -> Result<Self, SealingError> {
        let path = dir.join(SECRETS_KEY);
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self { path, key: None }),
            Err(source) => return Err(SealingError::Read { path, source }),
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(SealingError::Mode { path, mode });
        }
        let text = dir.read(SECRETS_KEY)?;
        let Some(key) = Key::parse(&text) else { return Err(SealingError::NoKey { path }) };
        Ok(Self { path, key: Some(Arc::new(key)) })
    }

    /// The same with a new key, if there is none.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(dir: &DataDir) -> Result<Self, SealingError> {
        let random = |source| SealingError::Random { path: dir.join(SECRETS_KEY), source };
        let text = Key::generate().map_err(random)?;
        // Somebody else may have made one meanwhile: theirs is as good.
        dir.write_new(SECRETS_KEY, &text)?;
        Self::load(dir)
    }

    /// Whether there is a key.
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Where the key is, or should be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Seals a text for one place.
    ///
    /// # Errors
    /// There is no key, or no randomness.
    pub fn seal(&self, purpose: &'static str, name: &str, text: &str) -> Result<String, SealError> {
        let sealed = self.key()?.seal(&place(purpose, name), text.as_bytes())?;
        Ok(format!("{PREFIX}{}", STANDARD.encode(sealed)))
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// There is no key, another one, or the text is not what was sealed for it.
    pub fn open(&self, purpose: &'static str, name: &str, sealed: &str) -> Result<String, SealError> {
        let text = sealed.strip_prefix(PREFIX).ok_or(SealError::NotSealed)?;
        let mut bytes = STANDARD.decode(text.trim()).map_err(|_| SealError::NotSealed)?;
        let key = self.key()?;
        let sealed_with = Key::id_of(&bytes).ok_or(SealError::NotSealed)?;
        if sealed_with != key.id() {
            return Err(SealError::OtherKey { path: self.path.clone(), found: key.id(), sealed_with });
        }
        let opened = key.open(&place(purpose, name), &mut bytes);
        let damaged = || SealError::Damaged { purpose, name: name.to_owned() };
        opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()).ok_or_else(damaged)
    }

    fn key(&self) -> Result<&Key, SealError> {
        self.key.as_deref().ok_or_else(|| SealError::Missing { path: self.path.clone() })
    }
}

/// Purposes have no NUL: no two places are the same bytes.
fn place(purpose: &str, name: &str) -> Vec<u8> {
    format!("{purpose}\0{name}").into_bytes()
}

impl fmt::Debug for Sealing {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").field("path", &self.path).field("has_key", &self.has_key()).finish()
    }
}
