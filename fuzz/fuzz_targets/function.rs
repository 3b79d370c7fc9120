//! Any bytes as standard input of the function.

#![no_main]

use inject_ephemeral_access_plugin_fuzz::checked_run;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    checked_run(input);
});
