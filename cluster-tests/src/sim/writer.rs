//! An application: random transactions, statement by statement.

use rand::Rng;
use rand::rngs::StdRng;
use weft_core::sink::step::Isolation;
use weft_core::time::Micros;

use super::database::{Database, Denied, SessionId};
use super::row::{Row, TABLES, TableId, WITH_UNIQUE};
use super::setup::Setup;

/// How often a statement may wait before it times out and the transaction is rolled back.
const WAITS_MAX: u32 = 30;

/// A statement.
#[derive(Debug, Clone, Copy)]
enum Statement {
    Insert(TableId, Row),
    /// Sets the value, and the unique value and the id where they are given.
    Update(TableId, u16, u64, Option<u16>, Option<u16>),
    Delete(TableId, u16),
}

/// A client with one connection.
#[derive(Debug, Default)]
pub struct Writer {
    session: Option<SessionId>,
    /// The statements of the open transaction that are still to come.
    plan: Vec<Statement>,
    waited: u32,
}

impl Writer {
    /// Whether no transaction is open.
    pub fn is_idle(&self) -> bool {
        self.session.is_none()
    }

    /// Runs the next statement, or commits; says what it did.
    pub fn tick(
        &mut self,
        database: &mut Database,
        site: usize,
        setup: &Setup,
        now: Micros,
        values: &mut u64,
        rng: &mut StdRng,
    ) -> Option<String> {
        let Some(session) = self.session.filter(|session| database.is_connected(*session)) else {
            self.begin(database, site, setup, now, values, rng);
            return None;
        };
        let Some(statement) = self.plan.first().copied() else {
            // The server stamps a transaction with the start of a statement, at times long before.
            let began = database.began(session).unwrap_or(now);
            let time = if rng.random_bool(0.3) { began } else { now };
            let _ = database.commit(session, time);
            self.end(database);
            return Some("commits".into());
        };
        match run(database, session, statement) {
            Err(Denied::Waits(_)) if self.waited < WAITS_MAX => {
                self.waited += 1;
                None
            }
            Err(Denied::Waits(_) | Denied::Gone) => {
                self.end(database);
                Some("rolls back".into())
            }
            Ok(()) | Err(Denied::Duplicate | Denied::Missing) => {
                self.plan.remove(0);
                self.waited = 0;
                Some(format!("{statement:?}"))
            }
        }
    }

    /// Goes, and leaves what it has not committed.
    pub fn leave(&mut self, database: &mut Database) {
        self.end(database);
    }

    fn end(&mut self, database: &mut Database) {
        if let Some(session) = self.session.take() {
            database.disconnect(session);
        }
        self.plan.clear();
        self.waited = 0;
    }

    fn begin(
        &mut self,
        database: &mut Database,
        site: usize,
        setup: &Setup,
        now: Micros,
        values: &mut u64,
        rng: &mut StdRng,
    ) {
        let session = database.connect();
        let isolation = [Isolation::RepeatableRead, Isolation::ReadCommitted][rng.random_range(0..2)];
        database.begin(session, isolation, now).expect("just connected");
        self.session = Some(session);
        let count = if rng.random_bool(0.1) { rng.random_range(5..10) } else { rng.random_range(1..4) };
        self.plan.clear();
        while self.plan.len() < count {
            self.plan_more(site, setup, values, rng);
        }
    }

    fn plan_more(&mut self, site: usize, setup: &Setup, values: &mut u64, rng: &mut StdRng) {
        let own = |number: u16| match setup.apart {
            true => number * setup.sites as u16 + site as u16 + 1,
            false => number + 1,
        };
        let table = rng.random_range(0..TABLES);
        let mut id = || own(rng.random_range(0..setup.ids));
        let (one, other) = (id(), id());
        let mut value = || {
            *values += 1;
            *values
        };
        let mut unique = || match table {
            WITH_UNIQUE if rng.random_bool(0.8) => own(rng.random_range(0..setup.unique_values)),
            _ => 0,
        };
        let (first, second) = (unique(), unique());
        match rng.random_range(0..20) {
            0..7 => self.plan.push(Statement::Insert(table, Row { id: one, unique: first, value: value() })),
            7..11 => self.plan.push(Statement::Update(table, one, value(), None, None)),
            11..14 => self.plan.push(Statement::Update(table, one, value(), Some(first), None)),
            14 | 15 => self.plan.push(Statement::Update(table, one, value(), None, Some(other))),
            // Two rows swap their unique values, by way of a NULL.
            16 => self.plan.extend([
                Statement::Update(table, one, value(), Some(0), None),
                Statement::Update(table, other, value(), Some(first), None),
                Statement::Update(table, one, value(), Some(second), None),
            ]),
            _ => self.plan.push(Statement::Delete(table, one)),
        }
    }
}

fn run(database: &mut Database, session: SessionId, statement: Statement) -> Result<(), Denied> {
    match statement {
        Statement::Insert(table, row) => database.insert(session, table, row),
        Statement::Update(table, id, value, unique, to) => {
            let Some(row) = database.lock_by_id(session, table, id)? else { return Err(Denied::Missing) };
            let after = Row { id: to.unwrap_or(id), unique: unique.unwrap_or(row.unique), value };
            database.update(session, table, id, after)
        }
        Statement::Delete(table, id) => database.delete(session, table, id),
    }
}
