//! What a client certificate says once its chain has been verified.

use std::net::IpAddr;

use rustls_pki_types::{CertificateDer, pem::PemObject};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::identity::{Identity, NameError, ca::ServerName};

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
    #[error(
        "the certificate has {count} URI names; a client certificate of this coordinator has exactly one"
    )]
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

/// The coordinator's own certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Whom it names.
    pub names: Vec<ServerName>,
    /// Valid until, microseconds since the Unix epoch.
    pub not_after_us: i64,
}

/// Reads the coordinator's own certificate.
pub fn parse_server(pem: &str) -> Result<ServerCertificate, CertificateError> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| CertificateError::Encoding)?;
    let (_, certificate) = parse_x509_certificate(&der).map_err(|_| CertificateError::Encoding)?;
    let names = certificate.subject_alternative_name().map_err(|_| CertificateError::Encoding)?;
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(ServerName::Dns((*name).to_owned())),
        GeneralName::IPAddress(bytes) => address(bytes).map(ServerName::Address),
        _ => None,
    });
    Ok(ServerCertificate {
        names: names.collect(),
        not_after_us: certificate.validity().not_after.timestamp().saturating_mul(1_000_000),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}
