//! The function under kpt, which writes the user's own files.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::{
    Finished, Install, Result, added_lines, files, function, image, installs, kpt, read, run,
    same_files, write,
};
use tempfile::TempDir;

const CONFIG: &str = "\
apiVersion: fn.ephemeral-access.dev/v1alpha1
kind: EphemeralAccessPlugin
metadata:
  name: change-window
spec:
  image: registry.example.com/change-window:1.4.2 # The plugin's image.
";

const KPTFILE: &str = "\
apiVersion: kpt.dev/v1
kind: Kptfile
metadata:
  name: ephemeral-access
  annotations:
    config.kubernetes.io/local-config: \"true\"
";

/// A kpt package with an installation in it.
struct Package {
    directory: TempDir,
    /// The installation as kpt itself writes it: kpt's own changes are not the function's.
    install: String,
}

impl Package {
    fn new(install: &Install, pipeline: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let package = Self { directory, install: String::new() };
        write(&package.root(), "Kptfile", &format!("{KPTFILE}{pipeline}"))?;
        write(&package.root(), "install.yaml", &install.text)?;
        package.eval(|kpt| kpt.args(["--exec", "cat"]))?.success()?;
        let install = read(&package.root().join("install.yaml"))?;
        Ok(Self { install, ..package })
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("package")
    }

    /// A functionConfig outside the package, with `more` lines under `spec`.
    fn config(&self, more: &str) -> Result<PathBuf> {
        write(self.directory.path(), "plugin.yaml", &format!("{CONFIG}{more}"))
    }

    fn eval(&self, options: impl FnOnce(&mut Command) -> &mut Command) -> Result<Finished> {
        run(options(kpt()?.args(["fn", "eval", "--truncate-output=false"]).arg(self.root())))
    }

    fn eval_program(&self, config: &Path) -> Result<Finished> {
        let function = function()?;
        self.eval(|kpt| kpt.arg("--exec").arg(function).arg("--fn-config").arg(config))
    }

    /// The lines that were added to the installation, which must be all that happened to it.
    fn added(&self) -> Result<Vec<String>> {
        let written = read(&self.root().join("install.yaml"))?;
        Ok(added_lines(&self.install, &written)?.into_iter().map(str::to_owned).collect())
    }
}

fn assert_is_the_plugin(added: &[String], install: &Install) {
    let added: Vec<&str> = added.iter().map(|line| line.trim().trim_start_matches("- ")).collect();
    for line in [
        "name: plugin-installer",
        "image: registry.example.com/change-window:1.4.2",
        "name: EPHEMERAL_PLUGIN_PATH",
        "value: /tmp/plugin/plugin",
        "emptyDir: {}",
    ] {
        assert!(
            added.contains(&line),
            "{}: {line:?} must be added, added: {added:#?}",
            install.name
        );
    }
}

#[test]
fn eval_of_the_program_only_adds_lines() -> Result {
    for install in installs()? {
        let package = Package::new(&install, "")?;
        let finished = package.eval_program(&package.config("")?)?.success()?;
        assert!(
            finished.stderr.contains("argocd-ephemeral-access/controller"),
            "{}",
            finished.stderr
        );
        assert_is_the_plugin(&package.added()?, &install);
    }
    Ok(())
}

#[test]
fn eval_twice_writes_the_same_bytes() -> Result {
    for install in installs()? {
        let package = Package::new(&install, "")?;
        let config = package.config("")?;
        package.eval_program(&config)?.success()?;
        let first = files(&package.root())?;
        package.eval_program(&config)?.success()?;
        same_files(&install.name, &first, &files(&package.root())?)?;
    }
    Ok(())
}

#[test]
fn state_absent_brings_the_files_back() -> Result {
    for install in installs()? {
        let package = Package::new(&install, "")?;
        let before = files(&package.root())?;
        package.eval_program(&package.config("")?)?.success()?;
        assert_ne!(before, files(&package.root())?);
        package.eval_program(&package.config("  state: absent\n")?)?.success()?;
        same_files(&install.name, &before, &files(&package.root())?)?;
    }
    Ok(())
}

#[test]
fn eval_of_the_image_does_what_the_program_does() -> Result {
    let image = image()?;
    for install in installs()? {
        let by_image = Package::new(&install, "")?;
        let config = by_image.config("")?;
        by_image
            .eval(|kpt| kpt.args(["--image", image]).arg("--fn-config").arg(config))?
            .success()?;
        let by_program = Package::new(&install, "")?;
        by_program.eval_program(&by_program.config("")?)?.success()?;
        same_files(&install.name, &files(&by_image.root())?, &files(&by_program.root())?)?;
    }
    Ok(())
}

#[test]
fn eval_takes_arguments_in_place_of_a_config() -> Result {
    let image = image()?;
    for install in installs()? {
        let package = Package::new(&install, "")?;
        let before = files(&package.root())?;
        let argument = "image=registry.example.com/change-window:1.4.2";
        package.eval(|kpt| kpt.args(["--image", image, "--", argument]))?.success()?;
        assert_is_the_plugin(&package.added()?, &install);
        package.eval(|kpt| kpt.args(["--image", image, "--", "state=absent"]))?.success()?;
        same_files(&install.name, &before, &files(&package.root())?)?;
    }
    Ok(())
}

#[test]
fn render_runs_the_pipeline_of_the_package() -> Result {
    let pipeline =
        format!("pipeline:\n  mutators:\n  - image: {}\n    configPath: plugin.yaml\n", image()?);
    for install in installs()? {
        let package = Package::new(&install, &pipeline)?;
        write(&package.root(), "plugin.yaml", CONFIG)?;
        let before = files(&package.root())?;
        run(kpt()?.args(["fn", "render"]).arg(package.root()))?.success()?;
        assert_is_the_plugin(&package.added()?, &install);

        let rendered = files(&package.root())?;
        for (name, text) in before.iter().filter(|(name, _)| *name != "install.yaml") {
            assert_eq!(rendered.get(name), Some(text), "{name} must stay as it was");
        }
        run(kpt()?.args(["fn", "render"]).arg(package.root()))?.success()?;
        same_files(&install.name, &rendered, &files(&package.root())?)?;
    }
    Ok(())
}

#[test]
fn a_refused_config_leaves_every_file_and_shows_the_result() -> Result {
    for install in installs()? {
        let package = Package::new(&install, "")?;
        let before = files(&package.root())?;
        let config = package.config("  imagePullPolciy: Always\n")?;
        let refused = package.eval_program(&config)?.failure()?;
        same_files(&install.name, &before, &files(&package.root())?)?;
        for part in ["[error]", "imagePullPolciy", "imagePullPolicy"] {
            assert!(refused.stderr.contains(part), "{part:?} must be in:\n{}", refused.stderr);
        }
    }
    Ok(())
}

#[test]
fn a_config_without_an_image_leaves_every_file() -> Result {
    let function = function()?;
    for install in installs()? {
        let package = Package::new(&install, "")?;
        let before = files(&package.root())?;
        let refused = package.eval(|kpt| kpt.arg("--exec").arg(function))?.failure()?;
        same_files(&install.name, &before, &files(&package.root())?)?;
        assert!(refused.stderr.contains("image"), "{}", refused.stderr);
    }
    Ok(())
}

#[test]
fn doc_shows_the_help_of_the_image() -> Result {
    let help = run(Command::new(function()?).arg("--help"))?.success()?.stdout;
    let shown = run(kpt()?.args(["fn", "doc", "--image", image()?]))?.success()?.stdout;
    assert!(shown.contains(help.trim()), "{shown}");
    assert!(help.contains("EphemeralAccessPlugin"), "{help}");
    Ok(())
}
