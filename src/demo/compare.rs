//! Whether both sides are identical: asked of `weft verify`, and once more of the servers alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;

use mysql_async::prelude::Queryable;
use weft_core::instance::InstanceId;

use super::error::DemoError;
use super::servers::Server;
use super::sites::{SITES, instance, program};

/// What `weft verify` said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    pub identical: bool,
    pub lines: Vec<String>,
}

/// Runs `weft verify` on the demo's deployment.
pub async fn verify(config: &Path) -> Result<Verified, DemoError> {
    let mut command = tokio::process::Command::new(program()?);
    command.arg("verify").arg("--config").arg(config).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await;
    let output = output.map_err(|cause| DemoError::Start { program: String::from("weft verify"), cause })?;
    let text = [output.stdout, output.stderr].concat();
    let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
    // What could not be compared is not known to be identical.
    Ok(Verified { identical: output.status.success(), lines })
}

/// The result of `CHECKSUM TABLE` on one table at each site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub table: String,
    /// None: the table is not there.
    pub values: [Option<u64>; 2],
}

impl Checksum {
    pub fn is_equal(&self) -> bool {
        self.values[0].is_some() && self.values[0] == self.values[1]
    }
}

/// Checksums of all tables of the shop.
pub async fn checksums(servers: &[Server]) -> Result<Vec<Checksum>, DemoError> {
    let mut tables: BTreeMap<String, [Option<u64>; 2]> = BTreeMap::new();
    for (site, server) in servers.iter().enumerate() {
        let failed = |cause| DemoError::Query { site: SITES[site], doing: "taking checksums", cause };
        let mut conn = server.conn().await?;
        let names: Vec<String> = conn.query("SHOW TABLES IN shop").await.map_err(failed)?;
        for name in names {
            let row: Option<(String, Option<u64>)> =
                conn.query_first(format!("CHECKSUM TABLE shop.{name}")).await.map_err(failed)?;
            tables.entry(format!("shop.{name}")).or_default()[site] = row.and_then(|(_, value)| value);
        }
        conn.disconnect().await.map_err(failed)?;
    }
    Ok(tables.into_iter().map(|(table, values)| Checksum { table, values }).collect())
}

/// Conflicts that one site decided, from its conflict log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decided {
    /// By the site whose change won.
    pub won_by: [u64; 2],
    /// Among them those in which a row had to go because the other took its unique value.
    pub evicted: u64,
}

/// Conflicts decided at this site.
pub async fn conflicts(site: usize, server: &Server) -> Result<Decided, DemoError> {
    let failed = |cause| DemoError::Query { site: SITES[site], doing: "reading the conflict log", cause };
    let mut conn = server.conn().await?;
    let rows: Vec<(String, u32, Option<u32>, u64)> = conn
        .query(
            "SELECT verdict, incoming_origin, local_origin, COUNT(*) FROM weft.conflict \
             GROUP BY verdict, incoming_origin, local_origin",
        )
        .await
        .map_err(failed)?;
    conn.disconnect().await.map_err(failed)?;
    Ok(tally(&rows))
}

fn tally(rows: &[(String, u32, Option<u32>, u64)]) -> Decided {
    let mut decided = Decided::default();
    for (verdict, incoming, local, count) in rows {
        let winner = match verdict.as_str() {
            "incoming-won" | "local-evicted" => Some(*incoming),
            _ => *local,
        };
        let site = (0..SITES.len()).find(|site| winner == Some(InstanceId::of(&instance(*site)).0));
        if let Some(site) = site {
            decided.won_by[site] += count;
        }
        if verdict.ends_with("-evicted") {
            decided.evicted += count;
        }
    }
    decided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_winner_is_the_site_whose_change_stays() {
        let [sh, bj] = [0, 1].map(|site| InstanceId::of(&instance(site)).0);
        let row = |verdict: &str, incoming, local, count| (verdict.to_owned(), incoming, Some(local), count);
        let decided = tally(&[
            row("incoming-won", sh, bj, 1),
            row("local-won", sh, bj, 10),
            row("incoming-evicted", sh, bj, 100),
            row("local-evicted", sh, bj, 1_000),
        ]);
        assert_eq!(decided, Decided { won_by: [1_001, 110], evicted: 1_100 });
    }

    #[test]
    fn a_table_that_one_side_lacks_is_not_equal() {
        let checksum = |values| Checksum { table: String::from("t"), values };
        assert!(checksum([Some(1), Some(1)]).is_equal());
        assert!(!checksum([Some(1), Some(2)]).is_equal());
        assert!(!checksum([None, Some(1)]).is_equal());
        assert!(!checksum([None, None]).is_equal());
    }
}
