//! The uplink: tells one of the coordinators what this node is and what happened on it.
//!
//! ```text
//! identity ─► TLS 1.3 ─► Session: Hello ─► Welcome{acked} ─► snapshot, journal from acked + 1, heartbeat every second
//!    ▲                      │ Ack ─► journal frees            ProbeRequest ─► engine ─► ProbeReport
//!    │                      │                                 Request ─► orders, push ─► Answer
//!    └──── Renew at 2/3 ◄───┘ any failure ─► status and log ─► back-off 0.2 s to 5 s ─► the next coordinator
//! ```
//!
//! One task. Everything it holds has a bound, it never makes the engine wait, and losing every coordinator moves nothing.

mod backoff;
mod heard;
mod probe;
mod renew;
mod requests;
mod session;
mod status;
mod tls;
mod wire;

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use crate::{
    clock,
    join::{CoordinatorAddress, Identity, IdentityError, Name},
    journal::Journal,
    log,
    reference::ReferenceStatus,
    run::{ActClient, ActStatus, ConfigurationStatus, EngineClient},
};
use backoff::Backoff;
use session::{Session, SessionEnd};
use wire::Asides;

pub use heard::{SOURCES_MAX, worth_telling};
pub use status::{Phase, Status, rfc3339};
pub use tls::{ConnectError, Connection, client_config, connect, provider, with_alpn};
pub use wire::with_prefixes;

/// How often a node that has not joined looks whether it has.
const LOOK_FOR_IDENTITY_EVERY: Duration = Duration::from_secs(5);
/// A session that lasted so long was a success.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Before a session that ended for a good reason begins anew.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How long the first Hello waits for the journal to be opened; after that the present is told without it.
const WAIT_FOR_JOURNAL: Duration = Duration::from_secs(2);

/// What the uplink works with.
#[derive(Debug)]
pub struct Uplink {
    /// Where the identity is.
    pub state_dir: PathBuf,
    /// `node` of the configuration.
    pub node: Option<Name>,
    /// `site` of the configuration.
    pub site: Option<Name>,
    /// `coordinators` of the configuration; empty: those that the node joined.
    pub coordinators: Vec<CoordinatorAddress>,
    /// Whom to ask.
    pub engine: EngineClient,
    /// What to tell.
    pub journal: Journal,
    /// What became of configurations.
    pub configuration: watch::Receiver<ConfigurationStatus>,
    /// Who does what a coordinator asks for.
    pub acts: ActClient,
    /// What was ordered and pushed.
    pub acting: watch::Receiver<ActStatus>,
    /// The reference addresses.
    pub references: watch::Receiver<Vec<ReferenceStatus>>,
    /// Where it says how it is.
    pub status: watch::Sender<Status>,
    /// True when it is time to say goodbye.
    pub stop: watch::Receiver<bool>,
}

/// One attempt's end.
enum Outcome {
    Again,
    Failed(String),
    Refused(String),
    NotJoined(String),
    Stopped,
}

impl Uplink {
    /// Works until it is told to stop.
    pub async fn run(mut self) {
        let mut journal = self.journal.status();
        // Its failure is the journal's own to tell.
        let _ = timeout(WAIT_FOR_JOURNAL, journal.wait_for(|journal| journal.journal_id.is_some())).await;
        let mut backoff = Backoff::default();
        let mut nth = 0;
        loop {
            let began = tokio::time::Instant::now();
            let outcome = self.attempt(nth).await;
            if began.elapsed() >= STABLE_AFTER {
                backoff.reset();
            }
            let wait = match outcome {
                Outcome::Stopped => return,
                Outcome::Again => AGAIN_AFTER,
                Outcome::NotJoined(why) => {
                    self.not_joined(why);
                    LOOK_FOR_IDENTITY_EVERY
                }
                Outcome::Failed(why) => {
                    nth += 1;
                    let wait = backoff.next(chance());
                    self.failed(why, wait);
                    wait
                }
                Outcome::Refused(why) => {
                    nth += 1;
                    backoff.refused();
                    let wait = backoff.next(chance());
                    self.failed(why, wait);
                    wait
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = told_to_stop(&mut self.stop) => return,
            }
        }
    }

    /// What a snapshot has beside what the engine knows.
    fn asides(&self) -> Asides {
        Asides {
            configuration: self.configuration.borrow().clone(),
            acting: self.acting.borrow().clone(),
            references: self.references.borrow().clone(),
        }
    }

    async fn attempt(&mut self, nth: usize) -> Outcome {
        let state_dir = self.state_dir.clone();
        let loaded = tokio::task::spawn_blocking(move || Identity::load(&state_dir)).await;
        let identity = match loaded {
            Ok(Ok(identity)) => Arc::new(identity),
            Ok(Err(IdentityError::NotJoined(_))) => return Outcome::NotJoined(self.why_not_joined()),
            Ok(Err(error)) => return Outcome::Failed(log::chain(&error)),
            Err(error) => return Outcome::Failed(format!("the identity cannot be read: {error}")),
        };
        if let Some(configured) = self.node.take_if(|configured| *configured != identity.node) {
            tracing::warn!(
                "the configuration says that this node is {configured}, but it has joined as {}; it reports as {}. \
                 Correct `node`, or join again under the other name",
                identity.node,
                identity.node
            );
        }
        let coordinators =
            if self.coordinators.is_empty() { &identity.coordinators } else { &self.coordinators };
        let Some(address) = coordinators.get(nth % coordinators.len().max(1)).cloned() else {
            return Outcome::NotJoined(
                "the node has joined, but no coordinator's address is known".to_owned(),
            );
        };
        let config = match self.usable(&identity, &address) {
            Ok(config) => config,
            Err(why) => return Outcome::Failed(why),
        };
        self.status.send_modify(|status| status.phase = Phase::Connecting { to: address.to_string() });
        let connected = tokio::select! {
            connected = connect(&address, config) => connected,
            () = told_to_stop(&mut self.stop) => return Outcome::Stopped,
        };
        match connected {
            Ok(connection) => self.session(identity, address, connection).await,
            Err(error) => Outcome::Failed(log::chain(&error)),
        }
    }

    async fn session(
        &mut self,
        identity: Arc<Identity>,
        address: CoordinatorAddress,
        connection: Connection,
    ) -> Outcome {
        let failure = connection.failure.clone();
        let session = Session::new(self, Arc::clone(&identity), address.clone(), connection.channel);
        match session.run().await {
            SessionEnd::Stopped => Outcome::Stopped,
            SessionEnd::Renewed => {
                tracing::info!("the certificate was renewed; connecting with the new one");
                Outcome::Again
            }
            SessionEnd::JournalMoved => Outcome::Again,
            SessionEnd::Refused { reason, detail } => {
                let advice = refusal_advice(&reason);
                Outcome::Refused(format!("{address} refuses this node: {reason}: {detail}{advice}"))
            }
            SessionEnd::Failed(error) => {
                // When TLS is to blame, gRPC only says that the connection broke.
                let why = failure.of(&address).map_or_else(|| log::chain(&error), |error| log::chain(&error));
                Outcome::Failed(why)
            }
        }
    }

    /// What can be known to be wrong before anybody is asked.
    fn usable(
        &self,
        identity: &Identity,
        address: &CoordinatorAddress,
    ) -> Result<Arc<rustls::ClientConfig>, String> {
        let validity = identity.validity().map_err(|error| log::chain(&error))?;
        self.status.send_modify(|status| {
            status.node = Some(identity.node.to_string());
            status.certificate_not_after_us = Some(validity.not_after_us);
        });
        let now_us = clock::wall_us();
        if validity.not_after_us <= now_us {
            return Err(format!(
                "this node's certificate expired at {}; join again: ha-agent join --coordinator {address} --name {} \
                 --token TOKEN (make the token with `hactl node token --node {}`); it is taken up without a restart",
                rfc3339(validity.not_after_us),
                identity.node,
                identity.node,
            ));
        }
        if validity.not_before_us > now_us {
            return Err(format!(
                "this node's certificate is good only from {}, and this host's clock says {}; set the clock",
                rfc3339(validity.not_before_us),
                rfc3339(now_us),
            ));
        }
        client_config(identity).map_err(|error| {
            format!(
                "the identity in {} is not usable: {error}; join again with `ha-agent join`",
                self.state_dir.display()
            )
        })
    }

    fn why_not_joined(&self) -> String {
        match self.coordinators.first() {
            None => {
                "no coordinator is configured and this node has not joined one: it runs on its own".to_owned()
            }
            Some(first) => format!(
                "coordinators are configured, but this node has not joined: ha-agent join --coordinator {first} --token \
                 TOKEN --state-dir {} (make the token with `hactl node token`); it is taken up without a restart",
                self.state_dir.display()
            ),
        }
    }

    fn not_joined(&self, why: String) {
        self.status.send_if_modified(|status| {
            let phase = Phase::Off { why };
            let news = status.phase != phase;
            if news {
                match self.coordinators.first() {
                    None => tracing::info!("{phase}"),
                    Some(_) => tracing::warn!("{phase}"),
                }
            }
            status.phase = phase;
            news
        });
    }

    fn failed(&self, why: String, wait: Duration) {
        self.status.send_modify(|status| {
            // The same failure is told once, and counted.
            if status.last_error.as_ref() != Some(&why) {
                tracing::warn!("uplink: {why}; virtual addresses are not affected; trying again");
            }
            status.failures += 1;
            status.last_error = Some(why);
            status.last_error_at_us = Some(clock::wall_us());
            status.phase = Phase::Waiting { ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX) };
        });
    }
}

/// What the person who reads the refusal should do.
fn refusal_advice(reason: &str) -> &'static str {
    match reason {
        "identity_mismatch" => " (correct `node` in agent.toml, or join again under the right name)",
        "revoked" => {
            " (ask an administrator for a token, and join under another name: `ha-agent join --name NODE`)"
        }
        "expired" => " (join again: `hactl node token`, then `ha-agent join`)",
        "duplicate_session" => {
            " (another host uses this node's identity, or two agents run: `hactl get nodes` names its peer)"
        }
        "protocol" => {
            " (agent and coordinator are of versions that do not fit, or this is a defect: please report it)"
        }
        _ => "",
    }
}

/// Waits for the word, or for the end of whoever would say it.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without random bytes there is no jitter, and nothing else is lost.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
