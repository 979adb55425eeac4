//! What our own certificate says.

use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// Who a certificate names and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `spiffe://hafleet/user/admin`
    pub uri: Option<String>,
    /// The end of its life.
    pub not_after_us: i64,
}

impl Identity {
    /// As far as it can be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let uri = names.and_then(|names| {
            names.value.general_names.iter().find_map(|name| {
                if let GeneralName::URI(uri) = name { Some((*uri).to_owned()) } else { None }
            })
        });
        Some(Self {
            uri,
            not_after_us: certificate.validity().not_after.timestamp().saturating_mul(1_000_000),
        })
    }
}
