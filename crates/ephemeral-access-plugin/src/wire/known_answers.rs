//! What upstream's Go code writes is what we read. The bytes are written by
//! `e2e/go-host/run known-answers`.

use std::fs;
use std::path::PathBuf;

use gobwire::{Decode, Decoder, Dynamic, Encode, Encoder, Gob, Progress, Value, read_message};
use serde_json::{Value as Json, json};

use super::calls::{Arguments, GrantReply, InitReply, RevokeReply};

const VERSIONS: [&str; 2] = ["v0.1.5", "v1.2.0"];

#[derive(Debug, Clone, Default, PartialEq, Gob)]
struct Request {
    #[gob(name = "ServiceMethod")]
    service_method: String,
    #[gob(name = "Seq")]
    seq: u64,
}

fn file(version: &str, name: &str) -> Vec<u8> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/known-answers");
    let path = root.join(version).join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn exchanges(version: &str) -> Vec<Json> {
    let exchanges: Json = serde_json::from_slice(&file(version, "index.json")).unwrap();
    let exchanges = exchanges.as_array().unwrap().clone();
    assert!(!exchanges.is_empty());
    exchanges
}

/// One gob stream, value by value.
struct Stream<'a> {
    rest: &'a [u8],
    decoder: Decoder,
}

impl<'a> Stream<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, decoder: Decoder::new() }
    }

    fn next<T: Decode + Default>(&mut self) -> T {
        self.advance();
        self.decoder.decode().unwrap()
    }

    fn skip(&mut self) {
        self.advance();
        self.decoder.discard().unwrap();
    }

    fn advance(&mut self) {
        loop {
            let message = read_message(&mut self.rest).unwrap().unwrap();
            if self.decoder.push_message(&message).unwrap() == Progress::Ready {
                return;
            }
        }
    }
}

/// The last time of Kubernetes is later than the last one of `k8s_openapi`.
const LAST_TIMES: [&str; 2] = ["9999-12-31T23:59:59Z", "9999-12-30T22:00:00Z"];

/// JSON without what gob does not send: members that are null, zero, or empty text.
fn sent(json: &Json) -> Json {
    match json {
        Json::String(text) if *text == LAST_TIMES[0] => json!(LAST_TIMES[1]),
        Json::Object(members) => {
            let unsent = |value: &Json| {
                value.is_null()
                    || *value == json!(0)
                    || *value == json!("")
                    || *value == json!(false)
            };
            let members = members.iter().filter(|(_, value)| !unsent(value));
            Json::Object(members.map(|(key, value)| (key.clone(), sent(value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sent).collect()),
        other => other.clone(),
    }
}

fn dynamic(value: &impl Encode) -> Value {
    let bytes = Encoder::new().encode(value).unwrap();
    Stream::new(&bytes).next::<Dynamic>().value
}

#[test]
fn requests_are_read_as_go_wrote_them() {
    for version in VERSIONS {
        for exchange in exchanges(version) {
            let name = exchange["name"].as_str().unwrap();
            let bytes = file(version, &format!("{name}.request.bin"));
            let mut stream = Stream::new(&bytes);
            for call in exchange["calls"].as_array().unwrap() {
                let request: Request = stream.next();
                assert_eq!(request.service_method, call["method"].as_str().unwrap());
                assert_eq!(request.seq, call["seq"].as_u64().unwrap());
                if request.service_method == "Plugin.Init" {
                    stream.skip();
                    continue;
                }
                let arguments: Arguments = stream.next();
                let expected = &call["argument"];
                let complete =
                    expected["accessRequest"].is_object() && expected["application"].is_object();
                match arguments.into_parts() {
                    Ok((request, application)) => {
                        assert!(complete, "{version} {name}");
                        let actual = json!({"accessRequest": request, "application": application});
                        assert_eq!(sent(&actual), sent(expected), "{version} {name}");
                    }
                    Err(error) => assert!(!complete, "{version} {name}: {error}"),
                }
            }
            assert!(stream.rest.is_empty());
        }
    }
}

#[test]
fn our_own_requests_survive_the_round_trip() {
    for exchange in exchanges("v1.2.0") {
        for call in exchange["calls"].as_array().unwrap() {
            let argument = &sent(&call["argument"]);
            if !argument["accessRequest"].is_object() || !argument["application"].is_object() {
                continue;
            }
            let request = serde_json::from_value(argument["accessRequest"].clone()).unwrap();
            let application = serde_json::from_value(argument["application"].clone()).unwrap();
            let bytes = Encoder::new().encode(&Arguments::new(&request, &application)).unwrap();
            let read: Arguments = Stream::new(&bytes).next();
            let (request, application) = read.into_parts().unwrap();
            let actual = json!({"accessRequest": request, "application": application});
            assert_eq!(sent(&actual), sent(argument));
        }
    }
}

#[test]
fn replies_are_what_go_writes() {
    for version in VERSIONS {
        for exchange in exchanges(version) {
            let name = exchange["name"].as_str().unwrap();
            let bytes = file(version, &format!("{name}.response.bin"));
            let (mut read, mut expected) = (Stream::new(&bytes), Stream::new(&bytes));
            for call in exchange["calls"].as_array().unwrap() {
                read.skip();
                expected.skip();
                let expected = expected.next::<Dynamic>().value;
                let ours = match call["method"].as_str().unwrap() {
                    "Plugin.Init" => {
                        let result = read.next::<InitReply>().into_result();
                        Ok(dynamic(&InitReply::from_result(result)))
                    }
                    "Plugin.GrantAccess" => {
                        let result = read.next::<GrantReply>().into_result();
                        reply(result, |result| dynamic(&GrantReply::from_result(result)))
                    }
                    _ => {
                        let result = read.next::<RevokeReply>().into_result();
                        reply(result, |result| dynamic(&RevokeReply::from_result(result)))
                    }
                };
                match ours {
                    // Upstream lets a plugin send both; we send the error alone.
                    _ if name == "grant-response-and-error" => {}
                    Ok(ours) => assert_eq!(ours, expected, "{version} {name}"),
                    // A Go plugin can answer with nothing, or without a status. Ours cannot.
                    Err(reason) => {
                        let named = ["-nil", "grant-times", "grant-durations"];
                        assert!(named.iter().any(|part| name.contains(part)), "{name}: {reason}");
                    }
                }
            }
        }
    }
}

type Result<T> = std::result::Result<T, crate::PluginError>;

/// Encodes a result again, unless it is an answer that only Go plugins give.
fn reply<T>(
    result: Result<T>,
    encode: impl Fn(Result<T>) -> Value,
) -> std::result::Result<Value, String> {
    match result {
        Err(error) if error.message().starts_with("the plugin sent ") => {
            Err(error.message().to_owned())
        }
        result => Ok(encode(result)),
    }
}
