//! Handshakes that came to nothing: why, how often, and a bounded record of them.

use std::{
    io,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use rustls::{AlertDescription, CertificateError, Error as TlsError, PeerIncompatible};

use crate::audit::{AuditLog, Refusal};

/// Why a handshake was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Reason {
    /// The client certificate has ended.
    Expired,
    /// The client certificate has not begun.
    NotYetValid,
    /// The client certificate is not of our CA.
    ForeignCa,
    /// The client certificate is of our CA but names nobody.
    NamesNobody,
    /// The client certificate is wrong in another way.
    BadCertificate,
    /// The peer does not speak TLS at all.
    NoTls,
    /// The peer speaks TLS, but not 1.3.
    OldTls,
    /// The peer refused us.
    RefusedByPeer,
    /// The peer went away in the middle.
    Closed,
    /// The peer took too long.
    TimedOut,
    /// Too many connections.
    TooMany,
    /// A connection without a certificate said more than `Enroll` needs.
    TooMuch,
    /// Anything else.
    Other,
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Expired,
        Self::NotYetValid,
        Self::ForeignCa,
        Self::NamesNobody,
        Self::BadCertificate,
        Self::NoTls,
        Self::OldTls,
        Self::RefusedByPeer,
        Self::Closed,
        Self::TimedOut,
        Self::TooMany,
        Self::TooMuch,
        Self::Other,
    ];

    /// A stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::ForeignCa => "foreign_ca",
            Self::NamesNobody => "names_nobody",
            Self::BadCertificate => "bad_certificate",
            Self::NoTls => "no_tls",
            Self::OldTls => "old_tls",
            Self::RefusedByPeer => "refused_by_peer",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
            Self::TooMany => "too_many",
            Self::TooMuch => "too_much",
            Self::Other => "other",
        }
    }

    /// What it means and what to do.
    fn explanation(self) -> &'static str {
        match self {
            Self::Expired => "the client certificate has expired; join the node again with a new token",
            Self::NotYetValid => "the client certificate is not valid yet; compare the clocks",
            Self::ForeignCa => {
                "the client certificate was not issued by this coordinator's CA; join the node again with a token of \
                 this coordinator"
            }
            Self::NamesNobody => "the client certificate is of this CA but names neither a node nor a user",
            Self::BadCertificate => "the client certificate cannot be accepted",
            Self::NoTls => "the peer does not speak TLS on this port",
            Self::OldTls => "the peer offers no TLS 1.3",
            Self::RefusedByPeer => {
                "the peer refused the coordinator's certificate: does it trust this CA, and is the name it connects \
                 to among those given to `ha-coordinator init --name`?"
            }
            Self::Closed => "the peer closed the connection during the handshake",
            Self::TimedOut => "the handshake took too long",
            Self::TooMany => "there are too many connections",
            Self::TooMuch => {
                "a peer without a certificate sent more than it takes to join; the connection was cut"
            }
            Self::Other => "the handshake failed",
        }
    }

    /// Reads the reason out of a failed handshake.
    pub fn of(error: &io::Error) -> Self {
        let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
            return if error.kind() == io::ErrorKind::TimedOut { Self::TimedOut } else { Self::Closed };
        };
        match tls {
            TlsError::InvalidCertificate(certificate) => Self::of_certificate(certificate),
            TlsError::PeerIncompatible(
                PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::Tls13RequiredForQuic
                | PeerIncompatible::SupportedVersionsExtensionRequired,
            ) => Self::OldTls,
            TlsError::InvalidMessage(_) => Self::NoTls,
            TlsError::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
                Self::Closed
            }
            TlsError::AlertReceived(_) => Self::RefusedByPeer,
            _ => Self::Other,
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::UnknownIssuer | CertificateError::BadSignature => Self::ForeignCa,
            _ => Self::BadCertificate,
        }
    }
}

/// Counts refusals and has a bounded number of them written down.
pub struct RefusedHandshakes {
    counts: [AtomicU64; Reason::ALL.len()],
    audit: AuditLog,
}

impl RefusedHandshakes {
    /// Nothing refused yet.
    pub fn new(audit: AuditLog) -> Self {
        Self { counts: Default::default(), audit }
    }

    /// How many were refused for one reason since the start.
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// One more; `detail` is what the library says.
    pub fn record(&self, peer: SocketAddr, reason: Reason, detail: &str) {
        if let Some(count) = self.counts.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let explanation = reason.explanation();
        if reason == Reason::Closed {
            // A connection that just goes away is what port checks do: no row, no warning.
            tracing::debug!(%peer, "{explanation} ({detail})");
            return;
        }
        let detail = format!("{explanation} ({detail})");
        self.audit.note_refusal(Refusal {
            actor: &peer.to_string(),
            action: "tls",
            reason: reason.code(),
            subject: "",
            detail: &detail,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_number() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }
}
