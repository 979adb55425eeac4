//! What a client certificate says once its chain has been verified.

use rustls_pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::identity::{Identity, NameError};

/// The facts of a verified client certificate that are checked again while its stream lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Whom it names.
    pub identity: Identity,
    /// Valid from, microseconds since the Unix epoch.
    pub not_before_us: i64,
    /// Valid until, microseconds since the Unix epoch.
    pub not_after_us: i64,
    /// Its serial number, hex.
    pub serial: String,
}

/// Why a certificate names nobody we know how to serve.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Not X.509.
    #[error("the certificate cannot be read as X.509")]
    Encoding,
    /// Not exactly one URI.
    #[error("the certificate has {count} URI names; a client certificate of this coordinator has exactly one")]
    Uris {
        /// How many it has.
        count: usize,
    },
    /// The URI is not ours.
    #[error("the certificate names nobody")]
    Name(#[from] NameError),
}

/// Reads the identity out of a certificate. The chain must have been verified before.
pub fn parse(der: &CertificateDer<'_>) -> Result<ClientCertificate, CertificateError> {
    let (rest, certificate) = parse_x509_certificate(der).map_err(|_| CertificateError::Encoding)?;
    if !rest.is_empty() {
        return Err(CertificateError::Encoding);
    }
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::Encoding)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    let [uri] = uris[..] else {
        return Err(CertificateError::Uris { count: uris.len() });
    };
    Ok(ClientCertificate {
        identity: Identity::from_uri(uri)?,
        not_before_us: certificate.validity().not_before.timestamp().saturating_mul(1_000_000),
        not_after_us: certificate.validity().not_after.timestamp().saturating_mul(1_000_000),
        serial: certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}
