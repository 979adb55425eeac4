//! Mail over SMTP, one thread per incident.
//!
//! Every message of a finding refers to the same root, which is derived from the finding's id, so that mail programs
//! show them together even when the first one was lost. A message keeps its Message-ID over all attempts.

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, Tls, TlsParameters},
    },
};
use sha2::{Digest, Sha256};

use super::{Letter, NotTaken, message};
use crate::{
    config::{self, SmtpSecurity},
    identity::ca::hex,
};

/// One mail receiver.
pub struct Email {
    from: Mailbox,
    to: Vec<Mailbox>,
    transport: AsyncSmtpTransport<Tokio1Executor>,
}

impl Email {
    /// Prepares the transport; nothing is sent.
    pub fn new(config: &config::Email) -> Result<Self, String> {
        crate::tls::install_default_provider();
        let tls = match config.security {
            SmtpSecurity::None => Tls::None,
            SmtpSecurity::Starttls => Tls::Required(tls_parameters(config)?),
            SmtpSecurity::Tls => Tls::Wrapper(tls_parameters(config)?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port)
            .tls(tls)
            .timeout(Some(config.timeout));
        if let Some(account) = &config.credentials {
            transport =
                transport.credentials(Credentials::new(account.username.clone(), account.password.clone()));
        }
        Ok(Self { from: config.from.clone(), to: config.to.clone(), transport: transport.build() })
    }

    /// One attempt.
    pub async fn deliver(&self, letter: &Letter<'_>) -> Result<(), NotTaken> {
        let mail = self.mail(letter).map_err(|error| NotTaken {
            why: format!("the mail cannot be written: {error}"),
            rejected: true,
        })?;
        match self.transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let rejected = error.is_permanent();
                Err(NotTaken { why: format!("the mail server did not take it: {error}"), rejected })
            }
        }
    }

    fn mail(&self, letter: &Letter<'_>) -> Result<Message, lettre::error::Error> {
        let record = letter.record;
        let domain = self.from.email.domain();
        let incident: String = hex(&Sha256::digest(record.id.as_bytes())).chars().take(32).collect();
        let root = format!("<{incident}@{domain}>");
        let mut mail = Message::builder()
            .from(self.from.clone())
            .subject(message::headline(record))
            .message_id(Some(format!("<{incident}.{}@{domain}>", letter.id)))
            .in_reply_to(root.clone())
            .references(root)
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        mail.body(message::text(record, letter.now_us))
    }
}

fn tls_parameters(config: &config::Email) -> Result<TlsParameters, String> {
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(pem) = &config.ca_pem {
        let certificate = Certificate::from_pem(pem).map_err(|error| format!("`ca` is not PEM: {error}"))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    parameters.build().map_err(|error| format!("no TLS for {}: {error}", config.host))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::notify::message::tests::split_brain;

    fn formatted(status: &str, id: i64) -> String {
        let config = config::Email {
            host: "mail.example.org".into(),
            port: 25,
            security: SmtpSecurity::None,
            credentials: None,
            from: "hafleet@example.org".parse().unwrap(),
            to: vec!["ops@example.org".parse().unwrap()],
            ca_pem: None,
            timeout: Duration::from_secs(1),
        };
        let record = split_brain(status);
        let letter = Letter { id, record: &record, external_url: "", now_us: 1_700_000_002_000_000 };
        String::from_utf8(Email::new(&config).unwrap().mail(&letter).unwrap().formatted()).unwrap()
    }

    fn header<'a>(mail: &'a str, name: &str) -> &'a str {
        mail.lines().find_map(|line| line.strip_prefix(name)).unwrap()
    }

    #[tokio::test]
    async fn one_incident_is_one_thread() {
        let (first, second) = (formatted("firing", 1), formatted("resolved", 2));
        assert_eq!(header(&first, "References: "), header(&second, "References: "));
        assert_eq!(header(&first, "In-Reply-To: "), header(&second, "In-Reply-To: "));
        assert_ne!(header(&first, "Message-ID: "), header(&second, "Message-ID: "));
        assert_eq!(header(&first, "Message-ID: "), header(&formatted("firing", 1), "Message-ID: "));
        assert!(header(&second, "Subject: ").contains("RESOLVED"));
    }
}
