//! A manifest that can be read arrives at a plugin in the same process.

#![no_main]

use ephemeral_access_plugin::testing::Request;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(request) = Request::parse(text) {
        let json = serde_json::to_string(&request.access_request).expect("a request is JSON");
        let read: ephemeral_access_plugin::AccessRequest =
            serde_json::from_str(&json).expect("JSON of a request is one");
        assert_eq!(serde_json::to_string(&read).ok(), Some(json));
    }
});
