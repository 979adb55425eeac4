//! Real-time scheduling and locked memory, for hosts that are busy or short of memory (sched(7), mlock(2)). Both are optional, and
//! an agent that may have neither runs as every process does and says so.

use rustix::mm::{MlockAllFlags, mlockall};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityOsValue, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};

use crate::config::Scheduling;

/// For the calling thread, the engine's. Threads that it starts must call [`as_every_thread`].
pub(super) fn apply(scheduling: Scheduling) {
    if let Some(priority) = scheduling.realtime_priority {
        let set =
            ThreadPriorityValue::try_from(priority).map_err(|error| error.to_string()).and_then(|priority| {
                let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin);
                set_thread_priority_and_policy(
                    thread_native_id(),
                    ThreadPriority::Crossplatform(priority),
                    policy,
                )
                .map_err(|error| format!("{error:?}"))
            });
        match set {
            Ok(()) => tracing::info!(priority, "the engine runs with real-time priority (SCHED_RR)"),
            Err(error) => tracing::warn!(
                priority,
                error,
                "no real-time priority: it needs CAP_SYS_NICE or RLIMIT_RTPRIO (systemd: LimitRTPRIO=); the engine runs \
                 as every thread does"
            ),
        }
    }
    if scheduling.lock_memory {
        // Pages are locked as they are used: what is only mapped costs nothing.
        match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
            Ok(()) => tracing::info!("memory is locked: nothing of the agent is swapped out"),
            Err(error) => tracing::warn!(
                %error,
                "memory cannot be locked: it needs CAP_IPC_LOCK or RLIMIT_MEMLOCK (systemd: LimitMEMLOCK=infinity)"
            ),
        }
    }
}

/// A thread that the engine started does not inherit its priority: it may wait, and must not hold the engine up.
pub(super) fn as_every_thread() {
    let normal = ThreadSchedulePolicy::Normal(thread_priority::NormalThreadSchedulePolicy::Other);
    // Lowering is never refused; and a thread that keeps the priority ends within a second.
    let _ = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Os(ThreadPriorityOsValue::default()),
        normal,
    );
}
