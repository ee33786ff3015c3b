//! What the demo's shop does: the tables, and every transaction of every site as a pure function of
//! the seed.
//!
//! Most transactions of a site touch rows that the other site touches too, sooner or later. Every
//! [`DUEL_EVERY`]th is a *duel*: both sites, which keep to the same timetable, want the same row or
//! the same unique value in the same moment.

/// Transactions from one duel to the next.
pub const DUEL_EVERY: u64 = 10;

/// Rows that are there, the same on both sides, when replication begins. Ids from 1.
const USERS: u64 = 300;
const GOODS: u64 = 100;
const ORDERS: u64 = 2_000;
/// Ids of orders and users that are added: above those of the start.
const NEW_IDS_FROM: u64 = 10_000;
/// How many of its transactions back a site looks for an order to change.
const RECENT: u64 = 600;

/// Statements that make the shop, once on each side before replication begins.
pub fn schema() -> Vec<String> {
    let table = |name: &str, columns: &str| {
        format!(
            "CREATE TABLE shop.{name} ({columns}) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci"
        )
    };
    let rows = |count: u64, row: &dyn Fn(u64) -> String| -> String {
        (1..=count).map(row).collect::<Vec<_>>().join(",")
    };
    let placed = "2026-01-01 00:00:00";
    vec![
        String::from("CREATE DATABASE shop"),
        table(
            "users",
            "id BIGINT PRIMARY KEY, email VARCHAR(60) NOT NULL, balance INT NOT NULL, UNIQUE KEY email (email)",
        ),
        table("stock", "sku INT PRIMARY KEY, quantity INT NOT NULL, note VARCHAR(40)"),
        table(
            "orders",
            "id BIGINT PRIMARY KEY, user_id BIGINT NOT NULL, cents INT NOT NULL, state VARCHAR(10) NOT NULL, \
             placed DATETIME(6) NOT NULL",
        ),
        table("probe", "id BIGINT PRIMARY KEY, sent DATETIME(6) NOT NULL"),
        format!("INSERT INTO shop.users VALUES {}", rows(USERS, &|id| format!("({id},'user{id}@shop',100)"))),
        format!("INSERT INTO shop.stock VALUES {}", rows(GOODS, &|sku| format!("({sku},1000,NULL)"))),
        format!(
            "INSERT INTO shop.orders VALUES {}",
            rows(ORDERS, &|id| format!("({id},{},{},'paid','{placed}')", 1 + id % USERS, 100 + id))
        ),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Insert,
    Update,
    Delete,
}

/// One statement of a transaction, and how its rows are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub kind: Kind,
    pub sql: String,
}

/// The `number`-th transaction (from 0) of a site, given by its index.
pub fn transaction(seed: u64, site: usize, number: u64) -> Vec<Statement> {
    if number.is_multiple_of(DUEL_EVERY) {
        // No site in it: both draw the same subject.
        return duel(&mut Dice::new([seed, number, u64::MAX]), site, number);
    }
    ordinary(&mut Dice::new([seed, number, site as u64]), site, number)
}

fn ordinary(dice: &mut Dice, site: usize, number: u64) -> Vec<Statement> {
    match dice.below(100) {
        0..40 => vec![
            insert_order(own_id(site, number), dice),
            update(format!(
                "UPDATE shop.stock SET quantity = quantity - 1 WHERE sku = {}",
                1 + dice.below(GOODS)
            )),
        ],
        40..60 => {
            let state = ["paid", "packed", "sent"][dice.below(3) as usize];
            let id = any_order(dice, number);
            vec![update(format!("UPDATE shop.orders SET state = '{state}' WHERE id = {id}"))]
        }
        60..72 => {
            let (amount, id) = (1 + dice.below(50), 1 + dice.below(USERS));
            vec![update(format!("UPDATE shop.users SET balance = balance + {amount} WHERE id = {id}"))]
        }
        72..80 => {
            let sku = 1 + dice.below(GOODS - 2);
            vec![update(format!(
                "UPDATE shop.stock SET note = 'shelf {number}' WHERE sku BETWEEN {sku} AND {}",
                sku + 2
            ))]
        }
        80..90 => vec![delete_order(any_order(dice, number))],
        90..96 => vec![insert_user(own_id(site, number), &format!("new{}", own_id(site, number)))],
        _ => {
            // A unique value that moves from row to row; taken already, the server refuses it.
            let (id, name) = (1 + dice.below(USERS), dice.below(40));
            vec![update(format!("UPDATE shop.users SET email = 'nick{name}@shop' WHERE id = {id}"))]
        }
    }
}

fn duel(dice: &mut Dice, site: usize, number: u64) -> Vec<Statement> {
    let first_deletes = dice.below(2) as usize;
    let subject = dice.below(GOODS);
    match dice.below(4) {
        0 => vec![update(format!(
            "UPDATE shop.stock SET quantity = {}, note = 'counted at site {site}' WHERE sku = {}",
            900 + number % 100,
            1 + subject
        ))],
        // The same primary key.
        1 => vec![insert_order(duel_id(number), &mut Dice::new([number, site as u64, 0]))],
        // Different rows, the same unique value.
        2 => vec![insert_user(own_id(site, number), &format!("duel{number}"))],
        _ if site == first_deletes => vec![delete_order(1 + dice.below(ORDERS))],
        _ => {
            let id = 1 + dice.below(ORDERS);
            vec![update(format!("UPDATE shop.orders SET state = 'disputed' WHERE id = {id}"))]
        }
    }
}

fn insert_order(id: u64, dice: &mut Dice) -> Statement {
    let (user, cents) = (1 + dice.below(USERS), 100 + dice.below(100_000));
    let sql = format!("INSERT INTO shop.orders VALUES ({id},{user},{cents},'new',NOW(6))");
    Statement { kind: Kind::Insert, sql }
}

fn insert_user(id: u64, name: &str) -> Statement {
    Statement { kind: Kind::Insert, sql: format!("INSERT INTO shop.users VALUES ({id},'{name}@shop',100)") }
}

fn delete_order(id: u64) -> Statement {
    Statement { kind: Kind::Delete, sql: format!("DELETE FROM shop.orders WHERE id = {id}") }
}

fn update(sql: String) -> Statement {
    Statement { kind: Kind::Update, sql }
}

/// Ids that a site gives: no other site gives the same.
const fn own_id(site: usize, number: u64) -> u64 {
    NEW_IDS_FROM + number * 3 + site as u64
}

/// An id that both sites give.
const fn duel_id(number: u64) -> u64 {
    NEW_IDS_FROM + number * 3 + 2
}

/// An order that either site may have placed a while ago, or one of the start.
fn any_order(dice: &mut Dice, number: u64) -> u64 {
    let back = 1 + dice.below(RECENT);
    match number.checked_sub(back) {
        Some(then) => own_id(dice.below(2) as usize, then),
        None => 1 + dice.below(ORDERS),
    }
}

/// Numbers that look random and come from their seed alone: SplitMix64 (Steele, Lea, Flood: "Fast
/// splittable pseudorandom number generators", 2014).
struct Dice(u64);

impl Dice {
    fn new(seeds: [u64; 3]) -> Dice {
        let mut dice = Dice(0);
        for seed in seeds {
            dice.0 = dice.next() ^ seed;
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `end`, exclusive. The bias is far below what a demo shows.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_transactions() {
        for number in 0..200 {
            assert_eq!(transaction(7, 0, number), transaction(7, 0, number));
        }
        assert!((0..200).any(|number| transaction(7, 0, number) != transaction(8, 0, number)));
    }

    #[test]
    fn in_a_duel_both_sites_want_the_same() {
        let (mut same_key, mut same_email) = (0, 0);
        for number in (0..2_000).step_by(DUEL_EVERY as usize) {
            let [here, there] = [0, 1].map(|site| transaction(1, site, number).remove(0).sql);
            let [here_order, there_order] =
                [&here, &there].map(|sql| sql.strip_prefix("INSERT INTO shop.orders VALUES (").map(id_of));
            if here_order.is_some() {
                assert_eq!(here_order, there_order);
                same_key += 1;
            }
            if here.starts_with("INSERT INTO shop.users") {
                let email = format!("'duel{number}@shop'");
                assert!(here.contains(&email) && there.contains(&email) && here != there, "{here} {there}");
                same_email += 1;
            }
        }
        assert!(same_key > 20 && same_email > 20, "{same_key} {same_email}");
    }

    fn id_of(rest: &str) -> String {
        rest.chars().take_while(char::is_ascii_digit).collect()
    }

    #[test]
    fn ordinary_transactions_never_give_the_other_sites_ids() {
        let ids = |site: usize| -> Vec<String> {
            (1..2_000)
                .filter(|number: &u64| !number.is_multiple_of(DUEL_EVERY))
                .flat_map(|number| transaction(1, site, number))
                .filter(|statement| statement.kind == Kind::Insert)
                .filter_map(|statement| statement.sql.split_once('(').map(|(_, rest)| id_of(rest)))
                .collect()
        };
        let here = ids(0);
        assert!(here.len() > 500 && ids(1).iter().all(|id| !here.contains(id)));
    }
}
