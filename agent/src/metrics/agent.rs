//! Metrics of the agent as a whole.

use super::{Kind, Metric};
use crate::uplink::{Phase, worth_telling};

pub(super) const METRICS: &[Metric] = &[
    Metric {
        name: "hafleet_agent_build_info",
        kind: Kind::Gauge,
        labels: &["version", "node", "site"],
        about: "Always 1: the agent's version, and the node it runs on, where that is known",
        read: |present, samples| {
            let node = present.node().unwrap_or_default();
            let site = present.process.site.as_deref().unwrap_or_default();
            samples.add([&present.process.version, &node, &site], 1);
        },
    },
    Metric {
        name: "hafleet_agent_start_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        about: "When the agent started",
        read: |present, samples| samples.add_us([], present.process.started_wall_us),
    },
    Metric {
        name: "hafleet_agent_engine_up",
        kind: Kind::Gauge,
        labels: &[],
        about: "1 when the engine answered this scrape. When it is 0, everything that only the engine knows is missing",
        read: |present, samples| samples.add_flag([], present.engine.is_ok()),
    },
    Metric {
        name: "hafleet_agent_packets_rejected_total",
        kind: Kind::Counter,
        labels: &[],
        about: "VRRP packets not believed, for whatever reason, those included that no virtual router is there for or that \
                no source can be named of",
        read: |present, samples| {
            if let Ok(engine) = &present.engine {
                samples.add([], engine.packets_rejected);
            }
        },
    },
    Metric {
        name: "hafleet_agent_reports_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Events that found no room on the way from the engine to the journal and are missing from it",
        read: |present, samples| {
            if let Ok(engine) = &present.engine {
                samples.add([], engine.reports_dropped);
            }
        },
    },
    Metric {
        name: "hafleet_agent_announcements_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Announcements of addresses (gratuitous ARP, unsolicited NA) that found no room in their queue",
        read: |present, samples| {
            if let Ok(engine) = &present.engine {
                samples.add([], engine.announcements_dropped);
            }
        },
    },
    Metric {
        name: "hafleet_agent_sources_evicted_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Sources of adverts forgotten to make room for new ones: a flood of forged ones",
        read: |present, samples| {
            if let Ok(engine) = &present.engine {
                samples.add([], engine.sources_evicted);
            }
        },
    },
    Metric {
        name: "hafleet_agent_sources_left_out",
        kind: Kind::Gauge,
        labels: &[],
        about: "Sources of adverts that are known but not on this page, because there are more than it names",
        read: |present, samples| {
            if let Ok(engine) = &present.engine {
                let named = worth_telling(&engine.heard).len();
                samples.add([], engine.heard.len().saturating_sub(named) as u64);
            }
        },
    },
    Metric {
        name: "hafleet_agent_configurations_total",
        kind: Kind::Counter,
        labels: &["result"],
        about: "Configurations that came while the agent runs, the first not counted: taken or refused",
        read: |present, samples| {
            samples.add([&"taken"], present.configuration.taken);
            samples.add([&"refused"], present.configuration.refused);
        },
    },
    Metric {
        name: "hafleet_agent_configuration_last_successful",
        kind: Kind::Gauge,
        labels: &[],
        about: "1 when the last configuration was taken, 0 when it was refused and the one before it runs on",
        read: |present, samples| samples.add_flag([], present.configuration.error.is_none()),
    },
    Metric {
        name: "hafleet_agent_configuration_last_success_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        about: "When the configuration that runs was taken",
        read: |present, samples| samples.add_us([], present.configuration.taken_at_us),
    },
    Metric {
        name: "hafleet_agent_orders",
        kind: Kind::Gauge,
        labels: &["what"],
        about: "Standing orders of a coordinator: `demote` (a fence), `maintenance`, `take_over`",
        read: |present, samples| {
            for what in ["demote", "maintenance", "take_over"] {
                let standing = present.acting.orders.iter().filter(|order| order.what.as_str() == what);
                samples.add([&what], standing.count() as u64);
            }
        },
    },
    Metric {
        name: "hafleet_agent_orders_readable",
        kind: Kind::Gauge,
        labels: &[],
        about: "0 when the file of the standing orders cannot be read, and every instance is held back for it",
        read: |present, samples| samples.add_flag([], present.acting.orders_error.is_none()),
    },
    Metric {
        name: "hafleet_agent_pushed_generation",
        kind: Kind::Gauge,
        labels: &[],
        about: "The pushed configuration that is to run; 0 when none is",
        read: |present, samples| {
            let running = present.acting.push.pointer.running.as_ref();
            samples.add([], running.map_or(0, |generation| generation.number));
        },
    },
    Metric {
        name: "hafleet_agent_pushed_staged_generation",
        kind: Kind::Gauge,
        labels: &[],
        about: "The pushed configuration that waits to be committed; 0 when none does",
        read: |present, samples| {
            let staged = present.acting.push.pointer.staged.as_ref();
            samples.add([], staged.map_or(0, |generation| generation.number));
        },
    },
    Metric {
        name: "hafleet_agent_pushed_confirm_left_seconds",
        kind: Kind::Gauge,
        labels: &[],
        about: "How long is left to confirm the pushed configuration that runs, before it is given up; absent when it is \
                confirmed",
        read: |present, samples| {
            if let Some(left_us) = present.confirm_left_us {
                samples.add_real([], std::time::Duration::from_micros(left_us).as_secs_f64());
            }
        },
    },
    Metric {
        name: "hafleet_agent_pushed_up",
        kind: Kind::Gauge,
        labels: &[],
        about: "0 when what was pushed cannot be read or does not run",
        read: |present, samples| samples.add_flag([], present.acting.push.error.is_none()),
    },
    Metric {
        name: "hafleet_agent_reference_reachable",
        kind: Kind::Gauge,
        labels: &["address"],
        about: "1 when a reference address, a neighbour outside the group such as the gateway, answers",
        read: |present, samples| {
            for one in &present.references {
                samples.add_flag([&one.address], one.reachable);
            }
        },
    },
    Metric {
        name: "hafleet_agent_journal_up",
        kind: Kind::Gauge,
        labels: &[],
        about: "1 while the disk takes events, 0 while they wait in memory",
        read: |present, samples| samples.add_flag([], present.journal.failure.is_none()),
    },
    Metric {
        name: "hafleet_agent_journal_pending_events",
        kind: Kind::Gauge,
        labels: &[],
        about: "Events on the disk that no coordinator has yet",
        read: |present, samples| samples.add([], present.journal.pending()),
    },
    Metric {
        name: "hafleet_agent_journal_waiting_events",
        kind: Kind::Gauge,
        labels: &[],
        about: "Events in memory that are not on the disk yet",
        read: |present, samples| samples.add([], present.journal.waiting as u64),
    },
    Metric {
        name: "hafleet_agent_journal_dropped_events_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Events lost before a coordinator had them: dropped at the journal's bound, damaged on the disk, or without \
                room in memory while the disk refused",
        read: |present, samples| {
            samples.add([], present.journal.dropped.saturating_add(present.journal.overflowed));
        },
    },
    Metric {
        name: "hafleet_agent_journal_bytes",
        kind: Kind::Gauge,
        labels: &[],
        about: "Size of the journal on the disk",
        read: |present, samples| samples.add([], present.journal.bytes),
    },
    Metric {
        name: "hafleet_agent_uplink_connected",
        kind: Kind::Gauge,
        labels: &[],
        about: "1 while a coordinator is connected",
        read: |present, samples| {
            samples.add_flag([], matches!(present.uplink.phase, Phase::Connected { .. }));
        },
    },
    Metric {
        name: "hafleet_agent_uplink_sessions_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Sessions opened with a coordinator",
        read: |present, samples| samples.add([], present.uplink.sessions),
    },
    Metric {
        name: "hafleet_agent_uplink_failures_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Attempts to connect and sessions that failed",
        read: |present, samples| samples.add([], present.uplink.failures),
    },
    Metric {
        name: "hafleet_agent_certificate_expiry_timestamp_seconds",
        kind: Kind::Gauge,
        labels: &[],
        about: "When the node's certificate ends; absent when it has none",
        read: |present, samples| {
            if let Some(us) = present.uplink.certificate_not_after_us {
                samples.add_us([], us);
            }
        },
    },
    Metric {
        name: "hafleet_agent_log_lines_dropped_total",
        kind: Kind::Counter,
        labels: &[],
        about: "Log lines dropped because nobody read them in time",
        read: |present, samples| samples.add([], present.log_lines_dropped),
    },
];
