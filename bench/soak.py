"""A service on emulated hosts with a fault every few seconds: is the wanted number running but for the promised times, is memory
flat, how does the journal grow.

No storm: faults come one at a time, each is given the time in which it has to be repaired.
"""
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

from lab import ROOT, Lab, build

APP = """project: soak
resources: [{{type: ssh, hosts: "h[001-{hosts:03}]"}}]
clusters:
  nodes:
    num_hosts: {{wanted: {wanted}, spare: {spare}}}
    service: {{class: service, replace_after: 1 s}}
    execution:
      - process: node
        restart: {{max: 100000 per 1 h, backoff: 100 ms .. 1 s}}
        run: |
          : {mark}
          while :; do echo "$PLUSH_INCARNATION of ${{host}}"; sleep 1; done
"""

# What is done, how often among a hundred faults, and within how many seconds the wanted number runs again.
FAULTS = {"task killed": (40, 5), "agent killed": (20, 0), "cable out for 6 s": (15, 0), "controller killed": (10, 0),
          "power off for 4 s": (15, 25), "power off for good": (0, 30)}


def processes():
    """Command line by number, of every process of this machine that says it."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read()
            if line:
                yield int(pid), line
        except OSError:
            continue


def rss_kib(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    except OSError:
        return None


def parent(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def slope(samples):
    """Least squares: of the values, per hour."""
    if len(samples) < 3:
        return 0.0
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_v = sum(v for _, v in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    return sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread * 3600 if spread else 0.0


class Soak:
    def __init__(self, lab, work, hosts, seed):
        self.lab, self.work, self.hosts = lab, work, hosts
        self.spare = max(1, hosts // 10)
        self.wanted = hosts - self.spare
        self.random = random.Random(seed)
        self.mark = f"soak-node-{os.getpid()}"
        self.runs = os.path.join(work, "runs")
        self.watching, self.gone, self.off = None, 0, {}
        self.memory, self.journal, self.short, self.counts = {}, [], [], {}

    def plush(self, *words):
        return self.lab.command("plush", *words, "--runs-dir", self.runs)

    def start(self):
        app = os.path.join(self.work, "soak.yaml")
        with open(app, "w") as file:
            file.write(APP.format(hosts=self.hosts, wanted=self.wanted, spare=self.spare, mark=self.mark))
        subprocess.run(self.plush("run", app, "-y", "-q", "--detach"), check=True, stdin=subprocess.DEVNULL, timeout=120)
        self.run = os.path.join(self.runs, os.listdir(self.runs)[0])
        limit = time.monotonic() + 120
        while self.running() < self.wanted:
            if time.monotonic() > limit:
                sys.exit(f"{self.running()} of {self.wanted} nodes came up")
            time.sleep(0.2)

    def nodes(self):
        """Live nodes by the number of their process; a node's own child on its way to another program is none."""
        found = {pid for pid, line in processes() if f": {self.mark}".encode() in line and b"plush-agent" not in line}
        return [pid for pid in found if parent(pid) not in found]

    def running(self):
        return len(self.nodes())

    def host(self):
        names = [name for name in self.lab.names() if name not in self.off]
        return self.random.choice(names)

    def controller(self):
        return next((pid for pid, line in processes() if b"\0controller\0" in line and self.run.encode() in line), None)

    def strike(self, kind):
        if kind == "task killed":
            os.kill(self.random.choice(self.nodes()), signal.SIGKILL)
        elif kind == "agent killed":
            os.kill(self.random.choice(self.agents()), signal.SIGKILL)
        elif kind == "controller killed":
            os.kill(self.controller(), signal.SIGKILL)
            if self.watching:
                self.watching.wait(30)
            self.watching = subprocess.Popen(self.plush("resume", self.run, "-q", "--json"), stdin=subprocess.DEVNULL,
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            host = self.host()
            wait = {"cable out for 6 s": 6, "power off for 4 s": 4}.get(kind)
            self.lab.do("unplug" if kind.startswith("cable") else "power-off", host)
            self.off[host] = (time.monotonic() + wait if wait else None, "plug" if kind.startswith("cable") else "boot")

    def mend(self):
        for host, (when, how) in list(self.off.items()):
            if when and when <= time.monotonic():
                self.lab.do(how, host)
                del self.off[host]

    def agents(self):
        run = os.path.basename(self.run).encode()
        return [pid for pid, line in processes() if b"\0serve\0--run\0" + run in line]

    def sample(self, now):
        controller = self.controller()
        for kind, pids in (("controller", [controller] if controller else []), ("agent", self.agents())):
            for pid in pids:
                if kib := rss_kib(pid):
                    self.memory.setdefault((kind, pid), []).append((now, kib))
        size = sum(os.path.getsize(os.path.join(self.run, name)) for name in os.listdir(self.run) if name.startswith("journal"))
        self.journal.append((now, size))

    def pick(self):
        kinds = [kind for kind in FAULTS for _ in range(FAULTS[kind][0])]
        # Each host that never returns costs a spare.
        if self.gone < self.spare and self.random.random() < 0.05:
            self.gone += 1
            return "power off for good"
        return self.random.choice(kinds)

    def play(self, minutes, every):
        began = time.monotonic()
        next_fault, next_sample, kind, struck = began + every, began, None, began
        missing_since = None
        while (now := time.monotonic()) < began + minutes * 60:
            self.mend()
            if now >= next_fault:
                kind, struck = self.pick(), now
                self.counts[kind] = self.counts.get(kind, 0) + 1
                self.strike(kind)
                next_fault += every
            running = self.running()
            if running < self.wanted and missing_since is None:
                missing_since = (now, kind)
            elif running >= self.wanted and missing_since:
                self.short.append((missing_since[1], now - missing_since[0]))
                missing_since = None
            if now >= next_sample:
                self.sample(now - began)
                next_sample += 5
            time.sleep(0.2)
        if missing_since:
            self.short.append((missing_since[1], time.monotonic() - missing_since[0]))

    def stop(self):
        self.lab_back()
        subprocess.run(self.plush("stop", self.run), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=180)
        if self.watching:
            self.watching.wait(180)
        limit = time.monotonic() + 60
        while (left := self.agents() + self.nodes()) and time.monotonic() < limit:
            time.sleep(0.5)
        return len(left)

    def lab_back(self):
        for host, (_, how) in self.off.items():
            self.lab.do(how, host)
        self.off = {}

    def tell(self, minutes, left):
        bad = [(kind, took) for kind, took in self.short if took > FAULTS[kind][1] + 1]
        print(f"{minutes} minutes, {self.wanted} of {self.hosts} hosts wanted, {sum(self.counts.values())} faults: "
              + ", ".join(f"{kind} {count}" for kind, count in sorted(self.counts.items())))
        for kind in FAULTS:
            took = sorted(t for k, t in self.short if k == kind)
            if took:
                print(f"  fewer than wanted after `{kind}`: {len(took)} times, median {took[len(took) // 2]:.1f} s, longest {took[-1]:.1f} s "
                      f"({FAULTS[kind][1]} s allowed)")
        print(f"  longer than allowed: {len(bad)} {bad if bad else ''}")
        for kind in ("controller", "agent"):
            lives = [samples for (of, _), samples in self.memory.items() if of == kind and len(samples) > 2]
            if lives:
                longest = max(lives, key=lambda s: s[-1][0] - s[0][0])
                most = max(kib for samples in lives for _, kib in samples)
                print(f"  {kind}: {len(lives)} lives, largest {most / 1024:.1f} MiB; the longest life, {longest[-1][0] - longest[0][0]:.0f} s: "
                      f"{longest[0][1] / 1024:.1f} to {longest[-1][1] / 1024:.1f} MiB, trend {slope(longest) / 1024:+.2f} MiB an hour")
        connection = sqlite3.connect(f"file:{self.run}/journal.sqlite?mode=ro", uri=True)
        recorded, kept = connection.execute("select max(number), count(*) from journal").fetchone()
        print(f"  journal: {recorded} records, {kept} of them kept, {self.journal[-1][1] / 1e6:.2f} MB, trend {slope(self.journal) / 1e6:+.2f} MB an hour, "
              f"{self.journal[-1][1] / max(1, sum(self.counts.values())) / 1e3:.1f} kB a fault")
        print(f"  left on hosts after `plush stop`: {left} processes")
        return bad or left


def soak(minutes=10, hosts=30, every=10, seed=1, kills=10):
    FAULTS["controller killed"] = (kills, FAULTS["controller killed"][1])
    build()
    with tempfile.TemporaryDirectory() as work, Lab(hosts) as lab:
        play = Soak(lab, work, hosts, seed)
        play.start()
        play.play(minutes, every)
        left = play.stop()
        if play.tell(minutes, left):
            sys.exit(1)
