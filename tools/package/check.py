#!/usr/bin/env python3
"""check.py [DIR]: tries the package as it would be used. DIR holds what publish.sh made; without it, it is made first.

The unit's own command line starts the single-file node, without .NET in its environment and, if this is run by root, as nobody;
vault-admin, the other file, works with it; it says to a service manager that it is ready and that it stops; it ends with 0 and
comes back with what it had. The commands of compose.yaml, with addresses of this machine, make a vault of three nodes. The unit
pleases systemd-analyze, where that is installed. Needs python3-yaml. Exit code 0: all of it holds.
"""
import configparser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT = 60  # seconds for any one step, on a busy machine

nodes = []


def as_nobody():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)


def start(command, environment):
    """Starts a node; returns it with the line that says it is ready."""
    node = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, preexec_fn=as_nobody)
    nodes.append(node)
    line = node.stdout.readline()
    assert line.startswith("EventVault ready"), f"{command} did not begin to serve; exit code {node.poll()}"
    return node, line


def stop(node):
    node.send_signal(signal.SIGTERM)
    assert node.wait(LIMIT) == 0, f"a stop ended with {node.returncode}"


def admin(package, endpoint, *arguments, code=0, environment={}):
    command = [f"{package}/vault-admin", *arguments] + (["--endpoint", endpoint] if endpoint else [])
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == code, f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


def free_port(taken=set()):
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        if port not in taken:
            taken.add(port)
            return port


def read_unit():
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(f"{HERE}/eventvault.service")
    return unit["Service"]


def check_unit(package, folder):
    service = read_unit()
    shutil.copy(f"{HERE}/eventvault.json", folder)
    state = f"{folder}/{service['StateDirectory']}"
    os.mkdir(state)
    if os.geteuid() == 0:
        os.chown(state, 65534, 65534)
    command = [
        part.replace("/usr/local/bin", package).replace("/etc/eventvault", folder).replace("/var/lib/eventvault", state)
        for part in service["ExecStart"].split()
    ]
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(LIMIT)
    manager.bind(f"\0eventvault-check-{os.getpid()}")
    # The ports of the settings file may be taken here; variables come before it.
    password = f"{folder}/admin.password"
    admin(package, "", "users", "init", password)
    if os.geteuid() == 0:
        os.chown(password, 65534, 65534)
    environment = {
        "NOTIFY_SOCKET": f"@eventvault-check-{os.getpid()}", "EVENTVAULT_PORT": "0", "EVENTVAULT_HTTP_PORT": "0", "EVENTVAULT_ADMIN_PASSWORD_FILE": password,
    }
    credentials = {"EVENTVAULT_USER": "admin", "EVENTVAULT_PASSWORD_FILE": password}
    for expected in ([], ["order-1"]):
        node, line = start(command, environment)
        assert manager.recv(100) == b"READY=1"
        rpc, http = re.match(r"EventVault ready: gRPC (\S+), HTTP (\S+),", line).groups()
        admin(package, "", "health", "--http", f"http://{http}")
        streams = [json.loads(s)["stream"] for s in admin(package, f"http://{rpc}", "streams", "ls", "--json", environment=credentials).splitlines()]
        assert streams == expected, streams
        admin(package, f"http://{rpc}", "append", "order-1", "--type", "OrderPlaced", "--data", '{"total":9.80}', environment=credentials)
        stop(node)
        assert manager.recv(100) == b"STOPPING=1"
    print("unit: its command line starts the node, is told so, stops it, and has what was written")


def check_compose(package, folder):
    with open(f"{HERE}/compose.yaml", encoding="utf-8") as file:
        services = yaml.safe_load(file)["services"]
    addresses = {}  # What stands in the file: what stands for it here.

    def here(text):
        return re.sub(r"(node\d):(\d+)", lambda m: "127.0.0.1:%d" % addresses.setdefault(m[0], free_port()), text)

    members = {name: service for name, service in services.items() if name.startswith("node")}
    assert len(members) == 3
    for name, service in members.items():
        data = f"{folder}/{name}"
        os.mkdir(data)
        if os.geteuid() == 0:
            os.chown(data, 65534, 65534)
        command = [here(part).replace("0.0.0.0", "127.0.0.1") for part in service["command"]]
        port = command[command.index("--advertise") + 1].split(":")[1]
        peers = command.index("--peer-port") + 1
        command[peers] = command[command.index("--peer-advertise") + 1].split(":")[1]
        start([f"{package}/eventvault", *command], {"EVENTVAULT_DATA": data, "EVENTVAULT_PORT": port, "EVENTVAULT_HTTP_PORT": "0", "EVENTVAULT_LOG_LEVEL": "warning"})
    init = [here(part) for part in services["init"]["command"]]
    for _ in range(2):  # As at each start of the services.
        admin(package, "", *init)
    endpoint = "http://" + init[-1]
    admin(package, endpoint, "append", "order-1", "--type", "OrderPlaced", "--data", "{}", "--expected", "no-stream")
    status = json.loads(admin(package, endpoint, "cluster", "status", "--json"))
    assert len(status["nodes"]) == 3, status
    for node in nodes[-3:]:
        stop(node)
    print("compose: its commands make a vault of three nodes")


def check_systemd(package, folder):
    if not shutil.which("systemd-analyze") and os.environ.get("CI") != "true":
        print("unit: systemd-analyze is not installed, so nobody has checked its syntax")
        return
    with open(f"{HERE}/eventvault.service", encoding="utf-8") as file:
        text = file.read().replace("/usr/local/bin/eventvault", f"{package}/eventvault")
    path = f"{folder}/eventvault.service"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, timeout=LIMIT)
    about_it = [line for line in done.stderr.splitlines() if "eventvault" in line]
    assert not about_it, "\n".join(about_it)
    print("unit: systemd-analyze finds nothing wrong")


def main():
    with tempfile.TemporaryDirectory(prefix="eventvault-package-") as folder:
        os.chmod(folder, 0o755)
        package = sys.argv[1] if len(sys.argv) > 1 else f"{folder}/package"
        if len(sys.argv) == 1:
            subprocess.run([f"{HERE}/publish.sh", package], check=True)
        package = os.path.abspath(package)
        try:
            check_unit(package, folder)
            check_compose(package, folder)
            check_systemd(package, folder)
        finally:
            for node in nodes:
                if node.poll() is None:
                    node.kill()
                    node.wait()


if __name__ == "__main__":
    main()
