//! Image references, by the grammar of the OCI distribution project (`reference/regexp.go`).

/// A well-formed reference: `[host[:port]/]path[:tag][@digest]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageReference<'r> {
    path: &'r str,
    tag: Option<&'r str>,
    digest: Option<&'r str>,
}

/// Which part of a reference is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    #[error("not contain spaces")]
    Whitespace,
    #[error("name a host of letters, digits, dots and hyphens, with a port in digits")]
    Host,
    #[error("have a path of lowercase letters and digits, parted by \"/\", \".\", \"_\" or \"-\"")]
    Path,
    #[error("have a tag of at most 128 letters, digits, \"_\", \".\" and \"-\"")]
    Tag,
    #[error("have a digest such as \"sha256:\" and 64 hexadecimal digits")]
    Digest,
}

impl<'r> ImageReference<'r> {
    pub(crate) fn parse(reference: &'r str) -> Result<Self, ImageError> {
        if reference.contains(char::is_whitespace) {
            return Err(ImageError::Whitespace);
        }
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (reference, None),
        };
        let slash = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest.get(slash..).and_then(|last| last.find(':')) {
            Some(colon) => rest.split_at(slash + colon),
            None => (rest, ""),
        };
        let tag = tag.strip_prefix(':');
        let (host, path) = split_host(name);
        if !host.is_none_or(is_host) {
            return Err(ImageError::Host);
        }
        if !path.split('/').all(is_path_component) || name.len() > 255 {
            return Err(ImageError::Path);
        }
        if !tag.is_none_or(is_tag) {
            return Err(ImageError::Tag);
        }
        if !digest.is_none_or(is_digest) {
            return Err(ImageError::Digest);
        }
        Ok(Self { path, tag, digest })
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &'r str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }

    /// Whether the same reference may be another image tomorrow, and nobody would expect it not to.
    pub(crate) fn is_floating(&self) -> bool {
        self.digest.is_none() && self.tag.is_none_or(|tag| tag == "latest")
    }
}

/// The first part is a host if it cannot be a path, as container runtimes have it.
fn split_host(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((host, path))
            if host.contains(['.', ':'])
                || host == "localhost"
                || host.contains(|c: char| c.is_ascii_uppercase()) =>
        {
            (Some(host), path)
        }
        _ => (None, name),
    }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => (address, port),
            None => return false,
        },
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let port_is_good = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        });
    if host.starts_with('[') {
        return port_is_good && name.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    port_is_good && name.split('.').all(label)
}

/// Lowercase words parted by one dot, one or two underscores, or any number of hyphens.
fn is_path_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = component.split(|c: char| u8::try_from(c).is_ok_and(is_word));
    let separators_are_good = separators.filter(|part| !part.is_empty()).all(|separator| {
        matches!(separator, "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    });
    let ends_are_good = |byte: Option<u8>| byte.is_some_and(is_word);
    separators_are_good
        && ends_are_good(component.bytes().next())
        && ends_are_good(component.bytes().next_back())
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let length_is_good = match algorithm {
        "sha256" => hex.len() == 64,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    algorithm.starts_with(|c: char| c.is_ascii_alphabetic())
        && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte))
        && length_is_good
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_container_runtimes_take() {
        let digest = format!("a/b@sha256:{}", "0a".repeat(32));
        let both = format!("r.example.com/a/b:1@sha256:{}", "0a".repeat(32));
        for reference in [
            "plugin",
            "a/b",
            "localhost/a:dev",
            "r.example.com:5000/a/b-c__d.e:1.4.2",
            "Host/a",
            "[::1]:5000/a:1",
            "a:Tag_1.-",
            &digest,
            &both,
            "a---b",
            "0/1:2",
        ] {
            assert!(ImageReference::parse(reference).is_ok(), "{reference}");
        }
    }

    #[test]
    fn says_which_part_is_malformed() {
        let bad = [
            ("a b", ImageError::Whitespace),
            ("a\u{a0}b", ImageError::Whitespace),
            ("CHANGE_THIS", ImageError::Path),
            ("", ImageError::Path),
            ("a//b", ImageError::Path),
            ("a/b/", ImageError::Path),
            ("https://r.example.com/a", ImageError::Host),
            ("-r.example.com/a", ImageError::Host),
            ("r.example.com:port/a", ImageError::Host),
            ("[::g]/a", ImageError::Host),
            ("a:", ImageError::Tag),
            ("a:-1", ImageError::Tag),
            ("a:1:2", ImageError::Tag),
            ("a@sha256:12", ImageError::Digest),
            ("a@", ImageError::Digest),
            ("a..b", ImageError::Path),
            ("a_", ImageError::Path),
            ("é/a", ImageError::Path),
        ];
        for (reference, error) in bad {
            assert_eq!(ImageReference::parse(reference), Err(error), "{reference}");
        }
    }

    #[test]
    fn knows_a_fixed_version() {
        let floating = |reference| ImageReference::parse(reference).map(|r| r.is_floating());
        assert_eq!(floating("a/b"), Ok(true));
        assert_eq!(floating("r.example.com:5000/b:latest"), Ok(true));
        assert_eq!(floating("a/b:1"), Ok(false));
        assert_eq!(floating(&format!("b:latest@sha256:{}", "0".repeat(64))), Ok(false));
        assert_eq!(ImageReference::parse("r.example.com:5000/a/b:1").map(|r| r.name()), Ok("b"));
    }
}
