//! Whatever the function writes, a real API server takes: no rejection, no warning, in namespaces that enforce the
//! Pod Security Standard *restricted*.
//!
//! kubectl reads what the function wrote. Every object in it is applied with a server-side dry run, and so is a pod of
//! every pod template, because Pod Security only warns about templates and refuses pods. Nothing is stored.

#![expect(clippy::print_stdout, reason = "a run tells what it has proved")]

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{Failure, Result, function, installs, kubectl, read, repository, run, run_on, write};
use e2e_controller::ApiServer;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Cases of `testdata` with something in their input that cannot be installed, and why. That it cannot is checked, too:
/// a case whose input passes does not belong into this list.
const ODD: [(&str, Odd, &str); 22] = [
    (
        "appends-below-block-scalars-at-the-end",
        Odd::Controller,
        "its volume has no source, it is about text",
    ),
    ("keeps-a-doubled-key-in-a-neighbour", Odd::Neighbour, "a ConfigMap with a doubled key"),
    ("keeps-annotations-of-kpt", Odd::Neighbour, "a Kptfile, which is for kpt alone"),
    ("keeps-hazardous-scalars-of-a-neighbour", Odd::Unreadable, "a key that is null"),
    ("keeps-lists-of-objects", Odd::Unreadable, "a List within the list"),
    ("keeps-multi-line-quotes-with-dashes", Odd::Neighbour, "a ConfigMap with a list for a value"),
    (
        "leaves-other-kinds-of-the-same-name",
        Odd::Neighbour,
        "a Deployment of extensions/v1beta1, which is no more",
    ),
    ("passes-by-an-alias-bomb-in-a-neighbour", Odd::Unreadable, "aliases that unfold without end"),
    ("passes-by-an-alias-bomb-in-a-neighbour-of-a-list-in-json-style", Odd::Unreadable, "the same"),
    ("passes-by-deep-block-nesting-in-a-neighbour", Odd::Unreadable, "nested too deeply"),
    ("passes-by-deep-flow-nesting-in-a-neighbour", Odd::Unreadable, "nested too deeply"),
    ("passes-by-deep-nesting-of-dashes-in-a-neighbour", Odd::Unreadable, "nested too deeply"),
    ("passes-by-deep-nesting-with-the-event-scan", Odd::Unreadable, "nested too deeply"),
    ("takes-a-document-header-and-end", Odd::Unreadable, "YAML 1.2 by its own words"),
    ("cli/injects-into-a-file", Odd::Neighbour, HAZARDS),
    ("cli/injects-into-a-list-of-objects", Odd::Neighbour, HAZARDS),
    ("cli/injects-into-json", Odd::Controller, "its container has no image"),
    ("cli/injects-without-a-final-newline", Odd::Neighbour, HAZARDS),
    ("cli/keeps-directives-and-document-ends", Odd::Unreadable, "YAML 1.2 by its own words"),
    ("cli/keeps-windows-line-ends", Odd::Neighbour, HAZARDS),
    ("cli/leaves-alone-what-is-as-wanted", Odd::Neighbour, HAZARDS),
    ("cli/removes-what-was-injected", Odd::Neighbour, HAZARDS),
];

/// A neighbour whose values must stay as they are spelled.
const HAZARDS: &str = "a ConfigMap with a boolean and a number for values";

/// What is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    /// Another object than the controller. What the function changed must still pass.
    Neighbour,
    /// The controller itself.
    Controller,
    /// The text as a whole: kubectl cannot read it, nor can this test.
    Unreadable,
}

/// What a case came to.
enum Outcome {
    /// So many objects passed.
    Passed(usize),
    /// The function refused its input, so it wrote nothing new; or it only told its options.
    Refused,
    /// It is odd, as said; so many objects passed.
    Odd(usize, &'static str),
    /// What the API server, or kubectl, had to say.
    Failed(String),
}

#[test]
fn whatever_the_function_writes_passes_the_api_server() -> Result {
    let testdata = repository().join("testdata");
    for (case, ..) in ODD {
        assert!(testdata.join(case).is_dir(), "{case} is gone: take it off the list `ODD`");
    }
    let mut cluster = Cluster::start()?;
    let mut report = Report::default();
    for case in directories(&testdata)? {
        if !case.ends_with("cli") {
            report.add(&name(&case), cluster.resource_list(&case)?)?;
        }
    }
    report.finish("testdata")?;

    let mut report = Report::default();
    for case in directories(&testdata.join("cli"))? {
        report.add(&format!("cli/{}", name(&case)), cluster.command(&case)?)?;
    }
    report.finish("testdata/cli")?;

    let mut report = Report::default();
    for install in installs()? {
        for config in configs()? {
            let name = format!("{} with {}", install.name, name(&config));
            report.add(&name, cluster.installation(&install.text, &config)?)?;
        }
    }
    report.finish("installations")
}

#[derive(Default)]
struct Report {
    cases: usize,
    objects: usize,
    refused: usize,
    odd: BTreeMap<String, &'static str>,
    failures: String,
}

impl Report {
    fn add(&mut self, case: &str, outcome: Outcome) -> Result {
        self.cases += 1;
        match outcome {
            Outcome::Passed(objects) => self.objects += objects,
            Outcome::Refused => self.refused += 1,
            Outcome::Odd(objects, reason) => {
                self.objects += objects;
                self.odd.insert(case.to_owned(), reason);
            }
            Outcome::Failed(why) => writeln!(self.failures, "{case}:\n{why}")?,
        }
        Ok(())
    }

    fn finish(self, what: &str) -> Result {
        let Self { cases, objects, refused, odd, failures } = self;
        if !failures.is_empty() {
            return Err(Failure::new(format!("{what}\n{failures}")));
        }
        println!(
            "{what}: {cases} cases: {objects} objects and pods passed without a warning, \
             {refused} inputs were refused by the function, {} are odd",
            odd.len()
        );
        for (case, reason) in odd {
            println!("  odd: {case}: {reason}");
        }
        if objects == 0 {
            Err(Failure::new(format!("{what}: nothing was checked")))
        } else {
            Ok(())
        }
    }
}

struct Cluster {
    server: ApiServer,
    directory: TempDir,
    /// Namespaces with a service account each that are there.
    room: BTreeSet<(String, String)>,
}

impl Cluster {
    fn start() -> Result<Self> {
        let server = ApiServer::start()?;
        println!("{}", server.run(["version"])?.success()?.stdout);
        Ok(Self { server, directory: tempfile::tempdir()?, room: BTreeSet::new() })
    }

    /// A case of `testdata`: the function gets a ResourceList.
    fn resource_list(&mut self, case: &Path) -> Result<Outcome> {
        let mut inputs = files(case)?;
        inputs.retain(|file| file.file_stem() == Some(OsStr::new("input")));
        let input = inputs.first();
        let input =
            input.ok_or_else(|| Failure::new(format!("{} has no input", case.display())))?;
        let written = run_on(&mut Command::new(function()?), File::open(input)?)?;
        if written.code != 0 {
            return Ok(Outcome::Refused);
        }
        self.case(&name(case), input, &written.stdout)
    }

    /// A case of `testdata/cli`: a command line, and perhaps a standard input.
    fn command(&mut self, case: &Path) -> Result<Outcome> {
        let mut command = Command::new(function()?);
        let arguments = read(&case.join("args"))?;
        command.args(arguments.lines()).current_dir(case);
        let file = case.join(arguments.lines().last().unwrap_or_default());
        let input = if file.is_file() { file } else { case.join("stdin") };
        let written = if input.is_file() {
            run_on(&mut command, File::open(&input)?)
        } else {
            run(&mut command)
        }?;
        if written.code != 0 || arguments.contains("--help") {
            return Ok(Outcome::Refused);
        }
        self.case(&format!("cli/{}", name(case)), &input, &written.stdout)
    }

    fn case(&mut self, name: &str, input: &Path, written: &str) -> Result<Outcome> {
        let written = write(self.directory.path(), "written.yaml", written)?;
        match ODD.iter().find(|(odd, ..)| *odd == name) {
            Some((_, odd, reason)) => self.odd(input, &written, *odd, reason),
            None => self.check(&written),
        }
    }

    /// An installation manifest with a sample of `fn-config`.
    fn installation(&mut self, manifest: &str, config: &Path) -> Result<Outcome> {
        let manifest = write(self.directory.path(), "install.yaml", manifest)?;
        let mut command = Command::new(function()?);
        let written = run(command.args(["inject", "--config"]).arg(config).arg(manifest))?;
        if written.code != 0 {
            return Ok(Outcome::Failed(written.stderr));
        }
        self.check(&write(self.directory.path(), "written.yaml", &written.stdout)?)
    }

    fn check(&mut self, written: &Path) -> Result<Outcome> {
        Ok(match self.passes(written, |_| true)? {
            Ok(objects) => Outcome::Passed(objects),
            Err(why) => Outcome::Failed(why),
        })
    }

    /// Checks what can be checked of an odd case, and that the function is not to blame for the rest.
    fn odd(
        &mut self,
        input: &Path,
        written: &Path,
        odd: Odd,
        reason: &'static str,
    ) -> Result<Outcome> {
        if self.passes(input, |_| true)?.is_ok() {
            let why = "the input passes: take the case off the list `ODD`";
            return Ok(Outcome::Failed(why.to_owned()));
        }
        if odd != Odd::Neighbour {
            return Ok(Outcome::Odd(0, reason));
        }
        let before = as_kubectl_reads(input)?.unwrap_or_default();
        let changes = fs::read(input)? != fs::read(written)?;
        Ok(match self.passes(written, |object| !before.contains(object))? {
            Ok(0) if changes => Outcome::Failed("nothing was checked".to_owned()),
            Ok(objects) => Outcome::Odd(objects, reason),
            Err(why) => Outcome::Failed(why),
        })
    }

    /// Applies the objects in `file` that are `wanted`, with their pods, and counts them; or tells what was said.
    fn passes(
        &mut self,
        file: &Path,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<std::result::Result<usize, String>> {
        let mut objects = match as_kubectl_reads(file)? {
            Ok(objects) => objects,
            Err(why) => return Ok(Err(why)),
        };
        objects.retain(wanted);
        objects.iter_mut().for_each(add_security_context_of_upstream);
        let pods: Vec<_> = objects.iter().filter_map(pod).collect();
        objects.extend(pods);
        if objects.is_empty() {
            return Ok(Ok(0));
        }
        self.make_room_for(&objects)?;
        let arguments = ["apply", "--server-side", "--force-conflicts", "--dry-run=server"];
        let answer = self.server.run_on(&objects, arguments)?;
        let silent = answer.code == 0 && answer.stderr.is_empty();
        Ok(if silent { Ok(objects.len()) } else { Err(answer.stderr) })
    }

    /// Makes what must be there before: namespaces, and the service accounts of pods.
    fn make_room_for(&mut self, objects: &[Value]) -> Result {
        for object in objects {
            let text =
                |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or("default");
            let (namespace, account) =
                (text("/metadata/namespace"), text("/spec/serviceAccountName"));
            if self.room.insert((namespace.to_owned(), account.to_owned())) {
                self.server.apply(&[
                    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
                        "name": namespace,
                        "labels": {
                            "pod-security.kubernetes.io/enforce": "restricted",
                            "pod-security.kubernetes.io/warn": "restricted",
                        },
                    }}),
                    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {
                        "name": account,
                        "namespace": namespace,
                    }}),
                ])?;
            }
        }
        Ok(())
    }
}

/// The objects of a file, or of a list in it, in kubectl's own understanding of YAML.
fn as_kubectl_reads(file: &Path) -> Result<std::result::Result<Vec<Value>, String>> {
    let no_change = ["patch", "--local", "--type", "merge", "--patch", "{}", "--output", "json"];
    let read = run(kubectl()?.args(no_change).arg("--filename").arg(file))?;
    if read.code != 0 {
        return Ok(Err(read.stderr));
    }
    let objects = serde_json::Deserializer::from_str(&read.stdout).into_iter();
    Ok(objects.collect::<std::result::Result<_, _>>().map_err(|error| error.to_string()))
}

/// Gives containers of the input the security context that upstream's have, where it is left out. What the function
/// added must pass as it is.
fn add_security_context_of_upstream(object: &mut Value) {
    let annotation = "/metadata/annotations/fn.ephemeral-access.dev~1injected";
    let record = object.pointer(annotation).and_then(Value::as_str).unwrap_or_default();
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    let added = record.get("added").and_then(Value::as_array).cloned().unwrap_or_default();
    for kind in ["containers", "initContainers"] {
        let containers = object.pointer_mut(&format!("/spec/template/spec/{kind}"));
        for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            if !added.contains(&json!(format!("{kind}[{name}]"))) {
                complete(container);
            }
        }
    }
}

fn complete(container: &mut Value) {
    let upstream = json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    let Some(container) = container.as_object_mut() else { return };
    let context = container.entry("securityContext").or_insert_with(|| json!({}));
    if let (Some(context), Value::Object(upstream)) = (context.as_object_mut(), upstream) {
        for (key, value) in upstream {
            context.entry(key).or_insert(value);
        }
    }
}

/// The pod that Kubernetes would make of a pod template.
fn pod(object: &Value) -> Option<Value> {
    let template = object.pointer("/spec/template")?;
    let mut pod = template.clone();
    let metadata = pod.as_object_mut()?.entry("metadata").or_insert_with(|| json!({}));
    for key in ["name", "namespace"] {
        if let Some(value) = object.pointer("/metadata")?.get(key) {
            metadata.as_object_mut()?.insert(key.to_owned(), value.clone());
        }
    }
    let pod = pod.as_object_mut()?;
    pod.insert("apiVersion".to_owned(), json!("v1"));
    pod.insert("kind".to_owned(), json!("Pod"));
    Some(Value::Object(pod.clone()))
}

/// The samples of `fn-config`.
fn configs() -> Result<Vec<PathBuf>> {
    let mut found = files(&repository().join("fn-config"))?;
    found.retain(|file| file.extension() == Some(OsStr::new("yaml")));
    Ok(found)
}

fn directories(parent: &Path) -> Result<Vec<PathBuf>> {
    entries(parent, Path::is_dir)
}

fn files(parent: &Path) -> Result<Vec<PathBuf>> {
    entries(parent, Path::is_file)
}

fn entries(parent: &Path, wanted: fn(&Path) -> bool) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(parent)? {
        found.push(entry?.path());
    }
    found.retain(|path| wanted(path));
    found.sort();
    Ok(found)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
