"""What every measurement stands on: the release programs, emulated hosts, and a meter of processor time.

No measurement itself.
"""
import json
import os
import select
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
LIMIT_S = 600


def build():
    """Makes the release programs and puts them first on PATH; `BENCH_BIN=FOLDER` takes ready ones instead."""
    if ready := os.environ.get("BENCH_BIN"):
        os.environ["PATH"] = ready + os.pathsep + os.environ["PATH"]
        return
    subprocess.run(["cargo", "build", "--release", "--locked", "-p", "plush", "-p", "plush-lab"], cwd=ROOT, check=True)
    os.environ["PATH"] = os.path.join(ROOT, "target/release") + os.pathsep + os.environ["PATH"]


class Lab:
    """Emulated hosts for the time of a block."""

    labs = 0

    def __init__(self, hosts, meter=None):
        Lab.labs += 1
        self.name, self.hosts, self.meter = f"bench-{os.getpid()}-{Lab.labs}", hosts, meter

    def __enter__(self):
        up = ["plush-lab", "up", str(self.hosts), "--name", self.name]
        subprocess.run(self.meter.command(*up) if self.meter else up, check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=LIMIT_S)
        return self

    def __exit__(self, *_):
        subprocess.run(["plush-lab", "down", "--name", self.name], stdin=subprocess.DEVNULL, timeout=LIMIT_S)

    def command(self, *argv):
        return ["plush-lab", "exec", "--name", self.name, "--", *argv]

    def do(self, *argv):
        subprocess.run(["plush-lab", "--name", self.name, *argv], check=True, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=LIMIT_S)

    def seen(self, what, host):
        """What `plush-lab processes` or `plush-lab files` says of a host."""
        return json.loads(subprocess.run(["plush-lab", "--name", self.name, what, host], check=True, capture_output=True,
                                         stdin=subprocess.DEVNULL, timeout=LIMIT_S).stdout)

    def names(self):
        status = subprocess.run(["plush-lab", "--name", self.name, "status", "--json"], check=True, capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=LIMIT_S)
        return [host["name"] for host in json.loads(status.stdout)["hosts"]]


class Meter:
    """A control group: the processor time of all that was ever started in it, detached or waited for by nobody."""

    ROOTS = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"]

    def __init__(self, name):
        root = next((at for at in self.ROOTS if os.path.exists(os.path.join(at, "cgroup.controllers"))), None)
        if not root:
            sys.exit("processor time is counted with control groups (version 2), and there are none here")
        self.path = os.path.join(root, f"bench-{os.getpid()}-{name}")

    def __enter__(self):
        os.mkdir(self.path)
        return self

    def __exit__(self, *_):
        self.kill()
        self.emptied(10)
        os.rmdir(self.path)

    def command(self, *argv):
        """The same command, started in the group."""
        return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', self.path, *argv]

    def cpu_s(self):
        with open(os.path.join(self.path, "cpu.stat")) as file:
            return int(dict(line.split() for line in file)["usage_usec"]) / 1e6

    def kill(self):
        with open(os.path.join(self.path, "cgroup.kill"), "w") as file:
            file.write("1")

    def processes(self):
        with open(os.path.join(self.path, "cgroup.procs")) as file:
            return [int(line) for line in file]

    def emptied(self, limit_s):
        """Waits until the last process is gone; says whether it is."""
        with open(os.path.join(self.path, "cgroup.events")) as file:
            told = select.poll()
            told.register(file, select.POLLPRI)
            while True:
                file.seek(0)
                if "populated 0" in file.read():
                    return True
                if not told.poll(limit_s * 1000):
                    return False


def version(argv):
    """The first line of what a program says of itself."""
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = said.stdout.decode(errors="replace").splitlines()
    return lines[0].strip() if lines else ""
