//! kube-apiserver and its etcd, as processes of the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use e2e::{Failure, Finished, Result, cache, kubectl, program, read, repository, run, write};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Process;

/// How long the API server may take until it is ready, on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who may do everything. The server is for nobody else, and listens on loopback only.
const TOKEN: &str = "administrator";

/// A Kubernetes API server on a free port of the loopback interface. Its data goes with it.
///
/// There is no other part of Kubernetes: nothing runs pods, and nothing makes what controllers make, such as a
/// namespace's default service account.
#[derive(Debug)]
pub struct ApiServer {
    // In this order they are stopped.
    server: Process,
    _etcd: Process,
    directory: TempDir,
    port: u16,
}

impl ApiServer {
    /// Starts the server, and waits until it is ready.
    pub fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path();
        let [etcd_port, peer_port, port] = free_ports()?;
        let etcd = Process::start(&mut etcd(path, etcd_port, peer_port)?, &path.join("etcd.log"))?;
        let log = path.join("kube-apiserver.log");
        let server = Process::start(&mut kube_apiserver(path, etcd_port, port)?, &log)?;
        let mut server = Self { server, _etcd: etcd, directory, port };
        server.write_kubeconfig()?;
        server.wait()?;
        Ok(server)
    }

    /// `kubectl` as the administrator of this server.
    pub fn kubectl(&self) -> Result<Command> {
        let mut command = kubectl()?;
        // Its cache is named by host and port, and the next server may get the same port.
        command.arg("--cache-dir").arg(self.directory.path().join("kubectl"));
        command.env("KUBECONFIG", self.directory.path().join("kubeconfig"));
        Ok(command)
    }

    /// Runs `kubectl` with `arguments`.
    pub fn run<const N: usize>(&self, arguments: [&str; N]) -> Result<Finished> {
        run(self.kubectl()?.args(arguments))
    }

    /// Runs `kubectl` with `arguments` and a file that holds `objects`.
    pub fn run_on<const N: usize>(
        &self,
        objects: &[Value],
        arguments: [&str; N],
    ) -> Result<Finished> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let file = write(self.directory.path(), "objects.json", &list.to_string())?;
        run(self.kubectl()?.args(arguments).arg("--filename").arg(file))
    }

    /// Makes `objects`, or makes them what is said here.
    pub fn apply(&self, objects: &[Value]) -> Result {
        self.run_on(objects, ["apply", "--server-side", "--force-conflicts"])?.success()?;
        Ok(())
    }

    /// Reads one object.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Result<Value> {
        let found = self
            .run(["get", kind, name, "--namespace", namespace, "--output", "json"])?
            .success()?;
        Ok(serde_json::from_str(&found.stdout)?)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What a client must trust: the self-signed certificate and its issuer, as PEM.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("certificates/apiserver.crt")
    }

    fn write_kubeconfig(&self) -> Result {
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {"token": TOKEN}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.port),
                "certificate-authority": self.certificate(),
            }}],
        });
        write(self.directory.path(), "kubeconfig", &config.to_string())?;
        Ok(())
    }

    fn wait(&mut self) -> Result {
        let start = Instant::now();
        loop {
            self.server.must_run()?;
            let answer = self.run(["get", "--raw", "/readyz"])?;
            if answer.code == 0 {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                let (stderr, log) = (answer.stderr, self.server.log_end());
                return Err(Failure::new(format!(
                    "the API server must be ready after {PATIENCE:?}\n{stderr}\n{log}"
                )));
            }
            sleep(Duration::from_millis(200));
        }
    }
}

fn etcd(directory: &Path, port: u16, peer_port: u16) -> Result<Command> {
    let mut command = Command::new(kubernetes("etcd")?);
    let (client, peer) =
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peer_port}"));
    command.arg("--data-dir").arg(directory.join("etcd"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}"), "--log-level", "warn"]);
    // Nobody reads the data after this run.
    command.arg("--unsafe-no-fsync");
    Ok(command)
}

fn kube_apiserver(directory: &Path, etcd_port: u16, port: u16) -> Result<Command> {
    let tokens = write(directory, "tokens.csv", &format!("{TOKEN},test,test,system:masters\n"))?;
    let key = directory.join("service-accounts.key");
    run(program("openssl")?.args(["genrsa", "-out"]).arg(&key).arg("2048"))?.success()?;
    let mut command = Command::new(kubernetes("kube-apiserver")?);
    command.arg(format!("--etcd-servers=http://127.0.0.1:{etcd_port}"));
    command.args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"]);
    command.arg(format!("--secure-port={port}"));
    // Where it puts the certificate that it makes for itself.
    command.arg("--cert-dir").arg(directory.join("certificates"));
    command.arg("--token-auth-file").arg(tokens).arg("--authorization-mode=RBAC");
    command.arg("--service-account-issuer=https://kubernetes.default.svc");
    command.arg("--service-account-key-file").arg(&key);
    command.arg("--service-account-signing-key-file").arg(&key);
    command.arg("--service-cluster-ip-range=10.0.0.0/24");
    Ok(command)
}

/// A program of the Kubernetes release that `kubernetes/go.mod` names, as `e2e/controller/setup` built it.
fn kubernetes(name: &str) -> Result<PathBuf> {
    let folder = cache()?.join("kubernetes").join(kubernetes_version()?);
    let file = folder.join(name);
    if file.is_file() {
        return Ok(file);
    }
    let file = file.display();
    Err(Failure::new(format!(
        "there is no {file}\nhint: run e2e/controller/setup, which builds it"
    )))
}

/// The Kubernetes release, for example "v1.35.4".
fn kubernetes_version() -> Result<String> {
    let modules = read(&repository().join("e2e/controller/kubernetes/go.mod"))?;
    let version = modules.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    let version = version.and_then(|version| version.split_whitespace().next());
    version.map(str::to_owned).ok_or_else(|| {
        Failure::new("e2e/controller/kubernetes/go.mod must require k8s.io/kubernetes")
    })
}

/// Ports that nothing listens on. They are taken all at once, since one alone might be given out twice.
fn free_ports() -> Result<[u16; 3]> {
    let listen = || TcpListener::bind(("127.0.0.1", 0));
    let listeners = [listen()?, listen()?, listen()?];
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(&listeners) {
        *port = listener.local_addr()?.port();
    }
    Ok(ports)
}
