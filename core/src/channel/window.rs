//! Joins the units of a window that share keys into groups.

use crate::channel::delivery::Unit;
use crate::channel::keys::{KeyMap, for_each_key};
use crate::key::KeyHash;

/// Units that share keys, directly or through each other; in the order of pulling.
#[derive(Debug, Default)]
pub struct Group {
    pub units: Vec<Unit>,
    /// The smallest of the units' keys; None where they have none.
    pub smallest: Option<KeyHash>,
}

impl Group {
    /// Calls `f` with every key of every unit, until it says to stop. Whether it went through.
    pub fn all_keys(&self, mut f: impl FnMut(KeyHash) -> bool) -> bool {
        let mut go_on = true;
        for unit in &self.units {
            for_each_key(unit, |key| go_on = go_on && f(key));
            if !go_on {
                break;
            }
        }
        go_on
    }
}

/// Joins units into groups, which are in the order of their first units. Two units of different
/// groups share no key.
pub fn join(units: Vec<Unit>) -> Vec<Group> {
    let mut parents: Vec<u32> = (0..units.len() as u32).collect();
    let mut smallest: Vec<Option<KeyHash>> = vec![None; units.len()];
    let rows: usize = units.iter().map(|unit| unit.rows.len()).sum();
    let mut owners: KeyMap<u32> = KeyMap::with_capacity_and_hasher(rows, Default::default());
    for (index, unit) in units.iter().enumerate() {
        let index = index as u32;
        for_each_key(unit, |key| {
            let least = &mut smallest[index as usize];
            *least = Some(least.map_or(key, |least| least.min(key)));
            let owner = *owners.entry(key).or_insert(index);
            if owner != index {
                unite(&mut parents, owner, index);
            }
        });
    }
    let mut groups: Vec<Group> = Vec::new();
    let mut group_of_root: Vec<Option<u32>> = vec![None; units.len()];
    for (index, unit) in units.into_iter().enumerate() {
        let root = root_of(&mut parents, index as u32) as usize;
        let group = *group_of_root[root].get_or_insert_with(|| {
            groups.push(Group::default());
            groups.len() as u32 - 1
        });
        let group = &mut groups[group as usize];
        group.units.push(unit);
        group.smallest = match (group.smallest, smallest[index]) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    groups
}

/// The representative of the index's set; halves the path on the way.
fn root_of(parents: &mut [u32], mut index: u32) -> u32 {
    while parents[index as usize] != index {
        let grandparent = parents[parents[index as usize] as usize];
        parents[index as usize] = grandparent;
        index = grandparent;
    }
    index
}

fn unite(parents: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root_of(parents, a), root_of(parents, b));
    // The older one represents: groups come out in the order of their first units.
    parents[a.max(b) as usize] = a.min(b);
}
