//! A host that starts a plugin and does nothing more, until it is killed: for [`mod@crate::check`].

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::emit;
use crate::session::Starter;

/// The hidden subcommand.
pub(crate) const HOLD: &str = "hold-plugin";

/// A plugin that runs under such a host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Its process.
    pub(crate) pid: u32,
}

pub(crate) fn hold(plugin: &Path, timeout: Duration) -> Result<()> {
    let session = Starter::new(plugin, timeout).start(&Arc::default()).context("cannot start")?;
    let held = serde_json::to_string(&Held { pid: session.pid() })?;
    emit(&format!("{held}\n"))?;
    loop {
        thread::park();
    }
}
