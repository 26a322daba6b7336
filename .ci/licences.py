"""Every dependency may be used under licences that deny.toml allows. Not the rest of cargo-deny's work.

It stands in where cargo-deny is not installed, and reads the same list, so that the two cannot part.
"""

import json
import re
import subprocess
import sys
import tomllib


def allowed_by(expression, allowed):
    """Whether an SPDX expression can be satisfied; `/` is how older packages write `OR`."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    at = 0

    def either():
        nonlocal at
        value = both()
        while at < len(words) and words[at] == "OR":
            at += 1
            value = both() or value
        return value

    def both():
        nonlocal at
        value = one()
        while at < len(words) and words[at] == "AND":
            at += 1
            value = one() and value
        return value

    def one():
        nonlocal at
        word = words[at]
        at += 1
        if word == "(":
            value = either()
            at += 1
            return value
        if at < len(words) and words[at] == "WITH":
            word = f"{word} WITH {words[at + 1]}"
            at += 2
        return word in allowed

    return either()


def main():
    with open("deny.toml", "rb") as file:
        allowed = set(tomllib.load(file)["licenses"]["allow"])
    told = subprocess.run(
        ["cargo", "metadata", "--locked", "--format-version", "1"], capture_output=True, check=True
    )
    packages = json.loads(told.stdout)["packages"]
    bad = [
        f"{package['name']} {package['version']}: {package['license'] or 'no licence is named'}"
        for package in packages
        if not allowed_by(package["license"] or "none", allowed)
    ]
    print("\n".join(bad) or f"{len(packages)} packages, all under {', '.join(sorted(allowed))}")
    return 1 if bad else 0


sys.exit(main())
