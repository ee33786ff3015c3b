//! What the demo shows while it runs: live on a terminal, lines otherwise.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use weft_actors::status::ChannelStatus;

use super::report::grouped;
use super::sites::{DIRECTIONS, SITES};
use super::writer::Written;

/// Where progress goes. Dropping it removes what is live.
pub enum Progress {
    Terminal {
        bars: MultiProgress,
        /// One line a site, one a direction.
        lines: Vec<ProgressBar>,
        time: ProgressBar,
    },
    Lines,
}

/// The state of the run in one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    pub elapsed: Duration,
    pub of: Duration,
    pub written: [Written; 2],
    /// None: its node did not answer.
    pub channels: [Option<ChannelStatus>; 2],
}

impl Progress {
    /// Live if standard output is a terminal.
    pub fn new() -> Progress {
        if !std::io::stdout().is_terminal() {
            return Progress::Lines;
        }
        let bars = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
        let bar = |template: &str| {
            let style = ProgressStyle::with_template(template).expect("the templates are ours");
            bars.add(ProgressBar::new(0).with_style(style))
        };
        let time = bar("  {bar:40} {msg}");
        let lines = (0..SITES.len() + DIRECTIONS.len()).map(|_| bar("  {msg}")).collect();
        Progress::Terminal { bars, lines, time }
    }

    /// A step of the run begins.
    pub fn step(&self, what: &str) {
        match self {
            // An error means that the terminal is gone: nobody reads it.
            Progress::Terminal { bars, .. } => drop(bars.println(what)),
            Progress::Lines => println!("{what}"),
        }
    }

    /// Shows the state while writing.
    pub fn show(&self, snapshot: &Snapshot) {
        match self {
            Progress::Terminal { lines, time, .. } => {
                time.set_length(snapshot.of.as_millis() as u64);
                time.set_position(snapshot.elapsed.min(snapshot.of).as_millis() as u64);
                time.set_message(format!("{} of {} s", snapshot.elapsed.as_secs(), snapshot.of.as_secs()));
                for (line, text) in lines.iter().zip(site_lines(snapshot).chain(direction_lines(snapshot))) {
                    line.set_message(text);
                }
            }
            Progress::Lines => {
                let texts: Vec<String> = site_lines(snapshot).chain(direction_lines(snapshot)).collect();
                println!("{:>3} s  {}", snapshot.elapsed.as_secs(), texts.join("; "));
            }
        }
    }

    /// Removes what is live, before the report.
    pub fn clear(&self) {
        if let Progress::Terminal { lines, time, .. } = self {
            // Each by itself: a bar that is not finished draws itself once more when it is dropped.
            lines.iter().chain([time]).for_each(ProgressBar::finish_and_clear);
        }
    }

    /// Pause between two snapshots.
    pub const fn interval(&self) -> Duration {
        match self {
            Progress::Terminal { .. } => Duration::from_millis(200),
            Progress::Lines => Duration::from_secs(1),
        }
    }
}

fn site_lines(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    SITES.iter().zip(&snapshot.written).map(|(site, written)| {
        format!(
            "{site} wrote {} transactions, {} rows",
            grouped(written.transactions),
            grouped(written.rows())
        )
    })
}

fn direction_lines(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    DIRECTIONS.iter().zip(&snapshot.channels).map(|((from, to), channel)| {
        let name = format!("{} to {}", SITES[*from], SITES[*to]);
        match channel {
            None => format!("{name}: no answer"),
            Some(channel) => format!(
                "{name} {}: applied {}, {} conflicts{}",
                channel.state.as_str(),
                grouped(channel.transactions_applied),
                grouped(channel.conflicts),
                channel.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
            ),
        }
    })
}
