//! Draws the board: in place on a terminal, line by line elsewhere.

use std::io::{self, IsTerminal as _, Write};
use std::time::Instant;

use unicode_width::UnicodeWidthStr as _;

use super::board::Board;
use super::text::Paint;

/// Where the demo is shown.
pub(super) struct Screen {
    live: bool,
    pub(super) paint: Paint,
    /// How many lines of the board stand above the cursor.
    drawn: usize,
    beat: usize,
}

impl Screen {
    /// Standard output. `logged`: log lines come in between, so nothing can be drawn in place.
    pub(super) fn standard_output(logged: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let capable = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let colours = terminal && capable && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { live: terminal && capable && !logged, paint: Paint(colours), drawn: 0, beat: 0 }
    }

    /// A line that stays.
    pub(super) fn line(&mut self, text: &str) {
        // What a passing line left at the end goes away.
        let clear = if self.live { "\x1b[K" } else { "" };
        write(&format!("{text}{clear}\n"));
    }

    /// A line that the next `line` or `board` replaces; nothing where lines cannot be replaced.
    pub(super) fn passing(&mut self, text: &str) {
        if self.live {
            write(&format!("{text}\x1b[K\r"));
        }
    }

    /// Shows the board as it is now.
    pub(super) fn board(&mut self, board: &mut Board) {
        self.beat += 1;
        let (width, rows) = size();
        let now = Instant::now();
        let lines = board.lines(width, now, self.beat);
        if !self.live || lines.len() >= rows {
            for line in board.news(now) {
                self.line(&line);
            }
            return;
        }
        write(&frame(&lines, self.drawn));
        self.drawn = lines.len();
    }
}

/// Columns and rows; a generous line where it is no terminal.
pub(super) fn size() -> (usize, usize) {
    match terminal_size::terminal_size_of(io::stdout()) {
        Some((columns, rows)) => (usize::from(columns.0).max(20), usize::from(rows.0)),
        None => (120, usize::MAX),
    }
}

fn write(text: &str) {
    let mut out = io::stdout().lock();
    // Who closes standard output does not want to see it.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// One frame: back to the first line, then each line over the old one. Written at once and without clearing the
/// screen first, so that nothing flickers.
fn frame(lines: &[String], drawn: usize) -> String {
    let up = |lines: usize| if lines > 0 { format!("\x1b[{lines}A") } else { String::new() };
    let shown: String = lines.iter().flat_map(|line| ["\r", line, "\x1b[K\n"]).collect();
    let left_over = drawn.saturating_sub(lines.len());
    let cleared = "\x1b[K\n".repeat(left_over);
    format!("\x1b[?2026h{}{shown}{cleared}{}\x1b[?2026l", up(drawn), up(left_over))
}

/// Rows in columns as wide as their widest cell; the last column takes what is left of `width`.
pub(super) fn table(rows: &[Vec<String>], width: usize) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max().unwrap_or_default().min(40)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let mut out = String::from("  ");
        for (column, cell) in row.iter().enumerate() {
            let left = width.saturating_sub(out.width());
            if column + 1 == columns {
                out.push_str(&super::text::fit(cell, left));
            } else {
                let wide = widths[column].min(left);
                out.push_str(&super::text::pad(&super::text::fit(cell, wide), wide));
                out.push_str("  ");
            }
        }
        out.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{frame, table};

    #[test]
    fn a_frame_is_drawn_over_the_one_before() {
        let lines = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let shown = |lines: &[String], drawn| frame(lines, drawn).replace('\x1b', "␛");
        assert_eq!(shown(&lines(&["a", "b"]), 0), "␛[?2026h\ra␛[K\n\rb␛[K\n␛[?2026l");
        assert_eq!(shown(&lines(&["c"]), 2), "␛[?2026h␛[2A\rc␛[K\n␛[K\n␛[1A␛[?2026l");
    }

    #[test]
    fn a_table_lines_up_and_keeps_to_its_width() {
        let rows = [["key", "type", "value"], ["ü", "STRING", "a long value\nin two lines"]];
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect();
        assert_eq!(table(&rows, 60), ["  key  type    value", "  ü    STRING  a long value in two lines"]);
        assert_eq!(table(&rows, 24), ["  key  type    value", "  ü    STRING  a long v…"]);
    }
}
