//! A context: a fleet's coordinators, its CA, and who we are there.

mod identity;
mod store;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use serde::Deserialize;

pub use self::{
    identity::Identity,
    store::{Added, Store, write_private},
};
use crate::{address::Address, exit::Exit};

/// A context file, read and checked.
pub struct Context {
    /// How people call the fleet.
    pub name: String,
    /// In the order in which they are asked; at least one.
    pub coordinators: Vec<Address>,
    /// The only CA that is trusted for it.
    pub ca: Vec<CertificateDer<'static>>,
    /// What we prove by who we are.
    pub credential: Credential,
    /// Where it was read.
    pub path: PathBuf,
    /// The text it was read from.
    pub text: String,
}

/// What proves who we are.
pub enum Credential {
    /// A client certificate.
    Certificate {
        /// Ours, then what leads to the CA.
        chain: Vec<CertificateDer<'static>>,
        /// Our key.
        key: PrivateKeyDer<'static>,
    },
    /// A token, `hut1.<id>.<secret>`.
    Token(String),
}

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// None was said and none is current.
    #[error("no context: hactl does not know which fleet to ask")]
    None,
    /// No such name.
    #[error("no context is called {name:?}{}", known_names(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The name cannot be a file's name.
    #[error("{0:?} cannot be a context's name: use letters, digits, '.', '-' and '_', and no '.' in front")]
    Name(String),
    /// A file cannot be read or written.
    #[error("cannot {attempted} {path}", path = path.display())]
    File {
        /// `read`, `write`.
        attempted: &'static str,
        /// Which.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// The file is not what a context file is.
    #[error("{path}:{line}:{column}: {why}", path = path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// A field cannot be used.
    #[error("{path}: `{field}`: {why}", path = path.display())]
    Field {
        /// Which file.
        path: PathBuf,
        /// Which field.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A context of this name is there already.
    #[error("a context called {0:?} is there already, and it is another one")]
    Exists(String),
    /// Neither `$HACTL_CONFIG_DIR` nor `$HOME` says where contexts are.
    #[error("there is no directory for contexts: neither HACTL_CONFIG_DIR nor HOME is set")]
    NoDirectory,
}

impl ContextError {
    /// The exit code of the contract.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unknown { .. } => Exit::NotFound,
            Self::Exists(_) => Exit::Conflict,
            Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::NotFound,
            Self::File { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => Exit::Denied,
            Self::None
            | Self::Name(_)
            | Self::File { .. }
            | Self::Syntax { .. }
            | Self::Field { .. }
            | Self::NoDirectory => Exit::Usage,
        }
    }

    /// What to do.
    pub fn next(&self) -> String {
        match self {
            Self::None => "`ha-coordinator init` writes admin.toml into its data directory; add it with \
                           `hactl context add FILE`, or say --context FILE."
                .to_owned(),
            Self::Unknown { .. } => {
                "`hactl context list` shows the contexts; a file is meant by a name with a slash or with .toml."
                    .to_owned()
            }
            Self::Name(_) => "Give it a name with --name NAME.".to_owned(),
            Self::File { .. } => "Check the path and its permissions.".to_owned(),
            Self::Syntax { .. } | Self::Field { .. } => {
                "A context file has `name`, `coordinators`, `ca`, and `cert` with `key` or `token`; `ha-coordinator init` and \
                 `hactl user add` write one."
                    .to_owned()
            }
            Self::Exists(_) => "Replace it with --yes, or give the new one another name with --name NAME.".to_owned(),
            Self::NoDirectory => "Set HACTL_CONFIG_DIR, or say --context FILE.".to_owned(),
        }
    }
}

/// The context that the command line says (a name or a file), else the current one.
pub fn select(said: Option<&str>) -> Result<Context, ContextError> {
    match said {
        Some(said) if is_path(said) => Context::read(Path::new(said)),
        Some(name) => Store::open()?.load(name),
        None => {
            let store = Store::open()?;
            match store.current()? {
                Some(name) => store.load(&name),
                None => Err(ContextError::None),
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    coordinators: Vec<Address>,
    ca: String,
    cert: Option<String>,
    key: Option<String>,
    token: Option<String>,
}

impl Context {
    /// Read a context file.
    pub fn read(path: &Path) -> Result<Self, ContextError> {
        let text = fs::read_to_string(path).map_err(|source| ContextError::File {
            attempted: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(text, path)
    }

    /// Check the text of a context file.
    pub fn parse(text: String, path: &Path) -> Result<Self, ContextError> {
        let file: File = toml::from_str(&text).map_err(|error| {
            // Not the parser's picture of the line: the line may be one of the key.
            let (line, column) = position(&text, error.span().map_or(0, |span| span.start));
            ContextError::Syntax { path: path.to_owned(), line, column, why: error.message().to_owned() }
        })?;
        let bad = |field, why: String| ContextError::Field { path: path.to_owned(), field, why };
        if file.coordinators.is_empty() {
            return Err(bad("coordinators", "it names no coordinator".to_owned()));
        }
        let certificates = |field, pem: &str| {
            let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
            match found {
                Ok(found) if found.is_empty() => Err(bad(field, "it holds no certificate in PEM".to_owned())),
                Ok(found) => Ok(found),
                Err(error) => Err(bad(field, format!("it is not PEM: {}", pem_words(&error)))),
            }
        };
        let credential = match (&file.cert, &file.key, &file.token) {
            (Some(cert), Some(key), None) => Credential::Certificate {
                key: PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| {
                    bad("key", format!("it holds no private key in PEM: {}", pem_words(&error)))
                })?,
                chain: certificates("cert", cert)?,
            },
            (None, None, Some(token)) if is_token(token) => Credential::Token(token.clone()),
            (None, None, Some(_)) => {
                return Err(bad("token", "it is not a user's token, `hut1.<id>.<secret>`".to_owned()));
            }
            (Some(_), None, None) => return Err(bad("key", "missing field `key`".to_owned())),
            (None, Some(_), None) => return Err(bad("cert", "missing field `cert`".to_owned())),
            (None, None, None) => {
                return Err(bad("cert", "missing fields `cert` and `key`, or `token`".to_owned()));
            }
            (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                return Err(bad(
                    "token",
                    "stands beside `cert` or `key`; one of the two proves who you are".to_owned(),
                ));
            }
        };
        Ok(Self {
            ca: certificates("ca", &file.ca)?,
            credential,
            name: file.name,
            coordinators: file.coordinators,
            path: path.to_owned(),
            text,
        })
    }

    /// Who we are there, as far as our certificate can be read. Whom a token names only the coordinator knows.
    pub fn identity(&self) -> Option<Identity> {
        match &self.credential {
            Credential::Certificate { chain, .. } => chain.first().and_then(Identity::of),
            Credential::Token(token) => {
                let id = token.split('.').nth(1).unwrap_or_default();
                Some(Identity { uri: Some(format!("token {id}")), not_after_us: 0 })
            }
        }
    }

    /// What a careful person would want to know.
    pub fn warning(&self) -> Option<String> {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&self.path).ok()?.permissions().mode();
        let path = self.path.display();
        let secret = match &self.credential {
            Credential::Certificate { .. } => "private key",
            Credential::Token(_) => "token",
        };
        (mode & 0o077 != 0).then(|| format!("others can read the {secret} in {path}; run: chmod 600 {path}"))
    }
}

/// In words; never the text itself, which may be of the key.
fn pem_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no matching END line",
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is not well-formed",
        pem::Error::Base64Decode(_) => "what is between BEGIN and END is not base64",
        pem::Error::NoItemsFound => "there is no section of this kind",
        _ => "it cannot be read",
    }
}

/// Only its form: whether it is good the coordinator knows.
fn is_token(token: &str) -> bool {
    let printable = token.chars().all(|c| c.is_ascii_graphic());
    token.starts_with("hut1.") && token.split('.').count() == 3 && printable
}

fn is_path(said: &str) -> bool {
    said.contains('/') || said.ends_with(".toml")
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

fn known_names(known: &[String]) -> String {
    if known.is_empty() {
        "; there are none yet".to_owned()
    } else {
        format!("; there are: {}", known.join(", "))
    }
}
