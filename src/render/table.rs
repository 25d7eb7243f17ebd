//! Tables: a head, aligned columns two blanks apart, no lines. They read well, and `awk` can take them apart.
//!
//! When the terminal is too narrow, columns that say so give way: theirs is text that is useful even when its end is cut
//! (messages). Ids, times and numbers are never cut for that, for half an id is worse than a wrapped line.
//!
//! However much room there is, no cell is longer than anything that makes sense in its column: one name of a megabyte, in a
//! database or from a server, would make every line that long.

use super::Look;
use super::escape::escape;
use super::style::Style;
use std::borrow::Cow;
use std::io::{self, Write};
use tabled::builder::Builder;
use tabled::grid::util::string::{get_char_width, get_line_width};
use tabled::settings::object::{Cell as Position, Columns, Rows};
use tabled::settings::{Alignment, Color, Padding, Style as Lines};

/// Blanks between two columns.
const GAP: usize = 2;

/// Most characters of a word, an id or a number. A node's path through several subsagas, or a URL, is shorter.
const LONGEST_WORD: usize = 256;

/// Most characters of running text.
const LONGEST_MESSAGE: usize = 4_000;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its head.
    pub title: &'static str,
    align: Align,
    /// To how many characters it may be cut when room is short.
    least: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

impl Column {
    /// A column of words, ids or times.
    pub const fn text(title: &'static str) -> Self {
        Self { title, align: Align::Left, least: None }
    }

    /// A column of numbers.
    pub const fn number(title: &'static str) -> Self {
        Self { title, align: Align::Right, least: None }
    }

    /// A column of running text that may be cut when room is short, but not below `least` characters.
    pub const fn message(title: &'static str, least: usize) -> Self {
        Self { title, align: Align::Left, least: Some(least) }
    }

    /// Most characters of a cell.
    const fn most(&self) -> usize {
        match self.least {
            Some(_) => LONGEST_MESSAGE,
            None => LONGEST_WORD,
        }
    }
}

/// One entry of a table. What it is given is escaped, so anything may be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Option<Style>,
}

impl Cell {
    /// What shows itself as text: a word, an id, a number.
    pub fn new(value: impl std::fmt::Display) -> Self {
        let text = value.to_string();
        let text = match escape(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(escaped) => escaped,
        };
        Self { text, style: None }
    }

    /// There is nothing here.
    pub fn absent() -> Self {
        Self { text: "-".to_owned(), style: None }
    }

    /// There may be something here, but we cannot know.
    pub fn unknown() -> Self {
        Self { text: "?".to_owned(), style: None }
    }

    /// A value, or the mark of absence.
    pub fn or_absent(value: Option<impl std::fmt::Display>) -> Self {
        value.map_or_else(Self::absent, Self::new)
    }

    /// A value, or the mark of ignorance.
    pub fn or_unknown(value: Option<impl std::fmt::Display>) -> Self {
        value.map_or_else(Self::unknown, Self::new)
    }

    /// The same, or its beginning with `…` if it is longer. Characters are counted, not columns, since some take up none.
    fn of_at_most(mut self, most: usize) -> Self {
        if let Some((end, _)) = self.text.char_indices().nth(most) {
            self.text.truncate(end);
            self.text.push('…');
        }
        self
    }

    /// The same in a style.
    pub fn styled(self, style: Style) -> Self {
        Self { style: Some(style), ..self }
    }

    /// The same in a style if `condition` holds.
    pub fn styled_if(self, condition: bool, style: Style) -> Self {
        if condition { self.styled(style) } else { self }
    }
}

/// A table on its way to a writer.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    indent: usize,
    /// Widths of the part before this one; empty for a table that begins.
    before: Vec<usize>,
}

/// A column was asked for that a table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown column {asked:?}; known columns: {known}")]
pub struct UnknownColumn {
    asked: String,
    known: String,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new(), indent: 0, before: Vec::new() }
    }

    /// The same, so many columns further right.
    pub fn indented(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// Adds a row, one cell per column.
    pub fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row has one cell per column");
        let bounded = row.into_iter().zip(&self.columns).map(|(cell, column)| cell.of_at_most(column.most()));
        self.rows.push(bounded.collect());
    }

    /// Only these columns, in this order; their names are compared without regard to case, with `-` for `_` or blank.
    pub fn select(self, names: &[String]) -> Result<Self, UnknownColumn> {
        let normal = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
        let mut kept = Vec::with_capacity(names.len());
        for name in names {
            let found = self.columns.iter().position(|column| normal(column.title) == normal(name));
            kept.push(found.ok_or_else(|| UnknownColumn {
                asked: name.clone(),
                known: self.columns.iter().map(|c| normal(c.title)).collect::<Vec<_>>().join(", "),
            })?);
        }
        Ok(Self {
            columns: kept.iter().map(|&index| self.columns[index]).collect(),
            rows: self
                .rows
                .iter()
                .map(|row| kept.iter().map(|&index| row[index].clone()).collect())
                .collect(),
            indent: self.indent,
            before: Vec::new(),
        })
    }

    /// The same without a column, if it has it.
    pub fn without(self, title: &str) -> Self {
        let kept: Vec<String> = self.titles().into_iter().filter(|own| own != title).collect();
        self.select(&kept).expect("its own columns")
    }

    /// Leaves out columns of `least` importance, one after the other in this order, until the rest fits the width there is.
    /// Says which were left out.
    pub fn fit(self, look: &Look, least_important: &[&'static str]) -> (Self, Vec<&'static str>) {
        let Some(available) = look.width else { return (self, Vec::new()) };
        let mut table = self;
        let mut left_out = Vec::new();
        for &title in least_important {
            if table.total(&table.fitted_widths(look.width)) <= available {
                break;
            }
            if table.columns.iter().any(|column| column.title == title) {
                table = table.without(title);
                left_out.push(title);
            }
        }
        (table, left_out)
    }

    /// Titles of the columns, as [`select`](Self::select) takes them.
    pub fn titles(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.title.to_owned()).collect()
    }

    /// How wide the columns are drawn, for a part that follows.
    pub fn widths(&self, look: &Look) -> Vec<usize> {
        self.fitted_widths(look.width)
    }

    /// The same as a continuation of a table that was drawn with these widths: without a head, and at least as wide. This
    /// is how a table is drawn whose end is not known, without keeping its rows.
    pub fn continuing(self, widths: Vec<usize>) -> Self {
        assert_eq!(widths.len(), self.columns.len(), "a part has the columns of the whole");
        Self { before: widths, ..self }
    }

    /// Writes the table, head first.
    pub fn render(&self, look: &Look, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.fitted_widths(look.width);
        let is_first = self.before.is_empty();
        let mut builder = Builder::with_capacity(self.rows.len() + 1, self.columns.len());
        // The head of a continuation only keeps the columns as wide as they were, and is not written.
        builder.push_record(self.columns.iter().zip(&widths).map(|(column, &width)| match is_first {
            true => Cow::Borrowed(column.title),
            false => Cow::Owned("x".repeat(width)),
        }));
        for row in &self.rows {
            builder.push_record(row.iter().zip(&widths).map(|(cell, &width)| cut(&cell.text, width)));
        }
        let mut table = builder.build();
        table.with(Lines::empty()).with(Padding::new(0, GAP, 0, 0));
        for (index, column) in self.columns.iter().enumerate() {
            let alignment = match column.align {
                Align::Left => Alignment::left(),
                Align::Right => Alignment::right(),
            };
            table.modify(Columns::one(index), alignment);
        }
        // Line ends without blanks, for people who copy and for tests that compare.
        if look.paint == super::style::Paint::On {
            table.modify(Rows::first(), color(Style::Heading));
            for (row_index, row) in self.rows.iter().enumerate() {
                for (column_index, cell) in row.iter().enumerate() {
                    if let Some(style) = cell.style {
                        table.modify(Position::new(row_index + 1, column_index), color(style));
                    }
                }
            }
        }
        for line in table.to_string().lines().skip(usize::from(!is_first)) {
            writeln!(out, "{:indent$}{}", "", line.trim_end(), indent = self.indent)?;
        }
        Ok(())
    }

    /// How wide each column's text may be: what its widest cell needs, less what has to be given up for `available`.
    fn fitted_widths(&self, available: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let cells = self.rows.iter().map(|row| get_line_width(&row[index].text));
                let before = self.before.get(index).copied().unwrap_or(0);
                cells.max().unwrap_or(0).max(get_line_width(column.title)).max(before)
            })
            .collect();
        let Some(available) = available else { return widths };
        let mut excess = self.total(&widths).saturating_sub(available);
        // The last of the columns that may be cut gives way first: what stands further left tells more.
        for (width, column) in widths.iter_mut().zip(&self.columns).rev() {
            let Some(least) = column.least else { continue };
            let given = excess.min(width.saturating_sub(least.max(get_line_width(column.title))));
            *width -= given;
            excess -= given;
        }
        widths
    }

    /// How wide a table of these widths is.
    fn total(&self, widths: &[usize]) -> usize {
        self.indent + widths.iter().sum::<usize>() + GAP * self.columns.len().saturating_sub(1)
    }
}

/// A style as tabled wants it.
fn color(style: Style) -> Color {
    let (on, off) = style.codes();
    Color::new(on, off)
}

/// The text, cut to `width` columns with `…` at its end if it is longer.
fn cut(text: &str, width: usize) -> Cow<'_, str> {
    if get_line_width(text) <= width {
        return Cow::Borrowed(text);
    }
    let mut used = 0;
    let mut kept = String::new();
    for character in text.chars() {
        let next = get_char_width(character);
        // One column is kept for the mark.
        if used + next > width.saturating_sub(1) {
            break;
        }
        used += next;
        kept.push(character);
    }
    kept.push('…');
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::super::style::Paint;
    use super::*;

    const COLUMNS: [Column; 3] =
        [Column::text("ID"), Column::number("COUNT"), Column::message("MESSAGE", 10)];

    fn rendered(table: &Table, width: Option<usize>, paint: Paint) -> String {
        let look = Look { width, paint, ..Look::plain("2026-11-02T09:20:00Z".parse().unwrap()) };
        let mut out = Vec::new();
        table.render(&look, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn sample() -> Table {
        let mut table = Table::new(&COLUMNS).indented(2);
        table.push(vec![Cell::new("a-1"), Cell::new(7), Cell::new("short")]);
        table.push(vec![
            Cell::new("long-id-22"),
            Cell::new(1234).styled(Style::Failed),
            Cell::new("what a server said\u{1b}[31m, at length"),
        ]);
        table.push(vec![Cell::unknown(), Cell::absent(), Cell::or_absent(None::<u8>)]);
        table
    }

    #[test]
    fn columns_are_aligned_and_lines_end_where_their_text_does() {
        insta::assert_snapshot!(rendered(&sample(), None, Paint::Off), @r#"
        ID          COUNT  MESSAGE
        a-1             7  short
        long-id-22   1234  what a server said\x1b[31m, at length
        ?               -  -
        "#);
    }

    #[test]
    fn only_running_text_gives_way_when_room_is_short() {
        insta::assert_snapshot!(rendered(&sample(), Some(40), Paint::Off), @"
        ID          COUNT  MESSAGE
        a-1             7  short
        long-id-22   1234  what a server said…
        ?               -  -
        ");
        // Below what ids need, nothing more is cut.
        let narrow = rendered(&sample(), Some(5), Paint::Off);
        assert!(narrow.contains("long-id-22") && narrow.contains("what a se…"), "{narrow}");
    }

    #[test]
    fn colours_change_no_width() {
        let painted = rendered(&sample(), None, Paint::On);
        assert!(painted.contains("\u{1b}[31m"), "{painted:?}");
        let mut stripped = painted;
        for code in ["\u{1b}[31m", "\u{1b}[39m", "\u{1b}[1m", "\u{1b}[22m"] {
            stripped = stripped.replace(code, "");
        }
        let trimmed: String = stripped.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        assert_eq!(trimmed, rendered(&sample(), None, Paint::Off));
    }

    #[test]
    fn wide_characters_are_cut_by_what_they_take_up() {
        assert_eq!(cut("日本語日本語", 7), "日本語…");
        assert_eq!(cut("日本語日本語", 6), "日本…");
        assert_eq!(cut("abc", 3), "abc");
    }

    #[test]
    fn no_cell_is_longer_than_what_makes_sense() {
        let mut table = Table::new(&COLUMNS);
        let huge = "n\u{301}".repeat(500_000);
        table.push(vec![Cell::new(&huge), Cell::new("7".repeat(1_000_000)), Cell::new(&huge)]);
        table.push(vec![Cell::new("a"), Cell::new(1), Cell::new("b")]);
        let text = rendered(&table, None, Paint::Off);
        assert!(text.len() < 20_000, "{} bytes", text.len());
        assert_eq!(text.matches('…').count(), 3, "{text}");
        assert_eq!(text.chars().filter(|character| *character == '7').count(), LONGEST_WORD);
    }

    #[test]
    fn the_least_important_columns_make_room() {
        let plain = Look::plain("2026-11-02T09:20:00Z".parse().unwrap());
        let titles = |width| {
            let look = Look { width, ..plain };
            let (table, left_out) = sample().fit(&look, &["COUNT", "ID"]);
            (table.titles().join(" "), left_out)
        };
        assert_eq!(titles(None), ("ID COUNT MESSAGE".to_owned(), vec![]));
        assert_eq!(titles(Some(31)), ("ID COUNT MESSAGE".to_owned(), vec![]));
        assert_eq!(titles(Some(30)), ("ID MESSAGE".to_owned(), vec!["COUNT"]));
        assert_eq!(titles(Some(5)), ("MESSAGE".to_owned(), vec!["COUNT", "ID"]));
    }

    #[test]
    fn a_table_can_be_drawn_in_parts() {
        let look = Look::plain("2026-11-02T09:20:00Z".parse().unwrap());
        let first = sample();
        let widths = first.widths(&look);
        let mut more = Table::new(&COLUMNS).indented(2);
        more.push(vec![Cell::new("b-1"), Cell::new(7), Cell::new("x")]);
        let more = more.continuing(widths);
        insta::assert_snapshot!(rendered(&first, None, Paint::Off) + &rendered(&more, None, Paint::Off), @r#"
        ID          COUNT  MESSAGE
        a-1             7  short
        long-id-22   1234  what a server said\x1b[31m, at length
        ?               -  -
        b-1             7  x
        "#);
    }

    #[test]
    fn columns_can_be_chosen_by_name() {
        let chosen = sample().select(&["message".to_owned(), "Id".to_owned()]).unwrap();
        assert!(rendered(&chosen, None, Paint::Off).starts_with("  MESSAGE"));
        let unknown = sample().select(&["nmae".to_owned()]).unwrap_err();
        assert_eq!(unknown.to_string(), "unknown column \"nmae\"; known columns: id, count, message");
    }
}
