//! A plugin that does what `MISBEHAVE` says, for the tests of `eaplugin check`.
//!
//! | value | what is wrong |
//! |---|---|
//! | `exit` | it ends at once, with a reason |
//! | `silent` | it prints no handshake line |
//! | `chatty` | it prints something else first |
//! | `version` | another version of the application's protocol |
//! | `grpc` | another protocol |
//! | `deaf` | a handshake line, but nothing listens |
//! | `init` | `Init` fails |
//! | `log-type`, `log-time`, `log-trace` | log lines that the controller does not take as they are meant |
//! | `stdout`, `stdout-long` | short lines, or a long one, on the real standard output |
//! | `status`, `nothing` | an unknown status, or no response |
//! | `crash`, `crash-nil` | it ends in a call, or in one with nil objects |
//! | `hang` | it never answers |
//! | `stay` | it does not end when it is told to |
//! | `socket` | it leaves a socket behind |

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this plugin misbehaves")]
#![expect(clippy::exit, reason = "this plugin misbehaves")]

use std::env;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::process::{ExitCode, exit};
use std::sync::{Mutex, PoisonError};
use std::thread;

use ephemeral_access_plugin::host::handshake;
use go_plugin_netrpc::{Plugin, Reply, Service};
use gobwire::{Gob, Interface};

/// Standard output, before it is moved away.
static STDOUT: Mutex<Option<File>> = Mutex::new(None);

/// The argument of both calls: whether there is a request.
#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "GrantAccessArgsRPC")]
struct Arguments {
    #[gob(name = "AccReq")]
    request: Option<Request>,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "AccessRequest")]
struct Request {
    #[gob(name = "Status")]
    status: Status,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "AccessRequestStatus")]
struct Status {
    #[gob(name = "RequestState")]
    request_state: String,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "GrantAccessResponseRPC")]
struct Answer {
    #[gob(name = "Response")]
    response: Option<Response>,
    #[gob(name = "Err")]
    err: Option<Interface>,
}

#[derive(Debug, Clone, Default, Gob)]
#[gob(name = "GrantResponse")]
struct Response {
    #[gob(name = "Status")]
    status: String,
    #[gob(name = "Message")]
    message: String,
}

impl Reply for Answer {}

fn main() -> ExitCode {
    let what = env::var("MISBEHAVE").unwrap_or_default();
    match what.as_str() {
        "exit" => {
            eprintln!("no licence");
            return ExitCode::from(3);
        }
        "silent" => sleep(),
        "chatty" => println!("hello"),
        "version" => line("1|2|unix|/nonexistent|netrpc|"),
        "grpc" => line("1|1|unix|/nonexistent|grpc|"),
        "deaf" => line("1|1|unix|/nonexistent|netrpc|"),
        "log-type" => eprintln!(r#"{{"@level":"info","@message":{{"text":"m"}}}}"#),
        "log-time" => eprintln!(r#"{{"@level":"info","@message":"m","@timestamp":"now"}}"#),
        "log-trace" => eprintln!(r#"{{"@level":"trace","@message":"m"}}"#),
        "socket" => drop(UnixListener::bind(env::temp_dir().join("forgotten"))),
        _ => {}
    }
    let stdout = io::stdout().as_fd().try_clone_to_owned().ok();
    *STDOUT.lock().unwrap_or_else(PoisonError::into_inner) = stdout.map(File::from);
    let ended = Plugin::new(handshake()).service("ephemeralaccess", service(&what)).serve();
    if what == "stay" {
        sleep();
    }
    ended.map_or(ExitCode::FAILURE, |_| ExitCode::SUCCESS)
}

fn line(line: &str) {
    println!("{line}");
    sleep();
}

fn sleep() {
    loop {
        thread::park();
    }
}

fn service(what: &str) -> Service {
    let (init, grant) = (what.to_owned(), what.to_owned());
    Service::new()
        .method_without_argument("Plugin.Init", move || {
            if init == "init" { Err("no configuration".into()) } else { Ok(Answer::default()) }
        })
        .method("Plugin.GrantAccess", move |arguments: Arguments| Ok(granted(&grant, &arguments)))
        .method("Plugin.RevokeAccess", move |_: Arguments| Ok(response("revoked")))
}

fn granted(what: &str, arguments: &Arguments) -> Answer {
    match what {
        "status" => return response("approved"),
        "nothing" => return Answer::default(),
        "crash" => exit(7),
        "crash-nil" if arguments.request.is_none() => exit(7),
        "hang" => sleep(),
        "stdout" => print(80),
        "stdout-long" => print(70_000),
        _ => {}
    }
    response("granted")
}

fn response(status: &str) -> Answer {
    let response = Response { status: status.to_owned(), message: String::new() };
    Answer { response: Some(response), err: None }
}

fn print(length: usize) {
    if let Some(stdout) = STDOUT.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = writeln!(stdout, "{}", "x".repeat(length));
    }
}
