//! Strings with `${NAME}` in them, and secrets.

use std::fmt;

use super::error::Problem;

/// A string of the configuration in which `${NAME}` stands for an environment variable. It is
/// resolved only where it is used, so that a node needs no secret of another site.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Template {
    key: String,
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Variable(String),
}

/// Looks an environment variable up.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Template {
    /// Reads `text`, the value of `key`. Only `${` is special.
    pub(super) fn parse(key: &str, text: &str) -> Result<Template, Problem> {
        let malformed = |cause: &str| Problem::Malformed {
            key: key.to_owned(),
            cause: cause.to_owned(),
            allowed: "${NAME} with letters, digits and _ in the name".to_owned(),
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            if start > 0 {
                parts.push(Part::Literal(rest[..start].to_owned()));
            }
            let after = &rest[start + 2..];
            let end = after.find('}').ok_or_else(|| malformed("\"${\" without \"}\""))?;
            let name = &after[..end];
            let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !valid || name.as_bytes()[0].is_ascii_digit() {
                return Err(malformed("a variable's name is odd"));
            }
            parts.push(Part::Variable(name.to_owned()));
            rest = &after[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Template { key: key.to_owned(), parts })
    }

    /// The text with every literal part changed by `change`; variables are taken as they are.
    pub(super) fn map_literals(
        mut self,
        change: impl Fn(&str) -> Result<String, Problem>,
    ) -> Result<Self, Problem> {
        for part in &mut self.parts {
            if let Part::Literal(text) = part {
                *text = change(text)?;
            }
        }
        Ok(self)
    }

    /// The text, if no variable is in it.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with the variables' values in it.
    ///
    /// # Errors
    /// A variable that is not set.
    pub fn resolve(&self, lookup: Lookup<'_>) -> Result<String, Problem> {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Variable(name) => {
                    text.push_str(&lookup(name).ok_or_else(|| Problem::VariableNotSet {
                        key: self.key.clone(),
                        name: name.clone(),
                    })?)
                }
            }
        }
        Ok(text)
    }

    /// The key that the text is the value of.
    pub(super) fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Literal(text) => f.write_str(text),
            Part::Variable(name) => write!(f, "${{{name}}}"),
        })
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub fn new(value: T) -> Secret<T> {
        Secret(value)
    }

    /// The value, for the one who needs it.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"…\"")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_in_and_a_missing_one_is_named_with_its_key() {
        let template = Template::parse("a.b", "x$${ONE}y${TWO}").unwrap();
        let set = |name: &str| Some(format!("<{name}>"));
        assert_eq!(template.resolve(&set).unwrap(), "x$<ONE>y<TWO>");
        let one = |name: &str| (name == "ONE").then(|| "1".to_owned());
        assert_eq!(
            template.resolve(&one).unwrap_err(),
            Problem::VariableNotSet { key: "a.b".to_owned(), name: "TWO".to_owned() }
        );
    }

    #[test]
    fn odd_variables_are_refused() {
        for text in ["${", "${}", "${A B}", "a${1}", "${A", "${Ä}"] {
            assert!(Template::parse("k", text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "\"…\"");
    }
}
