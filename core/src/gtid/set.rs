//! MySQL's GTID sets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::NotAGtid;
use super::intervals::{Interval, Intervals};
use super::mysql::{GtidSource, MySqlGtid, Tag, Uuid};

/// A set of MySQL GTIDs, as `gtid_executed` has it. The text is `uuid:1-5:7,uuid:tag:1-3`; the server
/// prints the tags of one uuid behind one another, `uuid:1-5:7:tag:1-3`, and both are read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GtidSet {
    /// No source is without numbers.
    sources: BTreeMap<GtidSource, Intervals>,
}

impl GtidSet {
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Sources with their numbers, in order.
    pub fn sources(&self) -> impl ExactSizeIterator<Item = (&GtidSource, &Intervals)> {
        self.sources.iter()
    }

    /// How many GTIDs there are.
    pub fn count(&self) -> u64 {
        self.sources.values().map(Intervals::count).sum()
    }

    pub fn advance(&mut self, gtid: &MySqlGtid) {
        if let Some(interval) = Interval::new(gtid.number, gtid.number) {
            self.add(&gtid.source, interval);
        }
    }

    pub(super) fn add(&mut self, source: &GtidSource, interval: Interval) {
        match self.sources.get_mut(source) {
            Some(intervals) => intervals.add(interval),
            None => self.sources.entry(source.clone()).or_default().add(interval),
        }
    }

    /// Adds all of the other set's GTIDs.
    pub fn unite(&mut self, other: &GtidSet) {
        for (source, intervals) in &other.sources {
            intervals.iter().for_each(|interval| self.add(source, interval));
        }
    }

    /// Takes away all of the other set's GTIDs.
    pub fn subtract(&mut self, other: &GtidSet) {
        for (source, intervals) in &other.sources {
            if let Some(ours) = self.sources.get_mut(source) {
                intervals.iter().for_each(|interval| ours.remove(interval));
            }
        }
        self.sources.retain(|_, intervals| !intervals.is_empty());
    }

    /// Those whose source has numbers in the other set too.
    pub fn of_sources_in(&self, other: &GtidSet) -> GtidSet {
        let sources = self.sources.iter().filter(|(source, _)| other.sources.contains_key(source));
        GtidSet { sources: sources.map(|(source, numbers)| (source.clone(), numbers.clone())).collect() }
    }

    /// Whether all of the other set's GTIDs are here too.
    pub fn contains(&self, other: &GtidSet) -> bool {
        other.sources.iter().all(|(source, theirs)| {
            let ours = self.sources.get(source);
            ours.is_some_and(|ours| theirs.iter().all(|interval| ours.contains(interval)))
        })
    }

    pub fn contains_gtid(&self, gtid: &MySqlGtid) -> bool {
        let ours = self.sources.get(&gtid.source);
        ours.is_some_and(|ours| ours.contains(Interval { first: gtid.number, last: gtid.number }))
    }

    /// Adds what the text of one uuid says: numbers and intervals count under the tag before them.
    pub(super) fn add_text(&mut self, text: &str) -> Result<(), NotAGtid> {
        let bad = || NotAGtid(text.trim().to_owned());
        let mut parts = text.trim().split(':').map(str::trim);
        let uuid: Uuid = parts.next().unwrap_or_default().parse().map_err(|_| bad())?;
        let mut source = GtidSource { uuid, tag: Tag::default() };
        for part in parts {
            if part.starts_with(|c: char| c.is_ascii_digit()) {
                self.add(&source, interval(part).ok_or_else(bad)?);
            } else {
                source.tag = Tag::new(part).filter(|tag| !tag.is_empty()).ok_or_else(bad)?;
            }
        }
        Ok(())
    }
}

/// `5` or `1-5`.
fn interval(text: &str) -> Option<Interval> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Interval::new(first.trim().parse().ok()?, last.trim().parse().ok()?)
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (source, intervals)) in self.sources.iter().enumerate() {
            write!(f, "{}{source}", if i == 0 { "" } else { "," })?;
            for Interval { first, last } in intervals.iter() {
                if first == last { write!(f, ":{first}")? } else { write!(f, ":{first}-{last}")? }
            }
        }
        Ok(())
    }
}

impl FromStr for GtidSet {
    type Err = NotAGtid;

    fn from_str(text: &str) -> Result<GtidSet, NotAGtid> {
        let mut set = GtidSet::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            set.add_text(part)?;
        }
        Ok(set)
    }
}
