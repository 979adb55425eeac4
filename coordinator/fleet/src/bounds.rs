//! Every bound of the core, and the counters that show when one was reached.

/// Nodes; further ones are refused and counted in [`Counters::nodes_refused`].
pub(crate) const NODES: usize = 16_384;
/// Instances of one node; the rest of a snapshot is left out and counted in [`Counters::items_cut`].
pub(crate) const INSTANCES: usize = 4_096;
/// Lines of one node's heard table; likewise.
pub(crate) const HEARD: usize = 16_384;
/// Addresses of one instance, or of one heard advert; likewise.
pub(crate) const ADDRESSES: usize = 1_024;
/// Addresses that are tracked as groups; likewise.
pub(crate) const GROUPS: usize = 262_144;
/// Probes waiting for answers at once; further ones wait and are counted in [`Counters::probes_postponed`].
pub const PROBES: usize = 256;
/// Nodes asked by one probe, claimants first.
pub(crate) const PROBE_NODES: usize = 16;
/// Addresses that one probe asks ARP for; more groups are asked for by the next one.
pub(crate) const PROBE_TARGETS: usize = 64;
/// ARP answers kept of one node and probe.
pub(crate) const ARP_ANSWERS: usize = 128;
/// Sources tracked as rivals of one group's holder.
pub(crate) const RIVALS: usize = 8;
/// Facts of one finding; a last one says how many were left out.
pub(crate) const EVIDENCE: usize = 32;
/// Pairs of claimants that one finding explains.
pub(crate) const PAIRS: usize = 6;
/// References kept of one node; the rest is left out and counted in [`Counters::items_cut`].
pub(crate) const REFERENCES: usize = 64;
/// Fence operations that are open at once; further ones are refused.
pub(crate) const FENCE_OPERATIONS: usize = 256;
/// Operations remembered for rates, cool-downs and repeated requests: the oldest is forgotten first.
pub(crate) const FENCE_ACTED: usize = 256;
/// Fence paths verified at once; further ones wait.
pub(crate) const FENCE_PATHS: usize = 8;
/// Bytes kept of a program's output and of a person's words.
pub(crate) const FENCE_TEXT: usize = 4_096;

/// What the core has done and what it had to leave out since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Groups judged.
    pub groups_judged: u64,
    /// Members and heard lines looked at while judging: the measure of work.
    pub visits: u64,
    /// Probes asked for.
    pub probes_sent: u64,
    /// Times a group's probe had to wait: too many were open, or its claimants had not answered another one yet.
    pub probes_postponed: u64,
    /// Times the caller could not send a probe to a node.
    pub probes_not_sent: u64,
    /// Snapshots older than the one already known, ignored.
    pub snapshots_out_of_order: u64,
    /// Inputs about a node that is unknown or not connected, ignored.
    pub inputs_unexpected: u64,
    /// Nodes refused because there were too many.
    pub nodes_refused: u64,
    /// Instances, heard lines or addresses left out because there were too many, or named twice.
    pub items_cut: u64,
}
