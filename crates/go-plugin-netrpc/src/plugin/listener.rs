//! The unix socket on which a plugin listens.

use std::collections::hash_map::RandomState;
use std::env;
use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::process::umask;

use super::serve::ServeError;
use crate::handshake::{ENV_UNIX_SOCKET_DIR, MAX_SOCKET_PATH};

/// Names to try before giving up on a directory.
const ATTEMPTS: u32 = 16;

/// A listening socket; dropping it removes the file.
#[derive(Debug)]
pub(super) struct Listener {
    listener: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens on a new socket that only this user can connect to.
    pub(super) fn bind() -> Result<Self, ServeError> {
        let directory = socket_directory(env::var_os(ENV_UNIX_SOCKET_DIR), env::var_os("TMPDIR"));
        let mut attempts = 0;
        loop {
            attempts += 1;
            let path = directory.join(format!("plugin{:016x}", random()));
            let length = path.as_os_str().as_bytes().len();
            if length > MAX_SOCKET_PATH {
                return Err(ServeError::PathTooLong { path, length });
            }
            match bind_private(&path) {
                Ok(listener) => return Ok(Self { listener, path }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && attempts < ATTEMPTS => {}
                Err(source) => return Err(ServeError::Listen { path, source }),
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn socket(&self) -> &UnixListener {
        &self.listener
    }

    /// The next connection that is waiting, if any.
    pub(super) fn accept(&self) -> io::Result<Option<UnixStream>> {
        match self.listener.accept() {
            Ok((socket, _)) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Somebody else has removed it: as good.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The directory that the environment asks for, as Go's `os.CreateTemp` would take it: an empty
/// value is no value.
fn socket_directory(asked: Option<OsString>, temporary: Option<OsString>) -> PathBuf {
    let given = |value: Option<OsString>| value.filter(|value| !value.is_empty());
    given(asked).or(given(temporary)).map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

/// Binds with mode 0600 from the start: with `chmod` afterwards, others could connect in between.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let previous = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(path);
    umask(previous);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Random enough for a name that is taken only once: the keys of a hash map are.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_directory_is_none() {
        let directory = |asked: Option<&str>, temporary: Option<&str>| {
            socket_directory(asked.map(OsString::from), temporary.map(OsString::from))
        };
        assert_eq!(directory(Some("/run/p"), Some("/var/tmp")), Path::new("/run/p"));
        assert_eq!(directory(Some(""), Some("/var/tmp")), Path::new("/var/tmp"));
        assert_eq!(directory(Some(""), Some("")), Path::new("/tmp"));
        assert_eq!(directory(None, None), Path::new("/tmp"));
    }
}
