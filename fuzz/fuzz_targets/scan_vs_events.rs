//! The line scanner and the event parser see the same parts of a ResourceList.

#![no_main]

use inject_ephemeral_access_plugin::compare_readers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    check(text);
    // The same text where nearly every mutation still has the scanner's shape: as an item, as the
    // lines between two items, and as the functionConfig.
    let indented = text.replace('\n', "\n  ");
    check(&format!("{HEAD}- a: 1\n- {indented}\n- b: 2\n{TAIL}"));
    check(&format!("{HEAD}- a: 1\n{text}\n- b: 2\n{TAIL}"));
    check(&format!("{HEAD}- a: '\n{text}\n  '\n- b: 2\n{TAIL}"));
    check(&format!("{HEAD}- a: 1\nfunctionConfig:\n  {indented}\n"));
});

const HEAD: &str = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n";
const TAIL: &str = "functionConfig:\n  kind: ConfigMap\n";

fn check(input: &str) {
    if let Err(difference) = compare_readers(input) {
        panic!("the readers differ on\n{input}\n{difference}");
    }
}
