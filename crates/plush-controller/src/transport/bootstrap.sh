# What runs on a host before the agent does. Needs sh, cat, chmod and mkdir; uses uname, id, gzip, head, df, rm and
# rmdir where they exist. An account's start-up files may have changed anything that a shell lets them change.
#
# bootstrap.rs drops these comments, joins the lines with spaces and puts the result between single quotes, so that
# any login shell hands it unread to /bin/sh. Hence: no single quote, no backslash, no exclamation mark, no tab, and
# every line ends where a space may follow. Words between @ signs are filled in by bootstrap.rs.
#
# Each message is one line: the marker, a verb, fields, all divided by "|". The marker is written here in two halves,
# so that a shell that echoes its commands does not print it.

# The account begins its files with this umask, and so do its tasks.
q=$(umask 2>/dev/null);
case $q in [0-7][0-7]|[0-7][0-7][0-7]|[0-7][0-7][0-7][0-7]) :;; *) q=022;; esac;
umask 077;
set -f;
# Functions that bash exports, options that gzip takes from the environment, a PATH without programs.
unset -f cat chmod command df gzip head id mkdir rm rmdir uname >/dev/null 2>&1;
unset GZIP;
command -v mkdir >/dev/null 2>&1 || export PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
a=@HALF1@; b=@HALF2@; x=@UPLOAD@; skip=" @SKIP@ "; only=; recv=@RECEIVE@;
say() { echo; echo "$a$b|$*"; };
# Runs something; what it printed, or how it ended if it printed nothing, is then in t. Only its
# status counts: programs also print warnings.
try() {
  t=$("$@" 2>&1); k=$?;
  set -- $t; t="$*";
  case $t$k in 153) t="ended by the limit of the size of files (ulimit -f)";; ???) t="ended with status $k";; esac;
  return $k;
};
quiet_rm() { rm -f "$1" >/dev/null 2>&1 || :; };
# What was made in a directory that turned out to be of no use, and the directory itself if it was made.
unmake() { quiet_rm "$f"; rmdir "$d/runs/@DIRECTORY@" "$d/runs" >/dev/null 2>&1 || :; [ -z "$m" ] || rmdir "$m" >/dev/null 2>&1 || :; };

# Who and what we are, with as few processes as possible.
u=;
while read -r k v w; do case $k in Uid:) u=$v; break;; esac; done 2>/dev/null </proc/self/status || :;
[ "$u" ] || u=$(id -u 2>/dev/null) || u=$LOGNAME;
o=$(uname -sm 2>/dev/null) || o=;
[ "$o" ] || { read -r o </proc/sys/kernel/arch && o="Linux $o"; } 2>/dev/null || o="unknown unknown";
s=${o%% *}; h=${o#* };
D=;
case $s-$h in @DIGESTS@ esac;

# Calls a function for each candidate directory until one is content.
each() {
  i=0;
  for d in "$PLUSH_AGENT_DIR" "${XDG_CACHE_HOME:+$XDG_CACHE_HOME/plush}" "${HOME:+$HOME/.cache/plush}" "${HOME:+$HOME/.plush}" "/var/tmp/plush-$u" "/tmp/plush-$u" "/dev/shm/plush-$u"; do
    i=$((i+1)); f="$d/.new-$x";
    [ "${only:-$i}" = "$i" ] || continue;
    case $d in *"|"*) continue;; /*) "$1" && return 0;; esac;
  done;
  return 1;
};

# The directory of this member is there already, from an earlier login: its agent is found again,
# whatever other bases have become usable since.
ours() { case "$skip" in *" $i "*) return 1;; esac; [ -d "$d/runs/@DIRECTORY@" ] && [ -O "$d" ]; };

# Makes the directory of this member, so that an agent that leaves the base now finds it in use.
claim() { for c in "$d/runs" "$d/runs/@DIRECTORY@"; do [ -d "$c" ] || try mkdir "$c" || [ -d "$c" ] || return 1; done; };

# The agent is there: ours, in a directory of ours, on a file system that lets it run.
is_there() { [ -x "$d/agent-$D" ] && [ -O "$d" ] && [ -O "$d/agent-$D" ]; };
found() { is_there && claim && is_there; };

# The directory takes a file and lets it run. Only the last component is made, unless the
# account chose the directory itself: what is made is removed at the end, and nobody would know whether the ones above it
# were there before. A shell says 126 for what may not run; some shells cannot run a script
# without a first line that names them, which does not matter here.
usable() {
  case "$skip" in *" $i "*) return 1;; esac;
  p=; [ "$i" -gt 1 ] || p=-p;
  m=;
  [ -d "$d" ] || { try mkdir $p "$d" && m=$d; } || [ -d "$d" ] || { r="$r|$d: cannot be made: $t"; return 1; };
  [ -O "$d" ] || { r="$r|$d: belongs to another user"; return 1; };
  if [ "$i" -gt 4 ] && [ -L "$d" ]; then r="$r|$d: is a symbolic link"; return 1; fi;
  { claim && try probe; } || { r="$r|$d: cannot be written: $t"; unmake; return 1; };
  chmod 700 "$f" 2>/dev/null;
  "$f" >/dev/null 2>&1 </dev/null;
  if [ $? -eq 126 ]; then r="$r|$d: programs cannot run there (noexec)"; unmake; return 1; fi;
};
probe() { echo "exit 0" >"$f"; };

# This is the second channel of an upload: the file ends where the channel ends.
if [ "$recv" -gt 0 ]; then
  only=$recv;
  each true || exit 3;
  cat >"$f" || exit 4;
  say "received";
  exit 0;
fi;

each ours && only=$i;
start() { say "start|$1|$s $h|$d"; exec "$d/agent-$D" bridge --run "@RUN@" --directory "@DIRECTORY@" --umask "$q" --host "@HOST@" --base "$d"; };
[ "$D" ] && each found && start found;

# An architecture that the controller did not foresee.
if [ -z "$D" ]; then
  say "machine|$s|$h";
  read -r D || exit 5;
  each found && start found;
fi;

r=;
each usable || { say "nowhere$r"; exit 3; };
z=raw; command -v gzip >/dev/null 2>&1 && z=gzip;
e=channel; command -v head >/dev/null 2>&1 && e=stream;
[ "$e" = channel ] && z=raw;
say "need|$i|$h|$z|$e|$d$r";
read -r n || exit 5;
# A status of 2 is a warning of gzip; whether the bytes are right is for install to say.
unpack() { head -c "$n" | gzip -dc >"$f"; };
store() { head -c "$n" >"$f"; };
place() { chmod 700 "$f" && "$f" install --digest "$D" --to "$d/agent-$D" </dev/null; };
case $e-$z in stream-gzip) try unpack || [ $? = 2 ];; stream-raw) try store;; *) :;; esac && try place && start sent;
set -- $(LC_ALL=C df -Pk "$d" 2>/dev/null); unmake;
say "broken|$i|${11}|$d|$t"; exit 4;
