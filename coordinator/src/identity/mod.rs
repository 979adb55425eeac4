//! Who is speaking: names, certificates, join tokens.

pub mod ca;
pub mod certificate;
pub mod enrol;
pub mod renewals;
pub mod revoked;
pub mod token;
pub mod user_token;

use std::fmt;

use hafleet_fleet::NodeName;

/// The trust domain of every name we write into a certificate.
const TRUST_DOMAIN: &str = "spiffe://hafleet/";

/// Longest name of a node or a user.
const NAME_MAX_LEN: usize = 63;

/// Whom a client certificate names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Identity {
    /// An agent's host.
    Node(NodeName),
    /// A person or a program that acts for one.
    User(String),
}

impl Identity {
    /// The URI that stands in the certificate's subject alternative name.
    pub fn uri(&self) -> String {
        format!("{TRUST_DOMAIN}{self}")
    }

    /// Reads a URI of ours.
    pub fn from_uri(uri: &str) -> Result<Self, NameError> {
        let foreign = || NameError::Foreign { uri: uri.to_owned() };
        let path = uri.strip_prefix(TRUST_DOMAIN).ok_or_else(foreign)?;
        match path.split_once('/') {
            Some(("node", name)) => Ok(Self::Node(node_name(name)?)),
            Some(("user", name)) => Ok(Self::User(user_name(name)?)),
            Some(_) | None => Err(foreign()),
        }
    }
}

impl fmt::Display for Identity {
    /// `node/lb01` or `user/admin`, as the audit log says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => write!(f, "node/{name}"),
            Self::User(name) => write!(f, "user/{name}"),
        }
    }
}

/// Why a name is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Characters or length.
    #[error(
        "`{name}` cannot be a name: 1 to {NAME_MAX_LEN} letters, digits, `.`, `_` or `-`, the first a letter or digit"
    )]
    Spelling {
        /// As given.
        name: String,
    },
    /// Not one of our URIs.
    #[error("`{uri}` is not `{TRUST_DOMAIN}node/NAME` or `{TRUST_DOMAIN}user/NAME`")]
    Foreign {
        /// As given.
        uri: String,
    },
}

/// Checks the spelling of a node's name.
pub fn node_name(name: &str) -> Result<NodeName, NameError> {
    spelled(name).map(NodeName)
}

/// Checks the spelling of a user's name.
pub fn user_name(name: &str) -> Result<String, NameError> {
    spelled(name)
}

/// Checks the spelling of a site's label: that of a name.
pub fn site_name(name: &str) -> Result<hafleet_fleet::Site, NameError> {
    spelled(name).map(hafleet_fleet::Site)
}

fn spelled(name: &str) -> Result<String, NameError> {
    let first_is_right = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let all_are_right = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if first_is_right && all_are_right && name.len() <= NAME_MAX_LEN {
        Ok(name.to_owned())
    } else {
        Err(NameError::Spelling { name: name.chars().take(80).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_back_from_its_uri() {
        for identity in [Identity::Node(NodeName("lb01".into())), Identity::User("admin".into())] {
            assert_eq!(Identity::from_uri(&identity.uri()), Ok(identity));
        }
    }

    #[test]
    fn foreign_and_misspelled_names_are_refused() {
        for uri in [
            "spiffe://other/node/lb01",
            "spiffe://hafleet/host/lb01",
            "spiffe://hafleet/node/",
            "spiffe://hafleet/node/a/b",
            "spiffe://hafleet/node/-a",
            "https://hafleet/node/lb01",
            "",
        ] {
            assert!(Identity::from_uri(uri).is_err(), "{uri}");
        }
        assert!(node_name(&"x".repeat(64)).is_err());
        assert!(node_name("lb01.example_1-a").is_ok());
    }
}
