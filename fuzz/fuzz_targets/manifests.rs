//! Any bytes as plain manifests: inject, inject again, uninject.

#![no_main]

use inject_ephemeral_access_plugin::{Manifests, Outcome, inject, uninject};
use inject_ephemeral_access_plugin_fuzz::{check_findings, is_foreign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(manifests) = Manifests::parse(input) else { return };
    text(uninject(&manifests, None));
    let Some(injected) = text(inject(&manifests, None, Some("r/p:1"))) else { return };
    let manifests = parse(&injected);
    let again = text(inject(&manifests, None, Some("r/p:1")));
    assert_eq!(again.as_deref(), Some(&*injected), "a second injection changes nothing");
    let removed = text(uninject(&manifests, None));
    let input = std::str::from_utf8(input).expect("manifests are UTF-8");
    if let Some(removed) = removed
        && is_foreign(input)
    {
        assert_eq!(removed, input, "inject and uninject");
    }
});

fn parse(text: &str) -> Manifests<'_> {
    Manifests::parse(text.as_bytes()).expect("the output is manifests")
}

fn text(outcome: Outcome<'_>) -> Option<String> {
    check_findings(&outcome.findings);
    assert_eq!(outcome.failed(), outcome.stdout.is_none());
    let text = outcome.stdout?.concat();
    assert!(!text.is_empty(), "an empty output must be a failure");
    Some(text)
}
