//! What strikes a site, and when.

use rand::Rng;

use super::{NODES_MAX, Node, World};
use crate::sim::capture::FIRST_SERVER;
use crate::sim::coverage::Situation;

impl World {
    /// Faults, now and then.
    pub(super) fn strike(&mut self, site: usize) {
        if self.rng.random_bool(self.setup.crash_node) {
            self.crash_node(site);
        }
        // A server that lost commits gives their GTIDs to others, and to its replicas: who does not ask in
        // between cannot see it. One fault at a time.
        let crashes = self.rng.random_bool(self.setup.crash_database);
        if crashes && !self.sites[site].set_back {
            self.crash_database(site);
        }
        let promotes = self.rng.random_bool(self.setup.promote);
        if promotes && !self.sites[site].set_back && self.sites[site].nodes.len() == 1 {
            self.promote(site);
        }
        if self.rng.random_bool(self.setup.crash_database) {
            self.sites[site].database.rotate();
        }
        if self.rng.random_bool(self.setup.duplicate_owner) {
            self.duplicate(site);
        }
    }

    fn crash_node(&mut self, site: usize) {
        // Frames that other sites have and that nobody has any more, neither node nor server, cannot be
        // missed by anyone: one fault at a time.
        let keeps_frames = self.sites[site].set_back || (self.setup.is_one_way() && self.setup.promote > 0.0);
        let here = &mut self.sites[site];
        let at = self.rng.random_range(0..here.nodes.len());
        let node = &mut here.nodes[at];
        let volatile = if keeps_frames { 0 } else { node.replicator.volatile() };
        let lost = self.rng.random_range(0..=volatile);
        node.directions.iter_mut().for_each(|direction| direction.crash(&mut here.database));
        node.replicator.restart(lost);
        node.life += 1;
        node.stopped_until = 0;
        self.coverage.saw(Situation::NodeCrash);
        self.coverage.saw_times(Situation::FramesLost, u64::from(lost > 0));
        self.say(format!("site {site} node {at} crashes and loses {lost} frames"));
    }

    /// How many of the site's transactions survive, where the last ones may be lost.
    fn kept(&mut self, site: usize) -> usize {
        let here = &self.sites[site];
        let length = here.database.binlog.len();
        let lost = self.rng.random_range(0..=self.setup.lose_commits_max);
        let kept = length.saturating_sub(lost);
        if !self.setup.is_captured(site) {
            return kept;
        }
        // A second node, or frames that a crash of the node took: one fault at a time.
        let captured_now = here.nodes[0].replicator.gtids.domains().get(&0).map_or(0, |gtid| gtid.sequence);
        match captured_now == here.read_to {
            _ if here.nodes.len() > 1 => length,
            true => kept,
            false => kept.max(here.read_to as usize),
        }
    }

    fn crash_database(&mut self, site: usize) {
        let kept = self.kept(site);
        let here = &mut self.sites[site];
        let lost = here.database.binlog.len() - kept;
        self.coverage.saw(Situation::DatabaseCrash);
        if lost == 0 {
            here.database.crash();
        } else {
            here.database.crash_losing(kept);
            let captured = here.loses(kept);
            self.coverage.saw(match captured {
                true => Situation::CapturedCommitsLost,
                false => Situation::LastCommitsLost,
            });
        }
        self.say(format!("site {site}: the database crashes and loses {lost} transactions"));
    }

    /// Another server takes the address over. Of the old one, captures may go on reading for a while.
    fn promote(&mut self, site: usize) {
        let kept = self.kept(site);
        let cut = self.rng.random_bool(0.5);
        self.servers += 1;
        let here = &mut self.sites[site];
        let lost = here.database.binlog.len() - kept;
        let promoted = here.database.promoted(kept, self.servers);
        let old = std::mem::replace(&mut here.database, promoted);
        for node in &mut here.nodes {
            if cut || here.retired.iter().any(|retired| node.replicator.reads(retired)) {
                node.replicator.dump = None;
            }
        }
        here.retired = vec![old];
        let captured = here.loses(kept);
        self.coverage.saw(match (lost, captured) {
            (0, _) => Situation::Promoted,
            (_, false) => Situation::PromotedLacking,
            (_, true) => Situation::PromotedLackingCaptured,
        });
        self.say(format!("site {site}: server {} takes over, without the last {lost}", self.servers));
    }

    /// The owner hangs, and another node takes its place; the old one comes back later.
    fn duplicate(&mut self, site: usize) {
        let until = self.tick + self.rng.random_range(10..300);
        let here = &mut self.sites[site];
        let captured = self.setup.is_captured(site);
        let at_old = captured && here.nodes.iter().any(|node| !node.replicator.reads(&here.database));
        // A node without memory at a promoted server knows nothing of the epochs before.
        if here.set_back || at_old || here.database.server_id != FIRST_SERVER {
            return;
        }
        let owner = self.rng.random_range(0..here.nodes.len());
        here.nodes[owner].stopped_until = until;
        if here.nodes.len() < NODES_MAX {
            here.nodes.push(Node::new(site, &self.setup, true));
        }
        self.coverage.saw(Situation::TwoOwners);
        self.say(format!("site {site} node {owner} is stopped; both own"));
    }
}
