//! What the check found.

use std::fmt;

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Weft would not work, or not keep its promises.
    Error,
    /// It works, and there is something to know.
    Warning,
}

/// One thing to fix or to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    /// Stable name of the kind, for scripts.
    pub code: &'static str,
    /// Full name of the instance to be changed.
    pub instance: Option<String>,
    pub channel: Option<String>,
    pub what: String,
    /// What to do: a statement where one does it.
    pub fix: String,
}

impl Finding {
    /// An error about an instance.
    pub fn error(
        code: &'static str,
        instance: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding {
            level: Level::Error,
            code,
            instance: Some(instance.to_owned()),
            channel: None,
            what: what.into(),
            fix: fix.into(),
        }
    }

    /// A warning about an instance.
    pub fn warning(
        code: &'static str,
        instance: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding { level: Level::Warning, ..Finding::error(code, instance, what, fix) }
    }

    /// The same, about this channel.
    pub fn of_channel(self, channel: &str) -> Finding {
        Finding { channel: Some(channel.to_owned()), ..self }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{level:<7}  {}", self.what)?;
        if let Some(instance) = &self.instance {
            write!(f, ", at {instance}")?;
        }
        if let Some(channel) = &self.channel {
            write!(f, ", channel {channel}")?;
        }
        write!(f, "; fix: {}", self.fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_level_what_where_and_fix() {
        let finding = Finding::error("binlog-off", "sh.main", "the binlog is off", "log_bin = binlog");
        let line = finding.of_channel("orders").to_string();
        assert_eq!(line, "error    the binlog is off, at sh.main, channel orders; fix: log_bin = binlog");
    }
}
