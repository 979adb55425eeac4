//! The fleet's certificate authority: one ECDSA P-256 key that signs the coordinator's own certificate and every
//! client certificate.

use std::{net::IpAddr, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use sha2::{Digest, Sha256};
use x509_parser::time::ASN1Time;

use crate::identity::Identity;

/// How long the authority itself is valid.
pub const CA_LIFETIME: Duration = days(3650);
/// How long the coordinator's certificate is valid; it is made anew at a start within [`SERVER_RENEWAL`] of its end.
pub const SERVER_LIFETIME: Duration = days(365);
/// How long before its end the coordinator's certificate is replaced.
pub const SERVER_RENEWAL: Duration = days(30);
/// How long an operator's certificate is valid.
pub const USER_LIFETIME: Duration = days(365);
/// How long a node's certificate is valid unless configured.
pub const NODE_LIFETIME: Duration = days(7);

/// Server certificates begin a little in the past, because the hosts that verify them have their own clocks. Client
/// certificates are verified by the clock that dates them and begin at once.
const SERVER_BACKDATE: Duration = Duration::from_secs(3600);

/// A certificate authority that can sign.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// What an issued certificate is, besides its names.
pub struct Issued {
    /// Its serial number, hex.
    pub serial: String,
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The same as PEM.
    pub pem: String,
    /// Valid until, microseconds since the Unix epoch.
    pub not_after_us: i64,
}

/// A certificate with the key it belongs to.
pub struct IssuedWithKey {
    /// The certificate.
    pub certificate: Issued,
    /// PKCS#8, PEM.
    pub key_pem: String,
}

/// What went wrong in the authority.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The stored certificate cannot be read.
    #[error("the CA certificate is not PEM that can be read")]
    CertificatePem(#[source] rustls_pki_types::pem::Error),
    /// The stored key cannot be read or does not belong to the certificate.
    #[error("the CA's key cannot be used")]
    Key(#[source] rcgen::Error),
    /// A certificate request that is not one.
    #[error("the certificate request is not a PKCS#10 request signed by its own key")]
    Request(#[source] rcgen::Error),
    /// Signing failed.
    #[error("a certificate for {whom} could not be made")]
    Issue {
        /// For whom.
        whom: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// A date outside what X.509 can say.
    #[error("the date {at_us} us cannot stand in a certificate; is the clock right?")]
    Date {
        /// The instant.
        at_us: i64,
    },
    /// No randomness.
    #[error("the system gave no random bytes for a serial number")]
    Random(#[source] getrandom::Error),
}

impl Ca {
    /// Makes a new authority; the second value is its key as PEM.
    pub fn create(now_us: i64) -> Result<(Self, String), CaError> {
        let issue = |source| CaError::Issue { whom: "the authority".into(), source };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(issue)?;
        let key_pem = key.serialize_pem();
        let mut params = params(now_us, SERVER_BACKDATE, CA_LIFETIME)?;
        params.distinguished_name = common_name("hafleet CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(issue)?;
        let ca =
            Self { der: certificate.der().clone(), pem: certificate.pem(), issuer: Issuer::new(params, key) };
        Ok((ca, key_pem))
    }

    /// Reads an authority back.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, CaError> {
        let der =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(CaError::CertificatePem)?;
        let key = KeyPair::from_pem(key_pem).map_err(CaError::Key)?;
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(CaError::Key)?;
        Ok(Self { issuer, der, pem: certificate_pem.to_owned() })
    }

    /// The authority's certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The same as PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// SHA-256 of the certificate's DER in hex: what a join token pins.
    pub fn fingerprint(&self) -> String {
        hex(&Sha256::digest(&self.der))
    }

    /// A certificate for the coordinator, valid for these DNS names and addresses.
    pub fn issue_server(&self, names: &[ServerName], now_us: i64) -> Result<IssuedWithKey, CaError> {
        let whom = names.first().map(ToString::to_string).unwrap_or_default();
        let mut params = params(now_us, SERVER_BACKDATE, SERVER_LIFETIME)?;
        params.distinguished_name = common_name("hafleet coordinator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = names
            .iter()
            .map(ServerName::san)
            .collect::<Result<_, _>>()
            .map_err(|source| CaError::Issue { whom: whom.clone(), source })?;
        self.with_new_key(params, &whom)
    }

    /// A client certificate with a new key, for a person.
    pub fn issue_user(&self, user: &str, now_us: i64) -> Result<IssuedWithKey, CaError> {
        let identity = Identity::User(user.to_owned());
        self.with_new_key(client(&identity, USER_LIFETIME, now_us)?, &identity.to_string())
    }

    /// A client certificate for the key in a PKCS#10 request. Nothing else of the request is used: the authority
    /// writes the names.
    pub fn issue_for_request(
        &self,
        identity: &Identity,
        request_der: &[u8],
        lifetime: Duration,
        now_us: i64,
    ) -> Result<Issued, CaError> {
        let request = CertificateSigningRequestDer::from(request_der.to_vec());
        let request = CertificateSigningRequestParams::from_der(&request).map_err(CaError::Request)?;
        self.sign(client(identity, lifetime, now_us)?, &request.public_key, &identity.to_string())
    }

    fn with_new_key(&self, params: CertificateParams, whom: &str) -> Result<IssuedWithKey, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map_err(|source| CaError::Issue { whom: whom.to_owned(), source })?;
        Ok(IssuedWithKey { certificate: self.sign(params, &key, whom)?, key_pem: key.serialize_pem() })
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
        whom: &str,
    ) -> Result<Issued, CaError> {
        let mut serial = [0u8; 16];
        getrandom::fill(&mut serial).map_err(CaError::Random)?;
        // Positive, and of full length however it is encoded.
        serial[0] = (serial[0] & 0x7f) | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let not_after_us = params.not_after.unix_timestamp().saturating_mul(1_000_000);
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(|source| CaError::Issue { whom: whom.to_owned(), source })?;
        Ok(Issued {
            der: certificate.der().clone(),
            pem: certificate.pem(),
            serial: hex(&serial),
            not_after_us,
        })
    }
}

/// A name under which agents and operators reach the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerName {
    /// A DNS name.
    Dns(String),
    /// An address.
    Address(IpAddr),
}

impl ServerName {
    /// Reads one name of `--name`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match rustls_pki_types::DnsName::try_from(text) {
            Ok(name) => Ok(Self::Dns(name.as_ref().to_owned())),
            Err(_) => {
                Err(format!("`{text}` is neither a host name nor an IP address (write it without a port)"))
            }
        }
    }

    fn san(&self) -> Result<SanType, rcgen::Error> {
        Ok(match self {
            Self::Dns(name) => SanType::DnsName(name.as_str().try_into()?),
            Self::Address(address) => SanType::IpAddress(*address),
        })
    }
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn client(identity: &Identity, lifetime: Duration, now_us: i64) -> Result<CertificateParams, CaError> {
    let mut params = params(now_us, Duration::ZERO, lifetime)?;
    params.distinguished_name = common_name(&identity.to_string());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let uri = identity.uri();
    let uri =
        uri.as_str().try_into().map_err(|source| CaError::Issue { whom: identity.to_string(), source })?;
    params.subject_alt_names = vec![SanType::URI(uri)];
    Ok(params)
}

fn params(now_us: i64, backdate: Duration, lifetime: Duration) -> Result<CertificateParams, CaError> {
    let now_s = now_us.div_euclid(1_000_000);
    let date = |at_s: i64| {
        let date = ASN1Time::from_timestamp(at_s)
            .map_err(|_| CaError::Date { at_us: at_s.saturating_mul(1_000_000) });
        date.map(|date| date.to_datetime())
    };
    let mut params = CertificateParams::default();
    params.not_before = date(now_s.saturating_sub(seconds(backdate)))?;
    params.not_after = date(now_s.saturating_add(seconds(lifetime)))?;
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 86_400)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
