//! A tree of nodes over YAML text, each with its byte range.
//!
//! This is the only module that knows the event parser. The tree keeps what edits need to know and
//! a value tree forgets: where a node stands, its style, its anchor and its tag.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle, options};
use json_patch::jsonptr::Pointer;

use super::text::{line_at, line_start};

/// How deep a tree may nest. Kubernetes objects stay below 40.
const DEPTH_LIMIT: usize = 200;

/// How deep anything may nest that is only passed over.
const SKIP_LIMIT: usize = 100_000;

/// The text is not YAML, or not YAML that can be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SyntaxError {
    #[error("line {line}, column {column}: {message}")]
    Parser { line: usize, column: usize, message: String },
    #[error("line {line}: a second document begins")]
    SecondDocument { line: usize },
    #[error("line {line}: nested deeper than {DEPTH_LIMIT} levels")]
    TooDeep { line: usize },
}

impl SyntaxError {
    /// The error in the lines of a text that `lines` more stand before.
    pub(crate) fn below(mut self, lines: usize) -> Self {
        match &mut self {
            Self::Parser { line, .. } | Self::SecondDocument { line } | Self::TooDeep { line } => {
                *line += lines
            }
        }
        self
    }
}

/// Index of a node in its tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NodeId(usize);

/// One document.
#[derive(Debug)]
pub(crate) struct Tree<'t> {
    text: &'t str,
    nodes: Vec<Node<'t>>,
    root: Option<NodeId>,
    /// Whether the last scalar, kept or passed over, is one.
    ends_in_block_scalar: bool,
}

/// A scalar, a collection or an alias.
#[derive(Debug)]
pub(crate) struct Node<'t> {
    pub(crate) kind: Kind<'t>,
    /// From the first byte of the content to the end of the last. Tag and anchor stand before it.
    ///
    /// A block collection ends where its last scalar ends: comments after it are not in the range.
    /// A block sequence may begin at its first dash or after it.
    pub(crate) range: Range<usize>,
    pub(crate) anchor: Option<usize>,
    pub(crate) tag: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Kind<'t> {
    Scalar { value: Cow<'t, str>, style: Style },
    Sequence { flow: bool, items: Vec<NodeId> },
    Mapping { flow: bool, entries: Vec<(NodeId, NodeId)> },
    Alias { target: Option<NodeId> },
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// No text at all, as in `key:`.
    Empty,
    Plain,
    Quoted,
    /// `|` or `>`; the range leaves out the line with the indicator.
    Block,
}

impl<'t> Tree<'t> {
    /// Reads the only document of `text`.
    pub(crate) fn parse(text: &'t str) -> Result<Self, SyntaxError> {
        let mut builder = Builder::new(text, DEPTH_LIMIT, false);
        // About what a Deployment needs.
        builder.tree.nodes.reserve((text.len() / 16).min(1024));
        builder.build(DEPTH_LIMIT)
    }

    /// As [`Tree::parse`], but collections at `depth` are left without children.
    ///
    /// Memory stays small however large the document is, and what lies deeper may nest further
    /// than a tree may.
    pub(crate) fn parse_to_depth(text: &'t str, depth: usize) -> Result<Self, SyntaxError> {
        Builder::new(text, depth, true).build(SKIP_LIMIT)
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    /// The document's node; none if the text holds only comments.
    pub(crate) fn root(&self) -> Option<NodeId> {
        self.root
    }

    #[expect(clippy::indexing_slicing, reason = "a NodeId is made by the tree that it indexes")]
    pub(crate) fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id.0]
    }

    /// The text of a node's content.
    pub(crate) fn source(&self, id: NodeId) -> &'t str {
        self.text.get(self.node(id).range.clone()).unwrap_or_default()
    }

    /// The value under `key`, if `id` is a mapping that has it. The last of several wins.
    pub(crate) fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entries(id).iter().rev().find(|(k, _)| self.str(*k) == Some(key)).map(|(_, v)| *v)
    }

    /// The entries of a mapping; nothing for any other node.
    pub(crate) fn entries(&self, id: NodeId) -> &[(NodeId, NodeId)] {
        match &self.node(id).kind {
            Kind::Mapping { entries, .. } => entries,
            _ => &[],
        }
    }

    /// The items of a sequence; nothing for any other node.
    pub(crate) fn items(&self, id: NodeId) -> &[NodeId] {
        match &self.node(id).kind {
            Kind::Sequence { items, .. } => items,
            _ => &[],
        }
    }

    /// The text between the colon of the entry that `pointer` names and the end of its value.
    pub(crate) fn spelling(&self, pointer: &Pointer) -> Option<&'t str> {
        let (parent, last) = pointer.split_back()?;
        let mut id = self.root?;
        for token in parent.tokens() {
            id = match token.decoded().parse::<usize>() {
                Ok(index) => *self.items(id).get(index)?,
                Err(_) => self.get(id, &token.decoded())?,
            };
        }
        let entry = self.entries(id).iter().find(|(k, _)| self.str(*k) == Some(&last.decoded()));
        let (key, value) = entry?;
        let from = self.node(*key).range.end;
        let colon = from + self.text.get(from..)?.find(':')?;
        self.text.get(colon + 1..self.node(*value).range.end)
    }

    /// Whether a node is `[]` or `{}`.
    pub(crate) fn is_empty_collection(&self, id: NodeId) -> bool {
        match &self.node(id).kind {
            Kind::Sequence { items, .. } => items.is_empty(),
            Kind::Mapping { entries, .. } => entries.is_empty(),
            _ => false,
        }
    }

    /// Whether the text ends within a block scalar that would take a line break for its own.
    ///
    /// The parser gives it that line break already; the YAML readers of kubectl and kpt do not.
    pub(crate) fn ends_in_block_scalar(&self) -> bool {
        self.ends_in_block_scalar
    }

    /// The indicator, such as `|+`, of the block scalar that is the last scalar before `at`.
    pub(crate) fn block_scalar_before(&self, at: usize) -> Option<&'t str> {
        let is_scalar = |node: &&Node<'_>| matches!(node.kind, Kind::Scalar { .. });
        let before = self.nodes.iter().filter(|node| node.range.end <= at && is_scalar(node));
        let last = before.max_by_key(|node| node.range.end)?;
        if !matches!(last.kind, Kind::Scalar { style: Style::Block, .. }) {
            return None;
        }
        let header = self.text.get(..line_start(self.text, last.range.start))?.trim_ascii_end();
        let line = header.get(line_start(header, header.len())..)?;
        let indicator = line.split(" #").next()?.trim_ascii_end();
        indicator.rsplit([' ', '\t']).next()
    }

    /// A scalar's value, whatever its type.
    pub(crate) fn str(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).kind {
            Kind::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The line, counted from 1, on which a node begins.
    pub(crate) fn line(&self, id: NodeId) -> usize {
        line_at(self.text, self.node(id).range.start)
    }
}

/// Turns events into nodes with a stack of open collections, so that no depth overflows.
struct Builder<'t> {
    tree: Tree<'t>,
    depth: usize,
    collapse: bool,
    open: Vec<Open>,
    /// Collections open below the deepest level that is kept.
    skipped: usize,
    anchors: HashMap<usize, NodeId>,
    /// Where the content read so far ends.
    content_end: usize,
}

/// A collection whose end has not been seen.
struct Open {
    id: NodeId,
    key: Option<NodeId>,
    flow: bool,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str, depth: usize, collapse: bool) -> Self {
        let tree = Tree { text, nodes: Vec::new(), root: None, ends_in_block_scalar: false };
        let (open, anchors) = (Vec::new(), HashMap::new());
        Self { tree, depth, collapse, open, skipped: 0, anchors, content_end: 0 }
    }

    fn build(mut self, nesting: usize) -> Result<Tree<'t>, SyntaxError> {
        let options = options! {
            emit_comments: false,
            emit_unresolved_aliases: true,
            flow_nesting_limit: nesting,
            block_nesting_limit: nesting,
        };
        for event in Parser::new_from_str_with_options(self.tree.text, options) {
            let (event, span) = event.map_err(|error| SyntaxError::Parser {
                line: error.marker().line(),
                column: error.marker().col() + 1,
                message: error.info().to_string(),
            })?;
            self.event(event, &span)?;
        }
        let rest = self.tree.text.get(self.content_end..).unwrap_or_default();
        self.tree.ends_in_block_scalar &= rest.bytes().all(|byte| byte == b' ');
        Ok(self.tree)
    }

    fn event(&mut self, event: Event<'t>, span: &Span) -> Result<(), SyntaxError> {
        let range = span.byte_range().unwrap_or(0..0);
        let anchor = event.anchor_id();
        let tag = event.tag().map(|tag| tag.original());
        let is_flow = |style| style == StructureStyle::Flow;
        let (kind, flow) = match event {
            Event::Scalar(value, style, ..) => {
                let style = self.style(style, &range, tag.is_some() || anchor.is_some());
                (Kind::Scalar { value, style }, None)
            }
            Event::Alias(target) => {
                (Kind::Alias { target: self.anchors.get(&target).copied() }, None)
            }
            Event::UnresolvedAlias(_) => (Kind::Alias { target: None }, None),
            Event::SequenceStart(style, ..) => {
                let flow = is_flow(style);
                (Kind::Sequence { flow, items: Vec::new() }, Some(flow))
            }
            Event::MappingStart(style, ..) => {
                let flow = is_flow(style);
                (Kind::Mapping { flow, entries: Vec::new() }, Some(flow))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.end(&range);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let range = match &kind {
            Kind::Scalar { value, style } => self.scalar_range(value, *style, range),
            _ => range,
        };
        let node = Node { kind, range, anchor, tag };
        match flow {
            Some(flow) => self.start(node, flow),
            None => {
                self.content_end = node.range.end;
                self.tree.ends_in_block_scalar = matches!(
                    &node.kind,
                    Kind::Scalar { value, style: Style::Block } if value.ends_with('\n')
                );
                self.add(node).map(|_| ())
            }
        }
    }

    fn style(&self, style: ScalarStyle, range: &Range<usize>, has_properties: bool) -> Style {
        match style {
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
            ScalarStyle::Plain if range.is_empty() && !has_properties => Style::Empty,
            ScalarStyle::Plain => Style::Plain,
            _ => Style::Quoted,
        }
    }

    /// Where a scalar stands for a reader, which is not always where the parser puts it.
    fn scalar_range(&self, value: &str, style: Style, range: Range<usize>) -> Range<usize> {
        let text = self.tree.text;
        let source = text.get(range.clone()).unwrap_or_default();
        match style {
            // All blank lines after a keep scalar (`|+`) are its content; after others none is.
            Style::Block if value.ends_with("\n\n") || is_only_newlines(value) => {
                let content = text.get(..range.end).unwrap_or_default().trim_end_matches(' ');
                let content = content.strip_suffix('\n').unwrap_or(content);
                let end = content.strip_suffix('\r').unwrap_or(content).len();
                range.start.min(end)..end
            }
            Style::Block if value.is_empty() => {
                let header = text.get(..range.start).unwrap_or_default().trim_ascii_end().len();
                header..header
            }
            Style::Block => {
                let column = range.start - line_start(text, range.start);
                range.start..range.start + block_length(source, column)
            }
            // The parser puts an empty value at its colon, behind its dash, or, where an explicit
            // key has none, at whatever comes next.
            Style::Empty if text.as_bytes().get(range.start) == Some(&b':') => {
                range.start + 1..range.start + 1
            }
            Style::Empty => {
                let end = text.get(..range.start).unwrap_or_default().trim_ascii_end().len();
                end..end
            }
            Style::Plain | Style::Quoted => range,
        }
    }

    fn start(&mut self, node: Node<'t>, flow: bool) -> Result<(), SyntaxError> {
        if self.skipped > 0 || self.open.len() > self.depth {
            self.skipped += 1;
            return Ok(());
        }
        if !self.collapse && self.open.len() >= DEPTH_LIMIT {
            return Err(SyntaxError::TooDeep { line: line_at(self.tree.text, node.range.start) });
        }
        if let Some(id) = self.add(node)? {
            self.open.push(Open { id, key: None, flow });
        }
        Ok(())
    }

    fn end(&mut self, range: &Range<usize>) {
        if self.skipped > 0 {
            self.skipped -= 1;
            // A flow collection ends at its bracket, which a block collection has not.
            self.content_end = self.content_end.max(if range.is_empty() { 0 } else { range.end });
            return;
        }
        let Some(open) = self.open.pop() else { return };
        if open.flow {
            self.content_end = range.end;
        }
        let end = self.content_end;
        if let Some(node) = self.tree.nodes.get_mut(open.id.0) {
            node.range.end = end.max(node.range.start);
        }
    }

    /// Hangs a node into the innermost open collection; nothing comes of it below the kept depth.
    fn add(&mut self, node: Node<'t>) -> Result<Option<NodeId>, SyntaxError> {
        if self.skipped > 0 || self.open.len() > self.depth {
            return Ok(None);
        }
        let start = node.range.start;
        let id = NodeId(self.tree.nodes.len());
        if let Some(anchor) = node.anchor {
            self.anchors.insert(anchor, id);
        }
        self.tree.nodes.push(node);
        let Some(parent) = self.open.last_mut() else {
            if self.tree.root.is_some() {
                return Err(SyntaxError::SecondDocument { line: line_at(self.tree.text, start) });
            }
            self.tree.root = Some(id);
            return Ok(Some(id));
        };
        match self.tree.nodes.get_mut(parent.id.0).map(|node| &mut node.kind) {
            Some(Kind::Sequence { items, .. }) => items.push(id),
            Some(Kind::Mapping { entries, .. }) => match parent.key.take() {
                None => parent.key = Some(id),
                Some(key) => entries.push((key, id)),
            },
            _ => {}
        }
        Ok(Some(id))
    }
}

/// The length of a block scalar's text up to the end of its last line. A blank line counts if it is
/// longer than the indentation.
fn block_length(source: &str, indentation: usize) -> usize {
    let (mut at, mut end) = (0, 0);
    for line in source.split_inclusive('\n') {
        let length = line.trim_end_matches(['\r', '\n']).len();
        if at == 0 || length > indentation {
            end = at + length;
        }
        at += line.len();
    }
    end
}

fn is_only_newlines(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte == b'\n')
}
