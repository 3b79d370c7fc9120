//! Why an edit is not made, and what to do about it.

use super::tree::SyntaxError;

/// Why an edit is not made. Nothing is written then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    #[error("`{field}` does not exist")]
    NotFound { field: String },
    #[error("line {line}: `{field}` has an anchor, so a change would reach its aliases too")]
    Anchor { line: usize, field: String },
    #[error("line {line}: `{field}` is an alias, so a change would reach its anchor too")]
    Alias { line: usize, field: String },
    #[error("line {line}: `{field}` has the tag {tag}")]
    Tag { line: usize, field: String, tag: String },
    #[error("line {line}: `{field}` takes keys from elsewhere with `<<`")]
    MergeKey { line: usize, field: String },
    #[error("line {line}: the key `{key}` stands twice in `{field}`")]
    DuplicateKey { line: usize, field: String, key: String },
    #[error("line {line}: a key of `{field}` is not a plain word on one line")]
    ComplexKey { line: usize, field: String },
    #[error("line {line}: a carriage return without a line feed")]
    CarriageReturn { line: usize },
    #[error("line {line}: the text ends within a block scalar, which a line break would change")]
    NoLineBreak { line: usize },
    #[error("line {line}: this blank line would become part of the block scalar above it")]
    BlankLine { line: usize },
    #[error("line {line}: `{field}` is laid out in a way that cannot be edited safely")]
    Layout { line: usize, field: String },
}

impl Refusal {
    /// What to do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::CarriageReturn { .. } => "end all lines in the same way",
            Self::NoLineBreak { .. } => "end the text with a line break",
            Self::BlankLine { .. } => "remove the blank line",
            Self::Tag { .. } => "remove the tag",
            Self::ComplexKey { .. } => "write the key as a plain word on the line of its value",
            Self::Layout { .. } => "write this part in block style, one entry a line",
            _ => "write this part of the Deployment without anchors, aliases and doubled keys",
        }
    }

    /// The refusal in the lines of a text that `lines` more stand before.
    pub(crate) fn below(mut self, lines: usize) -> Self {
        match &mut self {
            Self::Syntax(error) => *error = error.clone().below(lines),
            Self::NotFound { .. } => {}
            Self::Anchor { line, .. }
            | Self::Alias { line, .. }
            | Self::Tag { line, .. }
            | Self::MergeKey { line, .. }
            | Self::DuplicateKey { line, .. }
            | Self::ComplexKey { line, .. }
            | Self::CarriageReturn { line }
            | Self::NoLineBreak { line }
            | Self::BlankLine { line }
            | Self::Layout { line, .. } => *line += lines,
        }
        self
    }
}
