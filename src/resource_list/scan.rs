//! The line scanner: the shape that orchestrators send, at the speed of memory.
//!
//! It takes an input whose top-level keys stand at column 0, whose items begin with `- ` at column
//! 0, and in which everything else is indented, blank or a comment. Anything else is left to the
//! event parser: JSON, flow style, `---`, tabs, a byte-order mark, a key that is not known.
//!
//! Lines alone cannot tell whether a quoted scalar or a bracket goes on over the next `- `. Every
//! line that opens one without closing it therefore has its item read by the event parser: an item
//! that is a whole document by itself leaves nothing open.

use std::ops::Range;

use super::{Part, Parts};
use crate::yaml::Tree;
use crate::yaml::text::{line_end, lone_carriage_return, next_line};

/// The parts of `input`, if it has the shape.
pub(super) fn parts(input: &str) -> Option<Parts> {
    if lone_carriage_return(input).is_some() {
        return None;
    }
    let sections = Sections::scan(input)?;
    let items = sections.items?;
    let parts: Vec<Part> = items.ranges().map(|range| Part { range, column: 1 }).collect();
    if !open_items(input, &parts).all(|part| is_document(input, part)) {
        return None;
    }
    let function_config = match sections.function_config {
        Some(section) => Some(value_part(input, section)?),
        None => None,
    };
    Some(Parts {
        api_version: sections.api_version?.to_owned(),
        kind: sections.kind?.to_owned(),
        items: Some(parts),
        function_config,
        results_at_end: true,
    })
}

/// The top-level keys, each with the lines that follow it.
#[derive(Default)]
struct Sections<'i> {
    api_version: Option<&'i str>,
    kind: Option<&'i str>,
    items: Option<Items>,
    function_config: Option<Range<usize>>,
}

/// Where items begin, and where the last one ends.
struct Items {
    dashes: Vec<usize>,
    end: usize,
}

impl Items {
    /// From behind each dash to the next one.
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let ends = self.dashes.iter().skip(1).copied().chain([self.end]);
        self.dashes.iter().zip(ends).map(|(dash, end)| dash + 1..end)
    }
}

/// What indented lines belong to.
enum Section {
    /// Nothing may be indented: before the first key, and after a scalar.
    Closed,
    Items(Items),
    FunctionConfig(usize),
}

impl<'i> Sections<'i> {
    fn scan(input: &'i str) -> Option<Self> {
        let mut sections = Self::default();
        let mut section = Section::Closed;
        let mut next = Some(0);
        while let Some(at) = next {
            next = next_line(input, at);
            match input.as_bytes().get(at)? {
                b' ' => section.takes_indented(input, at).then_some(())?,
                b'\n' | b'\r' | b'#' => {}
                b'-' => section.item(input, at)?,
                _ => {
                    sections.close(std::mem::replace(&mut section, Section::Closed), at);
                    section = sections.key(input, at)?;
                }
            }
        }
        sections.close(section, input.len());
        sections.items.as_ref().is_some_and(|items| !items.dashes.is_empty()).then_some(sections)
    }

    /// Reads a line that begins a section.
    fn key(&mut self, input: &'i str, at: usize) -> Option<Section> {
        let (key, value) = input.get(at..line_end(input, at))?.split_once(':')?;
        if !value.is_empty() && !value.starts_with(' ') {
            return None;
        }
        match key {
            "apiVersion" if self.api_version.is_none() => self.api_version = Some(word(value)?),
            "kind" if self.kind.is_none() => self.kind = Some(word(value)?),
            "functionConfig" if self.function_config.is_none() => {
                return Some(Section::FunctionConfig(at));
            }
            "items" if self.items.is_none() && is_blank(value) => {
                return Some(Section::Items(Items { dashes: Vec::new(), end: at }));
            }
            _ => return None,
        }
        Some(Section::Closed)
    }

    fn close(&mut self, section: Section, end: usize) {
        match section {
            Section::Items(items) => self.items = Some(Items { end, ..items }),
            Section::FunctionConfig(start) => self.function_config = Some(start..end),
            Section::Closed => {}
        }
    }
}

impl Section {
    fn takes_indented(&self, input: &str, at: usize) -> bool {
        match self {
            Self::FunctionConfig(_) => true,
            Self::Items(items) if !items.dashes.is_empty() => true,
            _ => input.get(at..line_end(input, at)).is_some_and(is_blank),
        }
    }

    fn item(&mut self, input: &str, at: usize) -> Option<()> {
        let Self::Items(items) = self else {
            return None;
        };
        match input.as_bytes().get(at + 1) {
            None | Some(b' ' | b'\n' | b'\r') => items.dashes.push(at),
            Some(_) => return None,
        }
        Some(())
    }
}

/// Whether a line holds nothing but spaces and a comment.
fn is_blank(line: &str) -> bool {
    let content = line.trim_matches(' ');
    content.is_empty() || (content.starts_with('#') && content.len() < line.len())
}

/// A plain or quoted scalar without anything that needs unescaping.
fn word(value: &str) -> Option<&str> {
    let value = value.trim_matches(' ');
    let quoted = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote).and_then(|inner| inner.strip_suffix(*quote)));
    let word = quoted.unwrap_or(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"./".contains(&byte);
    let letter = word.starts_with(|c: char| c.is_ascii_alphabetic());
    (letter && word.bytes().all(plain)).then_some(word)
}

/// The value of a section's key.
fn value_part(input: &str, section: Range<usize>) -> Option<Part> {
    let tree = Tree::parse_to_depth(input.get(section.clone())?, 1).ok()?;
    let (_, value) = tree.entries(tree.root()?).first()?;
    super::events::value_part(&tree, *value, section.start)
}

/// The items with a line that opens a quote or bracket and does not close it.
fn open_items<'p>(input: &'p str, parts: &'p [Part]) -> impl Iterator<Item = &'p Part> {
    let start = parts.first().map_or(0, |part| part.range.start);
    let end = parts.last().map_or(0, |part| part.range.end);
    let bytes = input.as_bytes().get(..end).unwrap_or_default();
    let within = bytes.get(start..).unwrap_or_default();
    let quotes = memchr::memchr2_iter(b'"', b'\'', within);
    let brackets = memchr::memchr2_iter(b'[', b'{', within);
    let mut open: Vec<usize> = quotes
        .chain(brackets)
        .map(|at| start + at)
        .filter(|at| begins_token(bytes, *at) && stays_open(bytes, *at))
        .map(|at| parts.partition_point(|part| part.range.start <= at).saturating_sub(1))
        .collect();
    open.sort_unstable();
    open.dedup();
    open.into_iter().filter_map(|index| parts.get(index))
}

/// Whether a quote or bracket can begin a scalar or collection: inside a word it cannot.
fn begins_token(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    before.is_none_or(|byte| b" \t\n-[{,:?".contains(byte))
}

/// Whether what begins here is not surely closed on the same line.
fn stays_open(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let rest = rest.get(..memchr::memchr(b'\n', rest).unwrap_or(rest.len())).unwrap_or_default();
    match rest {
        [quote @ (b'"' | b'\''), inner @ ..] => !closes_quote(inner, *quote),
        [b'[', b']', ..] | [b'{', b'}', ..] => false,
        _ => !closes_brackets(rest),
    }
}

fn closes_quote(inner: &[u8], quote: u8) -> bool {
    let mut bytes = inner.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quote == b'"' => {
                bytes.next();
            }
            b'\'' if quote == b'\'' && bytes.peek() == Some(&b'\'') => {
                bytes.next();
            }
            _ if byte == quote => return true,
            _ => {}
        }
    }
    false
}

/// A quote among brackets may hide one, so a line with any counts as open.
fn closes_brackets(rest: &[u8]) -> bool {
    let mut depth = 0usize;
    for byte in rest {
        match byte {
            b'"' | b'\'' | b'#' => return false,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return true;
        }
    }
    false
}

/// Whether an item is one whole document by itself.
fn is_document(input: &str, part: &Part) -> bool {
    Tree::parse_to_depth(&part.document(input), 0).is_ok()
}
