//! The agent's pulse: is the engine alive, and did it lose anything?

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};

use super::{EngineClient, EngineSilent};
use crate::journal::{Happening, Journal};

/// How often the engine is looked at without a watchdog.
const EVERY: Duration = Duration::from_secs(5);

/// Asks the engine again and again. Only an engine that answers keeps systemd's watchdog quiet: one that hangs is killed
/// and started anew, and its addresses go with their leases.
pub(super) async fn run(engine: EngineClient, journal: Journal) {
    let watchdog = sd_notify::watchdog_enabled();
    let mut pulse = interval(watchdog.map_or(EVERY, |within| (within / 3).min(EVERY)));
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reports_dropped = 0;
    let mut silent = false;
    loop {
        pulse.tick().await;
        match engine.snapshot().await {
            Ok(snapshot) => {
                if silent {
                    tracing::info!("the engine answers again");
                }
                silent = false;
                if watchdog.is_some() {
                    let _ = sd_notify::notify(&[NotifyState::Watchdog]);
                }
                let lost = snapshot.reports_dropped.saturating_sub(reports_dropped);
                if lost > 0 {
                    journal.append(Happening::lost(lost, "engine_queue"));
                }
                reports_dropped = snapshot.reports_dropped;
            }
            // Whoever waits for its reports knows already.
            Err(EngineSilent::Ended) => return,
            Err(error @ EngineSilent::Stuck) => {
                if !silent {
                    tracing::error!("{error}");
                }
                silent = true;
            }
        }
    }
}
