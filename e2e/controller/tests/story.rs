//! The story of an access, with the real parts: upstream's installation with the plugin that the function injected,
//! its controller in a pod, an API server, and what the API says at the end.
//!
//! One version of upstream after the other, because controllers listen on the same ports. `e2e/controller/run story`
//! runs this in a network of its own, which is only the loopback interface.

#![expect(clippy::print_stdout, reason = "a run tells each step with its proof")]

use std::env;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use e2e::{Failure, Result, cache, function, installs, kubectl, read, repository, run, write};
use e2e_controller::{ApiServer, Podman, as_kubelet, pod_of};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The oldest and the newest version that the function knows.
const VERSIONS: [&str; 2] = ["v0.1.5", "v1.2.0"];

const CONTROLLER_IMAGE: &str = "localhost/controller";
const CHANGE_WINDOW_IMAGE: &str = "localhost/change-window:0.1.0";
const ECHO_IMAGE: &str = "localhost/echo:0.1.0";

/// The namespaces of upstream's installation and of Argo CD.
const SYSTEM: &str = "argocd-ephemeral-access";
const ARGOCD: &str = "argocd";

const GROUP: &str = "ephemeral-access.argoproj-labs.io/v1alpha1";
const PROJECT: &str = "shop";
/// The role that the controller makes of the template "operator" for the application "shop".
const ROLE: &str = "ephemeral-operator-argocd-shop";
const NOBODY: &[&str] = &[];

/// How long something may take, the opening of the window and the controller's growing pauses included.
const PATIENCE: Duration = Duration::from_secs(180);
const INTERVAL: Duration = Duration::from_millis(300);

/// Upstream's manifest, with an image that is there, short intervals, and Pod Security.
const KUSTOMIZATION: &str = r#"apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [install.yaml]
components: [COMPONENTS]
images:
- {name: quay.io/argoprojlabs/argocd-ephemeral-access, newName: localhost/controller, newTag: VERSION}
patches:
- target: {kind: Namespace}
  patch: |
    - op: add
      path: /metadata/labels
      value: {pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}
- target: {kind: ConfigMap, name: controller-cm}
  patch: |
    - op: add
      path: /data
      value: {controller.requeue.interval: 2s, controller.log.level: debug}
- target: {kind: Deployment, name: controller}
  patch: |
    - {op: replace, path: /spec/template/spec/containers/0/imagePullPolicy, value: IfNotPresent}
"#;

/// One more patch.
const READ_ONLY: &str = r#"- target: {kind: Deployment, name: controller}
  patch: |
    - {op: add, path: /spec/template/spec/containers/0/securityContext/readOnlyRootFilesystem, value: true}
"#;

#[test]
fn access_is_granted_in_the_window_and_revoked_at_its_end() -> Result {
    for version in VERSIONS {
        println!("\n==> {version}");
        Story::begin(version)?.tell()?;
    }
    Ok(())
}

struct Story {
    version: &'static str,
    // Podman's pods end before their API server does.
    podman: Podman,
    server: ApiServer,
    directory: TempDir,
    pods: usize,
}

impl Story {
    fn begin(version: &'static str) -> Result<Self> {
        let podman = Podman::new()?;
        let image = format!("{CONTROLLER_IMAGE}:{version}");
        podman.build(&image, &controller(version)?, "ephemeral-access", CONTROLLER)?;
        let own = example_image()?;
        podman.build(CHANGE_WINDOW_IMAGE, &plugin("change-window")?, "workspace/plugin", &own)?;
        podman.build(ECHO_IMAGE, &plugin("echo")?, "workspace/plugin", &own)?;
        let server = ApiServer::start()?;
        Ok(Self { version, podman, server, directory: tempfile::tempdir()?, pods: 0 })
    }

    fn tell(mut self) -> Result {
        self.set_up()?;
        println!("-- the example plugin, installed by an init container");
        let opening = Opening::soon();
        let pod = self.start(&change_window(&opening), "")?;
        self.install_again(&pod)?;
        self.denies_without_a_ticket(&pod)?;
        self.waits_for_the_window(&opening, &pod)?;
        self.expires(&pod)?;
        self.stop(&pod)?;

        println!("-- in its place a plugin that misbehaves on request");
        let pod = self.start(&echo(""), "")?;
        self.survives_a_panic(&pod)?;
        self.keeps_an_access_that_cannot_be_revoked(&pod)?;
        self.stop(&pod)?;

        println!("-- with `readOnlyRootFilesystem`, first without and then with `socketDir`");
        self.needs_a_place_for_its_socket()?;
        let pod = self.start(&echo("  controller: {socketDir: /run/plugin}\n"), READ_ONLY)?;
        self.grants("carol", &pod)?;
        self.stop(&pod)?;

        println!("-- from an image volume");
        let pod = self.start(&echo("  delivery: imageVolume\n"), "")?;
        self.grants("dave", &pod)?;
        self.stop(&pod)
    }

    /// Installs what is there before the plugin: upstream without it, Argo CD's kinds, an application.
    fn set_up(&self) -> Result {
        self.install("", "")?;
        self.server.apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ARGOCD}}),
            custom_resource("Application", "applications"),
            custom_resource("AppProject", "appprojects"),
        ])?;
        let all = ["wait", "--for", "condition=established", "--timeout", "60s", "crd", "--all"];
        self.server.run(all)?.success()?;
        let argocd = |kind: &str, name: &str, annotations: Value, spec: Value| {
            let metadata = json!({"name": name, "namespace": ARGOCD, "annotations": annotations});
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
        };
        let ticket = json!({"change-ticket": "CHG-1234"});
        let policy = "p, {{.role}}, applications, sync, {{.project}}/{{.application}}, allow";
        self.server.apply(&[
            argocd("AppProject", PROJECT, json!({}), json!({"roles": []})),
            argocd("Application", "shop", ticket, json!({"project": PROJECT})),
            argocd("Application", "untracked", json!({}), json!({"project": PROJECT})),
            json!({
                "apiVersion": GROUP,
                "kind": "RoleTemplate",
                "metadata": {"name": "operator", "namespace": ARGOCD},
                "spec": {"name": "operator", "description": "synchronises", "policies": [policy]},
            }),
        ])
    }

    /// Applies upstream's manifest with the function's Component in it, as `kubectl kustomize` builds it.
    fn install(&self, config: &str, patch: &str) -> Result {
        let directory = self.directory.path();
        write(directory, "install.yaml", &manifest(self.version)?)?;
        if !config.is_empty() {
            let config = write(directory, "plugin.yaml", config)?;
            let mut component = Command::new(function()?);
            component.arg("component").arg("--config").arg(config);
            run(component.arg("--output").arg(directory.join("plugin")))?.success()?;
        }
        let component = if config.is_empty() { "" } else { "plugin" };
        let kustomization = KUSTOMIZATION.replace("VERSION", self.version);
        let kustomization = kustomization.replace("COMPONENTS", component) + patch;
        write(directory, "kustomization.yaml", &kustomization)?;
        let manifest = run(kubectl()?.arg("kustomize").arg(directory))?.success()?.stdout;
        let file = write(directory, "manifest.yaml", &manifest)?;
        let mut apply = self.server.kubectl()?;
        apply.args(["apply", "--server-side", "--force-conflicts", "--filename"]).arg(file);
        let applied = run(&mut apply)?.success()?;
        if applied.stderr.is_empty() {
            return Ok(());
        }
        Err(Failure::new(format!("the API server must not warn\n{}", applied.stderr)))
    }

    /// Installs a plugin, starts the controller's pod, and returns the pod's name when the controller is ready.
    fn start(&mut self, config: &str, patch: &str) -> Result<String> {
        let pod = self.play(config, patch)?;
        self.wait("the controller must be ready", &pod, || {
            if !self.podman.runs(&format!("{pod}-controller"))? {
                return Err(self.failure("the controller must go on", &pod));
            }
            Ok(ready().then_some(()))
        })?;
        self.logs(&pod, "Calling AccessRequester plugin Init function", 1)?;
        self.ok("the controller is ready", "GET /readyz: 200");
        Ok(pod)
    }

    /// The same without waiting.
    fn play(&mut self, config: &str, patch: &str) -> Result<String> {
        self.install(config, patch)?;
        self.pods += 1;
        let name = format!("controller-{}", self.pods);
        let deployment = self.server.get("deployment", SYSTEM, "controller")?;
        let admitted = self.server.run_on(&[pod_of(&deployment, &name)?], ["create"])?.success()?;
        self.ok("admitted under Pod Security restricted", admitted.stdout.trim());
        let pod = self.server.get("pod", SYSTEM, &name)?;
        let pod = as_kubelet(pod, &self.server, &self.podman, self.directory.path())?;
        let settings = self.server.get("configmap", SYSTEM, "controller-cm")?;
        self.podman.play(&[settings, pod])?.success()?;
        Ok(name)
    }

    /// Deletes every request, which takes the users out of the role, and ends the pod.
    fn stop(&self, pod: &str) -> Result {
        let delete =
            ["delete", "accessrequests", "--all", "--namespace", ARGOCD, "--timeout", "60s"];
        self.server.run(delete)?.success()?;
        self.has_access(NOBODY, pod)?;
        self.podman.remove_pod(pod)
    }

    /// The init container works on a volume that holds the plugin already.
    fn install_again(&self, pod: &str) -> Result {
        let installer = format!("{pod}-plugin-installer");
        let code = self.podman.run_again(&installer)?;
        if code != 0 {
            let log = self.podman.logs(&installer)?;
            return Err(Failure::new(format!("a second installation ended with {code}\n{log}")));
        }
        self.ok("the init container runs again on the same volume", "exit code 0");
        Ok(())
    }

    fn denies_without_a_ticket(&self, pod: &str) -> Result {
        self.request("mallory", "untracked", "1h")?;
        let details = self.becomes("mallory", "denied", pod)?;
        expect("without a ticket", &details, "carries no change ticket")
    }

    fn waits_for_the_window(&self, opening: &Opening, pod: &str) -> Result {
        self.request("alice", "shop", "1h")?;
        let details = self.becomes("alice", "requested", pod)?;
        let hour = format!("outside of the change window (Mon-Sun {}", opening.hours());
        expect("before the window", &details, &hour)?;
        self.has_access(NOBODY, pod)?;
        if opening.has_come() {
            return Err(Failure::new(
                "the window opened before all was checked: this took too long",
            ));
        }
        println!("   … waiting for the window, {} UTC", opening.hours());
        let details = self.becomes("alice", "granted", pod)?;
        expect("in the window", &details, "granted for CHG-1234")?;
        if !opening.has_come() {
            return Err(Failure::new("access was granted before the window opened"));
        }
        self.has_access(&["alice"], pod)
    }

    fn expires(&self, pod: &str) -> Result {
        self.request("bob", "shop", "8s")?;
        self.becomes("bob", "granted", pod)?;
        self.has_access(&["alice", "bob"], pod)?;
        let details = self.becomes("bob", "expired", pod)?;
        expect("after its duration", &details, "the access has expired")?;
        self.has_access(&["alice"], pod)
    }

    fn survives_a_panic(&self, pod: &str) -> Result {
        self.request_with("mallory", "shop", "1h", "panic")?;
        self.logs(pod, "plugin panicked: asked to panic", 1)?;
        self.becomes("mallory", "initiated", pod)?;
        self.grants("alice", pod)
    }

    fn keeps_an_access_that_cannot_be_revoked(&self, pod: &str) -> Result {
        self.request("bob", "shop", "10s")?;
        self.becomes("bob", "granted", pod)?;
        self.ask("bob", "test/do=error:the ticket system is down")?;
        // Each attempt is worth two lines, so this is the second one.
        self.logs(
            pod,
            "error invoking plugin RevokeAccess function: the ticket system is down",
            3,
        )?;
        self.becomes("bob", "granted", pod)?;
        self.has_access(&["alice", "bob"], pod)?;
        self.ask("bob", "test/do-")?;
        self.becomes("bob", "expired", pod)?;
        self.has_access(&["alice"], pod)
    }

    /// A root file system that is read-only keeps a plugin from making its socket, unless it gets a place for it. The
    /// plugin's own words may come too late for the log of a controller that is about to end.
    fn needs_a_place_for_its_socket(&mut self) -> Result {
        let pod = self.play(&echo(""), READ_ONLY)?;
        self.logs(&pod, "error getting AccessRequester plugin", 1)?;
        self.wait("the controller must end without its plugin", &pod, || {
            Ok((!self.podman.runs(&format!("{pod}-controller"))?).then_some(()))
        })?;
        self.ok("a read-only root file system without `socketDir`", "the controller has ended");
        self.podman.remove_pod(&pod)
    }

    fn grants(&self, user: &str, pod: &str) -> Result {
        self.request(user, "shop", "1h")?;
        self.becomes(user, "granted", pod)?;
        self.has_access(&[user], pod)
    }

    fn request(&self, user: &str, application: &str, duration: &str) -> Result {
        self.request_with(user, application, duration, "")
    }

    /// Makes an AccessRequest of the user's name. `asked` is for the plugin `echo`.
    fn request_with(&self, user: &str, application: &str, duration: &str, asked: &str) -> Result {
        let mut subject = json!({"username": user});
        if self.version != "v0.1.5" {
            subject = json!({"username": user, "userId": user});
        }
        self.server.apply(&[json!({
            "apiVersion": GROUP,
            "kind": "AccessRequest",
            "metadata": {"name": user, "namespace": ARGOCD, "annotations": {"test/do": asked}},
            "spec": {
                "duration": duration,
                "application": {"name": application, "namespace": ARGOCD},
                "role": {
                    // Not 0: v0.1.5 leaves that out when it writes the request, and a role must not change.
                    "ordinal": 1,
                    "templateRef": {"name": "operator", "namespace": ARGOCD},
                },
                "subject": subject,
            },
        })])
    }

    fn ask(&self, user: &str, annotation: &str) -> Result {
        let command =
            ["annotate", "--overwrite", "--namespace", ARGOCD, "accessrequest", user, annotation];
        self.server.run(command)?.success()?;
        Ok(())
    }

    /// Waits until a request is in `state`, and returns the details in the last line of its history.
    fn becomes(&self, user: &str, state: &str, pod: &str) -> Result<String> {
        let details =
            self.wait(&format!("the request of {user} must become {state}"), pod, || {
                let request = self.server.get("accessrequest", ARGOCD, user)?;
                let found = request.pointer("/status/requestState").and_then(Value::as_str);
                let history = request.pointer("/status/history").and_then(Value::as_array);
                let last =
                    history.and_then(|history| history.last()).and_then(|last| last.get("details"));
                let details = last.and_then(Value::as_str).unwrap_or_default();
                Ok((found == Some(state)).then(|| details.to_owned()))
            })?;
        self.ok(&format!("the request of {user} is {state}"), &details);
        Ok(details)
    }

    /// Waits until the AppProject's role holds these users, and no others.
    fn has_access(&self, users: &[&str], pod: &str) -> Result {
        self.wait(&format!("the role must hold {users:?}"), pod, || {
            let project = self.server.get("appproject", ARGOCD, PROJECT)?;
            let roles = project.pointer("/spec/roles").and_then(Value::as_array);
            let role = roles.into_iter().flatten().find(|role| role["name"] == ROLE);
            let groups = role.and_then(|role| role.get("groups")).and_then(Value::as_array);
            let groups: Vec<_> = groups.into_iter().flatten().filter_map(Value::as_str).collect();
            Ok((groups == users).then_some(()))
        })?;
        self.ok(&format!("the role {ROLE} holds"), &format!("{users:?}"));
        Ok(())
    }

    /// Waits until `text` is in the controller's log, in so many lines.
    fn logs(&self, pod: &str, text: &str, times: usize) -> Result {
        let found =
            self.wait(&format!("the log must hold \"{text}\", {times} times"), pod, || {
                let log = self.podman.logs(&format!("{pod}-controller"))?;
                let mut found = log.lines().filter_map(|line| line.split_once(text));
                Ok(found.nth(times - 1).map(|(_, rest)| format!("{text}{rest}")))
            })?;
        self.ok("the controller's log", &found);
        Ok(())
    }

    fn wait<T>(
        &self,
        what: &str,
        pod: &str,
        mut check: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = check()? {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                return Err(self.failure(what, pod));
            }
            sleep(INTERVAL);
        }
    }

    fn ok(&self, what: &str, proof: &str) {
        println!("{} ok: {what}: {}", self.version, shortened(proof));
    }

    /// With everything that helps to find out why.
    fn failure(&self, what: &str, pod: &str) -> Failure {
        let log = self.podman.logs(&format!("{pod}-controller")).unwrap_or_default();
        let lines: Vec<_> =
            log.lines().map(|line| line.chars().take(600).collect::<String>()).collect();
        let end = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default().join("\n");
        let all = ["get", "accessrequests,appprojects", "--all-namespaces", "--output", "yaml"];
        let objects = self.server.run(all).map(|found| found.stdout).unwrap_or_default();
        Failure::new(format!(
            "{}: {what}\n{objects}\nthe end of the controller's log:\n{end}",
            self.version
        ))
    }
}

/// When the change window opens: at a full minute, late enough for what must happen before.
struct Opening(u64);

impl Opening {
    fn soon() -> Self {
        Self((seconds() + 60).next_multiple_of(60))
    }

    fn has_come(&self) -> bool {
        seconds() >= self.0
    }

    /// From then on for two hours, in UTC.
    fn hours(&self) -> String {
        let time = |at: u64| format!("{:02}:{:02}", at / 3600 % 24, at / 60 % 60);
        format!("{}-{}", time(self.0), time(self.0 + 7200))
    }
}

fn shortened(line: &str) -> String {
    line.chars().take(160).collect()
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn expect(when: &str, found: &str, text: &str) -> Result {
    if found.contains(text) {
        return Ok(());
    }
    Err(Failure::new(format!("{when}, the details must hold \"{text}\", they are \"{found}\"")))
}

/// Whether the controller says that it is ready. Its manager starts after the plugin's `Init`.
fn ready() -> bool {
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", 8082))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    answer().is_ok_and(|text| text.starts_with("HTTP/1.0 200"))
}

/// The example plugin, with a window that opens at `opening`.
fn change_window(opening: &Opening) -> String {
    format!(
        "{}  controller:\n    env:\n    - {{name: CHANGE_WINDOW_DAYS, value: Mon-Sun}}\n    \
         - {{name: CHANGE_WINDOW_HOURS, value: \"{}\"}}\n",
        config("change-window", CHANGE_WINDOW_IMAGE),
        opening.hours()
    )
}

/// A plugin that misbehaves on request, with more fields of the config.
fn echo(fields: &str) -> String {
    config("echo", ECHO_IMAGE) + fields
}

fn config(name: &str, image: &str) -> String {
    format!(
        "apiVersion: fn.ephemeral-access.dev/v1alpha1\nkind: EphemeralAccessPlugin\nmetadata: {{name: {name}}}\n\
         spec:\n  image: {image}\n  imagePullPolicy: IfNotPresent\n"
    )
}

/// The file system of upstream's image, as far as a static program needs it.
const CONTROLLER: &str = "FROM scratch
COPY rootfs/ /
USER 65532:65532
ENTRYPOINT [\"/ephemeral-access\"]
";

/// The last stage of the example's Dockerfile, with a program that is built already.
fn example_image() -> Result<String> {
    let dockerfile = read(&repository().join("examples/plugin/Dockerfile"))?;
    let stage = dockerfile.rfind("FROM scratch").and_then(|start| dockerfile.get(start..));
    let copy = "COPY --from=build /build/rootfs/ /";
    let stage = stage.filter(|stage| stage.contains(copy));
    let stage = stage.ok_or_else(|| {
        Failure::new(format!(
            "the last stage of examples/plugin/Dockerfile must be of scratch, and {copy}"
        ))
    })?;
    Ok(stage.replace(copy, "COPY rootfs/ /"))
}

/// The manifest of an upstream release.
fn manifest(version: &str) -> Result<String> {
    let file = format!("install-{version}.yaml");
    let found = installs()?.into_iter().find(|install| install.name.ends_with(&file));
    found.map(|install| install.text).ok_or_else(|| {
        Failure::new(format!(
            "there is no {file}\nhint: set EPHEMERAL_ACCESS_MANIFESTS to a folder that holds it"
        ))
    })
}

/// Upstream's controller.
fn controller(version: &str) -> Result<PathBuf> {
    let file = format!("controller-{version}");
    match env::var_os("EPHEMERAL_ACCESS_CONTROLLERS") {
        Some(folder) => existing(Path::new(&folder).join(file)),
        None => existing(cache()?.join("controller").join(file)),
    }
}

fn plugin(name: &str) -> Result<PathBuf> {
    existing(cache()?.join("controller").join(name))
}

fn existing(file: PathBuf) -> Result<PathBuf> {
    if file.is_file() {
        return Ok(file);
    }
    Err(Failure::new(format!(
        "there is no {}\nhint: run e2e/controller/setup story",
        file.display()
    )))
}

/// A CustomResourceDefinition of Argo CD with the least that a controller needs.
fn custom_resource(kind: &str, plural: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.argoproj.io")},
        "spec": {
            "group": "argoproj.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                }},
            }],
        },
    })
}
