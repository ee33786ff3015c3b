//! Whether the world has come to rest.

use super::super::capture;
use super::super::channel::{Direction, Phase};
use super::super::database::Event;
use super::World;

impl World {
    /// Whether nothing is left to do but heartbeats.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What is left to do.
    pub(super) fn unsettled(&self) -> String {
        let mut what = String::new();
        for (index, site) in self.sites.iter().enumerate() {
            if !site.database.is_quiet() || site.writers.iter().any(|writer| !writer.is_idle()) {
                what.push_str(&format!("site {index}: open transactions; "));
            }
            let changes = site
                .database
                .binlog
                .iter()
                .rposition(|logged| !matches!(logged.events[..], [Event::Heartbeat(_)]));
            let newest = changes.map(|at| capture::scn_of(&site.database.binlog[at]));
            for node in &site.nodes {
                if newest.is_some_and(|newest| node.replicator.ledger.scn() < newest) {
                    what.push_str(&format!("site {index}: not captured; "));
                }
                for direction in &node.directions {
                    what.push_str(&self.unsettled_direction(direction));
                }
            }
        }
        what
    }

    fn unsettled_direction(&self, direction: &Direction) -> String {
        let (from, to) = (direction.source, direction.target);
        let Phase::Running(life) = &direction.phase else { return format!("{from}>{to} does not run; ") };
        let binlog = &self.sites[from].database.binlog;
        let changes = binlog.iter().rposition(|logged| !matches!(logged.events[..], [Event::Heartbeat(_)]));
        let newest = changes.map(|at| capture::scn_of(&binlog[at]));
        let watermark = life.scheduler.watermark().scn;
        if newest.is_some_and(|newest| watermark < newest) {
            return format!("{from}>{to} is at {watermark} of {newest:?}; ");
        }
        String::new()
    }
}
