//! What the controller asks about: `AccessRequest` and `Application`.
//!
//! The fields are those of upstream's `api/ephemeral-access/v1alpha1/accessrequest_types.go` and
//! `api/argoproj/v1alpha1/appproject.go`, v0.1.5 to v1.2.0. In JSON and YAML they have their
//! Kubernetes names, so that a manifest is a request.

use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A user's request for more permissions on one application, for a while.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessRequest {
    /// `ephemeral-access.argoproj-labs.io/v1alpha1`; empty as the controller sends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// `AccessRequest`; empty as the controller sends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name, namespace, labels, annotations and so on.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: AccessRequestSpec,
    /// What has become of it so far.
    pub status: AccessRequestStatus,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessRequestSpec {
    /// How long the access lasts once it is granted.
    pub duration: GoDuration,
    /// The role asked for.
    pub role: TargetRole,
    /// The application that the role is for.
    pub application: TargetApplication,
    /// Who asks.
    pub subject: Subject,
}

/// The application that a role is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetApplication {
    /// Name of the Argo CD `Application`.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The role asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRole {
    /// The `RoleTemplate` that the role is made from.
    pub template_ref: TargetRoleTemplate,
    /// Rank of the role among others; 0 by default.
    pub ordinal: i64,
    /// The role's name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
}

/// Where a `RoleTemplate` is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetRoleTemplate {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Subject {
    /// The user's name in Argo CD.
    pub username: String,
    /// The user's id in Argo CD. Controllers before v1.0.0 do not send it.
    pub user_id: Option<String>,
}

/// What has become of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessRequestStatus {
    /// Where it stands; none before the controller has first seen it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_state: Option<RequestState>,
    /// The Argo CD project that the role belongs to.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_project: String,
    /// When the access ends; none before it is granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Hash of the `RoleTemplate` that the role was made from.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_template_hash: String,
    /// Name of the role in the project.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role_name: String,
    /// What has happened, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<AccessRequestHistory>,
}

/// One step in the life of a request.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AccessRequestHistory {
    /// When.
    pub transition_time: Option<Time>,
    /// The state that the request got then.
    #[serde(rename = "status", with = "state_or_empty")]
    pub request_state: Option<RequestState>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<String>,
}

/// Where a request stands (`accessrequest_types.go`, `Status`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestState {
    /// The controller has seen it.
    Initiated,
    /// It waits: the plugin has answered pending.
    Requested,
    /// The user has the role.
    Granted,
    /// The access has ended.
    Expired,
    /// The plugin has denied it.
    Denied,
    /// It makes no sense any more, for example because the application has another project now.
    Invalid,
    /// Nothing was decided in time. From v1.1.0.
    Timeout,
    /// A state that this version of the crate does not know.
    Other(String),
}

/// The Argo CD `Application` that a request is about: what the controller knows of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Application {
    /// `argoproj.io/v1alpha1`; empty as the controller sends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// `Application`; empty as the controller sends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name, namespace, labels, annotations and so on.
    pub metadata: ObjectMeta,
    /// The one field that the controller reads.
    pub spec: ApplicationSpec,
}

/// The part of an `Application` that the controller reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApplicationSpec {
    /// The Argo CD project; empty means `default`.
    pub project: String,
}

/// A span of time in nanoseconds as Go has it: it can be negative, and it is written `4h0m0s`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(i64);

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("duration must be like \"4h\", \"1h30m\" or \"90s\", got {text:?}")]
pub struct DurationError {
    text: String,
}

impl AccessRequest {
    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }
}

impl Application {
    /// The value of an annotation.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.metadata, key)
    }
}

impl RequestState {
    /// The name in Kubernetes.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initiated => "initiated",
            Self::Requested => "requested",
            Self::Granted => "granted",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Timeout => "timeout",
            Self::Other(name) => name,
        }
    }

    /// The state of that name; none for an empty name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "" => return None,
            "initiated" => Self::Initiated,
            "requested" => Self::Requested,
            "granted" => Self::Granted,
            "expired" => Self::Expired,
            "denied" => Self::Denied,
            "invalid" => Self::Invalid,
            "timeout" => Self::Timeout,
            other => Self::Other(other.to_owned()),
        })
    }
}

impl fmt::Display for RequestState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RequestState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RequestState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom("state must not be empty"))
    }
}

/// A state that Kubernetes requires to be there: none is an empty name.
mod state_or_empty {
    use super::{Deserialize, Deserializer, RequestState, Serializer};

    pub(super) fn serialize<S: Serializer>(
        state: &Option<RequestState>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(state.as_ref().map_or("", RequestState::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<RequestState>, D::Error> {
        Ok(RequestState::from_name(&String::deserialize(deserializer)?))
    }
}

impl GoDuration {
    /// A duration of so many nanoseconds.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The duration in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// The duration as the standard library has it; none for a negative one.
    #[must_use]
    pub fn to_std(self) -> Option<std::time::Duration> {
        u64::try_from(self.0).ok().map(std::time::Duration::from_nanos)
    }
}

impl From<std::time::Duration> for GoDuration {
    /// Durations over 292 years become the longest that Go has.
    fn from(duration: std::time::Duration) -> Self {
        Self(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for GoDuration {
    /// As Go's `time.Duration.String`: `4h0m0s`, `1.5s`, `20ms`, `-1m0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let (unit, name) = match nanos {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        f.write_str(sign)?;
        let mut whole = nanos / unit;
        if name == "s" {
            let minutes = whole / 60;
            if minutes >= 60 {
                write!(f, "{}h", minutes / 60)?;
            }
            if minutes > 0 {
                write!(f, "{}m", minutes % 60)?;
            }
            whole %= 60;
        }
        write!(f, "{whole}")?;
        let width = unit.ilog10() as usize;
        let fraction = format!("{:0width$}", nanos % unit);
        let fraction = fraction.trim_end_matches('0');
        if width > 0 && !fraction.is_empty() {
            write!(f, ".{fraction}")?;
        }
        f.write_str(name)
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    /// As Go's `time.ParseDuration`: numbers with units, such as `1h30m` or `1.5h`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || DurationError { text: text.chars().take(100).collect() };
        let (negative, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self(0));
        }
        if rest.is_empty() {
            return Err(error());
        }
        let mut nanos = 0_i128;
        while !rest.is_empty() {
            let (part, after) = duration_part(rest).ok_or_else(error)?;
            nanos = nanos.checked_add(part).ok_or_else(error)?;
            rest = after;
        }
        let nanos = if negative { -nanos } else { nanos };
        i64::try_from(nanos).map(Self).map_err(|_| error())
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// One number with its unit off the front of `text`, in nanoseconds.
fn duration_part(text: &str) -> Option<(i128, &str)> {
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at_checked(digits(text))?;
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at_checked(digits(rest))?,
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (name, rest) = rest.split_at_checked(unit_len)?;
    let unit: i128 = match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let number = |digits: &str| {
        if digits.is_empty() { Some(0) } else { digits.parse().ok() }
    };
    // Digits beyond a thousandth of the smallest share of an hour do not matter.
    let fraction = fraction.get(..fraction.len().min(18))?;
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole: i128 = number(whole)?;
    let fraction: i128 = number(fraction)?;
    let nanos = whole.checked_mul(unit)?.checked_add(fraction * unit / scale)?;
    Some((nanos, rest))
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

#[cfg(feature = "kube")]
mod resource {
    use std::borrow::Cow;

    use super::{AccessRequest, Application, ObjectMeta};

    macro_rules! resource {
        ($type:ty, $group:literal, $kind:literal, $plural:literal) => {
            impl kube_core::Resource for $type {
                type DynamicType = ();
                type Scope = kube_core::NamespaceResourceScope;

                fn kind(_: &()) -> Cow<'_, str> {
                    $kind.into()
                }

                fn group(_: &()) -> Cow<'_, str> {
                    $group.into()
                }

                fn version(_: &()) -> Cow<'_, str> {
                    "v1alpha1".into()
                }

                fn plural(_: &()) -> Cow<'_, str> {
                    $plural.into()
                }

                fn meta(&self) -> &ObjectMeta {
                    &self.metadata
                }

                fn meta_mut(&mut self) -> &mut ObjectMeta {
                    &mut self.metadata
                }
            }
        };
    }

    resource!(
        AccessRequest,
        "ephemeral-access.argoproj-labs.io",
        "AccessRequest",
        "accessrequests"
    );
    resource!(Application, "argoproj.io", "Application", "applications");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let written = |nanos: i64| GoDuration(nanos).to_string();
        assert_eq!(written(0), "0s");
        assert_eq!(written(1), "1ns");
        assert_eq!(written(1_100), "1.1µs");
        assert_eq!(written(2_200_000), "2.2ms");
        assert_eq!(written(3_300_000_000), "3.3s");
        assert_eq!(written(245_000_000_000), "4m5s");
        assert_eq!(written(245_001_000_000), "4m5.001s");
        assert_eq!(written(18_367_001_000_000), "5h6m7.001s");
        assert_eq!(written(480_000_000_001), "8m0.000000001s");
        assert_eq!(written(14_400_000_000_000), "4h0m0s");
        assert_eq!(written(-60_000_000_000), "-1m0s");
        assert_eq!(written(i64::MIN), "-2562047h47m16.854775808s");
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let read = |text: &str| text.parse::<GoDuration>().ok().map(GoDuration::as_nanos);
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("4h"), Some(14_400_000_000_000));
        assert_eq!(read("1h30m"), Some(5_400_000_000_000));
        assert_eq!(read("1.5h"), Some(5_400_000_000_000));
        assert_eq!(read(".5s"), Some(500_000_000));
        assert_eq!(read("5.s"), Some(5_000_000_000));
        assert_eq!(read("-1m0s"), Some(-60_000_000_000));
        assert_eq!(read("+3us"), Some(3_000));
        assert_eq!(read("-2562047h47m16.854775808s"), Some(i64::MIN));
        for text in ["", "-", "3", "s", ".s", "1x", "1h-2m", "9999999h", "1e3s", "４h"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn every_duration_survives_the_round_trip() {
        for nanos in [1, 999, 1_001, 59_999_999_999, 3_599_999_999_999, i64::MAX, i64::MIN, -1] {
            assert_eq!(GoDuration(nanos).to_string().parse(), Ok(GoDuration(nanos)));
        }
    }
}
