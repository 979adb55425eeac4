//! A new key and the request to have it certified. The key never leaves this host.

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// An ECDSA P-256 key and its PKCS#10 request.
pub struct KeyAndRequest {
    /// The key.
    pub key: PrivateKeyDer<'static>,
    /// The request, DER. The coordinator takes only the public key from it and writes the names itself.
    pub request_der: Vec<u8>,
}

impl KeyAndRequest {
    /// Makes both.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        Ok(Self {
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            request_der: request.der().to_vec(),
        })
    }
}
