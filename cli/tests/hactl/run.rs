//! Runs the real binary.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use crate::{
    fake::{Coordinator, Script},
    pki::{Ca, Identity},
};

/// What a run printed and how it ended.
pub struct Ran {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code(),
        }
    }
}

/// A fake coordinator, an operator's context for it, and a directory for contexts.
pub struct Desk {
    pub ca: Ca,
    pub server: Identity,
    pub coordinator: Coordinator,
    pub directory: TempDir,
}

impl Desk {
    pub fn new(script: Script) -> Self {
        let ca = Ca::new("hafleet test CA");
        let server = ca.server();
        let coordinator = Coordinator::start(&ca, &server, script);
        let directory = TempDir::new().unwrap();
        let desk = Self { ca, server, coordinator, directory };
        let user = desk.ca.user("admin");
        desk.write_context("admin.toml", &desk.ca.pem(), &user, &[&desk.coordinator.address.to_string()]);
        desk
    }

    /// A context file below the directory.
    pub fn write_context(&self, name: &str, ca: &str, user: &Identity, coordinators: &[&str]) -> PathBuf {
        let path = self.directory.path().join(name);
        let text = format!(
            "name = \"admin\"\ncoordinators = {coordinators:?}\nca = '''\n{ca}'''\ncert = '''\n{}'''\nkey = '''\n{}'''\n",
            user.cert, user.key
        );
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The binary in a fixed environment, with the admin's context.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare(self.directory.path(), arguments);
        command.env("HACTL_CONTEXT", self.directory.path().join("admin.toml"));
        command
    }

    /// Run it.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Run it on a terminal of this width.
    pub fn run_at(&self, columns: u16, arguments: &[&str]) -> Ran {
        self.command(arguments).env("COLUMNS", columns.to_string()).output().unwrap().into()
    }

    /// `text` without what differs from run to run.
    pub fn stable(&self, text: &str) -> String {
        text.replace(&self.coordinator.address.to_string(), "127.0.0.1:17443")
            .replace(&self.directory.path().display().to_string(), "/home/op")
    }
}

/// A port that is taken and on which nobody listens, for as long as the socket lives.
pub fn reserve() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // So that a listener may join on it.
    socket.set_reuse_address(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// The binary in a fixed environment, without any context.
pub fn bare(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hactl"));
    command
        .args(arguments)
        .env_clear()
        // POSIX for one hour east of Greenwich: no zone files are needed.
        .env("TZ", "CET-1")
        .env("HACTL_CONFIG_DIR", directory.join("config"))
        .stdin(Stdio::null());
    command
}
