//! What the demo says at the end.

use std::fmt::Write;
use std::time::Duration;

use super::compare::{Checksum, Decided, Verified};
use super::sites::{DIRECTIONS, SITES};
use super::writer::Written;

/// Lines of `weft verify` that are shown when the sides differ.
const DIFFERENCES_SHOWN: usize = 20;

/// Everything that was counted and measured.
#[derive(Debug, Clone)]
pub struct Report {
    /// How long was written.
    pub wrote_for: Duration,
    pub written: [Written; 2],
    /// By direction, as [`DIRECTIONS`].
    pub applied: [Applied; 2],
    pub lag: [Option<Lag>; 2],
    /// By the site that decided.
    pub decided: [Decided; 2],
    /// From the end of writing until everything was applied; Err: what was missing.
    pub settled: Result<Duration, String>,
    pub verified: Verified,
    pub checksums: Vec<Checksum>,
}

/// What a direction of the channel did, as the node says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    pub transactions: u64,
    pub rows: u64,
    pub rows_skipped: u64,
}

/// From commit at one side to visible at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
    pub samples: usize,
}

impl Lag {
    /// None if there are no samples.
    pub fn of(mut samples: Vec<Duration>) -> Option<Lag> {
        samples.sort_unstable();
        let max = *samples.last()?;
        Some(Lag {
            p50: percentile(&samples, 50),
            p99: percentile(&samples, 99),
            max,
            samples: samples.len(),
        })
    }
}

/// The smallest sample that `percent` of them do not exceed (nearest rank). At least one sample,
/// rising; percent from 1 to 100.
fn percentile(rising: &[Duration], percent: usize) -> Duration {
    let rank = (rising.len() * percent).div_ceil(100);
    rising[rank.clamp(1, rising.len()) - 1]
}

impl Report {
    /// Nothing is missing and nothing differs, whoever is asked.
    pub fn is_identical(&self) -> bool {
        self.settled.is_ok()
            && self.verified.identical
            && !self.checksums.is_empty()
            && self.checksums.iter().all(Checksum::is_equal)
    }

    /// The whole report, the verdict last.
    pub fn render(&self) -> String {
        let mut out = String::new();
        self.render_writes(&mut out);
        self.render_directions(&mut out);
        self.render_conflicts(&mut out);
        self.render_comparison(&mut out);
        out
    }

    fn render_writes(&self, out: &mut String) {
        line(out, &["WRITTEN AT", "TRANSACTIONS", "INSERTED", "UPDATED", "DELETED", "REFUSED", "ROWS/S"]);
        for (site, written) in SITES.iter().zip(&self.written) {
            let rate = written.rows() as f64 / self.wrote_for.as_secs_f64().max(0.001);
            line(
                out,
                &[
                    site,
                    &grouped(written.transactions),
                    &grouped(written.inserted),
                    &grouped(written.updated),
                    &grouped(written.deleted),
                    &grouped(written.refused),
                    &grouped(rate as u64),
                ],
            );
        }
    }

    fn render_directions(&self, out: &mut String) {
        out.push('\n');
        line(out, &["APPLIED", "TRANSACTIONS", "ROWS", "SKIPPED", "LAG p50", "p99", "MAX"]);
        for (index, (from, to)) in DIRECTIONS.iter().enumerate() {
            let applied = self.applied[index];
            let lag = |pick: fn(&Lag) -> Duration| {
                self.lag[index].as_ref().map_or_else(|| "-".to_owned(), |lag| milliseconds(pick(lag)))
            };
            line(
                out,
                &[
                    &format!("{} to {}", SITES[*from], SITES[*to]),
                    &grouped(applied.transactions),
                    &grouped(applied.rows),
                    &grouped(applied.rows_skipped),
                    &lag(|lag| lag.p50),
                    &lag(|lag| lag.p99),
                    &lag(|lag| lag.max),
                ],
            );
        }
        let samples: usize = self.lag.iter().flatten().map(|lag| lag.samples).sum();
        text(out, &format!("Lag: from commit to visible at the other side, {samples} rows timed.\n"));
    }

    fn render_conflicts(&self, out: &mut String) {
        out.push('\n');
        let winners = SITES.map(|site| format!("{site} WON"));
        line(out, &["CONFLICTS AT", "DECIDED", &winners[0], &winners[1], "EVICTED"]);
        for (site, decided) in SITES.iter().zip(&self.decided) {
            let [first, second] = decided.won_by;
            line(
                out,
                &[
                    site,
                    &grouped(first + second),
                    &grouped(first),
                    &grouped(second),
                    &grouped(decided.evicted),
                ],
            );
        }
        text(
            out,
            "Evicted: the row gave way because the other took its unique value. MariaDB's commit times are\n\
             whole seconds: of two changes in the same second one site's wins, everywhere the same.\n",
        );
    }

    fn render_comparison(&self, out: &mut String) {
        out.push('\n');
        match &self.settled {
            Ok(after) => {
                text(out, &format!("All applied {} after the last write.\n", milliseconds(*after)));
            }
            Err(missing) => text(out, &format!("Not all was applied: {missing}\n")),
        }
        let shown = if self.verified.identical { usize::MAX } else { DIFFERENCES_SHOWN };
        for found in self.verified.lines.iter().take(shown) {
            text(out, &format!("weft verify: {found}\n"));
        }
        if let Some(more) = self.verified.lines.len().checked_sub(shown).filter(|more| *more > 0) {
            text(out, &format!("weft verify: and {more} lines more\n"));
        }
        for checksum in &self.checksums {
            let [here, there] = checksum.values.map(|value| value.map_or("-".to_owned(), |n| n.to_string()));
            let sign = if checksum.is_equal() { "=" } else { "differs from" };
            text(out, &format!("CHECKSUM TABLE {}: {here} {sign} {there}\n", checksum.table));
        }
        text(out, if self.is_identical() { "\nidentical\n" } else { "\nNOT identical\n" });
    }
}

fn text(out: &mut String, text: &str) {
    out.push_str(text);
}

/// A name and right-aligned numbers.
fn line(out: &mut String, cells: &[&str]) {
    let mut line = String::new();
    for (column, cell) in cells.iter().enumerate() {
        let done = if column == 0 { write!(line, "{cell:<14}") } else { write!(line, "{cell:>13}") };
        done.expect("a string takes everything");
    }
    text(out, line.trim_end());
    out.push('\n');
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// With one digit behind the point where it says something.
pub fn milliseconds(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1_000.0;
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{} ms", grouped(ms.round() as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let samples: Vec<Duration> = (1..=200).rev().map(ms).collect();
        let lag = Lag { p50: ms(100), p99: ms(198), max: ms(200), samples: 200 };
        assert_eq!(Lag::of(samples), Some(lag));
        assert_eq!(Lag::of(vec![ms(7)]), Some(Lag { p50: ms(7), p99: ms(7), max: ms(7), samples: 1 }));
        assert_eq!(Lag::of(Vec::new()), None);
    }

    fn report() -> Report {
        Report {
            wrote_for: Duration::from_secs(10),
            written: [Written { transactions: 3_000, inserted: 1_234_567, ..Written::default() }; 2],
            applied: [Applied { transactions: 3_000, rows: 1, rows_skipped: 2 }; 2],
            lag: [Lag::of(vec![ms(3)]), None],
            decided: [Decided { won_by: [4, 5], evicted: 1 }, Decided::default()],
            settled: Ok(ms(250)),
            verified: Verified { identical: true, lines: vec![String::from("identical: 4 tables")] },
            checksums: vec![Checksum { table: String::from("shop.users"), values: [Some(1), Some(1)] }],
        }
    }

    #[test]
    fn the_report_shows_what_was_counted_and_ends_with_the_verdict() {
        let text = report().render();
        assert!(text.contains("sh                    3,000    1,234,567"), "{text}");
        assert!(
            text.contains("sh to bj              3,000            1            2       3.0 ms"),
            "{text}"
        );
        assert!(
            text.contains("sh                        9            4            5            1\n"),
            "{text}"
        );
        assert!(text.ends_with("shop.users: 1 = 1\n\nidentical\n"), "{text}");
    }

    #[test]
    fn one_doubt_is_enough_not_to_be_identical() {
        assert!(report().is_identical());
        let mut unsettled = report();
        unsettled.settled = Err(String::from("a change"));
        let mut unverified = report();
        unverified.verified = Verified { identical: false, lines: vec![String::from("a key"); 30] };
        let mut unequal = report();
        unequal.checksums[0].values[1] = Some(2);
        let mut unchecked = report();
        unchecked.checksums.clear();
        assert!(unverified.render().contains("and 10 lines more"));
        for report in [unsettled, unverified, unequal, unchecked] {
            assert!(!report.is_identical());
            assert!(report.render().ends_with("NOT identical\n"));
        }
    }
}
