//! The file as it is written, and its way into [`Config`].

use std::{collections::BTreeSet, fs, net::SocketAddr, ops::Range, path::Path, str::FromStr, time::Duration};

use hafleet_fleet::Windows;
use jiff::{Span, SpanRelativeTo};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, DEFAULT_DATA_DIR, DEFAULT_LISTEN, Email, Problem, Problems, Receiver, ReceiverKind,
    SmtpCredentials, SmtpSecurity, Webhook,
    fencing::{self, RawFencing},
    windows,
};
use crate::{
    identity::{self, ca::NODE_LIFETIME},
    store::{DatabaseUrl, DatabaseUrlError},
};

const TOP_KEYS: &[&str] = &[
    "listen",
    "data_dir",
    "database",
    "node_certificate_lifetime",
    "external_url",
    "windows",
    "receiver",
    "fencing",
];
const WINDOW_KEYS: &[&str] =
    &["fresh", "grace", "agent_lost", "split_brain", "suspected_critical", "no_master", "resolve", "probe"];
const RECEIVER_KEYS: &[&str] = &[
    "name",
    "type",
    "url",
    "timeout",
    "ca",
    "smtp",
    "port",
    "security",
    "username",
    "password",
    "password_file",
    "from",
    "to",
];

const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    listen: Option<Spanned<String>>,
    data_dir: Option<Spanned<String>>,
    database: Option<Spanned<String>>,
    node_certificate_lifetime: Option<Spanned<String>>,
    external_url: Option<Spanned<String>>,
    #[serde(default)]
    windows: RawWindows,
    #[serde(default)]
    receiver: Vec<RawReceiver>,
    #[serde(default)]
    fencing: RawFencing,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWindows {
    fresh: Option<Spanned<String>>,
    grace: Option<Spanned<String>>,
    agent_lost: Option<Spanned<String>>,
    split_brain: Option<Spanned<String>>,
    suspected_critical: Option<Spanned<String>>,
    no_master: Option<Spanned<String>>,
    resolve: Option<Spanned<String>>,
    probe: Option<Spanned<String>>,
}

impl RawWindows {
    /// Where the value of a key stands, if it is written at all.
    fn place(&self, key: &str) -> Option<Range<usize>> {
        let value = match key {
            "fresh" => &self.fresh,
            "grace" => &self.grace,
            "agent_lost" => &self.agent_lost,
            "split_brain" => &self.split_brain,
            "suspected_critical" => &self.suspected_critical,
            "no_master" => &self.no_master,
            "resolve" => &self.resolve,
            "probe" => &self.probe,
            _ => &None,
        };
        value.as_ref().map(Spanned::span)
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawReceiver {
    name: Spanned<String>,
    r#type: Spanned<String>,
    url: Option<Spanned<String>>,
    timeout: Option<Spanned<String>>,
    ca: Option<Spanned<String>>,
    smtp: Option<Spanned<String>>,
    port: Option<Spanned<u16>>,
    security: Option<Spanned<String>>,
    username: Option<Spanned<String>>,
    password: Option<Spanned<String>>,
    password_file: Option<Spanned<String>>,
    from: Option<Spanned<String>>,
    to: Option<Vec<Spanned<String>>>,
}

/// Reads the text; every problem is found, not only the first.
pub(super) fn parse(text: &str, file: &Path) -> Result<Config, Problems> {
    let mut reader = Reader { text, dir: file.parent().unwrap_or(Path::new(".")), problems: Vec::new() };
    let config = reader.read();
    match config {
        Some(config) if reader.problems.is_empty() => Ok(config),
        Some(_) | None => Err(Problems::new(file, reader.problems)),
    }
}

pub(super) struct Reader<'a> {
    text: &'a str,
    pub(super) dir: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn read(&mut self) -> Option<Config> {
        let document = match DeTable::parse(self.text) {
            Ok(document) => document,
            Err(error) => {
                self.problem(&error.span().unwrap_or(0..0), error.message().to_owned());
                return None;
            }
        };
        self.check_keys(document.get_ref());
        if !self.problems.is_empty() {
            return None;
        }
        let raw: RawConfig = match toml::from_str(self.text) {
            Ok(raw) => raw,
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                let key =
                    key_at(document.get_ref(), &span).map(|key| format!("`{key}`: ")).unwrap_or_default();
                self.problem(&span, format!("{key}{}", error.message()));
                return None;
            }
        };
        Some(self.config(raw))
    }

    fn config(&mut self, raw: RawConfig) -> Config {
        let windows = self.windows(&raw.windows);
        Config {
            listen: self.listen(raw.listen.as_ref()),
            data_dir: raw
                .data_dir
                .map_or_else(|| DEFAULT_DATA_DIR.into(), |dir| self.dir.join(dir.get_ref())),
            database: raw.database.as_ref().and_then(|database| self.database(database)),
            node_certificate_lifetime: self.lifetime(raw.node_certificate_lifetime.as_ref()),
            external_url: raw.external_url.map(Spanned::into_inner).unwrap_or_default(),
            windows,
            receivers: self.receivers(raw.receiver),
            fencing: self.fencing(raw.fencing),
        }
    }

    fn windows(&mut self, raw: &RawWindows) -> Windows {
        let default = Windows::default();
        let read = self.problems.len();
        let windows = Windows {
            fresh: self.duration("windows.fresh", raw.fresh.as_ref(), default.fresh),
            grace: self.duration("windows.grace", raw.grace.as_ref(), default.grace),
            agent_lost: self.duration("windows.agent_lost", raw.agent_lost.as_ref(), default.agent_lost),
            split_brain: self.duration("windows.split_brain", raw.split_brain.as_ref(), default.split_brain),
            suspected_critical: self.duration(
                "windows.suspected_critical",
                raw.suspected_critical.as_ref(),
                default.suspected_critical,
            ),
            no_master: self.duration("windows.no_master", raw.no_master.as_ref(), default.no_master),
            resolve: self.duration("windows.resolve", raw.resolve.as_ref(), default.resolve),
            probe: self.duration("windows.probe", raw.probe.as_ref(), default.probe),
        };
        // What could not be read is its default by now, of which nothing is to be said.
        let wrong = if self.problems.len() == read { windows::wrong(&windows) } else { Vec::new() };
        for windows::WrongWindow { key, other, why } in wrong {
            let place = raw.place(key).or_else(|| other.and_then(|other| raw.place(other)));
            self.problem(&place.unwrap_or_default(), format!("`windows.{key}`: {why}"));
        }
        windows
    }

    fn listen(&mut self, listen: Option<&Spanned<String>>) -> SocketAddr {
        let text = listen.map_or(DEFAULT_LISTEN, |listen| listen.get_ref());
        match (SocketAddr::from_str(text), listen) {
            (Ok(address), _) => address,
            (Err(_), listen) => {
                let span = listen.map(Spanned::span).unwrap_or_default();
                self.problem(
                    &span,
                    format!("`listen`: `{text}` is not ADDRESS:PORT, such as \"{DEFAULT_LISTEN}\""),
                );
                SocketAddr::from(([0, 0, 0, 0], 7443))
            }
        }
    }

    fn database(&mut self, database: &Spanned<String>) -> Option<DatabaseUrl> {
        match database.get_ref().parse() {
            Ok(url) => Some(url),
            Err(error) => {
                let error: DatabaseUrlError = error;
                self.problem(&database.span(), format!("`database`: {error}"));
                None
            }
        }
    }

    fn lifetime(&mut self, lifetime: Option<&Spanned<String>>) -> Duration {
        let range = Duration::from_secs(600)..=Duration::from_secs(366 * 86_400);
        let value = self.duration("node_certificate_lifetime", lifetime, NODE_LIFETIME);
        if let Some(lifetime) = lifetime
            && !range.contains(&value)
        {
            self.problem(&lifetime.span(), "`node_certificate_lifetime`: expected 10m to 366d".to_owned());
        }
        value
    }

    fn receivers(&mut self, raw: Vec<RawReceiver>) -> Vec<Receiver> {
        let mut names = BTreeSet::new();
        let mut receivers = Vec::new();
        for raw in raw {
            if let Err(error) = identity::user_name(raw.name.get_ref()) {
                self.problem(&raw.name.span(), format!("`receiver.name`: {error}"));
            }
            if !names.insert(raw.name.get_ref().clone()) {
                let message =
                    format!("`receiver.name`: there is already a receiver `{}`", raw.name.get_ref());
                self.problem(&raw.name.span(), message);
            }
            if let Some(kind) = self.receiver_kind(&raw) {
                receivers.push(Receiver { name: raw.name.into_inner(), kind });
            }
        }
        receivers
    }

    fn receiver_kind(&mut self, raw: &RawReceiver) -> Option<ReceiverKind> {
        match raw.r#type.get_ref().as_str() {
            "log" => {
                self.only(raw, &[]);
                Some(ReceiverKind::Log)
            }
            "webhook" => {
                self.only(raw, &["url", "ca", "timeout"]);
                let url = self.required(raw, "url", raw.url.as_ref())?;
                let parsed = reqwest::Url::parse(url.get_ref()).ok();
                if !parsed.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
                    self.problem(
                        &url.span(),
                        "`receiver.url`: expected http://HOST… or https://HOST…".to_owned(),
                    );
                }
                let ca_pem = self.authorities("receiver.ca", raw.ca.as_ref());
                let timeout = self.duration("receiver.timeout", raw.timeout.as_ref(), TIMEOUT_DEFAULT);
                Some(ReceiverKind::Webhook(Webhook { url: url.get_ref().clone(), ca_pem, timeout }))
            }
            "email" => self.email(raw).map(|email| ReceiverKind::Email(Box::new(email))),
            other => {
                let near = nearest(other, &["log", "webhook", "email"]);
                let message = format!("`receiver.type`: `{other}` is none of log, webhook, email{near}");
                self.problem(&raw.r#type.span(), message);
                None
            }
        }
    }

    fn email(&mut self, raw: &RawReceiver) -> Option<Email> {
        self.only(
            raw,
            &[
                "smtp",
                "port",
                "security",
                "username",
                "password",
                "password_file",
                "from",
                "to",
                "ca",
                "timeout",
            ],
        );
        let host = self.required(raw, "smtp", raw.smtp.as_ref());
        let from = self
            .required(raw, "from", raw.from.as_ref())
            .and_then(|from| self.mailbox("receiver.from", from));
        let security = match raw.security.as_ref().map(|security| security.get_ref().as_str()) {
            None | Some("starttls") => SmtpSecurity::Starttls,
            Some("tls") => SmtpSecurity::Tls,
            Some("none") => SmtpSecurity::None,
            Some(other) => {
                let message = format!("`receiver.security`: `{other}` is none of starttls, tls, none");
                self.problem(&raw.security.as_ref().map(Spanned::span).unwrap_or_default(), message);
                SmtpSecurity::Starttls
            }
        };
        let default_port = match security {
            SmtpSecurity::Starttls => 587,
            SmtpSecurity::Tls => 465,
            SmtpSecurity::None => 25,
        };
        let mut to = Vec::new();
        for address in raw.to.iter().flatten() {
            to.extend(self.mailbox("receiver.to", address));
        }
        if raw.to.as_ref().is_none_or(Vec::is_empty) {
            let message = "receiver of type `email` needs `to = [\"ADDRESS\", …]`".to_owned();
            self.problem(&raw.r#type.span(), message);
        }
        Some(Email {
            host: host?.get_ref().clone(),
            port: raw.port.as_ref().map_or(default_port, |port| *port.get_ref()),
            security,
            credentials: self.credentials(raw),
            from: from?,
            to,
            ca_pem: self.authorities("receiver.ca", raw.ca.as_ref()),
            timeout: self.duration("receiver.timeout", raw.timeout.as_ref(), TIMEOUT_DEFAULT),
        })
    }

    fn credentials(&mut self, raw: &RawReceiver) -> Option<SmtpCredentials> {
        let password = match (&raw.password, &raw.password_file) {
            (Some(_), Some(file)) => {
                let message =
                    "`receiver.password_file`: give either `password` or `password_file`".to_owned();
                self.problem(&file.span(), message);
                None
            }
            (Some(password), None) => Some(password.get_ref().clone()),
            (None, file) => self
                .file("receiver.password_file", file.as_ref())
                .map(|bytes| String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()),
        };
        match (&raw.username, password) {
            (Some(username), Some(password)) => {
                Some(SmtpCredentials { username: username.get_ref().clone(), password })
            }
            (Some(username), None) => {
                let message = "`receiver.username`: needs `password` or `password_file` too".to_owned();
                self.problem(&username.span(), message);
                None
            }
            (None, Some(_)) => {
                self.problem(&raw.name.span(), "receiver has a password but no `username`".to_owned());
                None
            }
            (None, None) => None,
        }
    }

    fn mailbox(&mut self, key: &str, address: &Spanned<String>) -> Option<lettre::message::Mailbox> {
        let mailbox = address.get_ref().parse();
        if mailbox.is_err() {
            let message =
                format!("`{key}`: `{}` is not a mail address such as \"ops@example.org\"", address.get_ref());
            self.problem(&address.span(), message);
        }
        mailbox.ok()
    }

    fn required<'r>(
        &mut self,
        raw: &RawReceiver,
        key: &str,
        value: Option<&'r Spanned<String>>,
    ) -> Option<&'r Spanned<String>> {
        if value.is_none() {
            let message = format!("receiver of type `{}` needs `{key}`", raw.r#type.get_ref());
            self.problem(&raw.r#type.span(), message);
        }
        value
    }

    /// A key that has no meaning for a type is a mistake, not a decoration.
    fn only(&mut self, raw: &RawReceiver, allowed: &[&str]) {
        let given = [
            ("url", raw.url.as_ref().map(Spanned::span)),
            ("timeout", raw.timeout.as_ref().map(Spanned::span)),
            ("ca", raw.ca.as_ref().map(Spanned::span)),
            ("smtp", raw.smtp.as_ref().map(Spanned::span)),
            ("port", raw.port.as_ref().map(Spanned::span)),
            ("security", raw.security.as_ref().map(Spanned::span)),
            ("username", raw.username.as_ref().map(Spanned::span)),
            ("password", raw.password.as_ref().map(Spanned::span)),
            ("password_file", raw.password_file.as_ref().map(Spanned::span)),
            ("from", raw.from.as_ref().map(Spanned::span)),
            (
                "to",
                raw.to.as_ref().map(|to| to.first().map(Spanned::span).unwrap_or_else(|| raw.name.span())),
            ),
        ];
        for (key, span) in given {
            if let Some(span) = span
                && !allowed.contains(&key)
            {
                let message = format!("`receiver.{key}` has no meaning for type `{}`", raw.r#type.get_ref());
                self.problem(&span, message);
            }
        }
    }

    fn file(&mut self, key: &str, path: Option<&Spanned<String>>) -> Option<Vec<u8>> {
        let path = path?;
        let full = self.dir.join(path.get_ref());
        match fs::read(&full) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.problem(&path.span(), format!("`{key}`: cannot read {}: {error}", full.display()));
                None
            }
        }
    }

    /// A file of certificates that can be trusted.
    fn authorities(&mut self, key: &str, path: Option<&Spanned<String>>) -> Option<Vec<u8>> {
        let bytes = self.file(key, path)?;
        let mut roots = RootCertStore::empty();
        let wrong = CertificateDer::pem_slice_iter(&bytes)
            .try_for_each(|certificate| {
                let certificate = certificate.map_err(|error| error.to_string())?;
                roots.add(certificate).map_err(|error| error.to_string())
            })
            .err()
            .or_else(|| roots.is_empty().then(|| "there is no `-----BEGIN CERTIFICATE-----`".to_owned()));
        if let (Some(wrong), Some(path)) = (wrong, path) {
            let message = format!(
                "`{key}`: {} holds no CA certificates as PEM: {wrong}",
                self.dir.join(path.get_ref()).display()
            );
            self.problem(&path.span(), message);
        }
        Some(bytes)
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        value: Option<&Spanned<String>>,
        default: Duration,
    ) -> Duration {
        let Some(value) = value else { return default };
        let parsed = Span::from_str(value.get_ref())
            .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| !duration.is_zero());
        if parsed.is_none() {
            let message = format!(
                "`{key}`: `{}` is not a duration such as \"500ms\", \"3s\", \"1h\" or \"7d\"",
                value.get_ref()
            );
            self.problem(&value.span(), message);
        }
        parsed.unwrap_or(default)
    }

    fn check_keys(&mut self, table: &DeTable<'_>) {
        self.known(table, TOP_KEYS, "");
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("fencing", DeValue::Table(table)) => fencing::check_keys(self, table),
                ("windows", DeValue::Table(windows)) => self.known(windows, WINDOW_KEYS, "windows."),
                ("receiver", DeValue::Array(receivers)) => {
                    for receiver in receivers.iter() {
                        if let DeValue::Table(receiver) = receiver.get_ref() {
                            self.known(receiver, RECEIVER_KEYS, "receiver.");
                        }
                    }
                }
                (_, _) => {}
            }
        }
    }

    pub(super) fn known(&mut self, table: &DeTable<'_>, known: &[&str], prefix: &str) {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let near = nearest(name, known);
                self.problem(&key.span(), format!("unknown key `{prefix}{name}`{near}"));
            }
        }
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, message: String) {
        self.problems.push(Problem::at(self.text, span, message));
    }
}

/// `; did you mean `x`?` for the nearest known word, or all of them when none is near.
pub(super) fn nearest(word: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= word.len().max(3) / 2);
    match near {
        Some((_, candidate)) => format!("; did you mean `{candidate}`?"),
        None => format!("; known are {}", known.join(", ")),
    }
}

/// The dotted key whose value covers `span`.
fn key_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let covers = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, span),
            DeValue::Array(items) => items.iter().find_map(|item| match item.get_ref() {
                DeValue::Table(inner) => key_at(inner, span),
                _ => None,
            }),
            _ => None,
        };
        if let Some(inner) = inner {
            return Some(format!("{name}.{inner}"));
        }
        if covers(&value.span()) {
            return Some(name.to_owned());
        }
    }
    None
}
