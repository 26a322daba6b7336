"""Figure 5 of the paper on emulated hosts: one server serves a file to many hosts, let go by each release policy in turn.
Called by `bench/run figure5`.

For each policy one run of one description, whose phase `prepare` opens when all hosts are there, has that release and fetches the
file; what is measured is when each host's preparation was reported complete, from the first one's start (the run's own journal, by
`plush run --events`). Hosts and links are the same for all policies; a policy sees nothing but its own run.
"""
import base64
import json
import math
import os
import random
import subprocess
import sys
import threading
from typing import NamedTuple

from lab import HERE

LIMIT_S = 1800
POLICIES = ["1", "10", "15", "25", "50", "100", "all", "median", "adaptive"]


class Crowded(NamedTuple):
    """bench/crowded.py with so much of one processor, which it uses up to look through its connections so often."""
    share: float
    looks: int = 1

    def __str__(self):
        return f"{self.share:.0%} of a processor" + (f", looking {self.looks} times" if self.looks > 1 else "")


class Network(NamedTuple):
    """Rates in Mbit/s. A server that is not crowded is busybox's."""
    uplink: int
    link: float
    spread: float
    delay_ms: tuple = (5, 60)
    server: Crowded = None
    then: Crowded = None
    after_s: float = None

    def __str__(self):
        links = f"links of the hosts: median {self.link:g} Mbit/s, log-spread {self.spread}, delay {self.delay_ms[0]} to {self.delay_ms[1]} ms"
        server = f"; a crowded server with {self.server}" if self.server else ""
        change = f"; with {self.then} from {self.after_s:g} s after the opening on" if self.then else ""
        return f"uplink {self.uplink} Mbit/s; {links}{server}{change}"


NETWORKS = {
    "tail": Network(200, 40, 1.0),
    "narrow": Network(120, 40, 0.5),
    "crowd": Network(200, 40, 0.7, server=Crowded(0.1)),
    "busy": Network(200, 15, 0.5, server=Crowded(0.3)),
    "poor": Network(200, 8, 0.5, server=Crowded(0.05)),
    "change": Network(200, 4, 0.5, server=Crowded(0.5, looks=20), then=Crowded(0.5, looks=250), after_s=30),
}


def lab_do(lab, *argv):
    subprocess.run(["plush-lab", "--name", lab.name, *argv], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, timeout=LIMIT_S)


def shape(lab, hosts, network, seed):
    """Draws the links: a lognormal rate and an even delay for each host, the server's uplink as named."""
    draw = random.Random(seed)
    lab_do(lab, "link", "h001", "--reset", "--rate", f"{network.uplink}mbit", "--delay", "2ms")
    for number in range(2, hosts + 2):
        rate = max(0.5, network.link * math.exp(draw.gauss(0, network.spread)))
        delay = draw.uniform(*network.delay_ms)
        lab_do(lab, "link", f"h{number:03d}", "--reset", "--rate", f"{rate:.2f}mbit", "--delay", f"{delay:.0f}ms")


def serve(lab, megabytes):
    """Both servers, on the ports 8000 and 8001; the address. A host of the lab does not see everybody's files, so it is given the second one."""
    with open(os.path.join(HERE, "crowded.py"), "rb") as file:
        program = base64.b64encode(file.read()).decode()
    lab_do(lab, "on", "h001", "sh", "-c",
           f"mkdir -p /srv/f && head -c {round(megabytes * 1e6)} /dev/urandom > /srv/f/file && busybox httpd -p 8000 -h /srv/f && echo 1 1 > /srv/state && "
           f"echo {program} | base64 -d > /srv/crowded.py && "
           "(setsid python3 /srv/crowded.py 8001 /srv/f/file /srv/state < /dev/null > /srv/log 2>&1 &)")
    status = subprocess.run(["plush-lab", "--name", lab.name, "status", "--json"], check=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, timeout=LIMIT_S)
    hosts = json.loads(status.stdout)
    hosts = hosts["hosts"] if isinstance(hosts, dict) else hosts
    return next(h["address"] for h in hosts if h["name"] == "h001")


def make(lab, server):
    """The crowded server is this one from now on."""
    lab_do(lab, "on", "h001", "sh", "-c", f"echo {server.share} {server.looks} > /srv/state.new && mv /srv/state.new /srv/state")


def release_of(policy):
    """In the words of a description: a number is so many at a time."""
    return f"{{inside: {policy}}}" if policy.isdigit() else policy


def order(policy):
    """Numbers first, by size."""
    return (0, int(policy)) if policy.isdigit() else (1, POLICIES.index(policy))


def describe(path, hosts, url, release):
    with open(path, "w") as file:
        file.write(f"""plush: 1
project: figure5
resources: [{{type: ssh, hosts: "h[002-{hosts + 1:03d}]"}}]
software:
  file: {{type: none, package: {{type: web, path: "{url}"}}}}
clusters:
  all:
    num_hosts: {hosts}
    software: [file]
    prepare: {{entry: {{percent: 100}}, release: {release}}}
    execution: [{{process: see, run: "wc -c < file"}}]
""")


def bring_agents(lab, work, hosts):
    """The agent travels over links that are not shaped yet; later runs find it on the hosts."""
    app = os.path.join(work, "agents.yaml")
    with open(app, "w") as file:
        file.write(f"project: agents\nhosts: h[002-{hosts + 1:03d}]\nrun: 'true'\n")
    subprocess.run(lab.command("plush", "run", app, "--runs-dir", os.path.join(work, "runs"), "-y", "-q"), check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=LIMIT_S)


def completions(lines):
    """Seconds from the first preparation's order to each one's end, in order."""
    began, done = None, []
    for line in lines:
        if not line.startswith("{"):
            continue
        record = json.loads(line)
        event = record.get("event") or {}
        reported = event.get("reported") if isinstance(event, dict) else None
        report = (reported or {}).get("report", {})
        if isinstance(report, dict) and "prepared" in report:
            at, took = record["at_ms"], report["prepared"]["took_ms"]
            began = min(began if began is not None else at, at - took)
            done.append(at)
    return [(at - began) / 1000 for at in sorted(done)]


def measure(lab, work, hosts, address, network, policy):
    """One run; where the network changes, it does so a while after the run's own word that `prepare` has opened."""
    app = os.path.join(work, f"{policy}.yaml")
    describe(app, hosts, f"http://{address}:{8001 if network.server else 8000}/file", release_of(policy))
    if network.server:
        make(lab, network.server)
    lines, change = [], None
    command = lab.command("plush", "run", app, "--runs-dir", os.path.join(work, "runs"), "-y", "--events")
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        for line in run.stdout:
            lines.append(line.decode(errors="replace"))
            if network.then and not change and '"barrier":"all/prepare"' in lines[-1]:
                change = threading.Timer(network.after_s, make, (lab, network.then))
                change.start()
    if change:
        change.join()
    elif network.then:
        sys.exit(f"{policy}: the run never said that `prepare` opened, so the network did not change")
    times = completions(lines)
    if len(times) != hosts:
        said = "".join(line for line in lines if not line.startswith("{"))
        sys.exit(f"{policy}: {len(times)} of {hosts} hosts have the file:\n{said[-2000:]}")
    return times


def at_share(times, share):
    return times[max(0, math.ceil(share * len(times)) - 1)]


def middle(runs):
    """The run that is the median of several by the time until 95 % had the file."""
    return sorted(runs, key=lambda times: at_share(times, 0.95))[(len(runs) - 1) // 2]


def table(name, hosts, megabytes, curves):
    print(f"network `{name}`: {NETWORKS[name]}")
    print(f"{megabytes:g} MB to {hosts} hosts, seconds until a share of them had it whole (of several runs the median one by 95 %):\n")
    print("| release | runs | 10 % | 50 % | 80 % | 95 % | all | 95 % in each run | rate to 95 %, of the best fixed |")
    print("|---|---|---|---|---|---|---|---|---|")
    fixed = min((at_share(middle(curves[p]), 0.95) for p in curves if p.isdigit() or p == "all"), default=math.nan)
    for policy, runs in curves.items():
        shares = " | ".join(f"{at_share(middle(runs), s):.1f}" for s in (0.1, 0.5, 0.8, 0.95, 1.0))
        each = ", ".join(f"{at_share(times, 0.95):.1f}" for times in runs)
        print(f"| `{policy}` | {len(runs)} | {shares} | {each} | {fixed / at_share(middle(runs), 0.95):.0%} |", flush=True)


def picture(path, title, curves):
    """The completion curves as an SVG of their own."""
    width, height, left, bottom = 860, 480, 60, 50
    right = 120
    longest = max(times[-1] for times in curves.values())
    colours = ["#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#9498a0", "#a463f2", "#000000"]
    x = lambda s: left + s / longest * (width - left - right)
    y = lambda share: 40 + (1 - share) * (height - 40 - bottom)
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500) if longest / s <= 10)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="24" font-size="15">{title}</text>']
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<path d="M{left} {y(share):.1f}H{width - right}" stroke="#ddd"/>'
                     f'<text x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    for tick in range(0, int(longest) + 1, step):
        parts.append(f'<text x="{x(tick):.1f}" y="{height - bottom + 18}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">seconds since the first host was let go</text>')
    ends = sorted((times[-1], policy) for policy, times in curves.items())
    for place, (_, policy) in enumerate(ends):
        times, colour = curves[policy], colours[list(curves).index(policy) % len(colours)]
        points = [f"{x(0):.1f},{y(0):.1f}"]
        for number, at in enumerate(times, 1):
            points.append(f"{x(at):.1f},{y((number - 1) / len(times)):.1f}")
            points.append(f"{x(at):.1f},{y(number / len(times)):.1f}")
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{" ".join(points)}"/>')
        row = 52 + 18 * place
        parts.append(f'<path d="M{width - right + 12} {row - 4}h18" stroke="{colour}" stroke-width="3"/>'
                     f'<text x="{width - right + 36}" y="{row}">{policy}</text>')
    with open(path, "w") as file:
        file.write("\n".join(parts) + "\n</svg>\n")


def remembered(path):
    """Runs of earlier calls with the same hosts and file, so that a long sweep can be measured in pieces."""
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def main(lab, work, hosts, megabytes, networks, policies, out):
    """The policies on each network one after the other: each run has the network for itself."""
    path = os.path.join(out, f"figure5-{hosts}-{megabytes:g}.json")
    results = remembered(path)
    address = serve(lab, megabytes)
    bring_agents(lab, work, hosts)
    for name in networks:
        network = NETWORKS[name]
        shape(lab, hosts, network, seed=7)
        curves = results.setdefault(name, {})
        for policy in policies:
            times = measure(lab, work, hosts, address, network, policy)
            curves.setdefault(policy, []).append(times)
            print(f"  {name}, {policy}: 95 % after {at_share(times, 0.95):.1f} s, all after {times[-1]:.1f} s (load {os.getloadavg()[0]:.1f})", flush=True)
            with open(path, "w") as file:
                json.dump(results, file)
        curves = {policy: curves[policy] for policy in sorted(curves, key=order)}
        table(name, hosts, megabytes, curves)
        shown = {policy: middle(runs) for policy, runs in curves.items()}
        picture(os.path.join(out, f"figure5-{name}.svg"), f"{megabytes:g} MB to {hosts} hosts, network `{name}`", shown)
    print(f"pictures and figures: {out}")
