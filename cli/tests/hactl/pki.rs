//! A CA, and certificates good and bad.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

/// A CA of our own.
pub struct Ca {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert: String,
    pub key: String,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// For a coordinator on loopback.
    pub fn server(&self) -> Identity {
        self.issue(vec![SanType::IpAddress([127, 0, 0, 1].into())], 2099)
    }

    /// For a coordinator whose certificate is over.
    pub fn expired_server(&self) -> Identity {
        self.issue(vec![SanType::IpAddress([127, 0, 0, 1].into())], 2021)
    }

    /// For a coordinator elsewhere.
    pub fn server_of(&self, name: &str) -> Identity {
        self.issue(vec![SanType::DnsName(name.try_into().unwrap())], 2099)
    }

    /// For a person.
    pub fn user(&self, name: &str) -> Identity {
        self.issue(vec![uri(name)], 2099)
    }

    /// For a person whose certificate is over.
    pub fn expired_user(&self, name: &str) -> Identity {
        self.issue(vec![uri(name)], 2021)
    }

    fn issue(&self, names: Vec<SanType>, until: i32) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = named("test");
        params.subject_alt_names = names;
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity { cert: cert.pem(), key: key.serialize_pem() }
    }
}

fn uri(user: &str) -> SanType {
    SanType::URI(format!("spiffe://hafleet/user/{user}").try_into().unwrap())
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
