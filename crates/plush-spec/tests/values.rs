//! No value of a variable is taken for syntax by a shell, whatever stands around it, and in double
//! quotes it arrives byte for byte. The shells are real ones.
#![allow(clippy::unwrap_used)]

use plush_spec::shell_line::expand_shell;
use plush_spec::substitute::Scope;
use proptest::prelude::*;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What would be made by a command in a value, if one were run.
const CANARY: &str = "canary";

/// Lines in which the value arrives, and what stands before and after it then.
const ARRIVES: [(&str, &str, &str); 17] = [
    ("printf %s \"${v}\"", "", ""),
    ("# don't start before the others\nprintf %s \"${v}\"", "", ""),
    ("printf %s \"it's ${v}\"", "it's ", ""),
    ("printf %s 'it'\"${v}\"'s'", "it", "s"),
    ("cat <<EOF\nit's ${v}.\nEOF", "it's ", ".\n"),
    ("cat <<-EOF\n\t\"${v}\"'\n\tEOF\n", "\"", "\"'\n"),
    ("printf %s \"$(printf '%s.' \"${v}\")\"", "", "."),
    ("printf %s \"`printf '%s.' \\\"${v}\\\"`\"", "", "."),
    ("printf %s \"$(cat <<EOF\n${v}.\nEOF\n)\"", "", "."),
    ("x=${v}; printf %s \"$x\"", "", ""),
    ("printf %s \"$${UNSET:-${v}}\"", "", ""),
    ("case \"${v}\" in *) printf %s \"${v}\" ;; esac", "", ""),
    ("f() { printf %s \"$1\"; }; f \"${v}\"", "", ""),
    ("if test -n \"a${v}\"; then printf %s \"${v}\"; fi", "", ""),
    ("(true && { printf %s \"a # ${v}\"; })", "a # ", ""),
    ("for i in \"${v}\"; do printf %s \"$((1 + 1))$i\"; done", "2", ""),
    ("printf %s \"$${HOME}${v}\"", "", ""),
];

/// Lines in which the shell splits it, takes it for a pattern or a number, or does not expand it.
const HARMLESS: [&str; 14] = [
    "printf %s ${v}",
    "printf %s a${v}b ${v}>/dev/null",
    "printf %s '${v}'",
    "cat <<'EOF'\n${v}\nEOF",
    "cat <<EOF\n\\${v}\nEOF",
    "printf %s \\${v} \"\\${v}\"",
    "printf %s \"$((${v}))\"",
    "printf %s \"$(printf %s '${v}')\"",
    "printf %s `printf %s ${v}`",
    "case x in ${v}) ;; *) ;; esac",
    "# ${v}\ntrue # ${v}",
    "for i in ${v}; do :; done",
    "printf %s \"$${UNSET:-'${v}'}\" $${UNSET:-${v}}",
    "test ${v} = \"$HOME${v}\" || true",
];

/// What has been used to break out of quotes, comments and documents.
const HOSTILE: [&str; 18] = [
    "a $(touch canary) b",
    "`touch canary`",
    "'; touch canary; '",
    "\"; touch canary; \"",
    "'\"; touch canary; \"'",
    "\ntouch canary\n",
    "x\nEOF\ntouch canary\ncat <<EOF\n",
    "\tEOF\ntouch canary",
    ";;esac; touch canary; case x in y",
    ") touch canary ;; (",
    "}; touch canary; {",
    "))$(touch canary)$((1",
    "a[$(touch canary)]",
    "\\",
    "-n",
    "~",
    "*",
    "# \\\" \\' \\` $",
];

/// Runs a line with a value by one shell, in a directory of its own.
fn run(shell: &[&str], line: &str, value: &str, directory: &Path) -> Output {
    let mut scope = Scope::new();
    scope.set_text("v", value);
    let line = expand_shell(line, &scope).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg("-c").arg(&line.text).current_dir(directory);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "").envs(line.values);
    command.stdin(Stdio::null()).output().unwrap()
}

/// The shells of this machine that are `/bin/sh` somewhere.
fn shells() -> Vec<Vec<&'static str>> {
    let is_here =
        |name: &str| ["/bin", "/usr/bin"].iter().any(|d| Path::new(d).join(name).exists());
    let others = [("busybox", vec!["busybox", "sh"]), (BASH, vec![BASH, "--posix"])];
    let others = others.into_iter().filter(|(name, _)| is_here(name)).map(|(_, words)| words);
    std::iter::once(vec!["/bin/sh"]).chain(others).collect()
}

const BASH: &str = "bash";

/// Bash evaluates a variable in an arithmetic expression as an expression, with the commands in its
/// subscripts, whoever set the variable: there `check` warns, and the guide says so.
fn computes(shell: &[&str], line: &str) -> bool {
    let is_bash = std::fs::canonicalize(shell[0]).is_ok_and(|path| path.ends_with(BASH));
    (shell[0] == BASH || is_bash) && line.contains("$((${v}")
}

fn arrives(number: usize, value: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (line, before, after) = ARRIVES[number];
    for shell in shells() {
        let output = run(&shell, line, value, directory.path());
        let wanted = format!("{before}{value}{after}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.stdout == wanted.as_bytes(),
            "{shell:?}: {line}\n{value:?}\n{output:?}\n{said}"
        );
        assert!(!directory.path().join(CANARY).exists(), "{shell:?}: {line}\n{value:?}");
    }
}

fn is_harmless(number: usize, value: &str) {
    let directory = tempfile::tempdir().unwrap();
    for shell in shells().iter().filter(|shell| !computes(shell, HARMLESS[number])) {
        run(shell, HARMLESS[number], value, directory.path());
        let made = directory.path().join(CANARY).exists();
        assert!(!made, "{shell:?}: {}\n{value:?}", HARMLESS[number]);
    }
}

#[test]
fn no_command_in_a_hostile_value_runs_in_any_place() {
    for value in HOSTILE {
        (0..ARRIVES.len()).for_each(|number| arrives(number, value));
        (0..HARMLESS.len()).for_each(|number| is_harmless(number, value));
    }
}

#[test]
fn a_plain_value_arrives_in_single_quotes_and_quoted_documents_too() {
    let directory = tempfile::tempdir().unwrap();
    for line in ["printf %s '${v}'", "printf %s \"$(cat <<'EOF'\n${v}\nEOF\n)\""] {
        let output = run(&["/bin/sh"], line, "a-b_c./:@%+,=9", directory.path());
        assert_eq!(output.stdout, b"a-b_c./:@%+,=9", "{line}");
    }
}

/// Any text without NUL, with pieces that mean something to shells.
fn value() -> impl Strategy<Value = String> {
    let any = proptest::collection::vec(any::<char>(), 0..4).prop_map(String::from_iter);
    let control = proptest::collection::vec(0x01u32..0x100, 0..4)
        .prop_map(|codes| codes.into_iter().filter_map(char::from_u32).collect::<String>());
    let hostile = proptest::sample::select(HOSTILE.to_vec()).prop_map(str::to_owned);
    let syntax = "[-'\"`$(){};&|<>#*?!~=\\\\ \n\taE0]{0,8}";
    let piece = prop_oneof![any, control, hostile, syntax.prop_map(String::from)];
    proptest::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat().replace('\0', ""))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn any_value_arrives_byte_for_byte(value in value(), number in 0..ARRIVES.len()) {
        arrives(number, &value);
    }

    #[test]
    fn no_command_in_any_value_runs(value in value(), number in 0..HARMLESS.len()) {
        is_harmless(number, &value);
    }
}
