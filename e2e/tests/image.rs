//! The function's image, under the flags that orchestrators run it with.

use e2e::{Failure, Result, docker, image, image_for, read, repository, run, toolchain};

const MOST_BYTES: u64 = 4_000_000;
const PROGRAM: &str = "/inject-ephemeral-access-plugin";

/// The value of a Go template over what Docker knows about `image`.
fn inspect(image: &str, template: &str) -> Result<String> {
    let inspected = run(docker()?.args(["image", "inspect", "--format", template, image]))?;
    Ok(inspected.success()?.stdout.trim().to_owned())
}

/// What a program file says about itself, read from its ELF header.
struct Elf {
    machine: u16,
    needs_a_loader: bool,
}

impl Elf {
    const X86_64: u16 = 62;
    const AARCH64: u16 = 183;
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

fn assert_small_static_program(architecture: &str, machine: u16) -> Result {
    let image = image_for(architecture)?;
    assert_eq!(inspect(&image, "{{.Os}}/{{.Architecture}}")?, format!("linux/{architecture}"));
    let bytes: u64 = inspect(&image, "{{.Size}}")?.parse()?;
    assert!(bytes <= MOST_BYTES, "{image} has {bytes} bytes, the limit is {MOST_BYTES}");

    let directory = tempfile::tempdir()?;
    let program = directory.path().join("program");
    e2e::copy_from_image(&image, architecture, PROGRAM, &program)?;
    let elf = Elf::parse(&std::fs::read(program)?)?;
    assert_eq!(elf.machine, machine);
    assert!(!elf.needs_a_loader, "an empty image has no dynamic loader");
    Ok(())
}

#[test]
fn amd64_is_small_and_static() -> Result {
    assert_small_static_program("amd64", Elf::X86_64)
}

#[test]
fn arm64_is_small_and_static() -> Result {
    assert_small_static_program("arm64", Elf::AARCH64)
}

#[test]
fn runs_under_the_flags_of_orchestrators() -> Result {
    let version = run(docker()?
        .args(["run", "--rm", "--network", "none", "--user", "nobody"])
        .args(["--security-opt=no-new-privileges", image()?, "--version"]))?
    .success()?;
    assert_eq!(
        version.stdout.trim(),
        format!("inject-ephemeral-access-plugin {}", env!("CARGO_PKG_VERSION"))
    );
    Ok(())
}

#[test]
fn is_not_root_by_default() -> Result {
    assert_eq!(inspect(image()?, "{{.Config.User}}")?, "65534:65534");
    Ok(())
}

#[test]
fn names_its_origin_in_labels() -> Result {
    let image = image()?;
    let label = |name: &str| {
        inspect(image, &format!("{{{{index .Config.Labels \"org.opencontainers.image.{name}\"}}}}"))
    };
    assert_eq!(label("title")?, "inject-ephemeral-access-plugin");
    assert_eq!(label("version")?, env!("CARGO_PKG_VERSION"));
    assert_eq!(label("licenses")?, "Apache-2.0");
    assert_eq!(label("source")?, env!("CARGO_PKG_REPOSITORY"));
    assert!(!label("description")?.is_empty());
    Ok(())
}

#[test]
fn dockerfile_names_the_toolchain_of_the_repository() -> Result {
    let dockerfile = read(&repository().join("Dockerfile"))?;
    let wanted = format!("ARG RUST_IMAGE=docker.io/library/rust:{}-slim-", toolchain()?);
    assert!(dockerfile.contains(&wanted), "the Dockerfile must say {wanted}…");
    Ok(())
}
