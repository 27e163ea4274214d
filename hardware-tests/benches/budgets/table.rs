//! Figures, and the table that they are printed in.

use std::fmt;
use std::time::Duration;

/// What was measured.
#[derive(Clone, Copy)]
pub enum Figure {
    /// How long one takes.
    Time(Duration),
    /// How many a second.
    Rate(f64),
    /// Memory, in KiB.
    Memory(u64),
}

/// One line: a figure beside its reference.
pub struct Row {
    pub name: String,
    pub median: Figure,
    pub p99: Option<Figure>,
    /// What it is held against, measured in the same run.
    pub reference: (String, Figure),
    /// What is aimed at; nothing is asserted.
    pub goal: &'static str,
}

impl Figure {
    fn value(self) -> f64 {
        match self {
            Self::Time(time) => time.as_secs_f64(),
            Self::Rate(rate) => rate,
            Self::Memory(kib) => kib as f64,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Time(time) if time.as_millis() < 1 => {
                format!("{:.1} µs", time.as_secs_f64() * 1e6)
            }
            Self::Time(time) => format!("{:.2} ms", time.as_secs_f64() * 1e3),
            Self::Rate(rate) => format!("{rate:.0}/s"),
            Self::Memory(kib) => format!("{:.1} MB", *kib as f64 * 1024.0 / 1e6),
        };
        f.pad(&text)
    }
}

/// Prints all lines under one head.
pub fn print(rows: &[Row]) {
    let head = [
        "what",
        "median",
        "p99",
        "reference",
        "its median",
        "ratio",
        "goal",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    for row in rows {
        let (reference, theirs) = &row.reference;
        lines.push([
            row.name.clone(),
            row.median.to_string(),
            row.p99.map_or_else(String::new, |p99| p99.to_string()),
            reference.clone(),
            theirs.to_string(),
            format!("{:.2}", row.median.value() / theirs.value()),
            row.goal.to_owned(),
        ]);
    }
    let mut widths = [0; 7];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    for line in &lines {
        let cells = line.iter().zip(widths);
        let padded: Vec<_> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        println!("{}", padded.join("  ").trim_end());
    }
}
