//! The images that `.ci/images` builds: what they hold, and that the programs in them work on both architectures.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use e2e::{
    Failure, Image, Result, arm64, builder_image, docker, function, images, own_architecture, read,
    repository, run, run_on, toolchain, write,
};
use tempfile::TempDir;

/// What an image must be.
struct Expected {
    name: &'static str,
    program: &'static str,
    /// Files besides the program.
    others: &'static [&'static str],
    user: &'static str,
    most_bytes: u64,
}

const FUNCTION: Expected = Expected {
    name: "inject-ephemeral-access-plugin",
    program: "inject-ephemeral-access-plugin",
    others: &["etc/passwd"],
    user: "65534:65534",
    most_bytes: 4_000_000,
};

const TOOL: Expected = Expected {
    name: "eaplugin",
    program: "eaplugin",
    others: &["etc/passwd"],
    user: "65534:65534",
    most_bytes: 2_500_000,
};

const PLUGIN: Expected = Expected {
    name: "change-window",
    program: "workspace/plugin",
    others: &[],
    user: "65532:65532",
    most_bytes: 1_200_000,
};

const EVERY: [Expected; 3] = [FUNCTION, TOOL, PLUGIN];

/// Lets the example plugin grant everything that has a ticket.
const ALWAYS_OPEN: [(&str, &str); 2] =
    [("CHANGE_WINDOW_DAYS", "Mon-Sun"), ("CHANGE_WINDOW_HOURS", "00:00-24:00")];

impl Expected {
    fn image(&self, architecture: &str) -> Result<&'static Image> {
        images()?
            .iter()
            .find(|image| image.name == self.name && image.architecture == architecture)
            .ok_or_else(|| Failure::new(format!(".ci/images must build {}", self.name)))
    }

    fn unpacked(&self, architecture: &str) -> Result<Unpacked> {
        let directory = self.image(architecture)?.unpack()?;
        let program = directory.path().join(self.program);
        Ok(Unpacked { directory, program })
    }
}

/// An image's file system.
struct Unpacked {
    directory: TempDir,
    program: PathBuf,
}

/// What a program file says about itself, read from its ELF header.
struct Elf {
    machine: u16,
    needs_a_loader: bool,
}

impl Elf {
    const PT_INTERP: u64 = 3;

    fn parse(bytes: &[u8]) -> Result<Self> {
        let number = |offset: u64, width: usize| -> Result<u64> {
            let start = usize::try_from(offset)?;
            let field =
                bytes.get(start..start + width).ok_or_else(|| Failure::new("ELF: too short"))?;
            Ok(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
        };
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Err(Failure::new("must be a 64-bit little-endian ELF file"));
        }
        let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let mut needs_a_loader = false;
        for index in 0..count {
            needs_a_loader |= number(headers + index * size, 4)? == Self::PT_INTERP;
        }
        Ok(Self { machine: u16::try_from(number(18, 2)?)?, needs_a_loader })
    }
}

/// Paths of the files in `directory` that hold something. The engine adds empty ones to every container.
fn full_files(directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() && metadata.len() > 0 {
                found.push(entry.path().strip_prefix(directory)?.display().to_string());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn one_command_builds_every_image_for_both_architectures() -> Result {
    let mut built: Vec<String> =
        images()?.iter().map(|image| format!("{} {}", image.name, image.architecture)).collect();
    let mut wanted: Vec<String> = EVERY
        .iter()
        .flat_map(|image| {
            ["amd64", "arm64"].map(|architecture| format!("{} {architecture}", image.name))
        })
        .collect();
    built.sort();
    wanted.sort();
    assert_eq!(built, wanted);
    for image in images()? {
        let platform = image.inspect("{{.Os}}/{{.Architecture}}")?;
        assert_eq!(platform, format!("linux/{}", image.architecture), "{}", image.reference);
    }
    Ok(())
}

#[test]
fn each_holds_one_small_static_program() -> Result {
    for expected in &EVERY {
        for (architecture, machine) in [("amd64", 62), ("arm64", 183)] {
            let image = expected.image(architecture)?;
            let name = &image.reference;
            let bytes: u64 = image.inspect("{{.Size}}")?.parse()?;
            let most = expected.most_bytes;
            assert!(bytes <= most, "{name} has {bytes} bytes, the limit is {most}");

            let unpacked = expected.unpacked(architecture)?;
            let mut files: Vec<&str> = expected.others.to_vec();
            files.push(expected.program);
            files.sort_unstable();
            assert_eq!(full_files(unpacked.directory.path())?, files, "{name}");
            let mode = fs::metadata(&unpacked.program)?.permissions().mode();
            assert_eq!(mode & 0o7777, 0o555, "{name}");
            let elf = Elf::parse(&fs::read(&unpacked.program)?)?;
            assert_eq!(elf.machine, machine, "{name}");
            assert!(!elf.needs_a_loader, "{name}: an empty image has no dynamic loader");
        }
    }
    Ok(())
}

#[test]
fn none_is_root_by_default() -> Result {
    for expected in &EVERY {
        for architecture in ["amd64", "arm64"] {
            let image = expected.image(architecture)?;
            assert_eq!(image.inspect("{{.Config.User}}")?, expected.user, "{}", image.reference);
        }
    }
    Ok(())
}

#[test]
fn labels_name_the_origin() -> Result {
    for image in images()? {
        let label = |name: &str| {
            let name = format!("org.opencontainers.image.{name}");
            image.inspect(&format!("{{{{index .Config.Labels \"{name}\"}}}}"))
        };
        assert_eq!(label("title")?, image.name);
        assert_eq!(label("version")?, env!("CARGO_PKG_VERSION"), "{}", image.reference);
        assert_eq!(label("licenses")?, "Apache-2.0", "{}", image.reference);
        assert_eq!(label("source")?, env!("CARGO_PKG_REPOSITORY"), "{}", image.reference);
        assert!(!label("description")?.is_empty(), "{}", image.reference);
    }
    Ok(())
}

#[test]
fn dockerfiles_name_the_toolchain_of_the_repository() -> Result {
    let wanted = format!("ARG RUST_IMAGE=docker.io/library/rust:{}-slim-", toolchain()?);
    for name in ["Dockerfile", "crates/eaplugin/Dockerfile", "examples/plugin/Dockerfile"] {
        assert!(read(&repository().join(name))?.contains(&wanted), "{name} must say {wanted}…");
    }
    Ok(())
}

/// A builder image in which `cargo build` only makes the files that a Dockerfile takes.
const STUB: &str = r#"#!/bin/sh
for directory in target /build/output; do
  mkdir -p "$directory/$(cat /build/target)/release"
  for program in inject-ephemeral-access-plugin eaplugin change-window; do
    echo stub > "$directory/$(cat /build/target)/release/$program"
  done
done
"#;

#[test]
fn the_classic_builder_understands_every_dockerfile() -> Result {
    let stub = tempfile::tempdir()?;
    let cargo = write(stub.path(), "cargo", STUB)?;
    fs::set_permissions(cargo, Permissions::from_mode(0o755))?;
    let base = builder_image()?;
    let text = format!("FROM {base}\nCOPY cargo /stub/\nENV PATH=/stub:$PATH\n");
    write(stub.path(), "Dockerfile", &text)?;
    let classic = |options: &[&str]| {
        let mut build = docker()?;
        build.env("DOCKER_BUILDKIT", "0").args(["build", "--quiet", "--network=none"]);
        Ok::<_, Failure>(run(build.args(options))?.success()?.stdout.trim().to_owned())
    };
    let builder = classic(&[&stub.path().display().to_string()])?;
    let argument = format!("--build-arg=RUST_IMAGE={builder}");
    for (expected, dockerfile, directory) in [
        (FUNCTION, "Dockerfile", ""),
        (TOOL, "crates/eaplugin/Dockerfile", ""),
        (PLUGIN, "Dockerfile", "examples/plugin"),
    ] {
        let context = repository().join(directory);
        let dockerfile = context.join(dockerfile);
        let (context, dockerfile) = (context.display(), dockerfile.display());
        let built = classic(&[&argument, &format!("--file={dockerfile}"), &context.to_string()])?;
        let image = Image {
            reference: built,
            name: expected.name.to_owned(),
            architecture: own_architecture().to_owned(),
        };
        let unpacked = image.unpack()?;
        assert_eq!(read(&unpacked.path().join(expected.program))?, "stub\n", "{dockerfile}");
        assert_eq!(image.inspect("{{.Config.User}}")?, expected.user, "{dockerfile}");
    }
    Ok(())
}

/// `docker run` with the rights that a careful host gives.
fn docker_run(options: &[&str]) -> Result<std::process::Command> {
    let mut command = docker()?;
    command.args(["run", "--rm", "--interactive", "--network=none", "--cap-drop=ALL"]);
    command.args(["--security-opt=no-new-privileges"]).args(options);
    Ok(command)
}

const INJECT: [&str; 3] = ["inject", "--image", "registry.example.com/change-window:1.4.2"];

fn install() -> Result<File> {
    Ok(File::open(repository().join("testdata/install.yaml"))?)
}

/// What the function makes of the installation on this machine, without a container.
fn injected() -> Result<String> {
    let mut function = std::process::Command::new(function()?);
    let injected = run_on(function.args(INJECT), install()?)?.success()?.stdout;
    assert!(injected.contains("plugin-installer"), "{injected}");
    Ok(injected)
}

#[test]
fn the_function_runs_under_the_flags_of_orchestrators() -> Result {
    let image = FUNCTION.image(own_architecture())?;
    let flags = ["--read-only", "--user=nobody", image.reference.as_str()];
    let version = run(docker_run(&flags)?.arg("--version"))?.success()?.stdout;
    let wanted = format!("inject-ephemeral-access-plugin {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.trim(), wanted);
    let printed = run_on(docker_run(&flags)?.args(INJECT), install()?)?.success()?.stdout;
    assert_eq!(printed, injected()?);
    Ok(())
}

#[test]
fn the_function_gives_the_same_bytes_on_arm64() -> Result {
    let unpacked = FUNCTION.unpacked("arm64")?;
    let emulated = run_on(arm64(unpacked.program)?.args(INJECT), install()?)?.success()?.stdout;
    assert_eq!(emulated, injected()?);
    Ok(())
}

/// A folder that every user can write to, as an `emptyDir` is.
fn shared_folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777))?;
    Ok(folder)
}

fn mount(folder: &Path, options: &str) -> String {
    format!("--volume={}:{options}", folder.display())
}

/// Lets the example's image install the plugin twice, as after the restart of a node, and returns the volume.
fn installed() -> Result<TempDir> {
    let volume = shared_folder()?;
    let image = PLUGIN.image(own_architecture())?;
    let mounted = mount(volume.path(), "/tmp/plugin");
    for _ in 0..2 {
        let variable = "--env=PLUGIN_PATH=/workspace/plugin";
        run(&mut docker_run(&["--read-only", variable, &mounted, &image.reference])?)?.success()?;
    }
    let unpacked = PLUGIN.unpacked(own_architecture())?;
    let plugin = volume.path().join("plugin");
    assert!(fs::read(&plugin)? == fs::read(unpacked.program)?, "the copy must be the program");
    assert_eq!(fs::metadata(&plugin)?.permissions().mode() & 0o7777, 0o555);
    assert_eq!(full_files(volume.path())?, ["plugin"]);
    Ok(volume)
}

#[test]
fn the_example_installs_itself_twice_and_passes_the_check_in_the_tools_container() -> Result {
    let volume = installed()?;
    let request = "with-ticket.yaml";
    fs::copy(
        repository().join("examples/plugin/testdata").join(request),
        volume.path().join(request),
    )?;
    let image = TOOL.image(own_architecture())?;
    let variables = ALWAYS_OPEN.map(|(key, value)| format!("--env={key}={value}"));
    let check = |options: &[&str]| {
        let mut command = docker_run(options)?;
        command.args(&variables).arg(mount(volume.path(), "/work:ro")).arg(&image.reference);
        run(command.args(["check", "plugin", "--request", request]))?.success()
    };
    for options in [&[][..], &["--read-only", "--tmpfs=/tmp"], &["--user=1000:1000"]] {
        let report = check(options)?.stdout;
        assert!(
            report.contains("The controller can use it (no warnings)."),
            "{options:?}: {report}"
        );
    }
    Ok(())
}

#[test]
fn the_check_in_the_tools_container_can_fail() -> Result {
    let volume = installed()?;
    let image = TOOL.image(own_architecture())?;
    // Without its window the plugin refuses to begin.
    let mut command = docker_run(&[&mount(volume.path(), "/work:ro"), &image.reference])?;
    let report = run(command.args(["check", "plugin"]))?.failure()?.stdout;
    assert!(report.contains("`CHANGE_WINDOW_DAYS` must be set"), "{report}");
    Ok(())
}

#[test]
fn the_plugin_installs_itself_and_answers_the_tool_on_arm64() -> Result {
    let (tool, plugin) = (TOOL.unpacked("arm64")?, PLUGIN.unpacked("arm64")?);
    let volume = shared_folder()?;
    run(arm64(&plugin.program)?
        .arg("install")
        .env("PLUGIN_PATH", &plugin.program)
        .env("PLUGIN_DIR", volume.path()))?
    .success()?;
    let installed = volume.path().join("plugin");
    assert!(fs::read(&installed)? == fs::read(&plugin.program)?, "the copy must be the program");

    // Both ends are for arm64. What the tool starts needs the emulator, too.
    let emulator = arm64(&installed)?;
    let words = std::iter::once(emulator.get_program()).chain(emulator.get_args());
    let words: Vec<String> = words.map(|word| format!("'{}'", word.display())).collect();
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
    let emulated = write(volume.path(), "emulated", &script)?;
    fs::set_permissions(&emulated, Permissions::from_mode(0o755))?;
    let answer = run(arm64(&tool.program)?
        .args(["grant", "--output=json", "--request"])
        .arg(repository().join("examples/plugin/testdata/with-ticket.yaml"))
        .arg(&emulated)
        .envs(ALWAYS_OPEN))?
    .success()?;
    assert!(answer.stdout.contains("\"status\": \"granted\""), "{}", answer.stdout);
    assert!(answer.stdout.contains("granted for CHG-1234"), "{}", answer.stdout);
    Ok(())
}

#[test]
fn the_tool_makes_a_repository_on_arm64() -> Result {
    let tool = TOOL.unpacked("arm64")?;
    let version = run(arm64(&tool.program)?.arg("--version"))?.success()?.stdout;
    assert_eq!(version.trim(), format!("eaplugin {}", env!("CARGO_PKG_VERSION")));
    let folder = tempfile::tempdir()?;
    run(arm64(&tool.program)?.args(["new", "my-plugin"]).current_dir(folder.path()))?.success()?;
    let manifest = read(&folder.path().join("my-plugin/Cargo.toml"))?;
    // Where it runs, there is no checkout.
    assert!(manifest.contains("ephemeral-access-plugin = { version = \"0.1\" }"), "{manifest}");
    Ok(())
}
