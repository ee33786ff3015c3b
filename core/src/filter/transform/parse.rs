//! The language of row predicates: a small and exact part of SQL.
//!
//! ```text
//! any   = all { OR all }
//! all   = not { AND not }
//! not   = NOT not | '(' any ')' | test
//! test  = column IS [NOT] NULL | column [NOT] IN '(' literal {, literal} ')'
//!       | column sign literal | literal sign column
//! sign  = '=' | '<>' | '!=' | '<' | '<=' | '>' | '>='
//! literal = number | 'text' | NULL
//! ```
//!
//! `NOT` binds weaker than a comparison and stronger than `AND`, as the servers have it. Text is in single
//! quotes, a quote in it doubled; a backslash is refused, as servers read it by their `sql_mode`.

/// Longest predicate in bytes.
const TEXT_BYTES_MAX: usize = 4096;
/// Deepest nesting of parentheses and NOT.
const DEPTH_MAX: usize = 50;
/// Most digits of a number, and most of them behind the point: what DECIMAL holds on every server.
const DIGITS_MAX: usize = 65;
const DECIMALS_MAX: usize = 30;

/// Why a predicate is not understood, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {cause}")]
pub struct ParseError {
    /// Counted from 1.
    pub at: usize,
    pub cause: String,
}

/// A predicate, not yet tied to a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expr {
    All(Vec<Expr>),
    Any(Vec<Expr>),
    Not(Box<Expr>),
    IsNull(String),
    Compare(String, Sign, Literal),
    In(String, Vec<Literal>),
}

/// A comparison, the column on the left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// As written: an optional minus, digits, and perhaps a point with digits behind it.
    Number(String),
    Text(String),
    Null,
}

impl Sign {
    fn mirrored(self) -> Sign {
        match self {
            Sign::Less => Sign::Greater,
            Sign::LessOrEqual => Sign::GreaterOrEqual,
            Sign::Greater => Sign::Less,
            Sign::GreaterOrEqual => Sign::LessOrEqual,
            Sign::Equal | Sign::NotEqual => self,
        }
    }

    /// As SQL writes it.
    pub const fn text(self) -> &'static str {
        match self {
            Sign::Equal => "=",
            Sign::NotEqual => "<>",
            Sign::Less => "<",
            Sign::LessOrEqual => "<=",
            Sign::Greater => ">",
            Sign::GreaterOrEqual => ">=",
        }
    }
}

impl Expr {
    /// Reads a predicate.
    ///
    /// # Errors
    /// What is not understood, and where.
    pub fn parse(text: &str) -> Result<Expr, ParseError> {
        if text.len() > TEXT_BYTES_MAX {
            let cause = format!("it is longer than {TEXT_BYTES_MAX} bytes");
            return Err(ParseError { at: 1, cause });
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.chars().count() + 1, depth: 0 };
        let expr = parser.any()?;
        match parser.peek() {
            None => Ok(expr),
            Some(token) => Err(parser.wrong(&format!("{} does not belong here", token.shown()))),
        }
    }

    /// Calls `f` with the name of every column, as written.
    pub fn for_each_column(&self, f: &mut impl FnMut(&str)) {
        match self {
            Expr::All(list) | Expr::Any(list) => list.iter().for_each(|one| one.for_each_column(f)),
            Expr::Not(inner) => inner.for_each_column(f),
            Expr::IsNull(column) | Expr::Compare(column, ..) | Expr::In(column, _) => f(column),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A bare word: a keyword or a column.
    Word(String),
    /// A name in backticks: always a column.
    Name(String),
    Literal(Literal),
    Sign(Sign),
    Open,
    Close,
    Comma,
}

impl Token {
    fn shown(&self) -> String {
        match self {
            Token::Word(word) => word.clone(),
            Token::Name(name) => format!("`{name}`"),
            Token::Literal(Literal::Number(number)) => number.clone(),
            Token::Literal(Literal::Text(text)) => format!("'{text}'"),
            Token::Literal(Literal::Null) => "NULL".to_owned(),
            Token::Sign(sign) => sign.text().to_owned(),
            Token::Open => "(".to_owned(),
            Token::Close => ")".to_owned(),
            Token::Comma => ",".to_owned(),
        }
    }

    fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// The tokens, each with the number of its first character.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ParseError> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    while let Some(&c) = lexer.chars.get(lexer.at) {
        if c.is_whitespace() {
            lexer.at += 1;
            continue;
        }
        let start = lexer.at + 1;
        tokens.push((start, lexer.token(c)?));
    }
    Ok(tokens)
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

impl Lexer {
    fn error(&self, cause: impl Into<String>) -> ParseError {
        ParseError { at: self.at + 1, cause: cause.into() }
    }

    fn follows(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn token(&mut self, c: char) -> Result<Token, ParseError> {
        let (token, len) = match (c, self.follows(1)) {
            ('(', _) => (Token::Open, 1),
            (')', _) => (Token::Close, 1),
            (',', _) => (Token::Comma, 1),
            ('=', _) => (Token::Sign(Sign::Equal), 1),
            ('<', '=') if self.follows(2) == '>' => return Err(self.error("<=> is not supported")),
            ('<', '=') => (Token::Sign(Sign::LessOrEqual), 2),
            ('<', '>') | ('!', '=') => (Token::Sign(Sign::NotEqual), 2),
            ('<', _) => (Token::Sign(Sign::Less), 1),
            ('>', '=') => (Token::Sign(Sign::GreaterOrEqual), 2),
            ('>', _) => (Token::Sign(Sign::Greater), 1),
            ('\'', _) => return self.quoted('\'').map(|text| Token::Literal(Literal::Text(text))),
            ('`', _) => return self.quoted('`').map(Token::Name),
            ('-', next) if next.is_ascii_digit() => return self.number(),
            _ if c.is_ascii_digit() => return self.number(),
            _ if is_word(c) => return Ok(self.word()),
            ('"', _) => return Err(self.error("write text in single quotes")),
            _ => return Err(self.error(format!("{c:?} is not supported"))),
        };
        self.at += len;
        Ok(token)
    }

    fn quoted(&mut self, quote: char) -> Result<String, ParseError> {
        let start = self.at;
        let mut text = String::new();
        self.at += 1;
        while let Some(&c) = self.chars.get(self.at) {
            match c {
                _ if c == quote && self.follows(1) == quote => self.at += 1,
                _ if c == quote => {
                    self.at += 1;
                    return Ok(text);
                }
                '\\' if quote == '\'' => return Err(self.error("a backslash in text is not supported")),
                _ => {}
            }
            text.push(c);
            self.at += 1;
        }
        self.at = start;
        Err(self.error("the quote is not closed"))
    }

    fn number(&mut self) -> Result<Token, ParseError> {
        let start = self.at;
        let mut text = String::new();
        if self.follows(0) == '-' {
            text.push('-');
            self.at += 1;
        }
        let mut decimals = None;
        loop {
            match self.follows(0) {
                digit if digit.is_ascii_digit() => decimals = decimals.map(|count: usize| count + 1),
                '.' if decimals.is_none() && self.follows(1).is_ascii_digit() => decimals = Some(0),
                _ => break,
            }
            text.push(self.follows(0));
            self.at += 1;
        }
        if is_word(self.follows(0)) || self.follows(0) == '.' {
            return Err(self.error("a number has digits and at most one point here"));
        }
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if digits > DIGITS_MAX || decimals > Some(DECIMALS_MAX) {
            self.at = start;
            let cause =
                format!("a number has at most {DIGITS_MAX} digits, {DECIMALS_MAX} of them behind the point");
            return Err(self.error(cause));
        }
        Ok(Token::Literal(Literal::Number(text)))
    }

    fn word(&mut self) -> Token {
        let rest = &self.chars[self.at..];
        let word: String = rest.iter().take_while(|c| is_word(**c)).collect();
        self.at += word.chars().count();
        match word.eq_ignore_ascii_case("NULL") {
            true => Token::Literal(Literal::Null),
            false => Token::Word(word),
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    next: usize,
    /// The place behind the last character.
    end: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(_, token)| token)
    }

    fn wrong(&self, cause: &str) -> ParseError {
        let at = self.tokens.get(self.next).map_or(self.end, |(at, _)| *at);
        ParseError { at, cause: cause.to_owned() }
    }

    fn take_word(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is_word(keyword));
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token) -> Result<(), ParseError> {
        if self.peek() != Some(token) {
            return Err(self.wrong(&format!("{} is missing", token.shown())));
        }
        self.next += 1;
        Ok(())
    }

    fn any(&mut self) -> Result<Expr, ParseError> {
        let mut list = vec![self.all()?];
        while self.take_word("OR") {
            list.push(self.all()?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Expr::Any(list) })
    }

    fn all(&mut self) -> Result<Expr, ParseError> {
        let mut list = vec![self.not()?];
        while self.take_word("AND") {
            list.push(self.not()?);
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Expr::All(list) })
    }

    fn not(&mut self) -> Result<Expr, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(&format!("it is nested deeper than {DEPTH_MAX}")));
        }
        let expr = if self.take_word("NOT") {
            Expr::Not(Box::new(self.not()?))
        } else if self.peek() == Some(&Token::Open) {
            self.next += 1;
            let inner = self.any()?;
            self.expect(&Token::Close)?;
            inner
        } else {
            self.test()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    fn test(&mut self) -> Result<Expr, ParseError> {
        if let Some(Token::Literal(literal)) = self.peek().cloned() {
            self.next += 1;
            let sign = self.sign()?;
            return Ok(Expr::Compare(self.column()?, sign.mirrored(), literal));
        }
        let column = self.column()?;
        if self.take_word("IS") {
            let not = self.take_word("NOT");
            self.expect(&Token::Literal(Literal::Null))?;
            return Ok(negated(not, Expr::IsNull(column)));
        }
        let not = self.take_word("NOT");
        if self.take_word("IN") {
            return Ok(negated(not, Expr::In(column, self.list()?)));
        }
        if not {
            return Err(self.wrong("IN is missing"));
        }
        let sign = self.sign()?;
        let literal = self.literal()?;
        Ok(Expr::Compare(column, sign, literal))
    }

    fn sign(&mut self) -> Result<Sign, ParseError> {
        let Some(&Token::Sign(sign)) = self.peek() else {
            return Err(self.wrong("a comparison (=, <>, <, <=, >, >=), IN or IS is missing"));
        };
        self.next += 1;
        Ok(sign)
    }

    fn column(&mut self) -> Result<String, ParseError> {
        const RESERVED: [&str; 11] =
            ["AND", "OR", "NOT", "IN", "IS", "TRUE", "FALSE", "LIKE", "BETWEEN", "XOR", "EXISTS"];
        let name = match self.peek() {
            Some(Token::Name(name)) => name.clone(),
            Some(token @ Token::Word(word)) if !RESERVED.iter().any(|word| token.is_word(word)) => {
                word.clone()
            }
            _ => return Err(self.wrong("a column is missing")),
        };
        self.next += 1;
        Ok(name)
    }

    fn literal(&mut self) -> Result<Literal, ParseError> {
        let Some(Token::Literal(literal)) = self.peek() else {
            return Err(self.wrong("a number, a text in single quotes or NULL is missing"));
        };
        let literal = literal.clone();
        self.next += 1;
        Ok(literal)
    }

    fn list(&mut self) -> Result<Vec<Literal>, ParseError> {
        self.expect(&Token::Open)?;
        let mut list = vec![self.literal()?];
        while self.peek() == Some(&Token::Comma) {
            self.next += 1;
            list.push(self.literal()?);
        }
        self.expect(&Token::Close)?;
        Ok(list)
    }
}

fn negated(not: bool, expr: Expr) -> Expr {
    if not { Expr::Not(Box::new(expr)) } else { expr }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Literal {
        Literal::Number(text.into())
    }

    fn equal(column: &str, literal: Literal) -> Expr {
        Expr::Compare(column.into(), Sign::Equal, literal)
    }

    #[test]
    fn not_binds_stronger_than_and_and_and_than_or() {
        let (a, b, c) = (equal("a", number("1")), equal("b", number("-2.50")), Expr::IsNull("c".into()));
        assert_eq!(
            Expr::parse("NOT a = 1 and b=-2.50 or c IS NULL"),
            Ok(Expr::Any(vec![Expr::All(vec![Expr::Not(Box::new(a.clone())), b.clone()]), c.clone()]))
        );
        assert_eq!(
            Expr::parse("(1 = a OR `c` is null) AND NOT (b = -2.50)"),
            Ok(Expr::All(vec![Expr::Any(vec![a, c]), Expr::Not(Box::new(b))]))
        );
    }

    #[test]
    fn texts_lists_and_mirrored_comparisons_are_read() {
        let list = vec![Literal::Text("it's".into()), Literal::Null, number("7")];
        assert_eq!(
            Expr::parse("`odd``name` NOT IN ('it''s', NULL, 7)"),
            Ok(Expr::Not(Box::new(Expr::In("odd`name".into(), list))))
        );
        assert_eq!(Expr::parse("5 <= n"), Ok(Expr::Compare("n".into(), Sign::GreaterOrEqual, number("5"))));
        assert_eq!(Expr::parse("n != 5"), Ok(Expr::Compare("n".into(), Sign::NotEqual, number("5"))));
        assert_eq!(Expr::parse("región IS NOT NULL"), Ok(Expr::Not(Box::new(Expr::IsNull("región".into())))));
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_place() {
        let table = [
            ("", 1, "a column is missing"),
            ("a =", 4, "a number, a text in single quotes or NULL is missing"),
            ("a = b", 5, "a number, a text in single quotes or NULL is missing"),
            ("a = \"x\"", 5, "write text in single quotes"),
            ("a = 'x", 5, "the quote is not closed"),
            ("a = 'x\\y'", 7, "a backslash in text is not supported"),
            ("a LIKE 'x'", 3, "a comparison (=, <>, <, <=, >, >=), IN or IS is missing"),
            ("a = 1 b", 7, "b does not belong here"),
            ("a <=> 1", 3, "<=> is not supported"),
            ("a = 1e5", 6, "a number has digits and at most one point here"),
            ("(a = 1", 7, ") is missing"),
            ("a IN ()", 7, "a number, a text in single quotes or NULL is missing"),
            ("LOWER(a) = 'x'", 6, "a comparison (=, <>, <, <=, >, >=), IN or IS is missing"),
            ("a = 1; DROP", 6, "';' is not supported"),
        ];
        for (text, at, cause) in table {
            assert_eq!(Expr::parse(text), Err(ParseError { at, cause: cause.into() }), "{text}");
        }
    }

    #[test]
    fn nesting_and_length_are_bounded() {
        assert!(Expr::parse(&format!("{}a = 1{}", "(".repeat(40), ")".repeat(40))).is_ok());
        assert!(Expr::parse(&format!("{}a = 1{}", "(".repeat(1000), ")".repeat(1000))).is_err());
        assert!(Expr::parse(&format!("a IN ({}1)", "1,".repeat(5000))).is_err());
        assert!(Expr::parse(&format!("a = {}", "1".repeat(66))).is_err());
    }
}
