//! The probes: each looks at facts and says what is wrong with them. Pure.

mod apply;
mod binlog;
mod grants;
mod link;
mod server;
mod tables;
mod transform;

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::filter::transform::Transforms;

use super::facts::InstanceFacts;
use super::finding::Finding;
use crate::config::{Channel, Direction};

/// An instance and what the deployment wants of it.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub facts: &'a InstanceFacts,
    /// Some channel reads from it.
    pub is_source: bool,
    /// Some channel writes to it.
    pub is_target: bool,
    pub conflict_window: Duration,
    /// The channels that touch it.
    pub channels: Vec<&'a Channel>,
}

/// One direction of a channel with both its ends.
#[derive(Debug, Clone)]
pub struct Link<'a> {
    pub channel: &'a Channel,
    pub from: &'a InstanceFacts,
    pub to: &'a InstanceFacts,
    /// The channel's first direction.
    pub first: bool,
    /// Instances in the deployment, and the numbers (from 1) of the two ends among them.
    pub interleave: (usize, usize, usize),
}

impl Link<'_> {
    /// What is done to rows on their way.
    fn transforms(&self) -> Transforms {
        let (from, to) = (self.from.instance.clone(), self.to.instance.clone());
        self.channel.transforms(&Direction { from, to })
    }
}

type Probe = fn(&Subject<'_>) -> Vec<Finding>;
type LinkProbe = fn(&Link<'_>) -> Vec<Finding>;

const PROBES: [Probe; 16] = [
    binlog::off_or_not_rows,
    binlog::row_image_not_full,
    binlog::native_changes_not_logged,
    binlog::filters,
    binlog::metadata_not_full,
    binlog::short_retention,
    binlog::no_gtids,
    apply::read_only,
    apply::idempotent_or_firing_triggers,
    apply::small_packets,
    grants::missing,
    tables::keys_and_engines,
    tables::deciding_columns,
    tables::cascades,
    tables::triggers,
    server::settings_to_know,
];

const LINK_PROBES: [LinkProbe; 7] = [
    link::native_circle,
    link::auto_increment,
    link::clocks_apart,
    link::packets,
    link::flavours,
    link::tables_that_differ,
    transform::misfits,
];

/// What the facts of one instance show. A server that is not supported is not looked at further.
pub fn instance(subject: &Subject<'_>) -> Vec<Finding> {
    let unsupported = server::unsupported(subject);
    if !unsupported.is_empty() {
        return unsupported;
    }
    PROBES.iter().flat_map(|probe| probe(subject)).collect()
}

/// What the facts of a server show that may take the place of its instance's primary.
pub fn standby(facts: &InstanceFacts) -> Vec<Finding> {
    server::standby(facts)
}

/// What shows only with both ends of a direction.
pub fn link(link: &Link<'_>) -> Vec<Finding> {
    LINK_PROBES.iter().flat_map(|probe| probe(link)).collect()
}

/// Instances whose servers have one `server_id`; by full name.
pub fn equal_server_ids(facts: &BTreeMap<String, InstanceFacts>) -> Vec<Finding> {
    server::equal_ids(facts)
}

#[cfg(test)]
mod tests;
