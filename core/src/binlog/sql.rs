//! Just enough of SQL's lexical rules to tell what a statement in the binlog is about.

use crate::tables::TableName;

/// A token of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a name without quotes, as written.
    Word(String),
    /// A name in backticks or double quotes.
    Quoted(String),
    /// A literal in single quotes: its text does not matter here.
    Text,
    Mark(char),
}

impl Token {
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Token::Word(name) | Token::Quoted(name) => Some(name),
            Token::Text | Token::Mark(_) => None,
        }
    }
}

/// The tokens of a statement, comments left out. The content of `/*! */` counts: the server that
/// wrote the binlog ran it.
pub(super) struct Tokens<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    peeked: Option<Token>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(statement: &'a str) -> Tokens<'a> {
        Tokens { chars: statement.chars().peekable(), peeked: None }
    }

    pub(super) fn peek(&mut self) -> Option<&Token> {
        if self.peeked.is_none() {
            self.peeked = self.lex();
        }
        self.peeked.as_ref()
    }

    /// Passes over the keyword if it is next.
    pub(super) fn accept(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(keyword));
        if found {
            self.peeked = None;
        }
        found
    }

    pub(super) fn accept_mark(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Token::Mark(mark));
        if found {
            self.peeked = None;
        }
        found
    }

    /// Passes over whichever of the keywords come next.
    pub(super) fn skip_any(&mut self, keywords: &[&str]) {
        while keywords.iter().any(|keyword| self.accept(keyword)) {}
    }

    /// A name of one part.
    pub(super) fn name(&mut self) -> Option<String> {
        let name = self.peek()?.name()?.to_owned();
        self.peeked = None;
        Some(name)
    }

    /// A table name, `schema` where it does not say its own.
    pub(super) fn table(&mut self, schema: &str) -> Option<TableName> {
        let first = self.name()?;
        if self.accept_mark('.') {
            return Some(TableName::new(first, self.name()?));
        }
        Some(TableName::new(schema, first))
    }

    fn lex(&mut self) -> Option<Token> {
        loop {
            let c = self.chars.next()?;
            match c {
                _ if c.is_whitespace() => {}
                '#' => self.skip_line(),
                '-' if self.chars.peek() == Some(&'-') => self.skip_line(),
                '/' if self.chars.peek() == Some(&'*') => {
                    self.chars.next();
                    self.comment();
                }
                '*' if self.chars.peek() == Some(&'/') => {
                    self.chars.next();
                }
                '`' | '"' => return Some(Token::Quoted(self.quoted(c))),
                '\'' => {
                    self.quoted(c);
                    return Some(Token::Text);
                }
                _ if is_name(c) => return Some(Token::Word(self.word(c))),
                _ => return Some(Token::Mark(c)),
            }
        }
    }

    fn skip_line(&mut self) {
        self.chars.by_ref().find(|&c| c == '\n');
    }

    /// Passes over a comment, or over the head of one whose content is run: `/*!50003`, `/*M!100100`.
    fn comment(&mut self) {
        let maria = self.chars.next_if_eq(&'M').is_some();
        if self.chars.next_if_eq(&'!').is_some() {
            while self.chars.next_if(char::is_ascii_digit).is_some() {}
            return;
        }
        let mut last = if maria { 'M' } else { ' ' };
        for c in self.chars.by_ref() {
            if last == '*' && c == '/' {
                return;
            }
            last = c;
        }
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut name = String::new();
        while let Some(c) = self.chars.next() {
            if c == quote && self.chars.next_if_eq(&quote).is_none() {
                break;
            }
            name.push(c);
            if c == '\\' && quote != '`' {
                name.extend(self.chars.next());
            }
        }
        name
    }

    fn word(&mut self, first: char) -> String {
        let mut word = String::from(first);
        while let Some(c) = self.chars.next_if(|&c| is_name(c)) {
            word.push(c);
        }
        word
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.peeked.take().or_else(|| self.lex())
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || c == '@' || !c.is_ascii()
}
