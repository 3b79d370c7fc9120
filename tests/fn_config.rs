//! Every sample of `fn-config/` is taken, and the schema in the repository is the program's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use inject_ephemeral_access_plugin::{Manifests, inject, schema};

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: controller
  namespace: argocd-ephemeral-access
  labels:
    app.kubernetes.io/name: argocd-ephemeral-access
    app.kubernetes.io/component: controller
spec:
  selector:
    matchLabels:
      app.kubernetes.io/component: controller
  template:
    metadata:
      labels:
        app.kubernetes.io/component: controller
    spec:
      containers:
      - name: controller
        image: controller:1
";

fn samples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fn-config");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let samples: Vec<_> = entries.filter(|path| path.extension().unwrap() == "yaml").collect();
    assert!(samples.len() >= 8, "the samples are gone");
    samples
}

#[test]
fn every_sample_is_taken_without_a_complaint() {
    let manifests = Manifests::parse(DEPLOYMENT.as_bytes()).unwrap();
    for sample in samples() {
        let config = fs::read_to_string(&sample).unwrap();
        let outcome = inject(&manifests, Some(&config), None);
        let complaints: Vec<_> =
            outcome.findings.iter().filter(|finding| !finding.is_info()).collect();
        assert!(complaints.is_empty(), "{}: {complaints:?}", sample.display());
        let changed = outcome.stdout.unwrap().concat() != DEPLOYMENT;
        assert_eq!(changed, !sample.ends_with("removal.yaml"), "{}", sample.display());
    }
}

#[test]
fn the_schema_in_the_repository_is_the_programs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fn-config/schema.json");
    let committed: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(committed, schema(), "run `cargo run -- schema > fn-config/schema.json`");
}
