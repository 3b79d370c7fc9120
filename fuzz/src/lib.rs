//! What the fuzz targets hold the function to.

use inject_ephemeral_access_plugin::{Finding, Output, run};
use serde_yaml::Value;

/// The words with which the function admits that its own check tripped.
const DEFECT: &str = "nothing was written, because a check of the result failed";

/// Words of which the plan makes use: a text that holds one may be adopted, upgraded or refused.
const OWN_WORDS: [&str; 7] = [
    "plugin",
    "PLUGIN",
    "injected",
    "EphemeralAccess",
    "/tmp",
    "\\",
    "emptyDir",
];

/// The function's output, after the checks that hold for every input.
pub fn checked_run(input: &[u8]) -> (String, bool) {
    let output = run(input);
    check_findings(&output.findings);
    let (stdout, failed) = (output.stdout.concat(), output.failed());
    if stdout.is_empty() {
        assert!(failed, "an empty output must be a failure");
        return (stdout, failed);
    }
    if failed {
        check_unchanged(input, &output);
    }
    // A list with a neighbour that is no YAML is a list for the line scanner only, and no longer once
    // it has results.
    if serde_yaml::from_str::<Value>(&stdout).is_err() {
        return (stdout, failed);
    }
    let again = run(stdout.as_bytes());
    assert_eq!(again.failed(), failed, "a second run ends as the first\n{stdout}");
    // Results in front of the items move the lines that an error names: then it is another error.
    if !(failed && stdout.starts_with("results:")) {
        assert_eq!(again.stdout.concat(), stdout, "a second run changes nothing");
    }
    (stdout, failed)
}

/// No finding admits a defect.
pub fn check_findings(findings: &[Finding]) {
    for finding in findings {
        assert!(!finding.message().contains(DEFECT), "{finding}");
    }
}

/// Whether injecting into the text and removing again must give the text back.
pub fn is_foreign(text: &str) -> bool {
    !OWN_WORDS.iter().any(|word| text.contains(word))
}

/// After a failure the output is the input with results added.
fn check_unchanged(input: &[u8], output: &Output<'_>) {
    let input = std::str::from_utf8(input).expect("a ResourceList is UTF-8");
    let stdout = output.stdout.concat();
    if !input.contains("results") && !input.contains('\\') {
        let kept: String = output
            .stdout
            .iter()
            .filter(|piece| matches!(piece, std::borrow::Cow::Borrowed(_)))
            .map(|piece| &**piece)
            .collect();
        assert_eq!(kept, input, "a failed run keeps every byte");
    }
    if let Ok(before) = serde_yaml::from_str::<Value>(input) {
        let after: Value = serde_yaml::from_str(&stdout).expect("the output is YAML");
        assert_eq!(without_results(before), without_results(after));
    }
}

fn without_results(mut list: Value) -> Value {
    if let Value::Mapping(map) = &mut list {
        map.remove("results");
    }
    list
}

/// What a second reader of YAML must see after an injection: everything that was there is there
/// still, in its place, if it can read the text at all.
pub fn check_kept(before: &str, after: &str) {
    if let Ok(before) = serde_yaml::from_str::<Value>(before) {
        let after = serde_yaml::from_str::<Value>(after)
            .unwrap_or_else(|error| panic!("the output is no YAML: {error}\n{after}"));
        assert!(is_kept(&before, &after), "{before:#?}\n{after:#?}");
    }
}

fn is_kept(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Mapping(before), Value::Mapping(after)) => before
            .iter()
            .all(|(key, value)| after.get(key).is_some_and(|after| is_kept(value, after))),
        (Value::Sequence(before), Value::Sequence(after)) => {
            before.len() <= after.len()
                && before.iter().zip(after).all(|(before, after)| is_kept(before, after))
        }
        (Value::Null, _) => true,
        (Value::Tagged(_), _) => before == after,
        _ => before == after || before.as_f64().is_some_and(f64::is_nan),
    }
}
