//! The function's image, built by the Dockerfile with a real Docker engine.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::run::program;
use crate::{Failure, Result, read, repository, run};

/// The name that the manifests and the documentation use.
pub const FUNCTION_IMAGE: &str = "localhost/inject-ephemeral-access-plugin:0.1.0";

/// Which of the two programs behind `docker build` builds the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Builder {
    Classic,
    BuildKit,
}

/// `docker`, with the engine that `e2e/setup` started or found.
pub fn docker() -> Result<Command> {
    program("docker")
}

/// Builds [`FUNCTION_IMAGE`] for this machine with the classic builder, and returns its name.
pub fn image() -> Result<&'static str> {
    build(FUNCTION_IMAGE, Builder::Classic, &[])?;
    Ok(FUNCTION_IMAGE)
}

/// Builds the image for `architecture`, as Docker spells it, and returns its name. BuildKit builds for the other
/// architecture, which the classic builder cannot.
pub fn image_for(architecture: &str) -> Result<String> {
    let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    if architecture == own {
        return image().map(str::to_owned);
    }
    let name = format!("{FUNCTION_IMAGE}-{architecture}");
    build(&name, Builder::BuildKit, &[&format!("--platform=linux/{architecture}")])?;
    Ok(name)
}

fn build(name: &str, builder: Builder, options: &[&str]) -> Result {
    // Tests run at the same time. The first to come here compiles; the engine's cache answers the others.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);

    if run(docker()?.arg("version"))?.code != 0 {
        return Err(Failure::new(
            "no Docker engine answers\nhint: run e2e/setup, which starts one",
        ));
    }
    let built = run(docker()?
        .env("DOCKER_BUILDKIT", if builder == Builder::BuildKit { "1" } else { "0" })
        .args(["build", "--network=none", "--tag", name])
        .arg(format!("--build-arg=RUST_IMAGE=localhost/rust-builder:{}", toolchain()?))
        .args(options)
        .arg(repository()))?;
    built.success().map(drop).map_err(|failure| {
        Failure::new(format!("{failure:?}\nhint: after a change of Cargo.lock, run e2e/setup"))
    })
}

/// Copies `path` out of an image for `architecture` to `target`. The image never runs, so any architecture will do.
pub fn copy_from_image(image: &str, architecture: &str, path: &str, target: &Path) -> Result {
    let platform = format!("--platform=linux/{architecture}");
    let created = run(docker()?.args(["create", "--network=none", &platform, image]))?.success()?;
    let container = created.stdout.trim();
    let copied = run(docker()?.args(["cp", &format!("{container}:{path}")]).arg(target));
    run(docker()?.args(["rm", container]))?.success()?;
    copied?.success()?;
    Ok(())
}

/// The Rust version that the repository is built with.
pub fn toolchain() -> Result<String> {
    let file = repository().join("rust-toolchain.toml");
    let text = read(&file)?;
    let channel =
        text.lines().find_map(|line| line.strip_prefix("channel = \"")?.strip_suffix('"'));
    channel
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} must name a `channel`", file.display())))
}
