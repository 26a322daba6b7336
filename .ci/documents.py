"""Documents name only what exists: files, headings, packages, tests, commands. Not whether what they say is true."""

import glob
import os
import re
import subprocess
import sys

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
PLACE = re.compile(r"^(?:\.ci|bench|crates|docs|examples)/[\w./*{},-]*$")
ROOT_FILE = re.compile(r"^[A-Z][A-Z-]+(?:\.md)?$|^(?:deny|clippy|rustfmt|Cargo)\.toml$")


def headings(path):
    """The anchors of a page, as mdBook and the usual forges make them."""
    with open(path, encoding="utf-8") as file:
        text = FENCE.sub("", file.read())
    lines = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).strip().replace(" ", "-") for line in lines}


def files_of(pattern):
    """What a path with `*` or `{a,b}` in it matches."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if not braces:
        return glob.glob(pattern, include_hidden=True)
    head, tail = pattern[: braces.start()], pattern[braces.end() :]
    parts = [files_of(head + part + tail) for part in braces.group(1).split(",")]
    return [path for part in parts for path in part] if all(parts) else []


def commands():
    """The commands of `plush`, one file each; `lab` is the other program, called through it."""
    files = {os.path.basename(path)[:-3] for path in glob.glob("crates/plush/src/commands/*.rs")}
    return files - {"mod", "choice", "external"} | {"help", "lab"}


def problems_of(page):
    with open(page, encoding="utf-8") as file:
        text = file.read()
    folder = os.path.dirname(page)
    for target in LINK.findall(SPAN.sub("", FENCE.sub("", text))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(folder, path)) if path else page
        if not os.path.exists(path):
            yield f"links to {target}, which does not exist"
        elif anchor and path.endswith(".md") and anchor not in headings(path):
            yield f"links to {target}, and there is no such heading"
    spans = SPAN.findall(FENCE.sub("", text))
    for span in spans:
        is_ours = PLACE.match(span) or (not folder.startswith("docs/src") and ROOT_FILE.match(span))
        if is_ours and "." + "/" not in span and not files_of(span.rstrip("/")):
            if PLACE.match(span) or span.endswith((".md", ".toml")):
                yield f"names {span}, which does not exist"
    code = "\n".join(FENCE.findall(text)) + "\n" + "\n".join(spans)
    code += "\n" + "\n".join(line for line in text.splitlines() if line.startswith("    "))
    for name in re.findall(r"(?:-p|--package) (plush[\w-]*)", code):
        if not os.path.isdir(f"crates/{name}"):
            yield f"names the package {name}, which does not exist"
    for name, test in re.findall(r"-p (plush[\w-]*) --test (\w+)", code):
        if not files_of(f"crates/{name}/tests/{test}.rs") + files_of(f"crates/{name}/tests/{test}/main.rs"):
            yield f"names the test {test} of {name}, which does not exist"
    for name in re.findall(r"^ *\$? ?plush ([a-z]+)\b", code, re.MULTILINE):
        if name not in commands():
            yield f"names the command plush {name}, which does not exist"
    for name in re.findall(r"(?<![\w/.])\./(\.ci/\w[\w-]*)", code):
        if not os.access(name, os.X_OK):
            yield f"names {name}, which cannot be executed"


def unlisted(folder, contents):
    """Pages of a folder that its table of contents does not name."""
    with open(os.path.join(folder, contents), encoding="utf-8") as file:
        listed = {target.partition("#")[0] for target in LINK.findall(file.read())}
    pages = {os.path.basename(path) for path in glob.glob(f"{folder}/*.md")} - {contents}
    return [f"{folder}/{contents}: does not list {page}" for page in sorted(pages - listed)]


FAULT_TABLE = "docs/src/fault-table.md"
FAULT_ROWS = range(1, 82)
LEAST_ROWS_WITH_TESTS = 60


def faults():
    """What the table of faults gets wrong: a test that does not exist, a row twice or nowhere, too few with tests."""
    with open(FAULT_TABLE, encoding="utf-8") as file:
        rows = [line.split(" | ") for line in file.read().splitlines() if line.startswith("| F")]
    sources = ""
    for path in glob.glob("crates/*/src/**/*.rs", recursive=True) + glob.glob("crates/*/tests/**/*.rs", recursive=True):
        with open(path, encoding="utf-8") as file:
            sources += file.read()
    known = set(re.findall(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:async )?fn (\w+)\(", sources))
    told = [int(number) for row in rows for number in re.findall(r"F(\d\d)", row[0])]
    for number in FAULT_ROWS:
        if told.count(number) != 1:
            yield f"{FAULT_TABLE}: tells of F{number:02} {told.count(number)} times"
    tested = [row for row in rows if len(row) == 4]
    for row in tested:
        names = SPAN.findall(row[3])
        if not names:
            yield f"{FAULT_TABLE}: {row[0][2:]} has no test"
        for name in names:
            if name not in known:
                yield f"{FAULT_TABLE}: {row[0][2:]} names the test {name}, which does not exist"
    if len(tested) < LEAST_ROWS_WITH_TESTS:
        yield f"{FAULT_TABLE}: only {len(tested)} rows have tests"


def main():
    told = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True,
        check=True,
        text=True,
    )
    pages = [page for page in told.stdout.split() if os.path.exists(page)]
    bad = [f"{page}: {problem}" for page in pages for problem in problems_of(page)]
    bad += faults()
    bad += unlisted("docs/src", "SUMMARY.md") + unlisted("docs/decisions", "README.md")
    print("\n".join(bad) or f"{len(pages)} documents, every name in them exists")
    return 1 if bad else 0


sys.exit(main())
