//! `ha-coordinator init`: everything a coordinator needs before it can serve.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    clock::{Clock, rfc3339},
    data_dir::{
        ADMIN_CONTEXT, CA_CERTIFICATE, CA_KEY, DataDir, DataDirError, SERVER_CERTIFICATE, SERVER_KEY,
    },
    identity::ca::{Ca, CaError, ServerName},
    sealing::{Sealing, SealingError},
    store::{DatabaseUrl, Role, Store, StoreError, UserRow},
};

/// The user that `init` makes.
pub const ADMIN: &str = "admin";

/// What to make.
#[derive(Debug)]
pub struct Request {
    /// Where.
    pub data_dir: PathBuf,
    /// Under which names the coordinator is reached; not empty.
    pub names: Vec<ServerName>,
    /// The port that the context file names.
    pub port: u16,
    /// The database, if not SQLite in the data dir.
    pub database: Option<DatabaseUrl>,
    /// Move what is there aside.
    pub force: bool,
}

/// What was made.
#[derive(Debug)]
pub struct Made {
    /// The administrator's context file.
    pub admin_context: PathBuf,
    /// SHA-256 of the CA's certificate.
    pub ca_fingerprint: String,
    /// Where the old files went, if there were any.
    pub set_aside: Option<PathBuf>,
}

/// Why nothing, or not everything, was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The directory is in use.
    #[error(
        "{} is already initialised (it has {}). To start over with a new CA, so that every node must join again, add \
         --force; the old files are then moved aside",
        path.display(),
        files.join(", ")
    )]
    AlreadyThere {
        /// The directory.
        path: PathBuf,
        /// What is there.
        files: Vec<&'static str>,
    },
    /// A file cannot be written.
    #[error("cannot initialise the data directory")]
    DataDir(#[from] DataDirError),
    /// A certificate cannot be made.
    #[error("cannot make the certificates")]
    Ca(#[from] CaError),
    /// The key of the secrets cannot be made.
    #[error("cannot make the key that secrets are sealed with")]
    Sealing(#[from] SealingError),
    /// The database cannot be made.
    #[error("cannot make the database")]
    Store(#[from] StoreError),
    /// The context file cannot be put into words.
    #[error("cannot write the administrator's context")]
    Context(#[from] toml::ser::Error),
}

/// `hactl`'s context file.
#[derive(Serialize)]
struct Context<'a> {
    name: &'a str,
    coordinators: Vec<String>,
    ca: &'a str,
    cert: &'a str,
    key: &'a str,
}

/// Makes everything. What was there stays untouched unless `force` says to move it aside.
pub async fn init(request: &Request) -> Result<Made, InitError> {
    let clock = Clock::start();
    let dir = DataDir::create(&request.data_dir)?;
    let files = dir.already_there();
    let set_aside = match (files.is_empty(), request.force) {
        (true, _) => None,
        (false, true) => Some(dir.set_aside(&rfc3339(clock.now_us()).replace(':', ""))?),
        (false, false) => return Err(InitError::AlreadyThere { path: dir.path().to_owned(), files }),
    };

    let (ca, ca_key) = Ca::create(clock.wall_us())?;
    let server = ca.issue_server(&request.names, clock.wall_us())?;
    let admin = ca.issue_user(ADMIN, clock.wall_us())?;
    let context = toml::to_string(&Context {
        name: ADMIN,
        coordinators: request.names.iter().map(|name| host_port(name, request.port)).collect(),
        ca: ca.pem(),
        cert: &admin.certificate.pem,
        key: &admin.key_pem,
    })?;

    let database = request.database.clone().unwrap_or_else(|| dir.default_database());
    let store = Store::open(&database).await?;
    let user =
        UserRow { name: ADMIN.into(), role: Role::Admin, created_at_us: clock.now_us(), revoked: false };
    store.save_user(&user).await?;
    store.close().await;

    Sealing::make(&dir)?;
    dir.write(CA_CERTIFICATE, ca.pem())?;
    dir.write(CA_KEY, &ca_key)?;
    dir.write(SERVER_CERTIFICATE, &server.certificate.pem)?;
    dir.write(SERVER_KEY, &server.key_pem)?;
    dir.write(ADMIN_CONTEXT, &context)?;
    Ok(Made { admin_context: dir.join(ADMIN_CONTEXT), ca_fingerprint: ca.fingerprint(), set_aside })
}

fn host_port(name: &ServerName, port: u16) -> String {
    match name {
        ServerName::Address(std::net::IpAddr::V6(address)) => format!("[{address}]:{port}"),
        ServerName::Address(std::net::IpAddr::V4(_)) | ServerName::Dns(_) => format!("{name}:{port}"),
    }
}
