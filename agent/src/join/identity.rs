//! Who this node is to its coordinators: `<state dir>/identity/{key.pem,cert.pem,ca.pem,identity.toml}`.
//!
//! The directory is replaced as a whole, so that a key never stands beside another key's certificate.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{CoordinatorAddress, Name};

/// Who this node is, whom it trusts and whom it reports to.
#[derive(Debug)]
pub struct Identity {
    /// The name that its certificate proves.
    pub node: Name,
    /// Its layer-2 world.
    pub site: Name,
    /// Whom to report to, in order.
    pub coordinators: Vec<CoordinatorAddress>,
    /// Its own certificate.
    pub certificate: CertificateDer<'static>,
    /// The key of that certificate.
    pub key: PrivateKeyDer<'static>,
    /// The authority that signed it and the coordinators' certificates.
    pub ca: CertificateDer<'static>,
}

/// When a certificate is good, wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// From then …
    pub not_before_us: i64,
    /// … until then.
    pub not_after_us: i64,
}

impl Validity {
    /// Two thirds of its life are over: time for a new one.
    pub fn renew_at_us(&self) -> i64 {
        let life = self.not_after_us.saturating_sub(self.not_before_us).max(0);
        self.not_before_us.saturating_add(life / 3 * 2)
    }
}

/// Why the identity cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// There is none.
    #[error("this node has not joined a fleet: there is no identity in {}", .0.display())]
    NotJoined(PathBuf),
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    File {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// A PEM file holds none.
    #[error("{} does not hold the PEM that it should", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// `identity.toml` cannot be understood.
    #[error("{} cannot be read: {why}; join again with `ha-agent join`", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The certificate cannot be understood.
    #[error("the certificate {} cannot be read: {why}", .path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    node: String,
    site: String,
    coordinators: Vec<String>,
}

impl Identity {
    /// Where the identity of a state directory is.
    pub fn dir(state_dir: &Path) -> PathBuf {
        state_dir.join("identity")
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`IdentityError::NotJoined`] when there is none.
    pub fn load(state_dir: &Path) -> Result<Self, IdentityError> {
        let mut dir = Self::dir(state_dir);
        if !dir.exists() {
            // A replacement on a file system that cannot exchange directories was interrupted.
            dir = replaced_dir(state_dir);
            if !dir.exists() {
                return Err(IdentityError::NotJoined(Self::dir(state_dir)));
            }
        }
        let path = dir.join("identity.toml");
        let content = |why: String| IdentityError::Content { path: path.clone(), why };
        let text = fs::read_to_string(&path).map_err(file("read", &path))?;
        let text: Text = toml::from_str(&text).map_err(|error| content(error.to_string()))?;
        let coordinators: Result<Vec<_>, _> =
            text.coordinators.iter().map(|address| address.parse()).collect();
        Ok(Self {
            node: text.node.parse().map_err(|error| content(format!("`node`: {error}")))?,
            site: text.site.parse().map_err(|error| content(format!("`site`: {error}")))?,
            coordinators: coordinators.map_err(|error| content(format!("`coordinators`: {error}")))?,
            certificate: read_pem(&dir.join("cert.pem"))?,
            key: read_pem::<PrivatePkcs8KeyDer<'static>>(&dir.join("key.pem"))?.into(),
            ca: read_pem(&dir.join("ca.pem"))?,
        })
    }

    /// When its own certificate is good.
    ///
    /// # Errors
    /// When the certificate is none.
    pub fn validity(&self) -> Result<Validity, IdentityError> {
        validity(&self.certificate)
            .map_err(|why| IdentityError::Certificate { path: PathBuf::from("cert.pem"), why })
    }

    /// Writes it in the place of the one there is, if any; a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// As the file system says; the old one is then still there.
    pub fn store(&self, state_dir: &Path) -> Result<(), IdentityError> {
        Prepared::new(state_dir, "identity.new", &self.key)?.complete(self)
    }
}

/// A key that is on the disk, and room for the rest of its identity. Dropped, it is removed again.
#[derive(Debug)]
pub struct Prepared {
    state_dir: PathBuf,
    new: PathBuf,
}

/// More than a certificate, its authority's and the names take.
const RESERVE_LEN: usize = 16 * 1024;

impl Prepared {
    /// Writes the key of an identity to come, before anything is spent that cannot be had twice.
    ///
    /// # Errors
    /// As the file system says; the identity there is, if any, is untouched.
    pub fn for_join(state_dir: &Path, key: &PrivateKeyDer<'_>) -> Result<Self, IdentityError> {
        // A name of its own: an agent that runs may renew its certificate at the same time.
        Self::new(state_dir, "identity.join", key)
    }

    fn new(state_dir: &Path, name: &str, key: &PrivateKeyDer<'_>) -> Result<Self, IdentityError> {
        let new = state_dir.join(name);
        match fs::remove_dir_all(&new) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file("remove", &new)(error)),
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&new).map_err(file("create", &new))?;
        let prepared = Self { state_dir: state_dir.to_owned(), new };
        let Self { new, .. } = &prepared;
        write(&new.join("key.pem"), &to_pem("PRIVATE KEY", key.secret_der()), 0o600)?;
        write(&new.join("reserve"), &" ".repeat(RESERVE_LEN), 0o600)?;
        sync_dir(new)?;
        Ok(prepared)
    }

    /// Writes the rest of `identity`, whose key was prepared, and puts it in the place of the one there is.
    ///
    /// # Errors
    /// As the file system says; the old one is then still there.
    pub fn complete(self, identity: &Identity) -> Result<(), IdentityError> {
        let Self { state_dir, new } = &self;
        let text = Text {
            node: identity.node.to_string(),
            site: identity.site.to_string(),
            coordinators: identity.coordinators.iter().map(ToString::to_string).collect(),
        };
        let text = toml::to_string(&text)
            .map_err(|error| IdentityError::Content { path: new.clone(), why: error.to_string() })?;
        let reserve = new.join("reserve");
        fs::remove_file(&reserve).map_err(file("remove", &reserve))?;
        write(&new.join("cert.pem"), &to_pem("CERTIFICATE", &identity.certificate), 0o644)?;
        write(&new.join("ca.pem"), &to_pem("CERTIFICATE", &identity.ca), 0o644)?;
        write(&new.join("identity.toml"), &text, 0o644)?;
        sync_dir(new)?;
        replace(state_dir, new)?;
        sync_dir(state_dir)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next attempt.
        let _ = fs::remove_dir_all(&self.new);
    }
}

/// When a certificate is good.
fn validity(certificate: &CertificateDer<'_>) -> Result<Validity, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    let us = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1_000_000);
    let validity = parsed.validity();
    Ok(Validity { not_before_us: us(validity.not_before), not_after_us: us(validity.not_after) })
}

fn replaced_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("identity.old")
}

fn replace(state_dir: &Path, new: &Path) -> Result<(), IdentityError> {
    let dir = Identity::dir(state_dir);
    let old = replaced_dir(state_dir);
    if !dir.exists() {
        fs::rename(new, &dir).map_err(file("put in place", &dir))?;
        let _ = fs::remove_dir_all(old);
        return Ok(());
    }
    match renameat_with(CWD, new, CWD, &dir, RenameFlags::EXCHANGE) {
        // What is left under the new name is the old identity; it is removed at the next attempt if not now.
        Ok(()) => {
            let _ = fs::remove_dir_all(new);
        }
        Err(_) => {
            let _ = fs::remove_dir_all(&old);
            fs::rename(&dir, &old).map_err(file("put aside", &dir))?;
            fs::rename(new, &dir).map_err(file("put in place", &dir))?;
            let _ = fs::remove_dir_all(old);
        }
    }
    Ok(())
}

fn write(path: &Path, content: &str, mode: u32) -> Result<(), IdentityError> {
    let mut made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(file("create", path))?;
    made.write_all(content.as_bytes()).and_then(|()| made.sync_all()).map_err(file("write", path))
}

fn sync_dir(path: &Path) -> Result<(), IdentityError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(file("sync", path))
}

fn read_pem<T: PemObject>(path: &Path) -> Result<T, IdentityError> {
    T::from_pem_file(path).map_err(|source| IdentityError::Pem { path: path.to_owned(), source })
}

fn to_pem(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

fn file<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> IdentityError + use<'a> {
    move |source| IdentityError::File { doing, path: path.to_owned(), source }
}
