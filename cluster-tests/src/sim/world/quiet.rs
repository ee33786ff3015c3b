//! Whether the world has come to rest.

use super::super::channel::{Direction, Phase};
use super::World;

impl World {
    /// Whether nothing is left to do but heartbeats.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What is left to do. Nobody waits for a site that stands still until a person comes, but what was
    /// captured there before goes on to the others.
    pub(super) fn unsettled(&self) -> String {
        let mut what = String::new();
        for (index, site) in self.sites.iter().enumerate() {
            if !site.database.is_quiet() || site.writers.iter().any(|writer| !writer.is_idle()) {
                what.push_str(&format!("site {index}: open transactions; "));
            }
            for node in &site.nodes {
                let captured =
                    !self.setup.is_captured(index) || node.replicator.is_up_to_date(&site.database);
                if !site.is_halted() && (site.lacks || !captured) {
                    what.push_str(&format!("site {index}: not captured; "));
                }
                if !site.is_halted() {
                    let unsettled = node.directions.iter().map(|one| self.unsettled_direction(one));
                    what.extend(unsettled);
                }
            }
        }
        what
    }

    fn unsettled_direction(&self, direction: &Direction) -> String {
        let (from, to) = (direction.source, direction.target);
        let Phase::Running(life) = &direction.phase else { return format!("{from}>{to} does not run; ") };
        let fenced = self.setup.mutation.fences() && life.epoch < direction.epoch(&self.sites[to].database);
        // It has to see yet that its session is gone, or that another owner came.
        let database = &self.sites[to].database;
        if !life.shards.iter().all(|shard| shard.is_connected(database)) || fenced {
            return format!("{from}>{to} has to recover; ");
        }
        // What was pulled before is still applied.
        if life.link.refused.is_some() && life.scheduler.idle() {
            return String::new();
        }
        let nodes = self.sites[from].nodes.iter();
        let newest = nodes.filter_map(|node| node.replicator.newest_change()).max();
        let watermark = life.scheduler.watermark().scn;
        if newest.is_some_and(|newest| watermark < newest) {
            return format!("{from}>{to} is at {watermark} of {newest:?}; ");
        }
        String::new()
    }
}
