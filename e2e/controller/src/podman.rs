//! Podman, which runs pods without a cluster.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use e2e::{Failure, Finished, Result, program, run, write};
use serde_json::Value;
use tempfile::TempDir;

/// runc runs where cgroups of both versions are mounted, which crun does not. The limits are low because raising them
/// needs a right that containers around this test often lack.
const CONFIGURATION: &str = r#"[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"#;

/// Podman with a storage of its own, which goes with this value: pods, images and volumes.
#[derive(Debug)]
pub struct Podman {
    directory: TempDir,
}

impl Podman {
    /// An empty storage.
    pub fn new() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        write(directory.path(), "containers.conf", CONFIGURATION)?;
        Ok(Self { directory })
    }

    /// Runs `podman` with `arguments`.
    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> Result<Finished> {
        let path = self.directory.path();
        let mut command = program("podman")?;
        command.env("CONTAINERS_CONF", path.join("containers.conf"));
        for (option, folder) in [("--root", "images"), ("--runroot", "run"), ("--tmpdir", "state")]
        {
            command.arg(option).arg(path.join(folder));
        }
        // `kube play` takes a folder with an image's name for the image's sources.
        run(command.args(arguments).current_dir(path))
    }

    /// Makes `image` of a file system that holds `program` at `path`, and of the lines that `containerfile` has after
    /// the copying.
    pub fn build(&self, image: &str, program: &Path, path: &str, containerfile: &str) -> Result {
        let context = tempfile::tempdir_in(self.directory.path())?;
        let target = context.path().join("rootfs").join(path);
        fs::create_dir_all(target.parent().unwrap_or(&target))?;
        fs::copy(program, &target)?;
        fs::set_permissions(&target, Permissions::from_mode(0o555))?;
        // Upstream's base image has it, too.
        let temporary = context.path().join("rootfs/tmp");
        fs::create_dir(&temporary)?;
        fs::set_permissions(&temporary, Permissions::from_mode(0o1777))?;
        write(context.path(), "Containerfile", containerfile)?;
        let context = context.path().to_string_lossy();
        self.run(["build", "--quiet", "--tag", image, &context])?.success()?;
        Ok(())
    }

    /// Where the files of `image` are, for as long as this value lives.
    pub fn mount(&self, image: &str) -> Result<PathBuf> {
        let mounted = self.run(["image", "mount", image])?.success()?;
        Ok(PathBuf::from(mounted.stdout.trim()))
    }

    /// Starts the pod in `documents`, as `podman kube play` does.
    pub fn play(&self, documents: &[Value]) -> Result<Finished> {
        let text: Vec<_> = documents.iter().map(Value::to_string).collect();
        let file = write(self.directory.path(), "pod.yaml", &text.join("\n---\n"))?;
        let file = file.to_string_lossy();
        self.run(["kube", "play", "--log-driver", "k8s-file", &file])
    }

    /// Everything that a container wrote.
    pub fn logs(&self, container: &str) -> Result<String> {
        let Finished { stdout, stderr, .. } = self.run(["logs", container])?.success()?;
        Ok(stdout + &stderr)
    }

    /// Whether a container runs.
    pub fn runs(&self, container: &str) -> Result<bool> {
        let state = self.run(["inspect", "--format", "{{.State.Status}}", container])?.success()?;
        Ok(state.stdout.trim() == "running")
    }

    /// Runs a container that has ended once more, in the same pod with the same volumes, and returns its exit code.
    pub fn run_again(&self, container: &str) -> Result<i32> {
        let code = self.run(["start", "--attach", container])?.code;
        let last =
            self.run(["inspect", "--format", "{{.State.ExitCode}}", container])?.success()?;
        if last.stdout.trim() == code.to_string() {
            Ok(code)
        } else {
            Err(Failure::new(format!("{container} ended with {}, not {code}", last.stdout.trim())))
        }
    }

    /// Ends a pod, and removes it with its volumes.
    pub fn remove_pod(&self, pod: &str) -> Result {
        self.run(["pod", "rm", "--force", "--time", "5", pod])?.success()?;
        self.run(["volume", "prune", "--force"])?.success()?;
        Ok(())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Mounts must go before the folder can; what cannot be removed here is left for the next reboot.
        let _ = self.run(["pod", "rm", "--all", "--force", "--time", "1"]);
        let _ = self.run(["image", "unmount", "--all", "--force"]);
        let _ = self.run(["image", "rm", "--all", "--force"]);
        let _ = self.run(["volume", "prune", "--force"]);
    }
}
