"""A real cluster without nodes: etcd and kube-apiserver on loopback, and kubectl for what users do."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import yaml

from tests.kube import tools
from tidegate.demo.namespace import Namespace

ADMIN = "admin-token"
START_SECONDS = 60
PORTS = (23790, 23800, 6443)
"""Of etcd for clients and peers, and of the API server: in a network namespace nobody else has them."""
ARGUMENTS = (
    *("--authorization-mode=RBAC", "--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none"),
    *("--service-account-issuer=https://kubernetes.default.svc", "--bind-address=127.0.0.1"),
    *("--advertise-address=192.0.2.1", "--allow-privileged=true", "--profiling=false", "--v=0"),
    # There are no controllers that would make the default service account of each namespace.
    "--disable-admission-plugins=ServiceAccount",
)


@dataclass
class Cluster:
    """Lives in a network namespace of its own, or in that of a lab's node."""

    namespace: Namespace
    scratch: Path
    users: dict = field(default_factory=dict)
    """Token and groups by name, besides the administrator's."""
    processes: dict = field(default_factory=dict)
    arguments: tuple = ()

    # --- life ---

    def start(self):
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        self.start_etcd()
        self.start_server()

    def start_etcd(self):
        client, peer, _ = PORTS
        self._run(
            "etcd",
            *("--data-dir", str(self.scratch / "etcd"), "--unsafe-no-fsync", "--log-level=error"),
            *(
                "--listen-client-urls",
                f"http://127.0.0.1:{client}",
                "--advertise-client-urls",
                f"http://127.0.0.1:{client}",
            ),
            *(
                "--listen-peer-urls",
                f"http://127.0.0.1:{peer}",
                "--initial-advertise-peer-urls",
                f"http://127.0.0.1:{peer}",
            ),
            *("--initial-cluster", f"default=http://127.0.0.1:{peer}"),
        )

    def start_server(self):
        client, _, port = PORTS
        keys = self.scratch / "keys"
        self._run(
            "kube-apiserver",
            *(
                f"--etcd-servers=http://127.0.0.1:{client}",
                f"--secure-port={port}",
                f"--cert-dir={self.scratch / 'certs'}",
            ),
            *(f"--service-account-key-file={keys / 'sa.pub'}", f"--service-account-signing-key-file={keys / 'sa.key'}"),
            *(f"--token-auth-file={self.scratch / 'tokens.csv'}", *ARGUMENTS, *self.arguments),
        )
        self.until(self._is_ready, START_SECONDS, "the API server is ready")

    def compact(self):
        """Has etcd forget all history: nobody can watch from before now."""

        def call(path, body):
            with self.namespace.entered():
                raw = socket.create_connection(("127.0.0.1", PORTS[0]), timeout=30)
            connection = http.client.HTTPConnection("127.0.0.1", PORTS[0])
            with raw as connection.sock:
                connection.request("POST", path, json.dumps(body))
                return json.loads(connection.getresponse().read())

        revision = call("/v3/kv/range", {"key": "AA=="})["header"]["revision"]
        call("/v3/kv/compaction", {"revision": revision, "physical": True})

    def stop(self, *names):
        for name in names or tuple(self.processes):
            process = self.processes.pop(name, None)
            if process is not None:
                process.kill()
                process.wait()

    def _run(self, name, *arguments):
        with (self.scratch / f"{name}.log").open("ab") as log:
            self.processes[name] = self.namespace.start(
                [str(tools.directory() / name), *arguments], stdout=log, stderr=log
            )

    def _is_ready(self):
        process = self.processes["kube-apiserver"]
        assert process.poll() is None, self.log("kube-apiserver")
        if not (self.scratch / "certs" / "apiserver.crt").exists():
            return False
        self.kubeconfig()
        return self.kubectl("get", "--raw", "/readyz", check=False).returncode == 0

    def log(self, name):
        return (self.scratch / f"{name}.log").read_text()[-3000:]

    def _write_keys(self):
        keys = self.scratch / "keys"
        keys.mkdir(exist_ok=True)
        for words in (["genrsa", "-out", "sa.key", "2048"], ["rsa", "-in", "sa.key", "-pubout", "-out", "sa.pub"]):
            subprocess.run(["openssl", *words], cwd=keys, check=True, capture_output=True)
        lines = [f'{ADMIN},admin,admin,"system:masters"']
        lines += [f'{token},{name},{name},"{",".join(groups)}"' for name, (token, groups) in self.users.items()]
        (self.scratch / "tokens.csv").write_text("\n".join(lines) + "\n")

    # --- use ---

    def kubeconfig(self, token=ADMIN, file="kubeconfig"):
        """A file for whoever has the token."""
        path = self.scratch / file
        cluster = {
            "server": f"https://127.0.0.1:{PORTS[2]}",
            "certificate-authority": str(self.scratch / "certs/apiserver.crt"),
        }
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
        }
        path.write_text(json.dumps(document))
        return path

    def kubectl(self, *words, given=None, check=True, kubeconfig=None):
        config = kubeconfig or self.scratch / "kubeconfig"
        environment = {**os.environ, "HOME": str(self.scratch)}
        command = self.namespace.inside(str(tools.directory() / "kubectl"), f"--kubeconfig={config}", *words)
        done = subprocess.run(command, check=False, capture_output=True, text=True, input=given, env=environment)
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done

    def apply(self, *documents, check=True, **options):
        return self.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(documents), check=check, **options)

    def set_status(self, resource, name, namespace, status):
        """What a node says about a pod."""
        self.kubectl(
            *("patch", resource, name, "-n", namespace, "--subresource=status", "--type=merge"),
            *("-p", json.dumps({"status": status})),
        )

    def until(self, holds, seconds, what):
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}\n{self.log('kube-apiserver')}"
            time.sleep(0.1)

    def ask(self, method, path, token=ADMIN, body=None, caller=None, **query):
        """One request without the start of a program: status and document. For a caller the administrator stands in."""
        context = ssl.create_default_context(cafile=str(self.scratch / "certs/apiserver.crt"))
        with self.namespace.entered():
            raw = socket.create_connection(("127.0.0.1", PORTS[2]), timeout=30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = http.client.HTTPSConnection("127.0.0.1", PORTS[2], context=context)
        headers = [("Authorization", f"Bearer {token}"), ("Content-Type", "application/json")]
        if caller is not None:
            headers += [("Impersonate-User", caller.name)]
            headers += [("Impersonate-Group", group) for group in sorted(caller.groups)]
        content = b"" if body is None else json.dumps(body).encode()
        with context.wrap_socket(raw, server_hostname="127.0.0.1") as connection.sock:
            connection.putrequest(method, f"{path}?{urlencode(query)}" if query else path)
            for name, value in (*headers, ("Content-Length", str(len(content)))):
                connection.putheader(name, value)
            connection.endheaders(content)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")


@contextmanager
def running(scratch, namespace=None, users=None, arguments=()):
    """A cluster until the end of the block."""
    with ExitStack() as stack:
        if namespace is None:
            namespace = Namespace.create("cluster")
            stack.callback(namespace.delete)
        cluster = Cluster(namespace, Path(scratch), users or {}, arguments=arguments)
        stack.callback(cluster.stop)
        cluster.start()
        yield cluster
