//! What holds for every Deployment, however it is written and whatever stands beside it.
//!
//! A tape of random bytes decides about objects and layout alike: what they hold, block or flow
//! style, indentation, quotes, comments, blank lines, line ends. A shorter tape, or one with smaller
//! bytes, makes a plainer text, so failures shrink to something readable.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "support/writer.rs"]
mod writer;

use inject_ephemeral_access_plugin::{Manifests, compare_readers, inject, run, uninject};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use serde_json::{Value, json};

use writer::{ANNOTATION, Writer};

/// A functionConfig's `spec`, and what it adds to each list of the pod and of the controller.
struct Wanted {
    spec: &'static str,
    volumes: &'static [&'static str],
    env: &'static [&'static str],
    mounts: &'static [&'static str],
    init_containers: &'static [&'static str],
    pull_secrets: &'static [&'static str],
}

const WANTED: [Wanted; 3] = [
    Wanted {
        spec: "{image: 'r.example.com/p:1'}",
        volumes: &["plugins"],
        env: &["EPHEMERAL_PLUGIN_PATH"],
        mounts: &["/tmp/plugin/"],
        init_containers: &["plugin-installer"],
        pull_secrets: &[],
    },
    Wanted {
        spec: "{image: 'r.example.com/p:2', imagePullSecrets: [{name: regcred}], \
               volume: {name: access, mountPath: /opt/p}, initContainer: {name: install}, \
               controller: {socketDir: /run/p, env: [{name: A, value: 'yes'}], \
               volumes: [{name: v, emptyDir: {}}], volumeMounts: [{name: v, mountPath: /v}]}}",
        volumes: &["access", "access-socket", "v"],
        env: &["EPHEMERAL_PLUGIN_PATH", "PLUGIN_UNIX_SOCKET_DIR", "A"],
        mounts: &["/opt/p", "/run/p", "/v"],
        init_containers: &["install"],
        pull_secrets: &["regcred"],
    },
    Wanted {
        spec: "{image: 'r.example.com/p:3', delivery: imageVolume}",
        volumes: &["plugins"],
        env: &["EPHEMERAL_PLUGIN_PATH"],
        mounts: &["/tmp/plugin/"],
        init_containers: &[],
        pull_secrets: &[],
    },
];

fn tape() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..600)
}

/// Fewer cases than usual, since each is several runs. `PROPTEST_CASES` asks for more.
fn fewer_cases() -> ProptestConfig {
    let default = ProptestConfig::default();
    let regressions = FileFailurePersistence::Direct("proptest-regressions/invariants.txt");
    ProptestConfig {
        cases: default.cases / 3,
        failure_persistence: Some(Box::new(regressions)),
        ..default
    }
}

proptest! {
    #![proptest_config(fewer_cases())]

    #[test]
    fn a_resource_list_keeps_every_byte_but_those_that_are_added(
        tape in tape(),
        first in 0..WANTED.len(),
        then in 0..WANTED.len(),
    ) {
        let list = List::write(&tape);
        let injected = list.run(WANTED[first].spec);
        prop_assert_eq!(&list.run_on(&injected, WANTED[first].spec), &injected);
        prop_assert_eq!(&values(&injected.text), &expected(&list.deployment.text, &WANTED[first]));
        let absent = WANTED[first].spec.replacen('{', "{state: absent, ", 1);
        prop_assert_eq!(&list.run_on(&injected, &absent), &list.deployment);
        let upgraded = list.run_on(&injected, WANTED[then].spec);
        let absent = WANTED[then].spec.replacen('{', "{state: absent, ", 1);
        prop_assert_eq!(&list.run_on(&upgraded, &absent), &list.deployment);
    }

    #[test]
    fn plain_manifests_come_back_from_a_removal(tape in tape(), wanted in 0..WANTED.len()) {
        let mut writer = Writer::new(&tape);
        let mut text = writer.document_header();
        text += &writer.deployment(0);
        if writer.one_in(3) {
            text.truncate(text.trim_end().len());
        }
        let config = config(WANTED[wanted].spec);
        let outcome = inject(&Manifests::parse(text.as_bytes()).unwrap(), Some(&config), None);
        // Nothing can be added there without changing the scalar.
        let open_scalar = "the text ends within a block scalar";
        if outcome.findings.iter().any(|finding| finding.message().contains(open_scalar)) {
            prop_assert!(!text.ends_with('\n'));
            return Ok(());
        }
        let injected = stdout(outcome)?;
        prop_assert_ne!(&injected, &text);
        let again = stdout(inject(&Manifests::parse(injected.as_bytes()).unwrap(), Some(&config), None))?;
        prop_assert_eq!(&again, &injected);
        let removed = stdout(uninject(&Manifests::parse(injected.as_bytes()).unwrap(), None))?;
        prop_assert_eq!(removed, text);
    }

    #[test]
    fn both_readers_see_the_same_parts(
        tape in tape(),
        at in any::<proptest::sample::Index>(),
        torn in "(\\PC{0,6}|[-\n\r\t \"'\\[\\]{}#:&*|>a]{0,12}|\n- a\n|\nitems:\n|\n---\n|\nresults: \\[\\]\n)",
    ) {
        let list = List::write(&tape);
        let mut input = list.input(&list.deployment.text, WANTED[0].spec);
        prop_assert_eq!(compare_readers(&input), Ok(()));
        let mut place = at.index(input.len());
        while !input.is_char_boundary(place) {
            place -= 1;
        }
        input.insert_str(place, &torn);
        prop_assert_eq!(compare_readers(&input), Ok(()), "{}", input);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-a-z:#&*!|>'\"{}\\[\\],?% \t\r\n~.0-9]{0,200}", tape in tape()) {
        let list = List::write(&tape);
        let torn = list.input(&format!("{}{text}", list.deployment.text), WANTED[0].spec);
        let output = run(torn.as_bytes());
        let stdout = output.stdout.concat();
        prop_assert!(output.failed() || !stdout.is_empty());
        if output.failed() && !stdout.is_empty() {
            // Results are put in somewhere, and nothing is taken away.
            let same = |(one, other): &(&u8, &u8)| one == other;
            let (torn, stdout) = (torn.as_bytes(), stdout.as_bytes());
            let start = torn.iter().zip(stdout).take_while(same).count();
            let end = torn.iter().rev().zip(stdout.iter().rev()).take_while(same).count();
            prop_assert!(start + end >= torn.len());
        }
    }
}

/// A Deployment's text as an item of a list.
#[derive(Debug, Clone, PartialEq)]
struct Item {
    text: String,
}

/// A ResourceList in parts: the Deployment, and what stands before and after it.
#[derive(Debug)]
struct List {
    before: String,
    deployment: Item,
    after: String,
    config_is_first: bool,
    newline: &'static str,
}

impl List {
    fn write(tape: &[u8]) -> Self {
        let mut writer = Writer::new(tape);
        let newline = writer.newline();
        let config_is_first = writer.one_in(4);
        let mut before = writer.list_header();
        let column = writer.item_column();
        for _ in 0..writer.below(3) {
            before += &writer.neighbour(column);
        }
        let deployment = Item { text: writer.item(column) };
        let mut after = String::new();
        for _ in 0..writer.below(3) {
            after += &writer.neighbour(column);
        }
        // What follows has to be recognizable.
        after += &format!("{:column$}- kind: Last{newline}", "");
        Self { before, deployment, after, config_is_first, newline }
    }

    fn input(&self, deployment: &str, spec: &str) -> String {
        let config = config(spec).replace('\n', &format!("{}  ", self.newline));
        let config = format!("functionConfig:{0}  {1}{0}", self.newline, config.trim_end());
        let header = format!("kind: ResourceList{}", self.newline);
        let (head, items) = self.before.split_once(&header).unwrap();
        if self.config_is_first {
            format!("{head}{header}{config}{items}{deployment}{}", self.after)
        } else {
            format!("{head}{header}{items}{deployment}{}{config}", self.after)
        }
    }

    fn run(&self, spec: &str) -> Item {
        self.run_on(&self.deployment, spec)
    }

    /// Runs the function and takes the output apart. Whatever is not the Deployment must be there
    /// as it was.
    fn run_on(&self, item: &Item, spec: &str) -> Item {
        let input = self.input(&item.text, spec);
        let output = run(input.as_bytes());
        let findings: Vec<_> = output.findings.iter().map(ToString::to_string).collect();
        assert!(!output.failed(), "{}\n{input}", findings.join("\n"));
        let stdout = output.stdout.concat();
        let frame = self.input("\u{0}", spec);
        let (before, after) = frame.split_once('\u{0}').unwrap();
        let rest = stdout.strip_prefix(before).unwrap_or_else(|| panic!("before: {stdout}"));
        let (text, results) = rest.rsplit_once(after).unwrap_or_else(|| panic!("after: {stdout}"));
        assert!(results.is_empty() || results.starts_with("results:"), "{results}");
        Item { text: text.to_owned() }
    }
}

fn config(spec: &str) -> String {
    format!(
        "apiVersion: fn.ephemeral-access.dev/v1alpha1\nkind: EphemeralAccessPlugin\n\
         metadata: {{name: p}}\nspec: {spec}\n"
    )
}

fn stdout(outcome: inject_ephemeral_access_plugin::Outcome<'_>) -> Result<String, TestCaseError> {
    let findings: Vec<_> = outcome.findings.iter().map(ToString::to_string).collect();
    let stdout = outcome.stdout.map(|pieces| pieces.concat());
    stdout.ok_or_else(|| TestCaseError::fail(findings.join("\n")))
}

/// What another YAML reader makes of an item.
fn values(item: &str) -> Value {
    let mut value = read(item);
    normalize(&mut value, &WANTED[0], false);
    value
}

/// The Deployment with just the names of what is to be added.
fn expected(item: &str, wanted: &Wanted) -> Value {
    let mut value = read(item);
    normalize(&mut value, wanted, true);
    value
}

fn read(item: &str) -> Value {
    let items: Value = serde_yaml::from_str(item).unwrap_or_else(|error| panic!("{error}\n{item}"));
    items[0].clone()
}

/// Puts the record aside and cuts what the function adds down to its names, or adds these names.
fn normalize(deployment: &mut Value, wanted: &Wanted, add: bool) {
    let metadata = &mut deployment["metadata"];
    if let Some(annotations) = metadata["annotations"].as_object_mut() {
        assert_eq!(annotations.remove(ANNOTATION).is_some(), !add);
    }
    if metadata["annotations"].as_object().is_none_or(serde_json::Map::is_empty) {
        metadata["annotations"] = Value::Null;
    }
    let pod = &mut deployment["spec"]["template"]["spec"];
    let list = |list: &mut Value, key: &str, names: &[&str]| {
        let mut elements = list.as_array().cloned().unwrap_or_default();
        if add {
            elements.extend(names.iter().map(|name| json!({ key: name })));
        } else {
            for element in &mut elements {
                let name = element[key].clone();
                if WANTED.iter().any(|wanted| wanted.names().any(|n| name == n)) {
                    *element = json!({ key: name });
                }
            }
        }
        *list = elements.into();
    };
    list(&mut pod["initContainers"], "name", wanted.init_containers);
    list(&mut pod["volumes"], "name", wanted.volumes);
    list(&mut pod["imagePullSecrets"], "name", wanted.pull_secrets);
    for container in pod["containers"].as_array_mut().unwrap() {
        if container["name"] == "controller" {
            list(&mut container["env"], "name", wanted.env);
            list(&mut container["volumeMounts"], "mountPath", wanted.mounts);
        }
    }
}

impl Wanted {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        [self.volumes, self.env, self.mounts, self.init_containers, self.pull_secrets]
            .into_iter()
            .flatten()
            .copied()
    }
}
