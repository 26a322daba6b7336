"""The same faults done to Plush and to other tools on emulated hosts: does the run end, when, are the others' results complete,
what is left, is the cause said.

Not a judgement: each tool is called as installed, with what its manual says for the purpose. See `docs/src/compared.md`.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import lab as labs
from lab import ROOT, Lab, Meter

HOSTS = 8
# A tool that has not ended by then is ended.
CAP_S = 120
# What a tool may still be doing on hosts right after its end.
GRACE_S = 4

WORK = """case $1 in
quick) echo "$(hostname) begins"; sleep 2; echo "$(hostname) is through";;
steady) i=0; while [ $i -lt $2 ]; do i=$((i+1)); echo "$(hostname) line $i of $2"; sleep 1; done;;
silent) echo "$(hostname) line 1"; echo "$(hostname) line 2"; sleep 100; echo "$(hostname) is through";;
stubborn) trap '' TERM INT HUP; exec sh $0 silent;;
daemon) (setsid sleep 1000 >/dev/null 2>&1 </dev/null &); sleep 1; echo "$(hostname) is through";;
flood) echo "$(hostname) begins"; [ $(hostname) != "$2" ] || seq -f "flood %.0f from here to there and never back again" 1 2000000
       echo "$(hostname) is through";;
esac
"""


@dataclass
class Fault:
    title: str
    work: str
    # Lines that the other hosts owe, without their names.
    owed: list
    # What is done to the lab before the call, and while all tasks are at work.
    before: object = None
    during: object = None
    # The operator, while all tasks are at work: presses Ctrl-C, or everything of the tool is killed.
    operator: str = ""
    # What the tool must say for the cause to count as named.
    cause: str = ""
    # The host that suffers owes its lines too.
    all_owe: bool = False


def misbehave(kind):
    return lambda lab, victim: lab.do("misbehave", victim, kind)


def cut(lab, victim):
    lab.do("partition", "controller", victim)
    time.sleep(30)
    lab.do("heal")


THROUGH = ["is through"]
ALL = {seconds: [f"line {n} of {seconds}" for n in range(1, seconds + 1)] for seconds in (20, 45)}
FIRST = ["line 1", "line 2"]

FAULTS = {
    "dead": Fault("a host is off", "quick", THROUGH, before=lambda lab, victim: lab.do("power-off", victim),
                  cause=r"timed? ?out|unreachable|no route|did not answer"),
    "silent": Fault("a host accepts the connection and says nothing", "quick", THROUGH, before=misbehave("silent"),
                    cause=r"timed? ?out|never spoke SSH"),
    "banner": Fault("a host sends its SSH banner, then nothing", "quick", THROUGH, before=misbehave("banner-only"),
                    cause=r"timed? ?out|did not exchange keys"),
    "key": Fault("a host shows another key than is known", "quick", THROUGH, before=misbehave("wrong-host-key"),
                 cause=r"host key|HOST IDENTIFICATION"),
    "auth": Fault("a host lets no key in", "quick", THROUGH, before=misbehave("auth-refused"),
                  cause=r"permission denied|does not accept|authentication"),
    "power": Fault("a host is powered off while its task runs", "steady 20", ALL[20],
                   during=lambda lab, victim: lab.do("power-off", victim), cause=r"timed? ?out|unreachable|faults lost|given up"),
    "cut": Fault("nothing passes between the tool and a host for 30 s while its task runs", "steady 45", ALL[45], during=cut, all_owe=True),
    "interrupt": Fault("Ctrl-C while each task, having written two lines, works for 100 s in silence", "silent", FIRST, operator="interrupt"),
    "stubborn": Fault("the same, with tasks that ignore TERM, INT and HUP", "stubborn", FIRST, operator="interrupt"),
    "killed": Fault("everything of the tool is killed (kill -9) while each task works in silence", "silent", FIRST, operator="kill"),
    "daemon": Fault("each task leaves a process behind that has left its session", "daemon", THROUGH, all_owe=True),
    "noisy": Fault("a host prints 1 MiB of binary noise at login", "quick", THROUGH, before=misbehave("noisy-login"), all_owe=True),
    "csh": Fault("a host's login shell is csh", "quick", THROUGH, before=misbehave("csh-login"), all_owe=True),
    "full": Fault("a host has no space left, nowhere", "quick", THROUGH, before=misbehave("full-disk"), all_owe=True),
    "flood": Fault("a task writes 100 MB as fast as it can", "flood {victim}", THROUGH, all_owe=True),
}


def tools(names, command, work):
    listing, app = os.path.join(work, "hosts"), os.path.join(work, "app.yaml")
    with open(listing, "w") as file:
        file.write("\n".join(names) + "\n")
    with open(app, "w") as file:
        file.write(f"project: faults\nhosts: {','.join(names)}\nrun: {command}\n")
    comma = ",".join(names)
    return {
        "Plush": (["plush", "run", app, "--runs-dir", os.path.join(work, "runs"), "-y", "--batch"], {}, ["plush", "--version"]),
        "clush": (["clush", "-f", "16", "-w", comma, command], {}, ["clush", "--version"]),
        # -b: one Ctrl-C ends it, as it does for the others.
        "pdsh": (["pdsh", "-b", "-f", "16", "-w", comma, command], {"PDSH_RCMD_TYPE": "ssh"}, ["pdsh", "-V"]),
        "Ansible": (["ansible", "all", "-f", "16", "-i", listing, "-m", "raw", "-a", command],
                    {"ANSIBLE_SSH_CONTROL_PATH_DIR": os.path.join(work, "cp")}, ["ansible", "--version"]),
        "parallel": (["parallel", "--will-cite", "--tag", "-j", "16", "-a", listing, "ssh", "{}", command], {}, ["parallel", "--version"]),
    }


class Trial:
    """One fault done to one tool, in a lab of its own."""

    def __init__(self, fault, tool):
        self.fault, self.tool = fault, tool

    def measure(self):
        # Hosts see the machine's files, but none of its /tmp.
        with tempfile.TemporaryDirectory(dir=os.path.join(ROOT, "target"), prefix="faults-") as work:
            os.chmod(work, 0o755)
            self.output = os.path.join(work, "said")
            script = os.path.join(work, "work.sh")
            with open(script, "w") as file:
                file.write(WORK)
            with Meter(f"{self.tool}-{threading.get_ident()}") as self.meter, Lab(HOSTS) as self.lab:
                self.names = self.lab.names()
                self.victim = self.names[-1]
                command = f"sh {script} {self.fault.work.format(victim=self.victim)}"
                self.argv, self.env, _ = tools(self.names, command, work)[self.tool]
                return self.play(script, os.path.join(work, "runs"))

    def play(self, script, runs):
        # Logging in leaves traces of its own, which are no tool's.
        subprocess.run(self.lab.command("xargs", "-P", "8", "-I{}", "ssh", "{}", "true"), input="\n".join(self.names).encode())
        if self.fault.before:
            self.fault.before(self.lab, self.victim)
        files, processes = self.files(), self.processes()
        began = time.monotonic()
        with open(self.output, "wb") as said:
            running = subprocess.Popen(self.meter.command(*self.lab.command(*self.argv)), stdin=subprocess.DEVNULL, stdout=said,
                                       stderr=subprocess.STDOUT, env=os.environ | self.env, start_new_session=True)
        pressed = self.strike(running, script)
        try:
            code = running.wait(max(0.1, began + CAP_S - time.monotonic()))
            took = time.monotonic() - (pressed or began)
        except subprocess.TimeoutExpired:
            code, took = None, None
        time.sleep(GRACE_S)
        seen = {"code": code, "took_s": took, "after_the_press": bool(pressed), "resumed": None}
        seen |= self.reckon(files, processes)
        if self.tool == "Plush" and self.fault.operator == "kill":
            seen["resumed"] = self.resume(runs, files, processes)
        self.meter.kill()
        running.wait()
        return seen

    def strike(self, running, script):
        """Does what is done in the middle of the run; says when the operator pressed."""
        if not (self.fault.during or self.fault.operator):
            return None
        while running.poll() is None and not all(self.at_work(host, script) for host in self.names):
            time.sleep(0.2)
        time.sleep(3)
        if self.fault.during:
            self.fault.during(self.lab, self.victim)
            return None
        pressed = time.monotonic()
        if self.fault.operator == "kill":
            self.meter.kill()
        else:
            os.killpg(running.pid, signal.SIGINT)
        return pressed

    def at_work(self, host, script):
        return any(script in process["command"] and "ssh" not in process["name"] for process in self.lab.seen("processes", host))

    def on_hosts(self):
        off = self.fault is FAULTS["dead"] or self.fault is FAULTS["power"]
        return self.names[:-1] if off else self.names

    def processes(self):
        return {(host, process["pid"], process["command"]) for host in self.on_hosts() for process in self.lab.seen("processes", host)
                if not process["name"].startswith("sshd")}

    def files(self):
        return {(host, file["path"]) for host in self.on_hosts() for file in self.lab.seen("files", host)
                if not file["path"].startswith(("/var/log", "/run", "/var/run", "/dev/pts"))}

    def reckon(self, files, processes):
        with open(self.output, "rb") as file:
            text = file.read().decode(errors="replace")
        lines = text.splitlines()
        complete = [host for host in self.names if all(f"{host} {line}" in text for line in self.fault.owed)]
        others = [host for host in complete if host != self.victim]
        said = [line for line in lines if re.search(rf"{self.victim}|10\.80\.\d+\.{HOSTS}\b", line) and not re.search(r" line \d+| begins| is through", line)]
        named = [line for line in lines if self.fault.cause and re.search(self.fault.cause, line, re.IGNORECASE)]
        return {
            "others": len(others), "victim": self.victim in complete,
            "processes": sorted({f"{command}" for _, _, command in self.processes() - processes}),
            "process_count": len(self.processes() - processes),
            "files": sorted(path for _, path in self.files() - files),
            "here": len(self.meter.processes()) if self.meter else 0,
            "named": bool(named), "said": [line.strip()[:200] for line in (named or said)[:3]], "bytes": len(text), "text": text[-4000:],
        }

    def resume(self, runs, files, processes):
        began = time.monotonic()
        with open(self.output, "wb") as said:
            done = subprocess.run(self.meter.command(*self.lab.command("plush", "resume", "last", "--runs-dir", runs, "--batch")),
                                  stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, timeout=2 * CAP_S)
        took = time.monotonic() - began
        run = os.path.join(runs, os.listdir(runs)[0], "output")
        whole = 0
        for host in os.listdir(run):
            with open(os.path.join(run, host, "faults.1.out")) as file:
                whole += file.read() == f"{host} line 1\n{host} line 2\n{host} is through\n"
        time.sleep(GRACE_S)
        return {"code": done.returncode, "took_s": took, "whole": whole, "left": len(self.processes() - processes) + len(self.files() - files)}


def cells(fault, seen):
    if seen["code"] is None:
        ended = f"not within {CAP_S} s"
    else:
        ended = f"{seen['took_s']:.1f} s" + (" after it" if seen["after_the_press"] else "") + f", code {seen['code']}"
    owed = f"{seen['others']} of {HOSTS - 1}"
    if fault.all_owe or fault.operator:
        owed = f"{seen['others'] + seen['victim']} of {HOSTS}"
    left = [f"{seen['process_count']} processes"] * bool(seen["process_count"]) + [f"{len(seen['files'])} files"] * bool(seen["files"])
    left += [f"{seen['here']} processes here"] * bool(seen["here"])
    cause = "" if not fault.cause else "yes" if seen["named"] else "no"
    return [ended, owed, ", ".join(left) or "nothing", cause]


def table(fault, seen_by):
    print(f"\n### {fault.title[0].upper()}{fault.title[1:]}\n")
    heads = ["tool", "ends after", "first lines of" if fault.operator else "complete", "left on the hosts", "cause said"]
    width = 5 if fault.cause else 4
    print("| " + " | ".join(heads[:width]) + " |\n" + "|---" * width + "|")
    for tool, seen in seen_by.items():
        print("| " + " | ".join([tool, *cells(fault, seen)][:width]) + " |")
        if seen["resumed"]:
            again = seen["resumed"]
            print(f"| then `plush resume` | {again['took_s']:.1f} s, code {again['code']} | every line once of {again['whole']} of {HOSTS} | "
                  f"{again['left'] or 'nothing'} |")


def faults(only=None, tools_called=None, out=None):
    wanted = tools_called or ["Plush", "clush", "pdsh", "Ansible", "parallel"]
    labs.build()
    with tempfile.TemporaryDirectory() as work:
        known = tools(["h1"], "true", work)
    programs = {tool: next(word for word in known[tool][0]) for tool in wanted}
    for tool, program in programs.items():
        print(f"{tool}: {labs.version(known[tool][2]) if shutil.which(program) else 'not there'}")
    present = [tool for tool in wanted if shutil.which(programs[tool])]
    record = {}
    for name in only or FAULTS:
        fault = FAULTS[name]
        # Each in a lab of its own, all at the same time: they mostly wait.
        with ThreadPoolExecutor(len(present)) as pool:
            seen_by = dict(zip(present, pool.map(lambda tool: Trial(fault, tool).measure(), present)))
        record[name] = seen_by
        table(fault, seen_by)
        for tool, seen in seen_by.items():
            print(f"{name}: {tool}: {json.dumps(seen)}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        if out:
            with open(out, "w") as file:
                json.dump(record, file, indent=1)
