//! Lines and columns of YAML text.

use std::ops::Range;

/// The line, counted from 1, that holds the byte at `offset`.
pub(crate) fn line_at(text: &str, offset: usize) -> usize {
    1 + memchr::memchr_iter(b'\n', text.as_bytes().get(..offset).unwrap_or_default()).count()
}

/// The offset of the first byte of the line that holds the byte at `offset`.
pub(crate) fn line_start(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1)
}

/// The end of the line that holds `at`, before its line break.
pub(crate) fn line_end(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let end = memchr::memchr(b'\n', rest).map_or(text.len(), |newline| at + newline);
    let is_crlf = end > at && end < text.len() && text.as_bytes().get(end - 1) == Some(&b'\r');
    if is_crlf { end - 1 } else { end }
}

/// The line break that ends the line before the one that holds `at`.
pub(crate) fn line_break_before(text: &str, at: usize) -> usize {
    let start = line_start(text, at);
    let before = text.get(..start).unwrap_or_default();
    let before = before.strip_suffix('\n').unwrap_or(before);
    before.strip_suffix('\r').unwrap_or(before).len()
}

/// The line break in use at `at`, or else in the whole text.
pub(crate) fn newline_at(text: &str, at: usize) -> &'static str {
    let rest = text.get(at..).unwrap_or_default();
    let crlf = match rest.as_bytes().first() {
        Some(b'\r') => true,
        Some(b'\n') => false,
        _ => memchr::memchr(b'\n', text.as_bytes())
            .is_some_and(|at| at > 0 && text.as_bytes().get(at - 1) == Some(&b'\r')),
    };
    if crlf { "\r\n" } else { "\n" }
}

/// The first carriage return that no line feed follows. Some YAML readers take it for a line break.
pub(crate) fn lone_carriage_return(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'\r', bytes).find(|at| bytes.get(at + 1) != Some(&b'\n'))
}

/// The blank lines and comment lines that follow the line that holds `at`, each as the range of
/// its text without the line break.
pub(crate) fn comment_lines(text: &str, at: usize) -> impl Iterator<Item = Range<usize>> {
    let mut next = next_line(text, at);
    std::iter::from_fn(move || {
        let start = next?;
        let end = line_end(text, start);
        let content = text.get(start..end).unwrap_or_default().trim_ascii_start();
        if !content.is_empty() && !content.starts_with('#') {
            return None;
        }
        next = next_line(text, start);
        Some(start..end)
    })
}

/// The offset of the line after the one that holds `at`, if the text has one.
pub(crate) fn next_line(text: &str, at: usize) -> Option<usize> {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map(|newline| at + newline + 1).filter(|next| *next < text.len())
}

/// The next dash after spaces, line breaks and comments.
pub(crate) fn next_dash(text: &str, from: usize) -> Option<usize> {
    let at = skip_blanks(text, from, b"");
    (text.as_bytes().get(at) == Some(&b'-')).then_some(at)
}

/// The next byte that is no space, line break, part of a comment, or one of `also`.
pub(crate) fn skip_blanks(text: &str, from: usize, also: &[u8]) -> usize {
    let mut at = from;
    loop {
        match text.as_bytes().get(at) {
            Some(b' ' | b'\n' | b'\r' | b'\t') => at += 1,
            Some(b'#') => at = line_end(text, at),
            Some(byte) if also.contains(byte) => at += 1,
            _ => return at,
        }
    }
}

/// Whether only spaces stand before `at` on its line.
pub(crate) fn is_indentation(text: &str, at: usize) -> bool {
    let before = text.get(line_start(text, at)..at).unwrap_or_default();
    before.bytes().all(|byte| byte == b' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_lines_with_either_line_end() {
        let text = "ab\r\nc\n\nd";
        assert_eq!((line_start(text, 5), line_end(text, 4), line_at(text, 4)), (4, 5, 2));
        assert_eq!((line_end(text, 0), line_break_before(text, 4)), (2, 2));
        assert_eq!((line_break_before(text, 7), next_line(text, 5)), (6, Some(6)));
        assert_eq!((next_line(text, 7), line_end(text, 7)), (None, 8));
        assert_eq!(
            (newline_at(text, 2), newline_at(text, 5), newline_at(text, 8)),
            ("\r\n", "\n", "\r\n")
        );
        assert_eq!(newline_at("a", 1), "\n");
    }

    #[test]
    fn tells_a_lone_carriage_return() {
        assert_eq!(lone_carriage_return("a\r\nb\n"), None);
        assert_eq!(lone_carriage_return("a\r\nb\rc"), Some(4));
        assert_eq!(lone_carriage_return("a\r"), Some(1));
    }

    #[test]
    fn follows_comments_to_the_next_content() {
        let text = "a:\n  # one\n\n # two\nb";
        let lines: Vec<_> = comment_lines(text, 0).map(|line| &text[line]).collect();
        assert_eq!(lines, ["  # one", "", " # two"]);
        assert_eq!(next_dash("a: # - no\n\n  - yes", 2), Some(13));
        assert_eq!(next_dash("a: b", 2), None);
    }
}
