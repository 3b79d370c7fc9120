//! The line scanner: the shape that orchestrators send, at the speed of memory.
//!
//! It takes an input whose top-level keys stand at column 0, whose items begin with `- ` at column
//! 0, and in which everything else is indented, blank or a comment. Anything else is left to the
//! event parser: JSON, flow style, `---`, tabs, a byte-order mark, a key that is not known.
//!
//! Lines alone cannot tell whether a quoted scalar or a bracket goes on over the next `- `. Every
//! line that opens one without closing it therefore has its item read by the event parser: an item
//! that is a whole document by itself leaves nothing open. Only the text of block scalars is passed
//! over.

use std::ops::Range;

use serde_json::Value;

use super::{Part, Parts, ResultsPlace};
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
    let results = match sections.results {
        Some(section) => {
            ResultsPlace::In { existing: results(input.get(section.clone())?)?, end: section.end }
        }
        None => ResultsPlace::AtEnd,
    };
    Some(Parts {
        api_version: sections.api_version?.to_owned(),
        kind: sections.kind?.to_owned(),
        items: Some(parts),
        function_config,
        results,
    })
}

/// The top-level keys, each with the lines that follow it.
#[derive(Default)]
struct Sections<'i> {
    api_version: Option<&'i str>,
    kind: Option<&'i str>,
    items: Option<Items>,
    function_config: Option<Range<usize>>,
    results: Option<Range<usize>>,
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
    Results(usize),
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
            "results" if self.results.is_none() && is_blank(value) => {
                return Some(Section::Results(at));
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
            Section::Results(start) => self.results = Some(start..end),
            Section::Closed => {}
        }
    }
}

impl Section {
    fn takes_indented(&self, input: &str, at: usize) -> bool {
        match self {
            Self::FunctionConfig(_) | Self::Results(_) => true,
            Self::Items(items) if !items.dashes.is_empty() => true,
            _ => input.get(at..line_end(input, at)).is_some_and(is_blank),
        }
    }

    fn item(&mut self, input: &str, at: usize) -> Option<()> {
        if !matches!(input.as_bytes().get(at + 1), None | Some(b' ' | b'\n' | b'\r')) {
            return None;
        }
        match self {
            Self::Items(items) => items.dashes.push(at),
            Self::Results(_) => {}
            Self::Closed | Self::FunctionConfig(_) => return None,
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

/// The results of a section whose list is in block style, with dashes at column 0.
fn results(section: &str) -> Option<Vec<Value>> {
    let tree = Tree::parse(section).ok()?;
    let (_, list) = tree.entries(tree.root()?).first()?;
    let has_dashes = section.contains("\n-");
    let values = tree.items(*list).iter().map(|item| tree.value(*item).ok());
    if has_dashes { values.collect() } else { None }
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
    let mut open: Vec<usize> = openers(input.as_bytes(), start..end)
        .map(|at| parts.partition_point(|part| part.range.start <= at).saturating_sub(1))
        .collect();
    open.sort_unstable();
    open.dedup();
    let parts = open.into_iter().filter_map(|index| parts.get(index));
    parts.filter(|part| opens_outside_of_blocks(input, &part.range))
}

/// Quotes and brackets that begin a token and are not surely closed on the same line, the first of
/// a line at least.
fn openers(bytes: &[u8], range: Range<usize>) -> impl Iterator<Item = usize> {
    let quotes = openers_of(bytes, range.clone(), [b'"', b'\'']);
    quotes.chain(openers_of(bytes, range, [b'[', b'{']))
}

fn openers_of(
    bytes: &[u8],
    range: Range<usize>,
    [one, other]: [u8; 2],
) -> impl Iterator<Item = usize> {
    let bytes = bytes.get(..range.end).unwrap_or_default();
    let within = bytes.get(range.start..).unwrap_or_default();
    let mut skip_to = range.start;
    memchr::memchr2_iter(one, other, within).map(move |at| range.start + at).filter(move |at| {
        if *at < skip_to || !begins_token(bytes, *at) {
            return false;
        }
        let line = bytes.get(*at..).unwrap_or_default();
        let line =
            line.get(..memchr::memchr(b'\n', line).unwrap_or(line.len())).unwrap_or_default();
        // What brackets hold is closed with them; a line that stays open is known by one opener.
        let closed = closed_length(line);
        skip_to = at + closed.unwrap_or(line.len());
        closed.is_none()
    })
}

/// Whether an item opens something in another place than the text of a block scalar, which is full
/// of quotes and brackets if it holds a script.
fn opens_outside_of_blocks(input: &str, item: &Range<usize>) -> bool {
    // With the dash, so that columns are those of the input.
    let mut next = item.start.checked_sub(1);
    let mut block = None;
    while let Some(at) = next.filter(|at| *at < item.end) {
        next = next_line(input, at);
        let end = line_end(input, at);
        let line = input.get(at..end).unwrap_or_default();
        let text = line.trim_start_matches(' ');
        if block.is_some_and(|column| text.is_empty() || line.len() - text.len() > column) {
            continue;
        }
        block = block_scalar_column(line);
        if block.is_none() && openers(input.as_bytes(), at..end).next().is_some() {
            return true;
        }
    }
    false
}

/// The column of the key, if the line is a plain one and `|` or `>`: what stands deeper below is
/// the scalar's text. With nothing open before, no such line can be part of another scalar.
fn block_scalar_column(line: &str) -> Option<usize> {
    let (head, indicator) = line.trim_end_matches(' ').rsplit_once(' ')?;
    let is_indicator = matches!(indicator, "|" | "|-" | "|+" | ">" | ">-" | ">+");
    let key = head.strip_suffix(':').filter(|_| is_indicator)?;
    let name = key.trim_start_matches([' ', '-']);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    let is_word = !name.is_empty() && name.bytes().all(is_plain);
    is_word.then_some(key.len() - name.len())
}

/// Whether a quote or bracket can begin a scalar or collection: inside a word it cannot.
fn begins_token(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    before.is_none_or(|byte| {
        matches!(byte, b' ' | b'\t' | b'\n' | b'-' | b'[' | b'{' | b',' | b':' | b'?')
    })
}

/// How much of a line is passed over with what begins it, if that is surely closed on the line.
fn closed_length(line: &[u8]) -> Option<usize> {
    match line {
        // A quote may be none, so those that follow are looked at all the same.
        [quote @ (b'"' | b'\''), inner @ ..] => quoted_length(inner, *quote).map(|_| 1),
        [b'[', b']', ..] | [b'{', b'}', ..] => Some(2),
        _ => brackets_length(line),
    }
}

/// The length of a quoted scalar's text and its closing quote, if that stands in `inner`.
fn quoted_length(inner: &[u8], quote: u8) -> Option<usize> {
    let mut bytes = inner.iter().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if quote == b'"' => {
                bytes.next();
            }
            b'\'' if quote == b'\'' && bytes.peek().is_some_and(|(_, next)| **next == b'\'') => {
                bytes.next();
            }
            _ if *byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// A quote may hide a bracket, so where it is not sure to begin a scalar the line counts as open.
fn brackets_length(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(byte) = rest.get(at) {
        let (before, after) = rest.split_at(at);
        match byte {
            b'#' => return None,
            b'"' | b'\'' => {
                let inner = after.get(1..).filter(|_| follows_indicator(before));
                match inner.and_then(|inner| quoted_length(inner, *byte)) {
                    Some(length) => at += length,
                    None => return None,
                }
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
        at += 1;
    }
    None
}

/// Whether a scalar must begin behind this text within brackets: a word may go on after a space.
fn follows_indicator(before: &[u8]) -> bool {
    let text = before.trim_ascii_end();
    match text.last() {
        Some(b'[' | b'{' | b',') => true,
        Some(b':') => text.len() < before.len(),
        _ => false,
    }
}

/// Whether an item is one whole document by itself.
fn is_document(input: &str, part: &Part) -> bool {
    Tree::parse_to_depth(&part.document(input), 0).is_ok()
}
