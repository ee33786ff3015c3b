//! The referee: decides conflicts by the rules that need more than two versions.
//!
//! Everywhere, at once, last-write-wins holds. At one instance of those that share a table, the
//! deciding one, each conflict is also put on record as *open*, in the transaction that applied it.
//! Behind it the referee takes the open conflicts of one key, holds its row, and asks [`case::hear`].
//! Where the rule wants the row that last-write-wins passed over, that row is written as an ordinary
//! local change of the deciding instance: it is stamped above everything known of the key, so it wins
//! everywhere, and by last-write-wins alone.
//!
//! Why this ends: a verdict is a local change of the deciding instance and never comes in there, so
//! that it opens nothing; each one closes at least the conflict that it was given for. So there are
//! never more verdicts than conflicts between changes of applications.
//!
//! | file | what |
//! |---|---|
//! | `case` | the open conflicts of one key, and what follows from them |
//! | `line` | which change is a successor of which |
//! | `rule` | the rules that need nothing but both rows and their versions |
//! | `column` | how two values of a user's column compare |

pub mod case;
mod column;
mod line;
mod rule;

pub use case::{Answer, Answers, Case, Close, Entry, Hearing, Ruled, Ruling, Side, Why, hear, opens};
pub use column::is_comparable;
pub use rule::{Claim, Contest, PureRule, Rule, Winner};

/// A row as texts by column name; None: NULL.
pub type Row = std::collections::BTreeMap<String, Option<String>>;
