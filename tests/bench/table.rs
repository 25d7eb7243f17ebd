//! What was measured, as rows: figure, limit, ratio, budget.

/// A ratio that the design asks for.
pub(crate) enum Budget {
    /// The ratio must be at least this.
    AtLeast(f64),
    /// The ratio must be at most this.
    AtMost(f64),
    /// The figure itself must be at most this, whatever the limit.
    FigureAtMost(f64),
    /// Nothing is asked; the row is there to compare with.
    None,
}

struct Row {
    what: String,
    figure: String,
    limit: String,
    ratio: String,
    verdict: String,
}

/// All rows of one run.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a figure with its unit, the limit beside it (with what it is) and the budget.
    pub(crate) fn add(
        &mut self,
        what: &str,
        figure: f64,
        unit: &str,
        limit: Option<(f64, &str)>,
        budget: Budget,
    ) {
        let ratio = limit.map(|(limit, _)| figure / limit);
        let within = match budget {
            Budget::AtLeast(least) => ratio.map(|ratio| ratio >= least),
            Budget::AtMost(most) => ratio.map(|ratio| ratio <= most),
            Budget::FigureAtMost(most) => Some(figure <= most),
            Budget::None => None,
        };
        let asked = match budget {
            Budget::AtLeast(least) => format!("at least {least}"),
            Budget::AtMost(most) => format!("at most {most}"),
            Budget::FigureAtMost(most) => format!("at most {} {unit}", number(most)),
            Budget::None => String::new(),
        };
        let verdict = match within {
            Some(true) => format!("ok ({asked})"),
            Some(false) => format!("MISSED ({asked})"),
            None => "-".to_owned(),
        };
        let row = Row {
            what: what.to_owned(),
            figure: format!("{} {unit}", number(figure)),
            limit: limit.map_or_else(|| "-".to_owned(), |(limit, of)| format!("{} ({of})", number(limit))),
            ratio: ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
            verdict,
        };
        println!("  {}: {}  limit {}  ratio {}  {}", row.what, row.figure, row.limit, row.ratio, row.verdict);
        self.rows.push(row);
    }

    /// Prints all rows under each other.
    pub(crate) fn print(&self) {
        let mut builder = tabled::builder::Builder::default();
        builder.push_record(["what", "measured", "limit beside it", "ratio", "budget"]);
        for row in &self.rows {
            builder.push_record([&row.what, &row.figure, &row.limit, &row.ratio, &row.verdict]);
        }
        println!("\n{}", builder.build().with(tabled::settings::Style::blank()));
    }
}

fn number(value: f64) -> String {
    if value >= 1000.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
