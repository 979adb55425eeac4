//! Why a coordinator did not answer.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{AlertDescription, CertificateError, InvalidMessage};

use crate::{address::Address, look::clean};

/// What became of a connection.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The name has no address.
    #[error("the name {host} does not resolve")]
    Unresolved {
        /// The name.
        host: String,
        /// The resolver's words.
        #[source]
        source: io::Error,
    },
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// There is no way there.
    #[error("cannot connect")]
    Unreachable(#[source] io::Error),
    /// Whoever answered is not certified by the context's CA.
    #[error("TLS: the certificate it presents is from an unknown CA, not from the CA of this context")]
    UnknownCa,
    /// The coordinator's certificate is over.
    #[error("TLS: the certificate it presents has expired")]
    Expired,
    /// The coordinator's certificate is not valid yet.
    #[error("TLS: the certificate it presents is not valid yet")]
    NotYetValid,
    /// The certificate is for other names.
    #[error("TLS: the certificate it presents is not for {host}{}", presented(names))]
    WrongName {
        /// The name asked for.
        host: String,
        /// The names it is for.
        names: Vec<String>,
    },
    /// The certificate has another defect.
    #[error("TLS: the certificate it presents is not acceptable: {0}")]
    BadCertificate(CertificateError),
    /// The coordinator does not accept our certificate.
    #[error("TLS: it refuses the certificate of this context: {}", alert_words(*.0))]
    OurCertificate(AlertDescription),
    /// The port speaks something else.
    #[error("it does not speak TLS")]
    NotTls,
    /// TLS failed in another way.
    #[error("TLS failed")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// HTTP/2 or gRPC broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The coordinator says that it cannot answer now.
    #[error("it cannot answer now: {}", clean(.0))]
    Unavailable(String),
    /// No answer in its share of the time.
    #[error("no answer within {:.1} s", .0.as_secs_f64())]
    TimedOut(Duration),
}

impl Fault {
    /// Of an attempt to connect.
    pub fn unreachable(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Unreachable(error)
        }
    }

    /// Of a handshake with `address`.
    pub fn of_io(error: io::Error, address: &Address) -> Self {
        match tls_error(&error) {
            Some(rustls::Error::InvalidCertificate(error)) => Self::of_certificate(error.clone(), address),
            Some(_) | None => Self::of_stream(error),
        }
    }

    /// Of an open connection.
    pub fn of_stream(error: io::Error) -> Self {
        match tls_error(&error).cloned() {
            Some(rustls::Error::AlertReceived(alert)) if blames_us(alert) => Self::OurCertificate(alert),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => Self::NotTls,
            Some(error) => Self::Tls(error),
            None => Self::Lost(error),
        }
    }

    fn of_certificate(error: CertificateError, address: &Address) -> Self {
        use CertificateError as E;
        if matches!(error, E::UnknownIssuer | E::BadSignature) {
            return Self::UnknownCa;
        }
        if matches!(error, E::Expired | E::ExpiredContext { .. }) {
            return Self::Expired;
        }
        if matches!(error, E::NotValidYet | E::NotValidYetContext { .. }) {
            return Self::NotYetValid;
        }
        match error {
            E::NotValidForNameContext { presented: names, .. } => {
                Self::WrongName { host: address.host(), names }
            }
            E::NotValidForName => Self::WrongName { host: address.host(), names: Vec::new() },
            error => Self::BadCertificate(error),
        }
    }

    /// It was reached, and does not want us.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::OurCertificate(_))
    }

    /// What to do.
    pub fn next(&self, address: &Address) -> String {
        match self {
            Self::Unresolved { .. } => {
                "Check the name; `hactl context show` prints the coordinators, --coordinator HOST:PORT says another."
                    .to_owned()
            }
            Self::Refused => format!(
                "Check that ha-coordinator runs on {} and listens on port {} (`systemctl status ha-coordinator`); \
                 --coordinator HOST:PORT says another address.",
                address.host(),
                address.port()
            ),
            Self::Unreachable(_) | Self::Lost(_) | Self::Broken(_) => format!(
                "Check the way to {}: is the host up, does a firewall let port {} through?",
                address.host(),
                address.port()
            ),
            Self::UnknownCa => "Somebody else answers there, or the coordinator was set up anew. If that was done on \
                                purpose, add its new context: hactl context add FILE --yes."
                .to_owned(),
            Self::Expired | Self::NotYetValid => {
                "Compare this host's clock with the coordinator's; if both are right, restart the coordinator to \
                 renew its certificate."
                    .to_owned()
            }
            Self::WrongName { names, .. } => match names.first() {
                Some(name) => format!("Use the name it is for: --coordinator {}", said_name(name, address)),
                None => "Use a name that `ha-coordinator init --name` was given.".to_owned(),
            },
            Self::OurCertificate(_) => "Ask the fleet's admin for a new context file, then: hactl context add FILE \
                                        --yes. `hactl context show` says who you are and until when."
                .to_owned(),
            Self::NotTls => format!(
                "Port {} is not the coordinator's gRPC port, which is {} by default.",
                address.port(),
                crate::address::DEFAULT_PORT
            ),
            Self::BadCertificate(_) | Self::Tls(_) => {
                "Check that a hafleet coordinator with TLS 1.3 listens there; its log says why it ended the handshake."
                    .to_owned()
            }
            Self::Unavailable(_) => "Try again; the coordinator's log says more.".to_owned(),
            Self::TimedOut(_) => "Allow more time with --timeout 30s; `ping` the host; look whether a firewall drops \
                                  packets to it."
                .to_owned(),
        }
    }
}

/// The last fault of a connection, which tonic's errors no longer carry in full.
#[derive(Clone, Debug, Default)]
pub struct FaultCell(Arc<Mutex<Option<Fault>>>);

impl FaultCell {
    /// Keep the first until it is taken.
    pub fn put(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(fault);
    }

    /// Take it.
    pub fn take(&self) -> Option<Fault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|inner| inner.downcast_ref())
}

fn blames_us(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    [
        A::BadCertificate,
        A::UnsupportedCertificate,
        A::CertificateRevoked,
        A::CertificateExpired,
        A::CertificateUnknown,
        A::UnknownCA,
        A::AccessDenied,
        A::DecryptError,
        A::CertificateRequired,
    ]
    .contains(&alert)
}

fn alert_words(alert: AlertDescription) -> String {
    use AlertDescription as A;
    [
        (A::CertificateRevoked, "it was revoked"),
        (A::CertificateExpired, "it has expired"),
        (A::UnknownCA, "it is not from the coordinator's CA"),
        (A::DecryptError, "it is not from the coordinator's CA"),
        (A::BadCertificate, "it is not one that a hafleet coordinator issues"),
        (A::CertificateUnknown, "it is not one that a hafleet coordinator issues"),
        (A::AccessDenied, "access denied"),
        (A::CertificateRequired, "it has none"),
    ]
    .into_iter()
    .find(|(known, _)| *known == alert)
    .map_or_else(|| format!("{alert:?}"), |(_, words)| words.to_owned())
}

fn presented(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(", only for {}", clean(&names.join(", "))) }
}

/// A subject name as webpki prints it (`DnsName("coord1")`, `IpAddress(10.0.0.1)`), as an address.
fn said_name(name: &str, address: &Address) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    format!("{}:{}", clean(inner.trim_matches('"')), address.port())
}
