"""One command on every host by Plush and by its peers, interleaved: wall time and processor time, side by side.

Not what they do when something fails: see `faults.py`.
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import lab as labs
from lab import LIMIT_S, Lab, Meter

SAID = "here-i-am"
COMMAND = f"echo {SAID}"
# The same number of connections in flight for everybody who takes one; Plush finds its own.
FANOUT = "64"
BASE, FLOOR = "plush, agent sent", "ssh, 64 at a time"


@dataclass
class Contender:
    argv: list
    program: str
    version: list
    env: dict = field(default_factory=dict)
    # What is run before and after, and not counted.
    before: list = None
    after: list = None
    wall_s: list = field(default_factory=list)
    cpu_s: list = field(default_factory=list)
    servers_s: list = field(default_factory=list)


def contenders(names, work):
    listing, app = os.path.join(work, "hosts"), os.path.join(work, "app.yaml")
    with open(listing, "w") as file:
        file.write("\n".join(names) + "\n")
    folded = subprocess.run(["plush", "hosts", "fold", *names], check=True, capture_output=True,
                            stdin=subprocess.DEVNULL).stdout.decode().strip()
    with open(app, "w") as file:
        file.write(f"project: bench\nhosts: {folded}\nrun: {COMMAND}\n")
    plush = ["plush", "run", app, "--runs-dir", os.path.join(work, "runs"), "-y", "--keep"]
    version = ["plush", "--version"]
    return {
        BASE: Contender(plush + ["nothing"], "plush", version),
        "plush, agent there": Contender(plush + ["cache"], "plush", version, before=plush + ["cache"], after=plush + ["nothing"]),
        "clush": Contender(["clush", "-f", FANOUT, "-w", folded, COMMAND], "clush", ["clush", "--version"]),
        "pdsh": Contender(["pdsh", "-f", FANOUT, "-w", folded, COMMAND], "pdsh", ["pdsh", "-V"], {"PDSH_RCMD_TYPE": "ssh"}),
        "pssh": Contender(["parallel-ssh", "-p", FANOUT, "-i", "-h", listing, COMMAND], "parallel-ssh", ["parallel-ssh", "--version"]),
        "parallel": Contender(["parallel", "--will-cite", "-j", FANOUT, "-a", listing, "ssh", "{}", COMMAND], "parallel", ["parallel", "--version"]),
        "ansible": Contender(["ansible", "all", "-f", FANOUT, "-i", listing, "-m", "raw", "-a", COMMAND], "ansible", ["ansible", "--version"]),
        FLOOR: Contender(["xargs", "-P", FANOUT, "-a", listing, "-I{}", "ssh", "{}", COMMAND], "xargs", ["ssh", "-V"]),
    }


def quietly(lab, argv):
    if argv:
        subprocess.run(lab.command(*argv), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=LIMIT_S)


def measure(lab, name, contender, wanted, servers):
    """One call: its wall time, the processor time of all that it started here, and of the hosts meanwhile."""
    quietly(lab, contender.before)
    with Meter("contender") as meter:
        at_servers, began = servers.cpu_s(), time.monotonic()
        done = subprocess.run(meter.command(*lab.command(*contender.argv)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT_S, env=os.environ | contender.env)
        wall_s = time.monotonic() - began
        # A controller of Plush is gone in an instant; the connections that Ansible keeps for later are not waited for.
        meter.emptied(2)
        cpu_s, servers_s = meter.cpu_s(), servers.cpu_s() - at_servers
    lines = sum(SAID in line for line in done.stdout.decode(errors="replace").splitlines())
    if lines != wanted:
        sys.exit(f"{name}: {lines} of {wanted} hosts answered:\n{done.stdout.decode(errors='replace')[-2000:]}")
    quietly(lab, contender.after)
    return wall_s, cpu_s, servers_s


def handshake_s(lab, host):
    began = time.monotonic()
    subprocess.run(lab.command("ssh", host, "true"), check=True, stdin=subprocess.DEVNULL, timeout=LIMIT_S)
    return time.monotonic() - began


def table(taken, base, floor):
    middle = statistics.median
    print("| | wall time | least and most | x Plush | x ssh | processor time here | x Plush | x ssh | of the hosts |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, one in taken.items():
        def against(other, key):
            return f"{middle(getattr(one, key)) / middle(getattr(other, key)):.2f}" if other else ""
        print(f"| {name} | {middle(one.wall_s):.2f} s | {min(one.wall_s):.2f} to {max(one.wall_s):.2f} s "
              f"| {against(base, 'wall_s')} | {against(floor, 'wall_s')} | {middle(one.cpu_s):.2f} s "
              f"| {against(base, 'cpu_s')} | {against(floor, 'cpu_s')} | {middle(one.servers_s):.2f} s |")


def peers(hosts=100, rounds=5, only=None, out=None):
    labs.build()
    with tempfile.TemporaryDirectory() as work, Meter("hosts") as servers, Lab(hosts, servers) as lab:
        names = lab.names()
        taken = contenders(names, work)
        for name, contender in list(taken.items()):
            if only and not any(name.startswith(wanted) for wanted in only):
                del taken[name]
            elif not shutil.which(contender.program):
                print(f"{name}: not measured, there is no program {contender.program}")
                del taken[name]
        single = [handshake_s(lab, names[0]) for _ in range(5)]
        for number in range(rounds + 1):
            for name, contender in taken.items():
                wall_s, cpu_s, servers_s = measure(lab, name, contender, hosts, servers)
                print(f"round {number}: {name}: {wall_s:.2f} s, processor {cpu_s:.2f} s, of the hosts {servers_s:.2f} s",
                      file=sys.stderr, flush=True)
                if number > 0:
                    contender.wall_s.append(wall_s)
                    contender.cpu_s.append(cpu_s)
                    contender.servers_s.append(servers_s)
    print(f"{hosts} lab hosts without delay, {rounds} rounds after one that is not counted, medians, {os.cpu_count()} processors.")
    print("Wall time is from the command's start to its end; Plush also prepares, collects and cleans up in that time.")
    print("Processor time here is that of every process of the tool on the controlling side, also of those it detached;")
    print("of the hosts: that of all hosts meanwhile, SSH servers for the most part.")
    print(f"One `ssh {names[0]} true`: {statistics.median(single):.2f} s.\n")
    table(taken, taken.get(BASE), taken.get(FLOOR))
    print()
    for name, contender in taken.items():
        print(f"{name}: {labs.version(contender.version)}")
    if out:
        record = {"hosts": hosts, "rounds": rounds, "processors": os.cpu_count(), "one_handshake_s": single, "contenders": {
            name: {"argv": one.argv, "version": labs.version(one.version), "wall_s": one.wall_s, "cpu_s": one.cpu_s,
                   "hosts_cpu_s": one.servers_s} for name, one in taken.items()}}
        with open(out, "w") as file:
            json.dump(record, file, indent=1)
