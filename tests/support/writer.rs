//! Writes objects in any layout that YAML allows, as a tape of random bytes decides.

/// The annotation that the function writes.
pub(crate) const ANNOTATION: &str = "fn.ephemeral-access.dev/injected";

/// Part of an object.
enum Node {
    Text(&'static str),
    /// A text that may just as well be another one.
    Any(&'static str),
    /// Written as it stands.
    Raw(&'static str),
    Map(Vec<(&'static str, Node)>),
    List(Vec<Node>),
    /// A collection that is null or empty, the latter in one of these spellings.
    Nothing([&'static str; 2]),
    Anchored(Box<Node>),
}

/// Strings that are something else without quotes, or hold what other scalars end at.
const HAZARDS: [&str; 14] = [
    "yes",
    "0644",
    "1_000",
    "2001-01-01",
    "~",
    "",
    "a: b",
    "a #b",
    "- a",
    "it's",
    "say \"x\"",
    "café 日本 😀",
    "#",
    "[",
];

/// Plain words.
const WORDS: [&str; 4] = ["info", "debug", "registry.example.com/a/b:1", "three plain words"];

/// Values of block scalars, each with lines that look like something else.
const BLOCKS: [&[&str]; 5] = [
    &["text"],
    &["- a", "kind: Deployment"],
    &["# no comment", "", "a: b"],
    &["  deep", "x"],
    &["\"", "'"],
];

/// Neighbours that no reader should be asked about.
const NEIGHBOURS: [&str; 6] = [
    "kind: ConfigMap\ndata: {a: yes, b: 0644, c: 1_000, d: 2001-01-01, e: ~, f: !!binary aGk=}\n",
    "# a comment\nkind: ConfigMap\ndata:\n  a: |+\n    items:\n    - x\n    functionConfig: \"\n\n\n",
    "kind: Secret\nstringData: &a\n  a: \"b\n\n    - c: [\n    d\"\n  e: 'it''s\n    - f'\n",
    "kind: ConfigMap\ndata:\n  <<: &x {a: &y b}\n  c: *y\n  ? k\n  : v\n  a: 1\n  b: 1.50\n",
    "kind: Deployment\napiVersion: apps/v1\nmetadata: {name: backend}\nspec: [not, 'a', {Deployment: }]\n",
    "{\"kind\": \"List\", \"items\": [{\"a\": \"\\u0041\\/\"}, null, ],\n    # deep\n    x: y}\n",
];

pub(crate) struct Writer<'t> {
    tape: std::slice::Iter<'t, u8>,
    out: String,
    newline: &'static str,
    step: usize,
    dash_offset: usize,
    dash_gap: usize,
    /// After a block scalar, comments at this column or deeper would belong to it.
    scalar_column: usize,
}

impl<'t> Writer<'t> {
    pub(crate) fn new(tape: &'t [u8]) -> Self {
        let mut writer = Self {
            tape: tape.iter(),
            out: String::new(),
            newline: "\n",
            step: 2,
            dash_offset: 0,
            dash_gap: 1,
            scalar_column: usize::MAX,
        };
        if writer.one_in(5) {
            writer.newline = "\r\n";
        }
        writer.step = writer.one_of(&[2, 2, 2, 4, 3, 1]);
        writer.dash_offset = if writer.one_in(3) { writer.step } else { 0 };
        writer.dash_gap = writer.one_of(&[1, 1, 1, 3, 2]);
        writer
    }

    pub(crate) fn newline(&self) -> &'static str {
        self.newline
    }

    /// A number below `limit`: 0 where the tape has ended.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.tape.next().copied().unwrap_or(0)) % limit
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn push_one_of(&mut self, choices: &[&'static str]) {
        let choice = self.one_of(choices);
        self.out.push_str(choice);
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == chances - 1
    }

    pub(crate) fn document_header(&mut self) -> String {
        let header = ["", "---\n", "# a comment\n---\n", "\u{feff}", "%YAML 1.2\n---\n"];
        self.one_of(&header).replace('\n', self.newline)
    }

    pub(crate) fn list_header(&mut self) -> String {
        let header = self.document_header();
        format!(
            "{header}apiVersion: config.kubernetes.io/v1{0}kind: ResourceList{0}items:{0}",
            self.newline
        )
    }

    /// The column of the list's dashes.
    pub(crate) fn item_column(&mut self) -> usize {
        self.one_of(&[0, 0, 0, 2, 4])
    }

    pub(crate) fn neighbour(&mut self, column: usize) -> String {
        let neighbour = self.one_of(&NEIGHBOURS);
        let mut text = String::new();
        for line in neighbour.lines() {
            let dash = if text.is_empty() { '-' } else { ' ' };
            let line = if line.is_empty() {
                String::new()
            } else {
                format!("{:column$}{dash} {line}", "")
            };
            text += &line;
            text += self.newline;
        }
        text
    }

    pub(crate) fn item(&mut self, column: usize) -> String {
        self.out = format!("{:column$}-", "");
        let gap = self.dash_gap;
        self.out += &" ".repeat(gap);
        let Node::Map(entries) = self.object() else { return String::new() };
        self.entries(&entries, column + 1 + gap);
        std::mem::take(&mut self.out)
    }

    pub(crate) fn deployment(&mut self, column: usize) -> String {
        let Node::Map(entries) = self.object() else { return String::new() };
        self.indent(column);
        self.entries(&entries, column);
        std::mem::take(&mut self.out)
    }

    fn object(&mut self) -> Node {
        use Node::{Map, Raw, Text};
        let labels = Map(vec![
            ("app.kubernetes.io/name", Text("argocd-ephemeral-access")),
            ("app.kubernetes.io/component", Text("controller")),
        ]);
        let mut metadata = vec![("name", Text("controller")), ("labels", labels)];
        match self.below(4) {
            0 => {}
            1 => metadata.push(("annotations", Node::Nothing(["{}", "{ }"]))),
            _ => {
                let note = self.text();
                metadata.push(("annotations", Map(vec![("note", note)])));
            }
        }
        self.shuffle(&mut metadata);
        let pod_labels = || Map(vec![("labels", Map(vec![("app", Text("controller"))]))]);
        let template = Map(vec![("metadata", pod_labels()), ("spec", self.pod())]);
        let selector = Map(vec![("matchLabels", Map(vec![("app", Text("controller"))]))]);
        let mut spec = vec![("template", template), ("selector", selector), ("replicas", Raw("1"))];
        self.shuffle(&mut spec);
        let mut root = vec![
            ("apiVersion", Text("apps/v1")),
            ("kind", Text("Deployment")),
            ("metadata", Map(metadata)),
            ("spec", Map(spec)),
        ];
        self.shuffle(&mut root);
        Map(root)
    }

    fn pod(&mut self) -> Node {
        let mut containers = vec![self.container("controller")];
        for name in ["sidecar", "proxy"].into_iter().take(self.below(3)) {
            let at = self.below(containers.len() + 1);
            let container = self.container(name);
            containers.insert(at, container);
        }
        let mut pod = vec![("containers", Node::List(containers))];
        for (key, name) in [("initContainers", "wait"), ("imagePullSecrets", "mirror")] {
            let element = Node::Map(vec![("name", Node::Text(name))]);
            pod.extend(self.list(vec![element]).map(|list| (key, list)));
        }
        let tmp = Node::Map(vec![("name", Node::Text("tmp")), ("emptyDir", Node::Raw("{}"))]);
        let path = Node::Map(vec![("path", self.text())]);
        let host = Node::Map(vec![("name", Node::Text("host")), ("hostPath", path)]);
        pod.extend(self.list(vec![tmp, host]).map(|list| ("volumes", list)));
        if self.one_in(2) {
            let context = Node::Map(vec![("runAsNonRoot", Node::Raw("true"))]);
            pod.push(("securityContext", Node::Anchored(Box::new(context))));
        }
        if self.one_in(2) {
            pod.push(("schedulerName", self.text()));
        }
        self.shuffle(&mut pod);
        Node::Map(pod)
    }

    fn container(&mut self, name: &'static str) -> Node {
        let mut container = vec![("name", Node::Text(name)), ("image", self.text())];
        let first = Node::Map(vec![("name", Node::Text("FIRST")), ("value", self.text())]);
        let second = Node::Map(vec![("name", Node::Text("SECOND")), ("value", self.text())]);
        container.extend(self.list(vec![first, second]).map(|list| ("env", list)));
        let mount = Node::Map(vec![("mountPath", Node::Text("/tmp")), ("name", Node::Text("tmp"))]);
        container.extend(self.list(vec![mount]).map(|list| ("volumeMounts", list)));
        if self.one_in(2) {
            let args = vec![self.text(), self.text()];
            container.push(("args", Node::List(args)));
        }
        self.shuffle(&mut container);
        Node::Map(container)
    }

    /// A list that is missing, null, empty, or not.
    fn list(&mut self, elements: Vec<Node>) -> Option<Node> {
        match self.below(4) {
            0 => None,
            1 => Some(Node::Nothing(["[]", "[ ]"])),
            count => Some(Node::List(elements.into_iter().take(count - 1).collect())),
        }
    }

    fn text(&mut self) -> Node {
        match self.below(3) {
            0 => Node::Any(self.one_of(&WORDS)),
            _ => Node::Any(self.one_of(&HAZARDS)),
        }
    }

    fn shuffle(&mut self, entries: &mut [(&'static str, Node)]) {
        for last in (1..entries.len()).rev() {
            let other = last - self.below(last + 1);
            entries.swap(last, other);
        }
    }

    /// Entries in block style. The first one's indentation is written already.
    fn entries(&mut self, entries: &[(&'static str, Node)], column: usize) {
        for (index, (key, node)) in entries.iter().enumerate() {
            if index > 0 {
                self.comments(column);
                self.indent(column);
            }
            self.key(key);
            self.out.push(':');
            self.value(node, column);
        }
    }

    /// What follows a key's colon, with the end of its line.
    fn value(&mut self, node: &Node, column: usize) {
        match node {
            Node::Anchored(node) => {
                if self.one_in(2) {
                    self.out += " &anchor";
                }
                self.value(node, column);
            }
            Node::Map(entries) if !self.one_in(6) => {
                self.end_of_line();
                self.comments(column + 1);
                self.indent(column + self.step);
                self.entries(entries, column + self.step);
            }
            Node::List(items) if !self.one_in(6) => {
                self.end_of_line();
                for item in items {
                    self.comments(column);
                    self.list_item(item, column + self.dash_offset);
                }
            }
            Node::Any(_) if self.one_in(8) => self.block_scalar(column),
            Node::Nothing(_) if self.one_in(4) => self.end_of_line(),
            _ => {
                self.push_one_of(&[" ", " ", " ", "   "]);
                self.flow(node, column);
                self.end_of_line();
            }
        }
    }

    fn list_item(&mut self, node: &Node, dash: usize) {
        self.indent(dash);
        self.out.push('-');
        match node {
            Node::Map(entries) if !self.one_in(6) => {
                let column = dash + 1 + self.dash_gap;
                if self.one_in(8) {
                    self.out += " # of the item";
                    self.line_break();
                    self.indent(column);
                } else {
                    self.out += &" ".repeat(self.dash_gap);
                }
                self.entries(entries, column);
            }
            _ => {
                self.out.push(' ');
                self.flow(node, dash);
                self.end_of_line();
            }
        }
    }

    /// A node in flow style, in the block collection at `column`.
    fn flow(&mut self, node: &Node, column: usize) {
        match node {
            Node::Raw(text) => self.out += text,
            Node::Text(text) | Node::Any(text) => self.scalar(text, column),
            Node::Nothing([one, other]) => {
                self.push_one_of(&[one, other, "null", "~"]);
            }
            Node::Anchored(node) => self.flow(node, column),
            Node::Map(entries) => {
                self.out.push('{');
                for (index, (key, node)) in entries.iter().enumerate() {
                    self.gap(index, column);
                    self.key(key);
                    self.out += ": ";
                    self.flow(node, column);
                }
                self.close('}', column);
            }
            Node::List(items) => {
                self.out.push('[');
                for (index, node) in items.iter().enumerate() {
                    self.gap(index, column);
                    self.flow(node, column);
                }
                self.close(']', column);
            }
        }
    }

    /// What stands before an item in brackets.
    fn gap(&mut self, index: usize, column: usize) {
        if index > 0 {
            self.out.push(',');
        }
        match self.below(8) {
            7 => self.break_in_brackets(column),
            _ if index > 0 => self.out.push(' '),
            _ => {}
        }
    }

    fn close(&mut self, bracket: char, column: usize) {
        if self.one_in(8) {
            self.out.push(',');
        }
        if self.one_in(8) {
            self.break_in_brackets(column);
        }
        self.out.push(bracket);
    }

    fn break_in_brackets(&mut self, column: usize) {
        if self.one_in(3) {
            self.out += " # in brackets";
        }
        self.line_break();
        self.indent(column + 1);
    }

    fn key(&mut self, key: &str) {
        match self.below(10) {
            9 => self.out += &format!("\"{key}\""),
            8 => self.out += &format!("'{key}'"),
            _ => self.out += key,
        }
    }

    fn scalar(&mut self, text: &str, column: usize) {
        let is_plain =
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.- ".contains(&byte))
                && text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text != "yes";
        match self.below(4) {
            0 | 3 if is_plain => self.out += text,
            1 => self.out += &format!("'{}'", text.replace('\'', "''")),
            2 if text.contains(' ') && self.one_in(2) => {
                let (one, other) = text.split_once(' ').unwrap_or_default();
                let escaped = |text: &str| text.replace('"', "\\\"");
                self.out += &format!("\"{}", escaped(one));
                self.line_break();
                self.indent(column + 1);
                self.out += &format!("{}\"", escaped(other));
            }
            _ => self.out += &format!("\"{}\"", text.replace('"', "\\\"")),
        }
    }

    fn block_scalar(&mut self, column: usize) {
        let lines = self.one_of(&BLOCKS);
        let indicators = ["|", "|-", "|+", ">", ">-", ">+"];
        let indicator = self.one_of(&indicators);
        // A first line that begins with spaces needs its indentation told.
        let told = if lines[0].starts_with(' ') { self.step.to_string() } else { String::new() };
        self.out += &format!(" {indicator}{told}");
        self.line_break();
        for line in lines {
            if !line.is_empty() {
                self.indent(column + self.step);
                self.out += line;
            }
            self.line_break();
        }
        for _ in 0..self.below(3) {
            self.line_break();
        }
        self.scalar_column = column + 1;
    }

    fn end_of_line(&mut self) {
        if self.one_in(6) {
            self.push_one_of(&[" # comment", "  #", " # - a: [\""]);
        }
        self.line_break();
        self.scalar_column = usize::MAX;
    }

    /// Comments and blank lines between entries at `column`.
    fn comments(&mut self, column: usize) {
        for _ in 0..self.one_of(&[0, 0, 0, 0, 0, 1, 1, 2]) {
            match self.below(4) {
                0 => self.line_break(),
                1 => self.comment(column),
                2 => self.comment(column + 2),
                _ => self.comment(column.saturating_sub(2)),
            }
        }
        self.scalar_column = usize::MAX;
    }

    fn comment(&mut self, column: usize) {
        // At column 0 it would stand outside of an item.
        let column = column.min(self.scalar_column.saturating_sub(1)).max(1);
        self.indent(column);
        self.out += "# - name: comment";
        self.line_break();
    }

    fn indent(&mut self, column: usize) {
        self.out += &" ".repeat(column);
    }

    fn line_break(&mut self) {
        self.out += self.newline;
    }
}
