//! Channels: which tables go from where to where, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_core::binlog::begin::{NotAStart, StartAt};
use weft_core::channel::delivery::Consistency;
use weft_core::filter::decide::ConflictRule;
use weft_core::filter::transform::Transforms;
use weft_core::tables::TableFilter;

use super::error::Problem;
use super::raw::{RawChannel, RawConflict, RawStart};
use super::rule::{self, RuleOptions};
use super::transform;
use super::units::{ByteSize, Count, Span, within};

/// One direction of a channel, by full instance names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Direction {
    pub from: String,
    pub to: String,
}

/// A channel, checked.
#[derive(Debug, Clone)]
pub struct Channel {
    pub name: String,
    /// One, or both ways.
    pub directions: Vec<Direction>,
    /// By the names at the first instance.
    tables: TableFilter,
    /// From the first instance to the second.
    transforms: Transforms,
    pub consistency: Consistency,
    /// How changes are decided as they are applied.
    pub rule: ConflictRule,
    /// How conflicts are decided behind that; None: last-write-wins has decided them.
    pub ruling: Option<RuleOptions>,
    /// The instance (full name) that decides by `ruling`.
    pub decider: Option<String>,
    /// Where it is told to begin, by the full name of the instance that it reads from there.
    starts: BTreeMap<String, StartAt>,
    /// 1 to 256.
    pub shards: u16,
    /// Bytes of transactions that may be pulled and not yet applied.
    pub in_flight: ByteSize,
    /// Most rows of one transaction at the target.
    pub batch_rows_max: u32,
    /// How long a batch waits, under lock, for the ledger to catch up.
    pub fence_timeout: Duration,
}

impl Channel {
    pub(super) fn check(name: &str, raw: &RawChannel) -> Result<Channel, Problem> {
        let key = format!("channels.{name}");
        let of = |field: &str| format!("{key}.{field}");
        let directions = directions(&key, raw)?;
        let shards = within(&of("shards"), raw.shards, Count(8), Count(1), Count(256))?;
        let in_flight = (raw.in_flight, ByteSize::mib(64), ByteSize::mib(1), ByteSize::gib(64));
        let rows = (raw.batch_rows_max, Count(5_000), Count(1), Count(1_000_000));
        let rows = within(&of("batch_rows_max"), rows.0, rows.1, rows.2, rows.3)?;
        let fence = (raw.fence_timeout, Span::ms(200), Span::ms(1), Span::secs(60));
        let tables = tables(&of("tables"), &raw.tables)?;
        let listed = raw.transform.as_deref().unwrap_or_default();
        let transforms = transform::transforms(&key, listed, &tables, directions.len() == 2)?;
        let ruling = rule::check(&key, raw)?;
        if ruling.is_some() && !transforms.is_empty() {
            return Err(Problem::NotBuiltHere {
                key: of("transform"),
                what: "a table of two names under a rule that looks at rows".to_owned(),
                fix: format!("remove {} or the transform", of("conflict")),
            });
        }
        Ok(Channel {
            name: name.to_owned(),
            rule: conflict_rule(&key, raw, directions.len() == 2)?,
            ruling,
            decider: None,
            starts: starts(&of("start"), raw.start.as_ref(), &directions)?,
            directions,
            tables: transforms.at_source(&tables),
            transforms,
            consistency: raw.consistency.unwrap_or_default(),
            shards: u16::try_from(shards.0).expect("at most 256"),
            in_flight: within(&of("in_flight"), in_flight.0, in_flight.1, in_flight.2, in_flight.3)?,
            batch_rows_max: u32::try_from(rows.0).expect("at most 1000000"),
            fence_timeout: within(&of("fence_timeout"), fence.0, fence.1, fence.2, fence.3)?.0,
        })
    }

    /// Full names of its two instances, those of `between` in its order.
    pub fn instances(&self) -> impl Iterator<Item = &str> {
        let first = &self.directions[0];
        [first.from.as_str(), first.to.as_str()].into_iter()
    }

    /// The tables, by the names that they have at an instance (full name).
    pub fn tables_at(&self, instance: &str) -> TableFilter {
        match self.directions.first() {
            Some(first) if first.from == instance => self.tables.clone(),
            _ => self.transforms.at_target(&self.tables),
        }
    }

    /// What is done to rows on their way in this direction.
    pub fn transforms(&self, direction: &Direction) -> Transforms {
        match self.directions.first() == Some(direction) {
            true => self.transforms.clone(),
            false => self.transforms.inverted(),
        }
    }

    /// Where it is told to begin to read from an instance (full name); None: now.
    pub fn start_at(&self, instance: &str) -> Option<&StartAt> {
        self.starts.get(instance)
    }

    /// Whether it goes both ways.
    pub fn is_two_way(&self) -> bool {
        self.directions.len() == 2
    }
}

fn clash(key: String, other: String, what: &str, fix: &str) -> Problem {
    Problem::Clash { key, other, what: what.to_owned(), fix: fix.to_owned() }
}

fn directions(key: &str, raw: &RawChannel) -> Result<Vec<Direction>, Problem> {
    let of = |field: &str| format!("{key}.{field}");
    let (a, b, two_way) = match (raw.between.as_deref(), &raw.from, &raw.to) {
        (Some([a, b]), None, None) => (a, b, true),
        (None, Some(from), Some(to)) => (from, to, false),
        (Some(_), None, None) => {
            return Err(Problem::Malformed {
                key: of("between"),
                cause: "it does not name two instances".to_owned(),
                allowed: "two instances, such as [\"sh.main\", \"bj.main\"]".to_owned(),
            });
        }
        (Some(_), _, _) => {
            let other = if raw.from.is_some() { of("from") } else { of("to") };
            return Err(clash(
                of("between"),
                other,
                "a channel has either between, or from and to",
                "keep one of them",
            ));
        }
        (None, Some(_), None) => return Err(Problem::Missing { key: of("to") }),
        (None, None, Some(_)) => return Err(Problem::Missing { key: of("from") }),
        (None, None, None) => return Err(Problem::Missing { key: of("between") }),
    };
    if a == b {
        return Err(Problem::Malformed {
            key: of(if two_way { "between" } else { "to" }),
            cause: format!("it leads from {a} to itself"),
            allowed: "two different instances".to_owned(),
        });
    }
    let forth = Direction { from: a.clone(), to: b.clone() };
    let back = Direction { from: b.clone(), to: a.clone() };
    Ok(if two_way { vec![forth, back] } else { vec![forth] })
}

fn starts(
    key: &str,
    raw: Option<&RawStart>,
    directions: &[Direction],
) -> Result<BTreeMap<String, StartAt>, Problem> {
    let Some(RawStart::Positions(positions)) = raw else { return Ok(BTreeMap::new()) };
    let sources: Vec<&String> = directions.iter().map(|direction| &direction.from).collect();
    let allowed = format!("{{ \"{}\" = \"gtid:…\" }}, or \"file:NAME:POSITION\"", sources[0]);
    let malformed = |key: String, cause: String| Problem::Malformed { key, cause, allowed: allowed.clone() };
    if positions.is_empty() {
        return Err(malformed(key.to_owned(), "it names no instance".to_owned()));
    }
    let mut starts = BTreeMap::new();
    for (instance, text) in positions {
        let key = format!("{key}.\"{instance}\"");
        if !sources.contains(&instance) {
            return Err(malformed(key, format!("the channel does not read from {instance}")));
        }
        let start = text.parse().map_err(|error: NotAStart| malformed(key, error.to_string()))?;
        starts.insert(instance.clone(), start);
    }
    Ok(starts)
}

fn conflict_rule(key: &str, raw: &RawChannel, two_way: bool) -> Result<ConflictRule, Problem> {
    let of = |field: &str| format!("{key}.{field}");
    match (raw.conflict, two_way) {
        (None | Some(RawConflict::None), false) => Ok(ConflictRule::None),
        (Some(RawConflict::None), true) => Err(clash(
            of("conflict"),
            of("between"),
            "without a rule the two sides would differ for ever after a conflict",
            "remove conflict, or use from and to",
        )),
        // The other rules decide behind last-write-wins.
        (_, true) => Ok(ConflictRule::LastWriteWins),
        (Some(_), false) => Err(clash(
            of("conflict"),
            of("from"),
            "a rule needs both directions, as writes at the target reach nobody",
            "remove conflict, or use between",
        )),
    }
}

fn tables(key: &str, globs: &[String]) -> Result<TableFilter, Problem> {
    let malformed = |cause: String| Problem::Malformed {
        key: key.to_owned(),
        cause,
        allowed: "globs over schema.table, such as [\"shop.*\", \"!shop.audit_*\"]".to_owned(),
    };
    for glob in globs {
        let body = glob.strip_prefix('!').unwrap_or(glob);
        let matches_something = body.contains('.') || body.contains('*');
        if !matches_something || body.starts_with('!') || body.chars().any(char::is_control) {
            return Err(malformed(format!("{glob:?} matches no table")));
        }
    }
    if globs.iter().all(|glob| glob.starts_with('!')) {
        return Err(malformed("nothing takes a table in".to_owned()));
    }
    Ok(TableFilter::new(globs.iter().cloned()))
}
