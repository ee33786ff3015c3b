//! The whole deployment, checked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use weft_core::link::message::RowFilter;

use super::channel::{Channel, Direction};
use super::error::{ConfigError, Problem, known};
use super::instance::Instance;
use super::node::Node;
use super::overlap::shared_glob;
use super::raw::RawDeployment;
use super::rule;
use super::unbuilt::unbuilt_keys;

/// Longest name of a cluster, site, instance, node or channel in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A deployment: everything in it refers to things that exist.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Where it was read from, as named on the command line.
    pub file: PathBuf,
    pub cluster: String,
    /// Sorted.
    pub sites: Vec<String>,
    /// By full name.
    pub instances: BTreeMap<String, Instance>,
    /// By id.
    pub nodes: BTreeMap<String, Node>,
    /// By name.
    pub channels: BTreeMap<String, Channel>,
}

impl Deployment {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// Whatever a person must change in the file first; see [`Problem`].
    pub fn load(file: &Path) -> Result<Deployment, ConfigError> {
        let fail = |problem| ConfigError { file: file.to_owned(), problem };
        let text = std::fs::read_to_string(file)
            .map_err(|error| fail(Problem::Unreadable { cause: error.to_string() }))?;
        Deployment::parse(file, &text).map_err(fail)
    }

    /// Checks the text of the file `file`.
    ///
    /// # Errors
    /// See [`Deployment::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Deployment, Problem> {
        Deployment::try_from((file, &RawDeployment::parse(text)?))
    }

    /// The node with this id.
    ///
    /// # Errors
    /// There is none.
    pub fn node(&self, id: &str) -> Result<&Node, ConfigError> {
        self.nodes.get(id).ok_or_else(|| ConfigError {
            file: self.file.clone(),
            problem: Problem::NoSuchNode { name: id.to_owned(), known: known(self.nodes.keys()) },
        })
    }

    /// The node of a site; None if nothing runs there.
    pub fn node_of_site(&self, site: &str) -> Option<&Node> {
        self.nodes.values().find(|node| node.site == site)
    }

    /// Every direction of every channel.
    pub fn directions(&self) -> impl Iterator<Item = (&Channel, &Direction)> {
        self.channels.values().flat_map(|channel| channel.directions.iter().map(move |d| (channel, d)))
    }

    /// The directions whose target is at the site: the ones that its node applies.
    pub fn directions_into<'a>(
        &'a self,
        site: &'a str,
    ) -> impl Iterator<Item = (&'a Channel, &'a Direction)> {
        self.directions().filter(move |(_, direction)| self.instances[&direction.to].site == site)
    }

    /// Whether some channel reads from the instance (full name).
    pub fn is_source(&self, instance: &str) -> bool {
        self.directions().any(|(_, direction)| direction.from == instance)
    }

    /// Whether some channel writes to the instance (full name).
    pub fn is_target(&self, instance: &str) -> bool {
        self.directions().any(|(_, direction)| direction.to == instance)
    }

    /// What travels in one direction of a channel: its tables, without the rows that reach the same
    /// target by a direct channel from their origin.
    pub fn row_filter(&self, channel: &Channel, direction: &Direction) -> RowFilter {
        let direct = self
            .directions()
            .filter(|(_, other)| other.to == direction.to && other.from != direction.from)
            .map(|(other, other_direction)| {
                (self.instances[&other_direction.from].id, other.tables_at(&direction.to))
            })
            .collect();
        let tables = channel.tables_at(&direction.from);
        RowFilter { tables, target: self.instances[&direction.to].id, direct }
    }
}

impl TryFrom<(&Path, &RawDeployment)> for Deployment {
    type Error = Problem;

    fn try_from((file, raw): (&Path, &RawDeployment)) -> Result<Deployment, Problem> {
        let unbuilt = unbuilt_keys(raw);
        if !unbuilt.is_empty() {
            return Err(Problem::NotBuilt { keys: unbuilt });
        }
        check_name("cluster", &raw.cluster)?;
        let mut deployment = Deployment {
            file: file.to_owned(),
            cluster: raw.cluster.clone(),
            sites: raw.sites.keys().cloned().collect(),
            instances: BTreeMap::new(),
            nodes: BTreeMap::new(),
            channels: BTreeMap::new(),
        };
        for (site, raw_site) in &raw.sites {
            check_name(&format!("sites.{site}"), site)?;
            for (short, raw_instance) in &raw_site.instances {
                check_name(&format!("sites.{site}.instances.{short}"), short)?;
                deployment.add_instance(Instance::check(file, site, short, raw_instance)?)?;
            }
            if raw_site.nodes.len() > 1 {
                return Err(Problem::NotBuiltHere {
                    key: format!("sites.{site}.nodes"),
                    what: "more than one node a site".to_owned(),
                    fix: "keep one of them".to_owned(),
                });
            }
            for (id, raw_node) in &raw_site.nodes {
                check_name(&format!("sites.{site}.nodes.{id}"), id)?;
                deployment.add_node(Node::check(file, site, id, raw_node)?)?;
            }
        }
        for (name, raw_channel) in &raw.channels {
            check_name(&format!("channels.{name}"), name)?;
            deployment.add_channel(Channel::check(name, raw_channel)?)?;
        }
        check_one_way_into_two_way(&deployment)?;
        check_forwarding(&deployment)?;
        rule::check_groups(&mut deployment)?;
        Ok(deployment)
    }
}

/// Names appear in urls, file names, labels and lock names.
fn check_name(key: &str, name: &str) -> Result<(), Problem> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Problem::Malformed {
        key: key.to_owned(),
        cause: format!("{name:?} is not a name"),
        allowed: format!("1 to {NAME_BYTES_MAX} letters, digits, - or _"),
    })
}

impl Deployment {
    fn add_instance(&mut self, new: Instance) -> Result<(), Problem> {
        let key = |instance: &Instance| {
            let short = instance.name.split_once('.').map_or("", |(_, short)| short);
            format!("sites.{}.instances.{short}", instance.site)
        };
        for other in self.instances.values() {
            let (what, fix) = if other.id == new.id {
                ("their names give the same id", "rename one of them")
            } else if other.places().any(|place| new.places().any(|of_new| of_new == place)) {
                ("they are the same server", "give each instance its own url")
            } else {
                continue;
            };
            return Err(Problem::Clash {
                key: key(&new),
                other: key(other),
                what: what.to_owned(),
                fix: fix.to_owned(),
            });
        }
        self.instances.insert(new.name.clone(), new);
        Ok(())
    }

    /// Two nodes whose peer addresses are of one host share a machine; there ports and directories
    /// are used once.
    fn add_node(&mut self, new: Node) -> Result<(), Problem> {
        let clash = |key: String, other: String, what: String, fix: &str| {
            Err(Problem::Clash { key, other, what, fix: fix.to_owned() })
        };
        let (admin, data) = new.as_written();
        let port = "give each its own port";
        if admin == new.peer.to_string() {
            return clash(new.admin_key(), new.peer_key(), format!("both listen at {admin}"), port);
        }
        for other in self.nodes.values() {
            let (other_admin, other_data) = other.as_written();
            if other.id == new.id {
                let key = |node: &Node| format!("sites.{}.nodes.{}", node.site, node.id);
                let what = "two nodes have one id".to_owned();
                return clash(key(&new), key(other), what, "rename one of them");
            }
            if other.peer == new.peer {
                let what = format!("both listen at {}", new.peer);
                return clash(new.peer_key(), other.peer_key(), what, port);
            }
            let both_loopback = other.peer.is_loopback() && new.peer.is_loopback();
            if other.peer.host != new.peer.host && !both_loopback {
                continue;
            }
            if other_admin == admin {
                let what = format!("both listen at {admin}");
                return clash(new.admin_key(), other.admin_key(), what, port);
            }
            if other_admin == new.peer.to_string() {
                return clash(
                    new.peer_key(),
                    other.admin_key(),
                    format!("both listen at {}", new.peer),
                    port,
                );
            }
            if admin == other.peer.to_string() {
                return clash(new.admin_key(), other.peer_key(), format!("both listen at {admin}"), port);
            }
            if other_data == data {
                let what = format!("both keep their data in {data}");
                return clash(new.data_key(), other.data_key(), what, "give each its own directory");
            }
        }
        self.nodes.insert(new.id.clone(), new);
        Ok(())
    }

    fn add_channel(&mut self, new: Channel) -> Result<(), Problem> {
        for direction in &new.directions {
            for (name, one_way) in [(&direction.from, "from"), (&direction.to, "to")] {
                let field = if new.is_two_way() { "between" } else { one_way };
                let key = format!("channels.{}.{field}", new.name);
                let Some(instance) = self.instances.get(name) else {
                    let known = known(self.instances.keys());
                    return Err(Problem::NoSuch { key, name: name.clone(), known });
                };
                if self.node_of_site(&instance.site).is_none() {
                    return Err(Problem::Missing { key: format!("sites.{}.nodes", instance.site) });
                }
            }
        }
        for other in self.channels.values() {
            check_overlap(&new, other)?;
        }
        self.channels.insert(new.name.clone(), new);
        Ok(())
    }
}

/// A one-way channel overwrites whatever it meets. Where the target holds the table both ways with
/// another instance, what it overwrote may be newer and stay there: the two would differ for ever.
fn check_one_way_into_two_way(deployment: &Deployment) -> Result<(), Problem> {
    for (feed, into) in deployment.directions().filter(|(channel, _)| !channel.is_two_way()) {
        let two_way = deployment.directions().filter(|(channel, _)| channel.is_two_way());
        for (other, held) in two_way.filter(|(_, held)| held.from == into.to) {
            let (brought, kept) = (feed.tables_at(&into.to), other.tables_at(&into.to));
            let Some(glob) = shared_glob(&brought, &kept) else { continue };
            return Err(Problem::Clash {
                key: format!("channels.{}.tables", feed.name),
                other: format!("channels.{}.tables", other.name),
                what: format!(
                    "{glob} goes both ways between {} and {}, and a one-way channel into {} heeds no versions, so \
                     they could end different",
                    held.from, held.to, into.to
                ),
                fix: format!("use between in channels.{}, or give each its own tables", feed.name),
            });
        }
    }
    Ok(())
}

/// A table that is written both ways must reach every instance from every other directly: an instance
/// in between does not pass on that a change left its own row as it was.
fn check_forwarding(deployment: &Deployment) -> Result<(), Problem> {
    let directions = || deployment.directions();
    for (first, into) in directions() {
        for (second, onward) in
            directions().filter(|(_, onward)| onward.from == into.to && onward.to != into.from)
        {
            let both_ways = first.is_two_way() || second.is_two_way();
            let (brought, taken) = (first.tables_at(&into.to), second.tables_at(&into.to));
            let Some(glob) = shared_glob(&brought, &taken).filter(|_| both_ways) else { continue };
            let straight = |(channel, direction): (&Channel, &Direction)| {
                direction.from == into.from
                    && direction.to == onward.to
                    && shared_glob(&channel.tables_at(&onward.to), &second.tables_at(&onward.to)).is_some()
            };
            if !directions().any(straight) {
                return Err(Problem::NotBuiltHere {
                    key: format!("channels.{}.tables", second.name),
                    what: format!("{glob} from {} to {} over {}", into.from, onward.to, into.to),
                    fix: format!("add a channel between {} and {}", into.from, onward.to),
                });
            }
        }
    }
    Ok(())
}

/// One table may go from one instance to another by one channel only, and back only under a rule.
fn check_overlap(new: &Channel, other: &Channel) -> Result<(), Problem> {
    renamed_into_another(new, other).map_or(Ok(()), Err)?;
    renamed_into_another(other, new).map_or(Ok(()), Err)?;
    let joins = |a: &Direction, b: &Direction| a == b || (a.from == b.to && a.to == b.from);
    let joined = new.directions.iter().find(|a| other.directions.iter().any(|b| joins(a, b)));
    let Some(direction) = joined else { return Ok(()) };
    let shared = [&direction.from, &direction.to].into_iter().find_map(|instance| {
        let (own, others) = (new.tables_at(instance), other.tables_at(instance));
        shared_glob(&own, &others).map(str::to_owned)
    });
    let Some(glob) = shared else { return Ok(()) };
    Err(Problem::Clash {
        key: format!("channels.{}.tables", new.name),
        other: format!("channels.{}.tables", other.name),
        what: format!("both take {glob} between {} and {}", direction.from, direction.to),
        fix: "keep each table in one channel (between for both ways)".to_owned(),
    })
}

/// Where one channel renames a table, no other may write to the same table there.
fn renamed_into_another(renaming: &Channel, other: &Channel) -> Option<Problem> {
    renaming.directions.iter().find_map(|direction| {
        let into_same = other.directions.iter().any(|theirs| theirs.to == direction.to);
        let transforms = renaming.transforms(direction);
        let theirs = other.tables_at(&direction.to);
        let mut renamed = transforms.list.iter().filter_map(|transform| transform.rename_table.as_ref());
        let name = renamed.find(|name| into_same && theirs.chooses(name))?;
        Some(Problem::Clash {
            key: format!("channels.{}.transform", renaming.name),
            other: format!("channels.{}.tables", other.name),
            what: format!("both write to {name} at {}", direction.to),
            fix: format!("take it out of the other with \"!{name}\""),
        })
    })
}
