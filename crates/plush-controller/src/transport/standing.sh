# How surely a host could end tasks, and whether a logout would end an agent: looked at, not tried out.
# The rules of bootstrap.sh hold here too. One message: standing, then the lines of /proc/self/cgroup, what logind
# says of itself, the user, root or user, lingers or not, and what there is: cgroup, proc or nothing.
a=@HALF1@; b=@HALF2@;
c=; p=; m=; n=; l=;
{ while read -r x; do c="$c$x;"; case $x in 0::*) p=${x#0::};; esac; done </proc/self/cgroup; } 2>/dev/null || :;
{ while read -r x y t z; do [ "$t" = cgroup2 ] && m=$y; done </proc/mounts; } 2>/dev/null || :;
g=nothing; [ -r /proc/self/stat ] && g=proc;
k=; for x in "$m$p" "$m/init.scope" "$m/system.slice"; do [ -e "$x/cgroup.kill" ] && k=y; done;
[ "$p" = / ] && k=y;
[ "$m" ] && [ "$p" ] && [ "$k" ] && [ -w "$m$p" ] && [ -w "$m$p/cgroup.procs" ] && g=cgroup;
case $c in *session-*.scope*) l=$(loginctl show-session -p KillUserProcesses -p KillOnlyUsers -p KillExcludeUsers 2>/dev/null </dev/null | while read -r x; do printf %s "$x;"; done);; esac;
u=${LOGNAME:-$USER}; r=user; [ "$(id -u 2>/dev/null)" = 0 ] && r=root;
[ "$u" ] && [ -e "/var/lib/systemd/linger/$u" ] && n=lingers;
w=; command -v systemd-run >/dev/null 2>&1 && [ "$k" ] && w=manager;
echo; echo "$a$b|standing|$c|$l|$u|$r|$n|$g|$w";
