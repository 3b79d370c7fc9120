//! Any text as the controller's Deployment, between two neighbours.
//!
//! The first byte chooses the functionConfig and how the text is put into the list.

#![no_main]

use inject_ephemeral_access_plugin_fuzz::{check_kept, checked_run, is_foreign};
use libfuzzer_sys::fuzz_target;

/// Neighbours with what a Deployment's text could run into: quotes, comments, a list, a keep scalar.
const BEFORE: &str = "\
apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: v1 # the \"first\"
  kind: ConfigMap
  metadata: {name: before, labels: {a: 'b'}}
  data:
    text: |+
      don't

";
const AFTER: &str = "\
# it's the \"last\"
- kind: ConfigMap
  apiVersion: v1
  metadata:
    name: 'after'
";

const CONFIGS: [&str; 6] = [
    "{name: p}\n  spec: {image: 'r/p:1'",
    "{name: p}\n  spec: {image: 'r/p:1', delivery: imageVolume",
    "{name: p}\n  spec: {image: 'r/p:1', onConflict: replace",
    "{name: p}\n  spec: {image: 'r/p:1', imagePullSecrets: [{name: s}], target: {name: controller}, \
     install: {mode: shell}, initContainer: {env: [{name: A, value: b}], resources: {limits: {cpu: 1}}}",
    "{name: p}\n  spec: {image: 'r/p:1', volume: {name: v, mountPath: /p, medium: Memory, sizeLimit: 1Mi}, \
     controller: {socketDir: /s, env: [{name: C, value: \"yes\"}], envFrom: [{secretRef: {name: e}}], \
     volumes: [{name: w, emptyDir: {}}], volumeMounts: [{name: w, mountPath: /w}]}",
    "{name: p}\n  spec: {image: 'r/p:1', volume: {readOnly: false}",
];

fuzz_target!(|input: &[u8]| {
    let Some((choice, text)) = input.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let config = CONFIGS[usize::from(choice % 8) % CONFIGS.len()];
    let item = match choice / 8 % 4 {
        0 => format!("- {}\n", text.replace('\n', "\n  ")),
        1 => format!("-\n  {}\n", text.replace('\n', "\n  ")),
        2 => format!("- {}\r\n", text.replace('\n', "\r\n  ")),
        _ => format!("- {text}\n"),
    };
    check(config, &item);
});

fn check(config: &str, item: &str) {
    let tail = |state: &str| {
        format!(
            "{AFTER}functionConfig:\n  apiVersion: fn.ephemeral-access.dev/v1alpha1\n  \
             kind: EphemeralAccessPlugin\n  metadata: {config}, state: {state}}}\n"
        )
    };
    let (stdout, failed) = checked_run(format!("{BEFORE}{item}{}", tail("present")).as_bytes());
    if stdout.is_empty() {
        return;
    }
    let injected = item_of(&stdout, &tail("present"));
    if failed {
        assert_eq!(injected, item);
        return;
    }
    if is_foreign(item) {
        check_kept(item, injected);
    }
    let (stdout, failed) = checked_run(format!("{BEFORE}{injected}{}", tail("absent")).as_bytes());
    let removed = item_of(&stdout, &tail("absent"));
    if failed {
        assert_eq!(removed, injected);
    } else if is_foreign(item) {
        assert_eq!(removed, item, "inject and remove\n{injected}");
    }
}

/// What stands between the neighbours, which must be as they were.
fn item_of<'o>(stdout: &'o str, tail: &str) -> &'o str {
    let rest = stdout.strip_prefix(BEFORE).expect("what stands before is as it was");
    let (item, _) = rest.rsplit_once(tail).expect("what stands after is as it was");
    item
}
