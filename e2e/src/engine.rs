//! The images, built with a real Docker engine.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

use tempfile::TempDir;

use crate::run::program;
use crate::{Failure, Result, read, repository, run};

/// The function's name in the manifests and in the documentation.
pub const FUNCTION_IMAGE: &str = "localhost/inject-ephemeral-access-plugin:0.1.0";

/// An image that `.ci/images` has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The reference under which the engine knows it.
    pub reference: String,
    /// Its name without registry, version and architecture.
    pub name: String,
    /// The architecture, as Docker spells it.
    pub architecture: String,
}

/// `docker`, with the engine that `e2e/setup` started or found.
pub fn docker() -> Result<Command> {
    program("docker")
}

/// This machine's architecture, as Docker spells it.
pub fn own_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Builds [`FUNCTION_IMAGE`] for this machine, and returns its name.
pub fn image() -> Result<&'static str> {
    let _turn = turn();
    need_engine()?;
    built(
        docker()?
            // As `.ci/images` does it, so that the function is compiled once for both.
            .env("DOCKER_BUILDKIT", "1")
            .args(["build", "--tag", FUNCTION_IMAGE])
            .args(build_options()?)
            .arg(repository()),
    )?;
    Ok(FUNCTION_IMAGE)
}

/// Builds every image for every architecture with `.ci/images`.
pub fn images() -> Result<&'static [Image]> {
    static IMAGES: OnceLock<Result<Vec<Image>>> = OnceLock::new();
    match IMAGES.get_or_init(build_images) {
        Ok(images) => Ok(images),
        Err(failure) => Err(Failure::new(format!("{failure:?}"))),
    }
}

fn build_images() -> Result<Vec<Image>> {
    let _turn = turn();
    need_engine()?;
    let mut script = Command::new(repository().join(".ci/images"));
    for (key, value) in docker()?.get_envs() {
        script.env(key, value.unwrap_or_default());
    }
    built(script.args(build_options()?))?.lines().map(Image::parse).collect()
}

impl Image {
    /// Reads a line that `.ci/images` prints, such as `localhost/eaplugin:0.1.0-arm64 linux/arm64 2.20 MB`.
    fn parse(line: &str) -> Result<Self> {
        let parsed = line.split_once(' ').and_then(|(reference, rest)| {
            let (name, tag) = reference.strip_prefix("localhost/")?.split_once(':')?;
            let architecture = tag.rsplit_once('-')?.1;
            rest.starts_with(&format!("linux/{architecture} ")).then(|| Self {
                reference: reference.to_owned(),
                name: name.to_owned(),
                architecture: architecture.to_owned(),
            })
        });
        parsed.ok_or_else(|| Failure::new(format!(".ci/images must list images, not {line:?}")))
    }

    /// The value of a Go template over what Docker knows about it.
    pub fn inspect(&self, template: &str) -> Result<String> {
        let inspected =
            run(docker()?.args(["image", "inspect", "--format", template, &self.reference]))?;
        Ok(inspected.success()?.stdout.trim().to_owned())
    }

    /// Copies its file system to a folder. It does not run, so any architecture will do.
    pub fn unpack(&self) -> Result<TempDir> {
        let directory = tempfile::tempdir()?;
        let archive = directory.path().join("image.tar");
        let platform = format!("--platform=linux/{}", self.architecture);
        let created =
            run(docker()?.args(["create", "--network=none", &platform, &self.reference]))?
                .success()?;
        let container = created.stdout.trim();
        let exported = run(docker()?.args(["export", container, "--output"]).arg(&archive));
        run(docker()?.args(["rm", container]))?.success()?;
        exported?.success()?;
        run(program("tar")?
            .arg("--extract")
            .arg("--file")
            .arg(&archive)
            .arg("--directory")
            .arg(directory.path()))?
        .success()?;
        std::fs::remove_file(archive)?;
        Ok(directory)
    }
}

/// Tests run at the same time. The first to come here compiles; the engine's cache answers the others.
fn turn() -> impl Drop {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn need_engine() -> Result {
    if run(docker()?.arg("version"))?.code == 0 {
        return Ok(());
    }
    Err(Failure::new("no Docker engine answers\nhint: run e2e/setup, which starts one"))
}

/// Without a network and a registry.
fn build_options() -> Result<[String; 2]> {
    Ok(["--network=none".to_owned(), format!("--build-arg=RUST_IMAGE={}", builder_image()?)])
}

/// The image that `e2e/setup` has made for the builder stages.
pub fn builder_image() -> Result<String> {
    Ok(format!("localhost/rust-builder:{}", toolchain()?))
}

fn built(build: &mut Command) -> Result<String> {
    let built = run(build)?.success().map_err(|failure| {
        Failure::new(format!("{failure:?}\nhint: after a change of a Cargo.lock, run e2e/setup"))
    })?;
    Ok(built.stdout)
}

/// `qemu-aarch64-static` with the arm64 program `file`, as it would run on such a machine.
pub fn arm64(file: impl Into<PathBuf>) -> Result<Command> {
    let mut emulator = program("qemu-aarch64-static")?;
    emulator.arg(file.into());
    Ok(emulator)
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
