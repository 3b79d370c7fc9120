//! The documentation is true: every command line in it runs, and every message that it quotes is printed.
//!
//! A page is run from its top to its end in a folder of its own. A YAML block whose first line is a comment with a
//! file's name becomes that file; a line of a `console` block that begins with `$ ` is run by bash; lines below it must
//! be in what it prints, apart from `…`. On the page for authors, a block belongs to the file that the paragraph above it
//! names first.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::{
    FUNCTION_IMAGE, Failure, Finished, Result, builder_image, eaplugin, function, image, images,
    installs, kubectl, kustomize, own_architecture, read, repository, resources, run, write,
};
use tempfile::TempDir;

const RELEASE: &str = "https://github.com/argoproj-labs/argocd-ephemeral-access/releases/download/v1.2.0/install.yaml";

/// A page that a test of its own runs, except for the lines that need Docker.
const TESTED_ELSEWHERE: &str = "docs/eaplugin.md";

/// The page that writes a plugin from nothing.
const AUTHORS: &str = "docs/plugin-authors.md";

/// The page of the plugin that authors copy.
const EXAMPLE: &str = "examples/plugin/README.md";

/// Lines that are not run, each with its page and the reason.
const NOT_RUN: [(&str, &str, &str); 2] = [
    ("README.md", "cargo test", "it would run inside of itself; CI runs it"),
    (EXAMPLE, "cargo test", "CI runs it on a copy of the example"),
];

/// What a line may start: nothing that could reach out of the page's folder.
const PROGRAMS: [&str; 14] = [
    "cargo",
    "cd",
    "curl",
    "diff",
    "docker",
    "eaplugin",
    "grep",
    "inject-ephemeral-access-plugin",
    "kpt",
    "kubectl",
    "kustomize",
    "ls",
    "mkdir",
    "rustup",
];

/// Programs in place of the real ones, which they call with what this machine lacks: a registry, a network, a cluster.
const STAND_INS: [(&str, &str); 6] = [
    ("kustomize", r#"PATH="$REAL_PATH" exec kustomize "$@""#),
    ("kpt", r#"PATH="$REAL_PATH" exec kpt "$@""#),
    // A difference is what a reader wants to see.
    ("diff", r#"PATH="$REAL_PATH" diff "$@" || [[ $? == 1 ]]"#),
    (
        "cargo",
        r#"export PATH="$REAL_PATH"
case "$1" in
  run) exec cargo run --quiet --locked --manifest-path "$REPOSITORY/Cargo.toml" "${@:2}" ;;
  # What was built by an earlier run need not be built again.
  new) cargo "$@" && mkdir -p "$REPOSITORY/target/docs-authors" && ln -s "$REPOSITORY/target/docs-authors" "$2/target" ;;
  add) exec cargo "${@/#ephemeral-access-plugin/--path=$REPOSITORY/crates/ephemeral-access-plugin}" ;;
  build | test) exec cargo "$@" ;;
  *) echo "\"cargo $1\" has no stand-in" >&2; exit 1 ;;
esac"#,
    ),
    (
        "docker",
        r#"export PATH="$REAL_PATH"
case "$1" in
  build)
    context="${*: -1}"
    [[ -f "$context/Dockerfile" ]] || { echo "\"$context\" has no Dockerfile" >&2; exit 1; }
    # A program that is built already, under a folder that is linked to.
    if built="$(sed -n 's/^COPY .*\(target[^ ]*\) .*/\1/p' "$context/Dockerfile")" && [[ -n "$built" ]]; then
      tar -C "$context" -ch Dockerfile "$built" | DOCKER_BUILDKIT=1 docker build --network=none "${@:2:$#-2}" -
      exit
    fi
    options=(--network=none --build-arg="RUST_IMAGE=$RUST_IMAGE")
    # The example's own path to the runtime is right in the repository only.
    if cmp --silent "$context/Dockerfile" "$REPOSITORY/examples/plugin/Dockerfile"; then
      options+=(--file "$REPOSITORY/examples/plugin/Dockerfile" --build-arg=DIRECTORY=examples/plugin)
    fi
    # The page's folder holds more than the checkout; the engine has built the repository's own before.
    DOCKER_BUILDKIT=1 exec docker build "${options[@]}" "${@:2:$#-2}" "$REPOSITORY"
    ;;
  create | run) exec docker "$1" --network=none "${@:2}" ;;
  push) exec docker image inspect --format 'would push {{.Id}}' "${@:2}" ;;
  cp | rm | tag) exec docker "$@" ;;
  *) echo "\"docker $1\" has no stand-in" >&2; exit 1 ;;
esac"#,
    ),
    (
        "kubectl",
        r#"case "$*" in
  kustomize*) PATH="$REAL_PATH" exec kubectl "$@" ;;
  "apply -f -") exec cat >"$APPLIED" ;;
  *) echo "\"kubectl $*\" has no stand-in" >&2; exit 1 ;;
esac"#,
    ),
];

/// What a page says to do.
#[derive(Debug)]
enum Step {
    /// A block that is a whole file.
    File { name: String, text: String },
    /// A block that goes to the end of a file.
    Append { name: String, text: String },
    /// A command line, and what stands below it.
    Run { line: usize, command: String, output: Vec<String> },
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for (info, block) in blocks(page) {
        match info {
            "console" => steps.extend(command_lines(&block)),
            "yaml" => steps.extend(file(&block)),
            _ => {}
        }
    }
    steps
}

/// What a page that a test of its own runs says about Docker, which that test can do without.
fn docker_steps(page: &str) -> Vec<Step> {
    let blocks = blocks(page).into_iter().filter(|(info, _)| *info == "sh");
    let lines = blocks.flat_map(|(_, block)| block);
    lines
        .filter(|(_, text)| text.starts_with("docker "))
        .map(|(line, text)| Step::Run { line, command: text.to_owned(), output: Vec::new() })
        .collect()
}

/// A line with its number.
type Line<'a> = (usize, &'a str);

/// The language and the lines of each block.
fn blocks(page: &str) -> Vec<(&str, Vec<Line<'_>>)> {
    let mut blocks = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        let Some(info) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let block = lines
            .by_ref()
            .take_while(|(_, line)| line.trim() != "```")
            .map(|(index, line)| (index + 1, line.get(indent..).unwrap_or_default()));
        blocks.push((info, block.collect()));
    }
    blocks
}

/// The page that writes a plugin says above a block which file it is, or what of a file.
fn author_steps(page: &str) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    // What `cargo new` writes is added to.
    let mut written = BTreeSet::from(["Cargo.toml"]);
    for (info, block) in blocks(page) {
        if info == "console" {
            steps.extend(command_lines(&block));
            continue;
        }
        let name = file_above(page, &block)?;
        let text = text(&block);
        steps.push(if written.insert(name) {
            Step::File { name: name.to_owned(), text }
        } else {
            Step::Append { name: name.to_owned(), text }
        });
    }
    Ok(steps)
}

/// The file that the paragraph above a block names first.
fn file_above<'p>(page: &'p str, block: &[Line<'_>]) -> Result<&'p str> {
    let fence = block.first().map_or(0, |(line, _)| line.saturating_sub(2));
    let lines: Vec<&str> = page.lines().take(fence).collect();
    let above = lines.rsplit(|line| line.is_empty()).find(|paragraph| !paragraph.is_empty());
    let is_file = |word: &&str| word.contains('.') || *word == "Dockerfile";
    let words = above.into_iter().flatten().flat_map(|line| line.split('`').skip(1).step_by(2));
    words.into_iter().find(is_file).ok_or_else(|| {
        Failure::new(format!(
            "{AUTHORS}: the paragraph above line {fence} must name the block's file"
        ))
    })
}

fn text(block: &[Line<'_>]) -> String {
    block.iter().map(|(_, line)| format!("{line}\n")).collect()
}

fn command_lines(block: &[(usize, &str)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (line, text) in block {
        if let Some(command) = text.strip_prefix("$ ") {
            let (line, command) = (*line, without_comment(command).to_owned());
            steps.push(Step::Run { line, command, output: Vec::new() });
        } else if let Some(Step::Run { output, .. }) = steps.last_mut() {
            output.push((*text).to_owned());
        }
    }
    steps
}

fn without_comment(command: &str) -> &str {
    command.split_once(" # ").map_or(command, |(command, _)| command).trim_end()
}

/// The file that a block is, if its first line names one.
fn file(block: &[(usize, &str)]) -> Option<Step> {
    let (_, first) = block.first()?;
    let name = first.strip_prefix("# ")?;
    let is_file = name.ends_with(".yaml") || name.ends_with("Kptfile");
    if !is_file || name.contains(' ') {
        return None;
    }
    Some(Step::File { name: name.to_owned(), text: text(block) })
}

/// A page's folder, and the programs that its lines find.
struct Workspace {
    directory: TempDir,
    /// Where the page's lines run.
    folder: PathBuf,
}

impl Workspace {
    fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let folder = directory.path().join("page");
        let workspace = Self { directory, folder };
        for (name, script) in STAND_INS {
            let script = format!("#!/usr/bin/env bash\nset -euo pipefail\n{script}\n");
            let path = write(workspace.directory.path(), &format!("bin/{name}"), &script)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        for program in [function()?, eaplugin()?] {
            let name = program.file_name().unwrap_or_default();
            symlink(program, workspace.directory.path().join("bin").join(name))?;
        }
        fs::create_dir(workspace.root())?;
        Ok(workspace)
    }

    fn root(&self) -> &Path {
        &self.folder
    }

    /// A line that goes into a folder is for all that follow.
    fn enter(&mut self, folder: &str) -> Result {
        self.folder.push(folder);
        let is_there = self.folder.is_dir();
        is_there.then_some(()).ok_or_else(|| Failure::new(format!("there is no folder {folder}")))
    }

    fn applied(&self) -> PathBuf {
        self.directory.path().join("applied.yaml")
    }

    /// Writes a file of the page. Upstream's release is a file, since the test has no network.
    fn write(&self, name: &str, text: &str) -> Result {
        let path = write(self.root(), name, &text.replace(RELEASE, "upstream-release.yaml"))?;
        if text.contains(RELEASE) {
            fs::write(path.with_file_name("upstream-release.yaml"), release()?)?;
        }
        Ok(())
    }

    /// A copy of the repository's files, without what is not committed, in `folder`.
    fn checkout(&self, folder: &str) -> Result {
        self.checkout_of("", folder)
    }

    /// A copy of the files in the repository's folder `part`, in `folder`.
    fn checkout_of(&self, part: &str, folder: &str) -> Result {
        let part = repository().join(part);
        let listed = run(Command::new("git").current_dir(&part).args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ]))?
        .success()?;
        for name in listed.stdout.lines() {
            let (from, to) = (part.join(name), self.root().join(folder).join(name));
            if !from.is_file() {
                continue;
            }
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::copy(from, to)?;
        }
        let name = Path::new(folder).join("manifests/kustomization.yaml").display().to_string();
        match read(&self.root().join(&name)) {
            Ok(kustomization) if part.join("manifests").is_dir() => {
                self.write(&name, &kustomization)
            }
            _ => Ok(()),
        }
    }

    fn bash(&self, command: &str) -> Result<Finished> {
        // What e2e/setup prepared is in the environment of the programs that it installs.
        let prepared = kubectl()?;
        let mut bash = Command::new("bash");
        for (key, value) in prepared.get_envs() {
            bash.env(key, value.unwrap_or_default());
        }
        let real = prepared.get_envs().find(|(key, _)| *key == "PATH").and_then(|(_, path)| path);
        let real = real.unwrap_or_default();
        let mut path = self.directory.path().join("bin").into_os_string();
        path.push(":");
        path.push(real);
        let release = write(self.directory.path(), "release.yaml", &release()?)?;
        let command = command.replace(RELEASE, &format!("file://{}", release.display()));
        bash.env("PATH", path).env("REAL_PATH", real).env("REPOSITORY", repository());
        bash.env("RUST_IMAGE", builder_image()?);
        bash.env("APPLIED", self.applied()).current_dir(self.root());
        run(bash.args(["-c", &format!("set -euo pipefail\n{command}")]))
    }
}

/// The release that the pages name, or what stands in the repository for it.
fn release() -> Result<String> {
    let mut installs = installs()?;
    let is_release = |name: &str| name.ends_with("install-v1.2.0.yaml");
    let at = installs.iter().position(|install| is_release(&install.name));
    let at = at.or_else(|| installs.iter().position(|i| i.name.ends_with("testdata/install.yaml")));
    let at = at.ok_or_else(|| Failure::new("testdata/install.yaml must exist"))?;
    Ok(installs.swap_remove(at).text)
}

/// What a page assumes to be there before its first line.
fn set_up(page: &str) -> Option<fn(&Workspace) -> Result> {
    match page {
        "README.md" => Some(|workspace| {
            image()?;
            workspace.checkout(".")?;
            let config = read(&repository().join("fn-config/minimal.yaml"))?;
            workspace.write("plugin.yaml", &config)?;
            workspace.write("install.yaml", &release()?)?;
            let kptfile = "apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: my-package}\n";
            workspace.write("my-package/Kptfile", kptfile)?;
            workspace.write("my-package/install.yaml", &release()?)
        }),
        "docs/operators.md" => Some(|workspace| {
            workspace.bash("docker rm --force inject-ephemeral-access-plugin")?;
            workspace.checkout("inject-ephemeral-access-plugin")?;
            by_hand(workspace)
        }),
        "docs/eaplugin.md" => Some(|workspace| {
            workspace.checkout(".")?;
            a_built_plugin(workspace)
        }),
        AUTHORS => Some(|_| Ok(())),
        EXAMPLE => Some(|workspace| {
            image()?;
            workspace.bash("docker rm --force change-window")?;
            workspace.checkout_of("examples/plugin", ".")?;
            fs::create_dir(workspace.root().join("target"))?;
            Ok(())
        }),
        _ => None,
    }
}

/// What the page has made before its lines for Docker: a plugin, and its requests.
fn a_built_plugin(workspace: &Workspace) -> Result {
    let example = |image: &&e2e::Image| {
        image.name == "change-window" && image.architecture == own_architecture()
    };
    let image = images()?.iter().find(example);
    let unpacked = image.ok_or_else(|| Failure::new("no image of the example"))?.unpack()?;
    let built = workspace.root().join("target/x86_64-unknown-linux-musl/release");
    fs::create_dir_all(&built)?;
    fs::copy(unpacked.path().join("workspace/plugin"), built.join("change-freeze"))?;
    workspace.checkout_of("examples/plugin/testdata", "testdata")
}

/// Writes `by-hand.yaml`: the release with the patch that the README shows, which is like upstream's.
fn by_hand(workspace: &Workspace) -> Result {
    let readme = read(&repository().join("README.md"))?;
    let patch = readme.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    workspace.write("by-hand/patch.yaml", patch.unwrap_or_default())?;
    let kustomization = format!("resources: [{RELEASE}]\npatches: [{{path: patch.yaml}}]\n");
    workspace.write("by-hand/kustomization.yaml", &kustomization)?;
    workspace.bash("kubectl kustomize by-hand > by-hand.yaml")?.success().map(drop)
}

/// The READMEs and every page of `docs`, by their paths in the repository.
fn pages() -> Result<Vec<(String, String)>> {
    let mut names = vec!["README.md".to_owned(), EXAMPLE.to_owned()];
    for entry in fs::read_dir(repository().join("docs"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names.into_iter().map(|name| Ok((name.clone(), read(&repository().join(name))?))).collect()
}

/// A page with command lines, and what it assumes.
type Known = (String, Vec<Step>, fn(&Workspace) -> Result);

/// The pages to run. Fails before anything runs if one of them or one of their lines is not known.
fn known_pages() -> Result<Vec<Known>> {
    let mut known = Vec::new();
    for (name, text) in pages()? {
        let steps = match name.as_str() {
            TESTED_ELSEWHERE => docker_steps(&text),
            AUTHORS => author_steps(&text)?,
            _ => steps(&text),
        };
        let runs = steps.iter().any(|step| matches!(step, Step::Run { .. }));
        if !runs {
            continue;
        }
        let set_up = set_up(&name).ok_or_else(|| {
            Failure::new(format!(
                "{name} has command lines, and nothing says what they need\nhint: add the page to `set_up`"
            ))
        })?;
        for step in &steps {
            check_programs(&name, step)?;
        }
        known.push((name, steps, set_up));
    }
    Ok(known)
}

fn check_programs(page: &str, step: &Step) -> Result {
    let Step::Run { line, command, .. } = step else { return Ok(()) };
    let unknown = programs(command).find(|program| !PROGRAMS.contains(program));
    match unknown.filter(|_| !is_not_run(page, command)) {
        Some(unknown) => Err(Failure::new(format!(
            "{page}: line {line} runs \"{unknown}\", which this test does not know\nhint: add it to `PROGRAMS`, or the line to `NOT_RUN`"
        ))),
        None => Ok(()),
    }
}

fn is_not_run(page: &str, command: &str) -> bool {
    NOT_RUN.iter().any(|(known, line, _)| *known == page && *line == command)
}

#[test]
fn every_page_and_program_is_known() -> Result {
    known_pages().map(drop)
}

#[test]
fn every_command_line_runs() -> Result {
    for (name, steps, set_up) in known_pages()? {
        let mut workspace = Workspace::new()?;
        set_up(&workspace)?;
        for step in &steps {
            follow(&mut workspace, &name, step)
                .map_err(|failure| Failure::new(format!("{name}: {failure:?}")))?;
        }
    }
    Ok(())
}

fn follow(workspace: &mut Workspace, page: &str, step: &Step) -> Result {
    let (line, command, output) = match step {
        Step::File { name, text } => return workspace.write(name, text),
        Step::Append { name, text } => {
            let path = workspace.root().join(name);
            return Ok(fs::write(&path, format!("{}\n{text}", read(&path)?))?);
        }
        Step::Run { line, command, output } => (line, command, output),
    };
    if is_not_run(page, command) {
        return Ok(());
    }
    if let Some(folder) = command.strip_prefix("cd ") {
        return workspace.enter(folder);
    }
    let at_line = |failure: Failure| Failure::new(format!("line {line}: {failure:?}"));
    let finished = workspace.bash(command)?.success().map_err(at_line)?;
    let printed = finished.stdout + &finished.stderr;
    for expected in output.iter().map(|line| line.trim()).filter(|line| !line.is_empty()) {
        if expected != "…" && !printed.contains(expected) {
            return Err(Failure::new(format!(
                "line {line}: `{command}` must print {expected:?}, it printed:\n{printed}"
            )));
        }
    }
    if command.contains("kubectl apply") {
        check_applied(&workspace.applied()).map_err(at_line)?;
    }
    Ok(())
}

/// The first word of every command in a line.
fn programs(line: &str) -> impl Iterator<Item = &str> {
    line.split(['|', ';']).flat_map(|part| part.split("&&")).filter_map(|part| {
        // Variables may stand in front.
        let program = part.split_whitespace().find(|word| !word.contains('='))?;
        Some(program.trim_start_matches("./"))
    })
}

/// A cluster would take it: objects, and a plugin among them.
fn check_applied(applied: &Path) -> Result {
    let text = read(applied)?;
    fs::remove_file(applied)?;
    let objects = resources(&text)?;
    let is_object = |object: &serde_yaml::Value| {
        ["apiVersion", "kind", "metadata"].iter().all(|key| object.get(key).is_some())
    };
    if objects.is_empty() || !objects.iter().all(is_object) {
        return Err(Failure::new(format!("`kubectl apply` must get objects, it got:\n{text}")));
    }
    if !text.contains("name: EPHEMERAL_PLUGIN_PATH") {
        return Err(Failure::new(format!("`kubectl apply` must get a plugin, it got:\n{text}")));
    }
    Ok(())
}

#[test]
fn every_exception_is_needed() -> Result {
    let known = known_pages()?;
    for (page, line, _) in NOT_RUN {
        let is_it = |step: &Step| matches!(step, Step::Run { command, .. } if command == line);
        let found = known.iter().any(|(name, steps, _)| name == page && steps.iter().any(is_it));
        assert!(found, "{page} has the line {line:?} no more");
    }
    Ok(())
}

/// Messages that no input of this test brings about, each with the reason.
const NOT_PRINTED: [(&str, &str); 2] = [
    ("nothing was written, because a check of the result failed: …", "it would be a defect"),
    ("standard input must be a ResourceList, got a terminal", "it needs a terminal"),
];

/// The messages that the table under a heading of docs/operators.md quotes.
fn quoted_messages(heading: &str) -> Result<Vec<String>> {
    let page = read(&repository().join("docs/operators.md"))?;
    let (_, section) = page
        .split_once(&format!("\n### {heading}\n"))
        .ok_or_else(|| Failure::new(format!("docs/operators.md must have a \"{heading}\"")))?;
    let section = section.split("\n##").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let messages: Vec<String> = rows
        .filter_map(|row| row.split(" | ").next())
        .map(|cell| cell.trim_matches('`').trim().to_owned())
        .collect();
    if messages.is_empty() {
        return Err(Failure::new(format!("\"{heading}\" must quote messages")));
    }
    Ok(messages)
}

/// Whether `text` begins as the pattern, in which `…` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = rest.get(at + piece.len()..).unwrap_or_default();
    }
    pattern.ends_with('…') || rest.is_empty() || pieces_end(pattern, text)
}

/// The last piece may stand several times in the text.
fn pieces_end(pattern: &str, text: &str) -> bool {
    pattern.contains('…') && pattern.rsplit('…').next().is_some_and(|last| text.ends_with(last))
}

/// Errors and warnings of the function and its commands on every case of `testdata`, and on some inputs more.
fn printed_messages() -> Result<BTreeSet<String>> {
    let mut messages = BTreeSet::new();
    for case in directories(&repository().join("testdata"))? {
        for name in ["input.yaml", "input.json", "input.bin"] {
            if let Ok(input) = File::open(case.join(name)) {
                messages.extend(said(&case, &[], input.into())?);
            }
        }
    }
    for case in directories(&repository().join("testdata/cli"))? {
        let arguments = read(&case.join("args"))?;
        let arguments: Vec<&str> = arguments.lines().collect();
        let input = case.join("stdin");
        let input = if input.is_file() { File::open(input)?.into() } else { Stdio::null() };
        messages.extend(said(&case, &arguments, input)?);
    }
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    let samples = repository().join("fn-config");
    for name in ["minimal.yaml", "removal.yaml", "secrets.yaml"] {
        fs::copy(samples.join(name), root.join(name))?;
    }
    write(root, "mine/kustomization.yaml", "resources: []\n")?;
    write(root, "a-file", "")?;
    let config = "apiVersion: fn.ephemeral-access.dev/v1alpha1\nkind: EphemeralAccessPlugin\n";
    write(root, "cut-off.yaml", &format!("{config}metadata: {{name: change-window\n"))?;
    for line in [
        "inject --config minimal.yaml nowhere.yaml",
        "inject --config nowhere.yaml -",
        "inject --config cut-off.yaml -",
        "component --config minimal.yaml --output none --check",
        "component --config minimal.yaml --output mine",
        "component --config minimal.yaml --output a-file/none",
        "patch --config removal.yaml",
        "patch --config secrets.yaml",
        "inject --image registry.example.com/change-window:a/b",
        "inject --image registry.example.com/change-window:~",
    ] {
        let arguments: Vec<&str> = line.split(' ').collect();
        let input = File::open(repository().join("testdata/install.yaml"))?;
        messages.extend(said(root, &arguments, input.into())?);
    }
    Ok(messages)
}

/// What the program says is wrong. Wrong arguments are left out: their message is the usage.
fn said(directory: &Path, arguments: &[&str], input: Stdio) -> Result<Vec<String>> {
    let mut command = Command::new(function()?);
    let output = command.args(arguments).current_dir(directory).stdin(input).output()?;
    if output.status.code() == Some(2) {
        return Ok(Vec::new());
    }
    let text = String::from_utf8(output.stderr)?;
    let messages = text
        .lines()
        .filter_map(|line| line.strip_prefix("error: ").or_else(|| line.strip_prefix("warning: ")));
    Ok(messages.map(str::to_owned).collect())
}

fn directories(parent: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}

#[test]
fn troubleshooting_quotes_what_the_function_prints() -> Result {
    let printed = printed_messages()?;
    let quoted = quoted_messages("What the function says")?;
    let exempt = |message: &str| NOT_PRINTED.iter().any(|(known, _)| *known == message);
    let stale: Vec<_> = quoted
        .iter()
        .filter(|quoted| !exempt(quoted) && !printed.iter().any(|text| matches(quoted, text)))
        .collect();
    let missing: Vec<_> =
        printed.iter().filter(|text| !quoted.iter().any(|quoted| matches(quoted, text))).collect();
    assert!(
        stale.is_empty() && missing.is_empty(),
        "docs/operators.md quotes what nothing prints: {stale:#?}\nit lacks: {missing:#?}"
    );
    Ok(())
}

/// A folder with an installation and a transformer of the kind `function`, which is `container` or `exec`.
fn transformer(function: &str) -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    let root = directory.path();
    write(root, "install.yaml", &release()?)?;
    write(root, "kustomization.yaml", "resources: [install.yaml]\ntransformers: [plugin.yaml]\n")?;
    let config = read(&repository().join("manifests/plugin/plugin.yaml"))?;
    let container = format!("container:\n        image: {FUNCTION_IMAGE}\n");
    assert!(config.contains(&container), "{config}");
    write(root, "plugin.yaml", &config.replace(&container, function))?;
    Ok(directory)
}

#[test]
fn troubleshooting_quotes_what_the_orchestrators_print() -> Result {
    let no_image = "container:\n        image: localhost/no-such-function:1\n";
    let no_program = "exec:\n        path: ./no-such-program\n";
    let mut printed = String::new();
    for (function, options) in [
        (no_image, [].as_slice()),
        (no_image, &["--enable-alpha-plugins"]),
        (no_program, &["--enable-alpha-plugins", "--enable-exec"]),
    ] {
        let directory = transformer(function)?;
        let build = run(kustomize()?.arg("build").args(options).arg(directory.path()))?;
        printed.push_str(&build.failure()?.stderr);
    }
    for quoted in quoted_messages("What kustomize says")? {
        let found = printed.lines().any(|line| matches(&format!("…{quoted}"), line.trim_end()));
        assert!(found, "nothing prints {quoted:?}, only:\n{printed}");
    }
    Ok(())
}

#[test]
fn an_exec_function_that_is_not_allowed_is_skipped_without_a_word() -> Result {
    let directory = transformer("exec:\n        path: ./no-such-program\n")?;
    for mut command in [kubectl()?, kustomize()?] {
        let build = if command.get_program().to_string_lossy().ends_with("kubectl") {
            command.arg("kustomize")
        } else {
            command.arg("build")
        };
        let built = run(build.arg("--enable-alpha-plugins").arg(directory.path()))?.success()?;
        assert!(!built.stdout.contains("plugin-installer"), "{}", built.stdout);
        assert_eq!(built.stderr, "");
    }
    Ok(())
}
