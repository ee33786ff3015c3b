//! A transform's condition as SQL over the table `t`, for a session with `utf8mb4`.

use weft_core::filter::transform::parse::{Expr, Literal};
use weft_core::tables::quote;

/// In parentheses where something could bind otherwise.
pub fn sql(expr: &Expr) -> String {
    let column = |name: &String| format!("t.{}", quote(name));
    let joined = |list: &[Expr], by: &str| format!("({})", list.iter().map(sql).collect::<Vec<_>>().join(by));
    match expr {
        Expr::All(list) => joined(list, " AND "),
        Expr::Any(list) => joined(list, " OR "),
        Expr::Not(inner) => format!("(NOT {})", sql(inner)),
        Expr::IsNull(name) => format!("({} IS NULL)", column(name)),
        Expr::Compare(name, sign, value) => {
            format!("({} {} {})", column(name), sign.text(), literal(value))
        }
        Expr::In(name, list) => {
            let list: Vec<String> = list.iter().map(literal).collect();
            format!("({} IN ({}))", column(name), list.join(","))
        }
    }
}

/// Text has no backslash: no `sql_mode` reads it otherwise.
fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Number(number) => number.clone(),
        Literal::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Literal::Null => "NULL".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_reads_the_same_as_it_was_written() {
        let text = "NOT (a = -1 OR `b``c` IN ('it''s', NULL)) AND d IS NOT NULL";
        let expr = Expr::parse(text).expect("it parses");
        let printed = "((NOT ((t.`a` = -1) OR (t.`b``c` IN ('it''s',NULL)))) AND (NOT (t.`d` IS NULL)))";
        assert_eq!(sql(&expr), printed);
        let without_table = printed.replace("t.`", "`");
        assert_eq!(Expr::parse(&without_table).map(|again| sql(&again)), Ok(printed.to_owned()));
    }
}
