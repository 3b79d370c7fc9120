//! The collection that an operation changes: where new text goes, and in which shape.

use std::ops::Range;

use json_patch::jsonptr::{Pointer, PointerBuf};
use serde_json::Value;

use super::field_path;
use super::refusal::Refusal;
use super::render::{self, Layout};
use super::splice::TextEdit;
use super::text::{
    comment_lines, is_indentation, line_at, line_break_before, line_end, line_start, newline_at,
    next_dash, next_line,
};
use super::tree::{Kind, NodeId, Style, Tree};

/// A collection that an operation changes.
pub(super) struct Place<'a, 't> {
    tree: &'a Tree<'t>,
    pub(super) node: NodeId,
    /// The way to it.
    field: PointerBuf,
    /// Inside brackets or braces, itself included.
    flow: bool,
    /// Inside those of another collection.
    within_flow: bool,
    /// The key that the collection is the value of, if it is one's.
    key: Option<NodeId>,
}

/// One entry of a mapping or item of a sequence, as text.
struct Child {
    /// The key of an entry, or the item.
    head: NodeId,
    /// The value of an entry, or the item.
    value: NodeId,
}

impl<'a, 't> Place<'a, 't> {
    /// Walks to the collection, refusing everything on the way that other places share.
    pub(super) fn locate(tree: &'a Tree<'t>, pointer: &'a Pointer) -> Result<Self, Refusal> {
        let not_found = || Refusal::NotFound { field: field_path(pointer) };
        let root = tree.root().ok_or_else(not_found)?;
        let mut place = Self::new(tree, root);
        place.check_shared()?;
        for token in pointer.tokens() {
            place.check_keys()?;
            let child = place.child(&token.decoded())?;
            place.field.push_back(&token);
            place.key = (child.head != child.value).then_some(child.head);
            place.node = child.value;
            place.check_shared()?;
            place.within_flow = place.flow;
            place.flow |= place.is_flow();
        }
        place.check_keys()?;
        match tree.node(place.node).kind {
            Kind::Sequence { .. } | Kind::Mapping { .. } => Ok(place),
            _ => Err(not_found()),
        }
    }

    fn new(tree: &'a Tree<'t>, node: NodeId) -> Self {
        let (field, flow, within_flow) = (PointerBuf::new(), false, false);
        let mut place = Self { tree, node, field, flow, within_flow, key: None };
        place.flow = place.is_flow();
        place
    }

    fn is_flow(&self) -> bool {
        matches!(
            self.tree.node(self.node).kind,
            Kind::Sequence { flow: true, .. } | Kind::Mapping { flow: true, .. }
        )
    }

    fn field(&self) -> String {
        if self.field.is_root() { ".".to_owned() } else { field_path(&self.field) }
    }

    fn layout_refusal(&self, at: usize) -> Refusal {
        Refusal::Layout { line: line_at(self.tree.text(), at), field: self.field() }
    }

    /// An edit below an anchor, an alias or a tag could mean something elsewhere.
    fn check_shared(&self) -> Result<(), Refusal> {
        self.check_shared_node(self.key.unwrap_or(self.node), self.node, || self.field())
    }

    /// `head` is where a reader finds the node: its key, if it has one.
    fn check_shared_node(
        &self,
        head: NodeId,
        id: NodeId,
        field: impl FnOnce() -> String,
    ) -> Result<(), Refusal> {
        let node = self.tree.node(id);
        let refusal: fn(usize, String, String) -> Refusal = match (&node.anchor, &node.tag) {
            (Some(_), _) => |line, field, _| Refusal::Anchor { line, field },
            (None, Some(_)) => |line, field, tag| Refusal::Tag { line, field, tag },
            (None, None) if matches!(node.kind, Kind::Alias { .. }) => {
                |line, field, _| Refusal::Alias { line, field }
            }
            (None, None) => return Ok(()),
        };
        Err(refusal(self.tree.line(head), field(), node.tag.clone().unwrap_or_default()))
    }

    fn check_keys(&self) -> Result<(), Refusal> {
        let mut seen = std::collections::HashSet::new();
        for (key, _) in self.tree.entries(self.node) {
            let place = || (self.tree.line(*key), self.field());
            if self.tree.is_merge_key(*key) {
                let (line, field) = place();
                return Err(Refusal::MergeKey { line, field });
            }
            let node = self.tree.node(*key);
            let name = self.tree.str(*key);
            let (Some(name), None, None) = (name, node.anchor, node.tag.as_ref()) else {
                let (line, field) = place();
                return Err(Refusal::ComplexKey { line, field });
            };
            if !seen.insert(name) {
                let (line, field) = place();
                return Err(Refusal::DuplicateKey { line, field, key: name.to_owned() });
            }
        }
        Ok(())
    }

    fn child(&self, token: &str) -> Result<Child, Refusal> {
        let child = match &self.tree.node(self.node).kind {
            Kind::Sequence { items, .. } => {
                let item = token.parse().ok().and_then(|index: usize| items.get(index));
                item.map(|item| Child { head: *item, value: *item })
            }
            Kind::Mapping { entries, .. } => {
                let entry = entries.iter().find(|(key, _)| self.tree.str(*key) == Some(token));
                entry.map(|(key, value)| Child { head: *key, value: *value })
            }
            _ => None,
        };
        child.ok_or_else(|| Refusal::NotFound {
            field: field_path(&self.field.with_trailing_token(token)),
        })
    }

    /// `add …/-`.
    pub(super) fn push(&self, value: &Value) -> Result<Vec<TextEdit>, Refusal> {
        let Some(last) = self.tree.items(self.node).last() else {
            return self.fill(&Value::Array(vec![value.clone()]));
        };
        let end = self.tree.node(*last).range.end;
        if self.flow {
            return Ok(vec![TextEdit::insert(end, format!(", {}", render::flow(value)))]);
        }
        let column = self.dash_column()?;
        Ok(vec![self.lines_after(end, column, &self.layout().item(value, column))])
    }

    /// `add` of a key that is not there.
    pub(super) fn insert(&self, key: &str, value: &Value) -> Result<Vec<TextEdit>, Refusal> {
        let Some((last_key, last_value)) = self.tree.entries(self.node).last() else {
            let map = [(key.to_owned(), value.clone())].into_iter().collect();
            return self.fill(&Value::Object(map));
        };
        let end = self.end(&Child { head: *last_key, value: *last_value });
        if self.flow {
            return Ok(vec![TextEdit::insert(
                end,
                format!(", {}", render::flow_entry(key, value)),
            )]);
        }
        let column = self.key_column()?;
        Ok(vec![self.lines_after(end, column, &self.layout().entry(key, value, column))])
    }

    /// Puts the first children into `[]` or `{}`.
    fn fill(&self, value: &Value) -> Result<Vec<TextEdit>, Refusal> {
        match self.key {
            Some(key) if !self.within_flow => self.rewrite(key, self.node, value, None),
            _ => self.rewrite_in_place(self.node, value),
        }
    }

    pub(super) fn replace(
        &self,
        token: &str,
        value: &Value,
        spelling: Option<&str>,
    ) -> Result<Vec<TextEdit>, Refusal> {
        let child = self.child(token)?;
        let field = || field_path(&self.field.with_trailing_token(token));
        self.check_shared_node(child.head, child.value, field)?;
        let is_block = self.is_block_scalar(child.value);
        if child.head == child.value && is_block && render::is_inline(value) {
            return self.rewrite_block_item(&child, value);
        }
        if child.head == child.value || (self.flow && spelling.is_none()) {
            return self.rewrite_in_place(child.value, value);
        }
        self.rewrite(child.head, child.value, value, spelling)
    }

    /// New text between the dash of a block scalar and its end.
    fn rewrite_block_item(&self, child: &Child, value: &Value) -> Result<Vec<TextEdit>, Refusal> {
        let (index, siblings) = self.siblings(child);
        let after_dash = self.dash_before(index, &siblings)? + 1;
        let mut edits = self.delete_block(after_dash, child.value)?;
        edits.push(TextEdit::insert(after_dash, format!(" {}", render::scalar(value))));
        Ok(edits)
    }

    /// New text between a colon and the end of its value, in a block mapping.
    fn rewrite(
        &self,
        key: NodeId,
        old: NodeId,
        value: &Value,
        spelling: Option<&str>,
    ) -> Result<Vec<TextEdit>, Refusal> {
        let text = self.tree.text();
        let node = self.tree.node(old);
        let after_colon = self.colon(key)? + 1;
        if render::is_inline(value) && spelling.is_none() && self.is_one_token(old) {
            return self.rewrite_in_place(old, value);
        }
        let old_block = match &node.kind {
            Kind::Sequence { flow, .. } | Kind::Mapping { flow, .. } => !flow,
            Kind::Scalar { style, .. } => *style == Style::Block,
            Kind::Alias { .. } => false,
        };
        let mut edits = Vec::new();
        let header_end = if old_block {
            edits.extend(self.delete_block(after_colon, old)?);
            after_colon
        } else {
            let gap = text.get(after_colon..node.range.end).unwrap_or_default();
            // A comment or a line break before the value, or inside of `[]`, has to stay.
            if gap.contains(['#', '\n']) && spelling.is_none() {
                return self.rewrite_in_place(old, value);
            }
            edits.push(TextEdit::delete(after_colon..node.range.end));
            node.range.end
        };
        if let Some(spelling) = spelling {
            edits.push(TextEdit::insert(after_colon, spelling.to_owned()));
        } else if render::is_inline(value) {
            edits.push(TextEdit::insert(after_colon, format!(" {}", render::scalar(value))));
        } else {
            let column = self.column(self.tree.node(key).range.start)?;
            let lines = self.layout().children(value, column);
            edits.push(self.lines_at(line_end(text, header_end), &lines));
        }
        Ok(edits)
    }

    /// Takes a block value away: the indicator of a block scalar, and every line of its own.
    fn delete_block(&self, after_colon: usize, old: NodeId) -> Result<Vec<TextEdit>, Refusal> {
        let (text, node) = (self.tree.text(), self.tree.node(old));
        if matches!(node.kind, Kind::Scalar { .. }) {
            let header = text.get(after_colon..).unwrap_or_default();
            let spaces = header.len() - header.trim_start_matches(' ').len();
            let indicator = header.trim_start_matches(' ').bytes();
            let length = indicator.take_while(|byte| !byte.is_ascii_whitespace()).count();
            let header_end = after_colon + spaces + length;
            let lines = line_end(text, header_end)..line_end(text, node.range.end.max(header_end));
            return Ok(vec![TextEdit::delete(after_colon..header_end), TextEdit::delete(lines)]);
        }
        let first = match node.kind {
            Kind::Mapping { .. } => node.range.start,
            _ => next_dash(text, after_colon).ok_or_else(|| self.layout_refusal(after_colon))?,
        };
        let start = line_break_before(text, first);
        if start < after_colon {
            return Err(self.layout_refusal(first));
        }
        Ok(vec![TextEdit::delete(start..line_end(text, node.range.end))])
    }

    /// New text for the node itself, on one line.
    fn rewrite_in_place(&self, old: NodeId, value: &Value) -> Result<Vec<TextEdit>, Refusal> {
        let node = self.tree.node(old);
        let written = if self.flow { render::flow(value) } else { render::scalar(value) };
        let source = self.tree.source(old);
        match &node.kind {
            Kind::Scalar { style: Style::Empty, .. } => {
                Ok(vec![TextEdit::insert(node.range.end, format!(" {written}"))])
            }
            Kind::Scalar { style: Style::Block, .. } => Err(self.layout_refusal(node.range.start)),
            // A comment inside of empty brackets stays where it is.
            Kind::Sequence { .. } | Kind::Mapping { .. } if source.contains('#') => {
                if !self.tree.is_empty_collection(old) {
                    return Err(self.layout_refusal(node.range.start));
                }
                let inner = written.get(1..written.len() - 1).unwrap_or_default().to_owned();
                Ok(vec![TextEdit::insert(node.range.start + 1, inner)])
            }
            Kind::Scalar { .. }
            | Kind::Sequence { flow: true, .. }
            | Kind::Mapping { flow: true, .. } => {
                Ok(vec![TextEdit { range: node.range.clone(), text: written }])
            }
            _ => Err(self.layout_refusal(node.range.start)),
        }
    }

    pub(super) fn remove(&self, token: &str) -> Result<Vec<TextEdit>, Refusal> {
        let child = self.child(token)?;
        let (index, siblings) = self.siblings(&child);
        if self.flow {
            return self.remove_flow(&child, index, &siblings);
        }
        if siblings.len() == 1 {
            return self.remove_only();
        }
        let text = self.tree.text();
        let start = self.tree.node(child.head).range.start;
        let start = match self.tree.node(self.node).kind {
            Kind::Sequence { .. } => self.dash_before(index, &siblings)?,
            _ => start,
        };
        let end = line_end(text, self.end(&child));
        self.check_blank_line(start, end)?;
        if is_indentation(text, start) {
            return Ok(vec![TextEdit::delete(line_break_before(text, start)..end)]);
        }
        // The first key of a list item shares the dash's line; the next key takes its place.
        match siblings.get(index + 1) {
            Some(next) if index == 0 && child.head != child.value => {
                let next = self.tree.node(next.head).range.start;
                Ok(vec![TextEdit::delete(start..next)])
            }
            _ => Err(self.layout_refusal(start)),
        }
    }

    /// A blank line below what is removed must not come to stand below a `|+` or `>+`, whose text it
    /// would be.
    fn check_blank_line(&self, start: usize, end: usize) -> Result<(), Refusal> {
        let text = self.tree.text();
        let blank = next_line(text, end).filter(|at| {
            text.get(*at..line_end(text, *at)).is_some_and(|line| line.trim_ascii().is_empty())
        });
        match (blank, self.tree.block_scalar_before(start)) {
            (Some(at), Some(header)) if header.contains('+') => {
                Err(Refusal::BlankLine { line: line_at(text, at) })
            }
            _ => Ok(()),
        }
    }

    /// The collection stays, empty.
    fn remove_only(&self) -> Result<Vec<TextEdit>, Refusal> {
        let empty = match self.tree.node(self.node).kind {
            Kind::Sequence { .. } => Value::Array(Vec::new()),
            _ => Value::Object(serde_json::Map::new()),
        };
        match self.key {
            Some(key) => self.rewrite(key, self.node, &empty, None),
            None => Err(self.layout_refusal(self.tree.node(self.node).range.start)),
        }
    }

    fn remove_flow(
        &self,
        child: &Child,
        index: usize,
        siblings: &[Child],
    ) -> Result<Vec<TextEdit>, Refusal> {
        let text = self.tree.text();
        let start = self.tree.node(child.head).range.start;
        let end = self.end(child);
        let before = index.checked_sub(1).and_then(|before| siblings.get(before));
        let range = match (before, siblings.get(index + 1)) {
            (Some(before), _) => self.end(before)..end,
            (None, Some(next)) => start..self.tree.node(next.head).range.start,
            (None, None) => {
                let rest = text.get(end..).unwrap_or_default();
                let trimmed = rest.trim_start();
                let comma =
                    if trimmed.starts_with(',') { rest.len() - trimmed.len() + 1 } else { 0 };
                start..end + comma
            }
        };
        // What stands between is a comma, spaces, and perhaps a comment that is not ours to drop.
        let gaps = [range.start..start.max(range.start), end.min(range.end)..range.end];
        if gaps.into_iter().any(|gap| text.get(gap).unwrap_or_default().contains('#')) {
            return Err(self.layout_refusal(start));
        }
        Ok(vec![TextEdit::delete(range)])
    }

    fn siblings(&self, child: &Child) -> (usize, Vec<Child>) {
        let siblings: Vec<Child> = match &self.tree.node(self.node).kind {
            Kind::Sequence { items, .. } => {
                items.iter().map(|item| Child { head: *item, value: *item }).collect()
            }
            Kind::Mapping { entries, .. } => {
                entries.iter().map(|(k, v)| Child { head: *k, value: *v }).collect()
            }
            _ => Vec::new(),
        };
        let index = siblings.iter().position(|sibling| sibling.head == child.head);
        (index.unwrap_or_default(), siblings)
    }

    /// Where the text of a child ends.
    fn end(&self, child: &Child) -> usize {
        self.tree.node(child.value).range.end.max(self.tree.node(child.head).range.end)
    }

    /// Lines below everything that belongs to content ending at `end` in a collection at `column`.
    fn lines_after(&self, end: usize, column: usize, lines: &[String]) -> TextEdit {
        self.lines_at(after_deeper_comments(self.tree.text(), end, column), lines)
    }

    fn lines_at(&self, at: usize, lines: &[String]) -> TextEdit {
        let newline = newline_at(self.tree.text(), at);
        let text = lines.iter().flat_map(|line| [newline, line]).collect();
        TextEdit::insert(at, text)
    }

    /// Whether a value is a scalar that stands on the line of its key or item.
    fn is_one_token(&self, id: NodeId) -> bool {
        matches!(self.tree.node(id).kind, Kind::Scalar { .. }) && !self.is_block_scalar(id)
    }

    fn is_block_scalar(&self, id: NodeId) -> bool {
        matches!(self.tree.node(id).kind, Kind::Scalar { style: Style::Block, .. })
    }

    fn colon(&self, key: NodeId) -> Result<usize, Refusal> {
        let (text, end) = (self.tree.text(), self.tree.node(key).range.end);
        let rest = text.get(end..).unwrap_or_default();
        let spaces = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        match text.as_bytes().get(end + spaces) {
            Some(b':') => Ok(end + spaces),
            _ => Err(Refusal::ComplexKey { line: self.tree.line(key), field: self.field() }),
        }
    }

    fn key_column(&self) -> Result<usize, Refusal> {
        let first = self.tree.entries(self.node).first();
        let start = first.map_or(0, |(key, _)| self.tree.node(*key).range.start);
        self.column(start)
    }

    fn dash_column(&self) -> Result<usize, Refusal> {
        let (_, siblings) = self.siblings(&Child { head: self.node, value: self.node });
        let dash = self.dash_before(0, &siblings)?;
        self.column(dash)
    }

    /// The dash of an item: the first thing that is no comment after what stands before it.
    fn dash_before(&self, index: usize, siblings: &[Child]) -> Result<usize, Refusal> {
        let from = match (index.checked_sub(1).and_then(|i| siblings.get(i)), self.key) {
            (Some(before), _) => self.end(before),
            (None, Some(key)) => self.colon(key)? + 1,
            (None, None) if self.field.is_root() => 0,
            // A list within a list begins on the line of its dash.
            (None, None) => return Err(self.layout_refusal(self.tree.node(self.node).range.start)),
        };
        next_dash(self.tree.text(), from).ok_or_else(|| self.layout_refusal(from))
    }

    /// A column, if only indentation and dashes stand before it.
    fn column(&self, at: usize) -> Result<usize, Refusal> {
        let text = self.tree.text();
        let start = line_start(text, at);
        let before = text.get(start..at).unwrap_or_default();
        // A byte-order mark takes no column.
        let before = before.strip_prefix('\u{feff}').unwrap_or(before);
        if before.bytes().all(|byte| byte == b' ' || byte == b'-') {
            return Ok(before.len());
        }
        Err(self.layout_refusal(at))
    }

    /// The habits of the neighbours, then those of the whole document.
    fn layout(&self) -> Layout {
        let dash_offset = self.habit(|kind| matches!(kind, Kind::Sequence { flow: false, .. }));
        let step = self.habit(|kind| matches!(kind, Kind::Mapping { flow: false, .. }));
        Layout {
            step: step.filter(|step| *step > 0).unwrap_or(2),
            dash_offset: dash_offset.unwrap_or(0),
        }
    }

    /// Columns from the first key that has such a value to the value.
    fn habit(&self, is_such: impl Fn(&Kind<'_>) -> bool) -> Option<usize> {
        let mut open = vec![self.tree.root()?];
        open.push(self.node);
        while let Some(id) = open.pop() {
            for (key, value) in self.tree.entries(id) {
                let kind = &self.tree.node(*value).kind;
                if is_such(kind)
                    && let Some(offset) = self.offset(*key, *value)
                {
                    return Some(offset);
                }
            }
            open.extend(self.tree.entries(id).iter().rev().map(|(_, value)| *value));
            open.extend(self.tree.items(id).iter().rev());
        }
        None
    }

    fn offset(&self, key: NodeId, value: NodeId) -> Option<usize> {
        let column = self.column(self.tree.node(key).range.start).ok()?;
        let start = match self.tree.node(value).kind {
            Kind::Sequence { .. } => next_dash(self.tree.text(), self.colon(key).ok()? + 1)?,
            _ => self.tree.node(value).range.start,
        };
        self.column(start).ok()?.checked_sub(column)
    }
}

/// The end of the last comment that is indented deeper than `column` and follows `end`, or of the
/// line that holds `end`.
fn after_deeper_comments(text: &str, end: usize, column: usize) -> usize {
    let indentation = |line: &Range<usize>| {
        let line = text.get(line.clone()).unwrap_or_default();
        line.len() - line.trim_start_matches(' ').len()
    };
    comment_lines(text, end)
        .filter(|line| !text.get(line.clone()).unwrap_or_default().trim_ascii().is_empty())
        .take_while(|line| indentation(line) > column)
        .last()
        .map_or_else(|| line_end(text, end), |line| line.end)
}
