//! Where the database is.

use std::{fmt, path::PathBuf, str::FromStr};

use sqlx::postgres::PgConnectOptions;

/// `sqlite:PATH` or `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Never prints its password.
#[derive(Clone)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server. Boxed: it is ten times the size of a path.
    Postgres(Box<PgConnectOptions>),
}

/// A text is not a database URL. Says nothing of the text beyond its scheme: it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseUrlError {
    /// Unknown scheme.
    #[error(
        "a database URL begins with `sqlite:` or `postgres://`; write sqlite:/var/lib/hafleet/coordinator.db"
    )]
    Scheme,
    /// `sqlite:` alone.
    #[error("`sqlite:` needs a path to a file; write sqlite:/var/lib/hafleet/coordinator.db")]
    NoPath,
    /// `sqlite::memory:` and the like.
    #[error("a database in memory would forget every event at exit; write sqlite:PATH")]
    Memory,
    /// `sqlite:PATH?mode=…`
    #[error("`sqlite:PATH` takes no options after `?`")]
    Options,
    /// PostgreSQL's own parser said no.
    #[error("cannot read the PostgreSQL URL; write postgres://USER:PASSWORD@HOST:5432/DATABASE")]
    Postgres(#[source] sqlx::Error),
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(text).map_err(DatabaseUrlError::Postgres)?;
            return Ok(Self::Postgres(Box::new(options)));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        if path.is_empty() {
            Err(DatabaseUrlError::NoPath)
        } else if path.starts_with(":memory:") {
            Err(DatabaseUrlError::Memory)
        } else if path.contains('?') {
            Err(DatabaseUrlError::Options)
        } else {
            Ok(Self::Sqlite(PathBuf::from(path)))
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(options) => {
                let (user, port) = (options.get_username(), options.get_port());
                let database = options.get_database().unwrap_or(user);
                match options.get_socket() {
                    Some(socket) => {
                        write!(f, "postgres:///{database}?host={}&port={port}&user={user}", socket.display())
                    }
                    None => write!(f, "postgres://{user}@{}:{port}/{database}", options.get_host()),
                }
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_and_without_slashes() {
        for (text, path) in [
            ("sqlite:fleet.db", "fleet.db"),
            ("sqlite:/var/lib/hafleet/fleet.db", "/var/lib/hafleet/fleet.db"),
            ("sqlite:///var/lib/hafleet/fleet.db", "/var/lib/hafleet/fleet.db"),
        ] {
            let url: DatabaseUrl = text.parse().expect(text);
            assert!(matches!(&url, DatabaseUrl::Sqlite(found) if found.to_str() == Some(path)), "{url:?}");
        }
    }

    #[test]
    fn what_is_no_database() {
        use DatabaseUrlError::{Memory, NoPath, Options, Scheme};
        let error = |text: &str| DatabaseUrl::from_str(text).expect_err(text);
        assert!(matches!(error("mysql://root@db/fleet"), Scheme));
        assert!(matches!(error("/var/lib/fleet.db"), Scheme));
        assert!(matches!(error("sqlite:"), NoPath));
        assert!(matches!(error("sqlite://"), NoPath));
        assert!(matches!(error("sqlite::memory:"), Memory));
        assert!(matches!(error("sqlite:fleet.db?mode=ro"), Options));
        assert!(matches!(error("postgres://u:hunter2@db:notaport/fleet"), DatabaseUrlError::Postgres(_)));
    }

    #[test]
    fn the_password_is_never_shown() {
        let url: DatabaseUrl = "postgres://fleet:hunter2@db.example:5433/ha".parse().expect("a good URL");
        assert_eq!(url.to_string(), "postgres://fleet@db.example:5433/ha");
        assert!(!format!("{url:?}").contains("hunter2"));
        let error = DatabaseUrl::from_str("postgres://u:hunter2@db:notaport/fleet").expect_err("a bad port");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        let socket: DatabaseUrl = "postgres:///ha?host=/run/postgresql&port=5433&user=fleet&password=hunter2"
            .parse()
            .expect("a socket");
        assert_eq!(socket.to_string(), "postgres:///ha?host=/run/postgresql&port=5433&user=fleet");
        assert!(!format!("{socket:?}").contains("hunter2"));
    }
}
