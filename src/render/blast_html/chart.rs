//! Charts as inline SVG: numbers in, markup out. Knows nothing of what it draws.
//!
//! Colours come from classes of the page, so that light, dark and print are the page's business; every chart has a title
//! that says in words what it shows.

use super::escape_html;
use std::fmt::Write as _;

/// Size of a chart in its own units. Text is legible when it is shown from about 330 to 700 pixels wide.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 250.0;
/// Room for labels around the plot.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 34.0;

/// Writes a value for people.
pub(super) type Label = fn(f64) -> String;

/// How values go up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Evenly, from zero.
    Linear,
    /// By powers of ten: what differs by orders of magnitude stays visible.
    Logarithmic,
}

/// A line of a chart. A missing value is a gap.
pub(super) struct Line<'v> {
    /// Class of the page that gives its colour.
    pub(super) class: &'static str,
    /// What it is, for the legend.
    pub(super) name: &'static str,
    /// Where and how high.
    pub(super) points: &'v [(f64, Option<f64>)],
}

/// Something that happened at a moment.
pub(super) struct Mark {
    /// Class of the page that gives its colour.
    pub(super) class: &'static str,
    /// When.
    pub(super) at: f64,
    /// What, for whoever points at it.
    pub(super) title: String,
}

/// A chart over time.
pub(super) struct TimeChart<'v> {
    /// What it shows.
    pub(super) title: &'static str,
    /// How a value is written at its tick.
    pub(super) label: Label,
    /// How values go up.
    pub(super) scale: Scale,
    /// How long the run took, in seconds.
    pub(super) until: f64,
    /// Its lines.
    pub(super) lines: &'v [Line<'v>],
    /// What happened meanwhile.
    pub(super) marks: &'v [Mark],
}

/// An axis of values: what is at its ends, and where it has ticks.
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, scale: Scale) -> Self {
        let high = values.clone().fold(0.0, f64::max);
        let low = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        match scale {
            Scale::Logarithmic if low.is_finite() => Self::logarithmic(low, high),
            _ => Self::linear(high),
        }
    }

    fn linear(high: f64) -> Self {
        let step = step_for(if high > 0.0 { high } else { 1.0 });
        let steps = (high / step).ceil().max(1.0);
        let ticks = (0..=steps as u32).map(|tick| f64::from(tick) * step).collect();
        Self { scale: Scale::Linear, low: 0.0, high: steps * step, ticks }
    }

    fn logarithmic(low: f64, high: f64) -> Self {
        let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
        // At least one decade, or there would be no height.
        let last = last.max(first + 1);
        let ticks = (first..=last).map(|power| 10f64.powi(power)).collect();
        Self { scale: Scale::Logarithmic, low: 10f64.powi(first), high: 10f64.powi(last), ticks }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        part.clamp(0.0, 1.0)
    }
}

/// A step of 1, 2 or 5 times a power of ten, such that there are three to six of them.
fn step_for(high: f64) -> f64 {
    let rough = high / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(power)
}

/// A number as short as it can be: `0.5`, `20`, `1.5k`.
pub(super) fn short(value: f64) -> String {
    let trim = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match value {
        value if value >= 1_000_000.0 => format!("{}M", trim(format!("{:.2}", value / 1_000_000.0))),
        value if value >= 10_000.0 => format!("{}k", trim(format!("{:.1}", value / 1000.0))),
        value => trim(format!("{value:.3}")),
    }
}

fn x_at(part: f64) -> f64 {
    LEFT + part.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
}

fn y_at(part: f64) -> f64 {
    HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
}

fn open(svg: &mut String, title: &str) {
    let title = escape_html(title);
    write!(
        svg,
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}"><title>{title}</title>"#
    )
    .expect("writing to a string cannot fail");
}

fn horizontal_lines(svg: &mut String, axis: &Axis, label: Label) {
    for tick in &axis.ticks {
        let y = y_at(axis.place(*tick));
        write!(
            svg,
            r#"<path class="grid" d="M{LEFT} {y:.1}H{:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0,
            label(*tick),
        )
        .expect("writing to a string cannot fail");
    }
}

fn label_below(svg: &mut String, x: f64, text: &str) {
    // A label in the middle of the last tick would be cut off by the edge.
    let anchor = if x > WIDTH - RIGHT - 20.0 { "end" } else { "middle" };
    write!(
        svg,
        r#"<text class="tick" x="{x:.1}" y="{:.1}" text-anchor="{anchor}">{text}</text>"#,
        HEIGHT - BOTTOM + 18.0
    )
    .expect("writing to a string cannot fail");
}

impl TimeChart<'_> {
    /// The chart.
    pub(super) fn svg(&self) -> String {
        let Self { title, label, scale, until, lines, marks } = self;
        let until = until.max(1e-3);
        let values = lines.iter().flat_map(|line| line.points.iter().filter_map(|(_, value)| *value));
        let axis = Axis::of(values, *scale);
        let mut svg = String::new();
        open(&mut svg, title);
        horizontal_lines(&mut svg, &axis, *label);
        let times = Axis::linear(until);
        for tick in times.ticks.iter().filter(|tick| **tick <= until * 1.001) {
            label_below(&mut svg, x_at(tick / until), &format!("{}s", short(*tick)));
        }
        for Mark { class, at, title } in *marks {
            let x = x_at(at / until);
            write!(
                svg,
                r#"<path class="mark {class}" d="M{x:.1} {TOP}V{:.1}"><title>{}</title></path>"#,
                HEIGHT - BOTTOM,
                escape_html(title)
            )
            .expect("writing to a string cannot fail");
        }
        for line in *lines {
            let path = path_of(line.points, &axis, until);
            if !path.is_empty() {
                write!(svg, r#"<path class="line {}" d="{path}"/>"#, line.class)
                    .expect("writing to a string cannot fail");
            }
        }
        svg.push_str("</svg>");
        svg
    }
}

/// A path through all points, with a gap where a value is missing.
fn path_of(points: &[(f64, Option<f64>)], axis: &Axis, until: f64) -> String {
    let mut path = String::new();
    let mut draws = false;
    for (at, value) in points {
        let Some(value) = value else {
            draws = false;
            continue;
        };
        let (x, y) = (x_at(at / until), y_at(axis.place(*value)));
        let command = if draws { 'L' } else { 'M' };
        write!(path, "{command}{x:.1} {y:.1}").expect("writing to a string cannot fail");
        if !draws {
            // A point between two gaps shows as a dot.
            path.push_str("h.01");
        }
        draws = true;
    }
    path
}

/// How often values were in which band: bars over a logarithmic axis, each band given by its upper end.
pub(super) fn distribution_svg(title: &'static str, label: Label, bands: &[(f64, u64)]) -> String {
    let mut svg = String::new();
    open(&mut svg, title);
    let counts = Axis::of(bands.iter().map(|(_, count)| *count as f64), Scale::Linear);
    horizontal_lines(&mut svg, &counts, short);
    let ends = bands.iter().map(|(end, _)| *end);
    let span = Axis::of(ends, Scale::Logarithmic);
    for tick in &span.ticks {
        label_below(&mut svg, x_at(span.place(*tick)), &label(*tick));
    }
    let mut from = span.low;
    for (end, count) in bands {
        let (left, right) = (x_at(span.place(from)), x_at(span.place(*end)));
        let top = y_at(counts.place(*count as f64));
        if *count > 0 {
            // Never narrower or lower than one can see.
            let (width, height) = ((right - left - 0.5).max(1.0), (y_at(0.0) - top).max(1.0));
            write!(
                svg,
                r#"<rect class="bar" x="{left:.1}" y="{:.1}" width="{width:.1}" height="{height:.1}"><title>{count} up to {}</title></rect>"#,
                y_at(0.0) - height,
                label(*end)
            )
            .expect("writing to a string cannot fail");
        }
        from = *end;
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (value, expected) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (20.0, "20"),
            (1500.0, "1500"),
            (15_000.0, "15k"),
            (12_500.0, "12.5k"),
            (3_250_000.0, "3.25M"),
        ] {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn axes_have_round_ticks_around_all_values() {
        let linear = Axis::of([3.0, 87.0].into_iter(), Scale::Linear);
        assert_eq!(linear.ticks, [0.0, 50.0, 100.0]);
        let decades = Axis::of([0.4, 220.0].into_iter(), Scale::Logarithmic);
        assert_eq!((decades.low, decades.high), (0.1, 1000.0));
        assert!((decades.place(10.0) - 0.5).abs() < 1e-9);
        let flat = Axis::of([1.0].into_iter(), Scale::Logarithmic);
        assert_eq!((flat.low, flat.high), (1.0, 10.0), "even a flat line has a height");
        assert_eq!(Axis::of([].into_iter(), Scale::Logarithmic).ticks.first(), Some(&0.0));
    }

    #[test]
    fn a_missing_value_is_a_gap_and_no_zero() {
        let points = [(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0)), (3.0, Some(1.0))];
        let path = path_of(&points, &Axis::linear(2.0), 3.0);
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn what_a_mark_says_is_no_markup() {
        let marks = [Mark { class: "restart", at: 1.0, title: "<b>&\"".to_owned() }];
        let chart = TimeChart {
            title: "t",
            label: short,
            scale: Scale::Linear,
            until: 2.0,
            lines: &[],
            marks: &marks,
        };
        assert!(chart.svg().contains("<title>&lt;b&gt;&amp;&quot;</title>"));
    }

    proptest! {
        /// Whatever the numbers: markup that ends, and nothing that is not a number in it.
        #[test]
        fn any_numbers_make_a_chart(
            values in prop::collection::vec(prop::option::of(0.0f64..1e9), 0..50),
            until in 0.0f64..1e6,
            logarithmic in any::<bool>(),
        ) {
            let points: Vec<_> =
                values.iter().enumerate().map(|(index, value)| (index as f64, *value)).collect();
            let scale = if logarithmic { Scale::Logarithmic } else { Scale::Linear };
            let lines = [Line { class: "a", name: "a", points: &points }];
            let svg = TimeChart { title: "t", label: short, scale, until, lines: &lines, marks: &[] }.svg();
            prop_assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
            let bands: Vec<_> =
                values.iter().flatten().map(|value| (value + 0.001, *value as u64)).collect();
            let svg = distribution_svg("t", short, &bands);
            prop_assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", svg);
        }
    }
}
