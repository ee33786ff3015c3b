//! Some sites that share one row, the first of which decides. Everything is a step drawn from a seed:
//! a write, a delivery of what one site sent to another, a hearing, an answer of the webhook, a crash
//! of the deciding node.

use std::collections::{BTreeMap, VecDeque};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use weft_core::filter::decide::{Action, ConflictRule, decide};
use weft_core::filter::referee::{
    Answer, Answers, Case, Contest, Entry, Hearing, PureRule, Row, Rule, Ruled, Ruling, Side, Winner, hear,
    opens,
};
use weft_core::instance::InstanceId;
use weft_core::scn::Scn;
use weft_core::time::Micros;
use weft_core::version::Version;

#[derive(Debug, Clone, Copy)]
pub enum Rules {
    Column,
    SitePriority,
    Webhook,
}

impl Rules {
    fn rule(self, sites: usize) -> Rule {
        // The deciding site, which is the first, comes last.
        let ranks = (0..sites).map(|site| (id(site), (sites - site) as u32)).collect();
        match self {
            Rules::Column => Rule::Pure(PureRule::Column("n".to_owned())),
            Rules::SitePriority => Rule::Pure(PureRule::SitePriority(ranks)),
            Rules::Webhook => Rule::Webhook { fallback: PureRule::Column("n".to_owned()) },
        }
    }
}

fn id(site: usize) -> InstanceId {
    InstanceId(site as u32)
}

#[derive(Debug, Clone, PartialEq)]
struct Change {
    version: Version,
    base: Option<Version>,
    row: Option<Row>,
}

#[derive(Debug, Default)]
struct Site {
    newest: Option<Version>,
    row: Option<Row>,
}

struct World {
    random: StdRng,
    rule: Rule,
    sites: Vec<Site>,
    /// By sender and receiver.
    queues: BTreeMap<(usize, usize), VecDeque<Change>>,
    /// The deciding site's log.
    entries: Vec<Entry>,
    answers: Answers,
    asked: Option<Contest>,
    clock: u64,
    verdicts: usize,
}

/// Runs one world to its end; how many verdicts were written.
pub fn run(seed: u64, sites: usize, rules: Rules) -> usize {
    let mut world = World {
        random: StdRng::seed_from_u64(seed),
        rule: rules.rule(sites),
        sites: (0..sites).map(|_| Site::default()).collect(),
        queues: BTreeMap::new(),
        entries: Vec::new(),
        answers: Answers::new(),
        asked: None,
        clock: 100,
        verdicts: 0,
    };
    for _ in 0..world.random.random_range(4..60) {
        world.step();
    }
    let what = format!("WEFT_SEED={seed}, {sites} sites, {rules:?}");
    // Every delivery and every hearing that is left; a model that goes on for ever fails here.
    for round in 0.. {
        assert!(round < 1_000, "{what}: it does not come to an end");
        let quiet = world.queues.values().all(VecDeque::is_empty);
        if quiet && world.entries.iter().all(|entry| entry.ruling != Ruling::Open) {
            break;
        }
        world.deliver();
        world.answer();
        world.hear(quiet);
    }
    let first = &world.sites[0];
    for site in &world.sites {
        assert_eq!((site.newest, &site.row), (first.newest, &first.row), "{what}");
    }
    assert!(world.verdicts <= world.entries.len(), "{what}: {} verdicts", world.verdicts);
    world.verdicts
}

impl World {
    fn step(&mut self) {
        match self.random.random_range(0..10) {
            0..4 => {
                let site = self.random.random_range(0..self.sites.len());
                let value = self.random.random_range(0..9).to_string();
                let gone = self.random.random_ratio(1, 6);
                let unique = self.clock.to_string();
                let row = Row::from([("n".to_owned(), Some(value)), ("u".to_owned(), Some(unique))]);
                self.write(site, (!gone).then_some(row));
            }
            4..8 => self.deliver(),
            8 => {
                let patient = self.random.random_ratio(1, 4);
                self.answer();
                self.hear(patient);
            }
            // What the node had in memory is gone.
            _ => {
                self.answers.clear();
                self.asked = None;
            }
        }
    }

    /// A local change, stamped as the replicator does.
    fn write(&mut self, site: usize, row: Option<Row>) {
        // Clocks that are apart, and that stand still at times.
        self.clock += self.random.random_range(0..3);
        let now = self.clock + 3 * site as u64;
        let base = self.sites[site].newest;
        let time = base.map_or(now, |base| now.max(base.time.0 + 1));
        let change = Change { version: Version::new(Micros(time), id(site)), base, row };
        (self.sites[site].newest, self.sites[site].row) = (Some(change.version), change.row.clone());
        for other in (0..self.sites.len()).filter(|other| *other != site) {
            self.queues.entry((site, other)).or_default().push_back(change.clone());
        }
    }

    /// One change from one site to another.
    fn deliver(&mut self) {
        let waiting: Vec<(usize, usize)> =
            self.queues.iter().filter(|(_, queue)| !queue.is_empty()).map(|(link, _)| *link).collect();
        if waiting.is_empty() {
            return;
        }
        let link = waiting[self.random.random_range(0..waiting.len())];
        let Some(change) = self.queues.get_mut(&link).and_then(VecDeque::pop_front) else { return };
        let to = &mut self.sites[link.1];
        let decision =
            decide(ConflictRule::LastWriteWins, change.version, change.base, to.newest, Micros::ZERO);
        if let (Some(verdict), Some(local), 0) = (decision.conflict, to.newest, link.1) {
            let opened = opens(verdict, change.version, Some(local));
            self.entries.push(Entry {
                id: self.entries.len() as u64 + 1,
                scn: Scn::ZERO,
                age_us: 0,
                incoming: Side { version: change.version, row: change.row.clone() },
                base: change.base,
                local: Side { version: local, row: to.row.clone() },
                verdict,
                ruling: if opened { Ruling::Open } else { Ruling::None },
                stands_for: None,
            });
        }
        if decision.action == Action::Apply {
            (to.newest, to.row) = (Some(change.version), change.row);
        }
    }

    /// The webhook answers, or does not.
    fn answer(&mut self) {
        let Some(contest) = self.asked.take() else { return };
        let answer = match self.random.random_range(0..3) {
            0 => Answer::Nothing,
            1 => Answer::Winner(Winner::Standing),
            _ => Answer::Winner(Winner::Challenger),
        };
        self.answers.insert(contest.entry, (contest.standing.version, answer));
    }

    fn hear(&mut self, patience_is_over: bool) {
        if patience_is_over {
            self.entries.iter_mut().for_each(|entry| entry.age_us = u64::MAX);
        }
        let case = Case {
            decider: id(0),
            entries: self.entries.clone(),
            newest: self.sites[0].newest,
            row: self.sites[0].row.clone(),
        };
        match hear(&case, &self.rule, &self.answers) {
            Hearing::Wait => {}
            Hearing::Ask(contest) => self.asked = Some(*contest),
            Hearing::Ruled(ruled) => self.rule(&ruled),
        }
    }

    fn rule(&mut self, ruled: &Ruled) {
        if let Some(written) = ruled.write {
            let entry = &self.entries[written as usize - 1];
            let row = match entry.verdict {
                weft_core::sink::step::Verdict::IncomingWon => entry.local.row.clone(),
                _ => entry.incoming.row.clone(),
            };
            // A row that is the same leaves no event, and so no version.
            if row != self.sites[0].row {
                self.write(0, row);
            }
            self.verdicts += 1;
        }
        for close in &ruled.closes {
            let entry = &mut self.entries[close.entry as usize - 1];
            assert_eq!(entry.ruling, Ruling::Open, "a conflict is closed once");
            (entry.ruling, entry.stands_for) = (close.ruling, close.stands_for);
        }
        let open = self.entries.iter().filter(|entry| entry.ruling == Ruling::Open).count();
        assert_eq!(open * ruled.closes.len(), 0, "a hearing closes all that is open");
    }
}
