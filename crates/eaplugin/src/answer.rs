//! What a plugin answers, and what the controller does with it
//! (upstream's `internal/controller/service.go`).

use std::fmt;
use std::time::Duration;

use ephemeral_access_plugin::{GrantStatus, RequestState, RevokeStatus};

/// The calls that are about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `GrantAccess`.
    Grant,
    /// `RevokeAccess`.
    Revoke,
}

/// What has come back from a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A response, with a status that may be unknown.
    Response {
        /// The status.
        status: String,
        /// The message for the user.
        message: String,
    },
    /// An error.
    Error(String),
    /// Neither: a nil response.
    Nothing,
    /// No answer in time.
    Hung {
        /// The time allowed.
        limit: Duration,
    },
    /// The plugin has gone.
    Gone {
        /// How it ended, if it did.
        status: Option<String>,
        /// The end of its log.
        log: Option<String>,
    },
    /// An answer that cannot be read.
    Unreadable(String),
}

/// What the controller does with an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consequence {
    /// In words, after "the controller".
    pub text: String,
    /// What it does next.
    pub next: Next,
    /// Whether it is what a plugin may rightly want.
    pub usable: bool,
}

/// What follows in the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It asks again; the request is in the state, if it changes.
    Again(Option<RequestState>),
    /// It does not ask about this request again.
    Final,
    /// It cannot ask about any request.
    Broken,
}

impl Call {
    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "GrantAccess",
            Self::Revoke => "RevokeAccess",
        }
    }

    /// The statuses that a response may have.
    #[must_use]
    pub fn statuses(self) -> &'static str {
        match self {
            Self::Grant => "\"granted\", \"grant-pending\" or \"denied\"",
            Self::Revoke => "\"revoked\" or \"revoke-pending\"",
        }
    }

    /// What the controller does with `outcome`, for a request that is in `state`.
    #[must_use]
    pub fn consequence(self, outcome: &Outcome, state: Option<&RequestState>) -> Consequence {
        match outcome {
            Outcome::Hung { .. } => broken(
                "waits for ever: it has no deadline and asks about one request at a time, so no \
                 other request is handled",
            ),
            Outcome::Gone { .. } => broken(
                "fails this call and every later one: it does not start a plugin again until its \
                 pod restarts",
            ),
            Outcome::Unreadable(_) => broken(
                "cannot read the answer: this call fails, and often every later one on the same \
                 connection",
            ),
            Outcome::Response { status, .. } => match self {
                Self::Grant if state == Some(&RequestState::Granted) => still_granted(status),
                Self::Grant => granted(status),
                Self::Revoke => revoked(status),
            },
            Outcome::Error(_) => match self {
                Self::Grant => again(
                    "leaves the request as it is, logs the error, and tries again, later and later",
                ),
                Self::Revoke => {
                    again("lets the user keep the access, and tries again, later and later")
                }
            },
            Outcome::Nothing => match self {
                Self::Grant => Consequence {
                    usable: false,
                    ..again("counts no response as an error, and tries again, later and later")
                },
                Self::Revoke => removed(", without a message"),
            },
        }
    }
}

impl Outcome {
    /// Whether it is a response with a status that the controller knows.
    #[must_use]
    pub fn is_known(&self, call: Call) -> bool {
        match self {
            Self::Response { status, .. } => match call {
                Call::Grant => GrantStatus::from_name(status).is_some(),
                Call::Revoke => RevokeStatus::from_name(status).is_some(),
            },
            _ => false,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Response { status, message } if message.is_empty() => write!(f, "{status:?}"),
            Self::Response { status, message } => write!(f, "{status:?}: {}", shortened(message)),
            Self::Error(error) => write!(f, "error: {}", shortened(error)),
            Self::Nothing => f.write_str("neither a response nor an error"),
            Self::Hung { limit } => write!(f, "no answer within {limit:?}"),
            Self::Gone { status, log } => {
                match status {
                    Some(status) => write!(f, "the plugin ended ({status})")?,
                    None => f.write_str("the plugin closed the connection")?,
                }
                let log = log.as_ref().map(|line| shortened(line));
                log.map_or(Ok(()), |line| write!(f, "; its last words: {line}"))
            }
            Self::Unreadable(reason) => write!(f, "an answer that cannot be read: {reason}"),
        }
    }
}

/// One line, not too long.
pub(crate) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let kept: String = line.chars().take(LONGEST).collect();
    if kept.len() < line.len() { format!("{kept}…") } else { kept }
}

fn granted(status: &str) -> Consequence {
    let (text, next) = match GrantStatus::from_name(status) {
        Some(GrantStatus::Granted) => (
            "gives the user the role until the request expires, and shows the message".to_owned(),
            Next::Again(Some(RequestState::Granted)),
        ),
        Some(GrantStatus::Pending) => (
            "sets the request to \"requested\", shows the message, and asks again after its requeue \
             interval (3m by default)"
                .to_owned(),
            Next::Again(Some(RequestState::Requested)),
        ),
        Some(GrantStatus::Denied) => {
            ("sets the request to \"denied\" and does not ask again".to_owned(), Next::Final)
        }
        None => (
            format!("takes the unknown status {status:?} for granted: the user gets the role"),
            Next::Again(Some(RequestState::Granted)),
        ),
    };
    Consequence { text, next, usable: GrantStatus::from_name(status).is_some() }
}

fn still_granted(status: &str) -> Consequence {
    again(match GrantStatus::from_name(status) {
        Some(GrantStatus::Granted) => {
            "keeps the role as its RoleTemplate has it, and asks again at its next reconciliation"
        }
        _ => "lets the user keep the role, but does not repair it: the request is granted already",
    })
}

fn revoked(status: &str) -> Consequence {
    removed(match RevokeStatus::from_name(status) {
        Some(RevokeStatus::Revoked) => "",
        Some(RevokeStatus::Pending) => ", although the plugin says that it is not done yet",
        None => ", as with any other status",
    })
}

fn again(text: &str) -> Consequence {
    Consequence { text: text.to_owned(), next: Next::Again(None), usable: true }
}

fn broken(text: &str) -> Consequence {
    Consequence { text: text.to_owned(), next: Next::Broken, usable: false }
}

fn removed(addition: &str) -> Consequence {
    Consequence {
        text: format!("takes the role away and sets the request to \"expired\"{addition}"),
        next: Next::Final,
        usable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: &str) -> Outcome {
        Outcome::Response { status: status.to_owned(), message: String::new() }
    }

    fn grant(outcome: &Outcome, state: Option<&RequestState>) -> (bool, Next) {
        let consequence = Call::Grant.consequence(outcome, state);
        (consequence.usable, consequence.next)
    }

    #[test]
    fn an_unknown_status_gives_access_and_is_not_usable() {
        for status in ["", "approved", "GRANTED", "pending"] {
            let expected = (false, Next::Again(Some(RequestState::Granted)));
            assert_eq!(grant(&response(status), None), expected, "{status:?}");
        }
    }

    #[test]
    fn only_denied_is_final() {
        assert_eq!(grant(&response("denied"), None), (true, Next::Final));
        let requested = Next::Again(Some(RequestState::Requested));
        assert_eq!(grant(&response("grant-pending"), None), (true, requested));
        assert_eq!(grant(&Outcome::Error("no".to_owned()), None), (true, Next::Again(None)));
        assert_eq!(grant(&Outcome::Nothing, None), (false, Next::Again(None)));
    }

    #[test]
    fn a_granted_request_stays_granted() {
        for status in ["granted", "grant-pending", "denied"] {
            let granted = grant(&response(status), Some(&RequestState::Granted));
            assert_eq!(granted, (true, Next::Again(None)), "{status}");
        }
    }

    #[test]
    fn any_response_takes_the_access_away_but_an_error_does_not() {
        for outcome in
            [response("revoked"), response("revoke-pending"), response("?"), Outcome::Nothing]
        {
            assert_eq!(Call::Revoke.consequence(&outcome, None).next, Next::Final, "{outcome}");
        }
        let error = Call::Revoke.consequence(&Outcome::Error("no".to_owned()), None);
        assert_eq!(error.next, Next::Again(None));
    }

    #[test]
    fn what_is_shown_is_one_short_line() {
        let outcome = Outcome::Error(format!("a\nb{}", "ä".repeat(100)));
        assert_eq!(outcome.to_string(), format!("error: a b{}…", "ä".repeat(77)));
    }
}
