//! An HTTP POST in the shape of Alertmanager's webhook, version 4, so that existing bridges work unchanged.
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use std::collections::BTreeMap;

use reqwest::{Client, StatusCode, redirect};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{Letter, NotTaken, message};
use crate::{clock::rfc3339, config, finding::Record, identity::ca::hex};

/// What Alertmanager sends for an alert that has not ended.
const NOT_ENDED: &str = "0001-01-01T00:00:00Z";

/// One webhook.
pub struct Webhook {
    receiver: String,
    url: String,
    client: Client,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    version: &'static str,
    group_key: String,
    truncated_alerts: u32,
    status: &'static str,
    receiver: &'a str,
    group_labels: BTreeMap<&'static str, &'a str>,
    common_labels: BTreeMap<&'static str, &'a str>,
    common_annotations: BTreeMap<&'static str, String>,
    #[serde(rename = "externalURL")]
    external_url: &'a str,
    alerts: [Alert<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Alert<'a> {
    status: &'static str,
    labels: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
    fingerprint: String,
}

impl Webhook {
    /// Prepares the client; nothing is sent.
    pub fn new(receiver: &str, config: &config::Webhook) -> Result<Self, String> {
        crate::tls::install_default_provider();
        // Nobody told us to follow a redirect, or to ask a proxy of the environment, with what may be confidential.
        let mut client =
            Client::builder().timeout(config.timeout).redirect(redirect::Policy::none()).no_proxy();
        if let Some(pem) = &config.ca_pem {
            let certificates = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| format!("`ca` is not PEM: {error}"))?;
            client = client.tls_certs_only(certificates);
        } else if config.url.starts_with("http://") {
            client = client.tls_certs_only([]);
        }
        let client = client.build().map_err(|error| format!("no HTTP client: {}", chain(&error)))?;
        Ok(Self { receiver: receiver.to_owned(), url: config.url.clone(), client })
    }

    /// One attempt.
    pub async fn deliver(&self, letter: &Letter<'_>) -> Result<(), NotTaken> {
        let response = self.client.post(&self.url).json(&body(&self.receiver, letter)).send().await;
        let response = response.map_err(|error| NotTaken {
            // The URL may hold a secret token; it stays out of logs and tables.
            why: format!("the webhook does not answer: {}", chain(&error.without_url())),
            rejected: false,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let rejected = matches!(
            status,
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY
        );
        Err(NotTaken { why: format!("the webhook answered {status}"), rejected })
    }
}

fn body<'a>(receiver: &'a str, letter: &Letter<'a>) -> Body<'a> {
    let record = letter.record;
    let status = if record.status == "resolved" { "resolved" } else { "firing" };
    let labels = labels(record);
    let annotations = annotations(record, letter.now_us);
    Body {
        version: "4",
        group_key: format!("{{}}:{{alertname={:?}, subject={:?}}}", record.kind, record.subject),
        truncated_alerts: 0,
        status,
        receiver,
        group_labels: BTreeMap::from([
            ("alertname", record.kind.as_str()),
            ("subject", record.subject.as_str()),
        ]),
        common_labels: labels.clone(),
        common_annotations: annotations.clone(),
        external_url: letter.external_url,
        alerts: [Alert {
            status,
            labels,
            annotations,
            starts_at: rfc3339(record.since_us),
            ends_at: record.resolved_at_us.map_or_else(|| NOT_ENDED.to_owned(), rfc3339),
            generator_url: letter.external_url,
            fingerprint: hex(&Sha256::digest(record.id.as_bytes())).chars().take(16).collect(),
        }],
    }
}

fn labels(record: &Record) -> BTreeMap<&'static str, &str> {
    BTreeMap::from([
        ("alertname", record.kind.as_str()),
        ("severity", record.severity.as_str()),
        ("site", record.site.as_str()),
        ("subject", record.subject.as_str()),
    ])
}

fn annotations(record: &Record, now_us: i64) -> BTreeMap<&'static str, String> {
    let mut annotations = BTreeMap::from([
        ("summary", record.summary.clone()),
        ("description", message::text(record, now_us)),
        ("finding", record.id.clone()),
    ]);
    let optional = [("cause", &record.cause), ("cause_code", &record.cause_code), ("action", &record.action)];
    annotations.extend(
        optional.into_iter().filter(|(_, text)| !text.is_empty()).map(|(key, text)| (key, text.clone())),
    );
    annotations
}

/// An error with its causes, which reqwest's own words leave out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::notify::message::tests::split_brain;

    fn json(status: &str) -> serde_json::Value {
        let record = split_brain(status);
        let letter =
            Letter { id: 1, record: &record, external_url: "https://c/", now_us: 1_700_000_002_000_000 };
        serde_json::to_value(body("ops", &letter)).unwrap()
    }

    #[test]
    fn the_body_has_alertmanagers_shape() {
        let body = json("firing");
        assert_eq!(body["version"], "4");
        assert_eq!(body["status"], "firing");
        assert_eq!(body["receiver"], "ops");
        assert_eq!(body["externalURL"], "https://c/");
        assert_eq!(body["groupLabels"]["alertname"], "split_brain.confirmed");
        let alert = &body["alerts"][0];
        assert_eq!(alert["labels"]["severity"], "critical");
        assert_eq!(alert["startsAt"], "2023-11-14T22:13:20Z");
        assert_eq!(alert["endsAt"], NOT_ENDED);
        assert_eq!(alert["generatorURL"], "https://c/");
        assert_eq!(alert["annotations"]["cause_code"], "vrrp_filtered");
        let resolved = json("resolved");
        assert_eq!(resolved["alerts"][0]["status"], "resolved");
        assert_eq!(resolved["alerts"][0]["endsAt"], "2023-11-14T22:14:20Z");
        assert_eq!(resolved["alerts"][0]["fingerprint"], alert["fingerprint"]);
    }
}
