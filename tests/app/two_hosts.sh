#!/bin/sh
# two_hosts.sh DIR COMMAND...: runs COMMAND on the first of two computers that a cable joins: network
# namespaces with names, shared memory and, on the second, an ssh server of their own. DIR/hostfile
# names both, with two ranks each. Exit code 77, with the reason, where this cannot be had.
set -eu
dir=$1
shift
skip() {
  echo "$1"
  exit 77
}
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
for tool in ip unshare ssh ssh-keygen /usr/sbin/sshd; do
  command -v "$tool" >/dev/null || skip "$tool is not installed (iproute2, util-linux, openssh-server)"
done
first=tera-a$$
second=tera-b$$
ip netns add "$first" 2>/dev/null || skip "this kernel or container makes no network namespaces"
down() {
  [ ! -s "$dir/sshd.pid" ] || kill "$(cat "$dir/sshd.pid")" || true
  ip netns del "$first"
  ip netns del "$second" || true
}
trap down EXIT
trap 'exit 1' INT TERM HUP
ip netns add "$second"
ip link add eth0 netns "$first" type veth peer name eth0 netns "$second"
ip -n "$first" addr add 10.77.1.1/24 dev eth0
ip -n "$second" addr add 10.77.1.2/24 dev eth0
for host in "$first" "$second"; do
  ip -n "$host" link set lo up
  ip -n "$host" link set eth0 up
done
printf '127.0.0.1 localhost\n10.77.1.1 %s\n10.77.1.2 %s\n' "$first" "$second" >"$dir/hosts"
printf '%s slots=2\n%s slots=2\n' "$first" "$second" >"$dir/hostfile"

ssh-keygen -q -t ed25519 -N '' -f "$dir/id"
ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
echo "$second,10.77.1.2 $(cut -d' ' -f1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
cat >"$dir/sshd_config" <<END
ListenAddress 10.77.1.2
HostKey $dir/host_key
PidFile $dir/sshd.pid
AuthorizedKeysFile $dir/id.pub
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
END
cat >"$dir/ssh_config" <<END
Host *
  User root
  IdentityFile $dir/id
  IdentitiesOnly yes
  UserKnownHostsFile $dir/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  LogLevel ERROR
END
on() { # HOST COMMAND...: there, as the computer of that name
  host=$1
  shift
  ip netns exec "$host" unshare --uts --mount sh -c '
    hostname "$1"; mount --bind "$2" /etc/hosts; mount -t tmpfs tmpfs /dev/shm
    shift 2; exec "$@"' sh "$host" "$dir/hosts" "$@"
}
mkdir -p /run/sshd
on "$second" /usr/sbin/sshd -f "$dir/sshd_config" -E "$dir/sshd.log"
for _ in $(seq 100); do
  [ ! -s "$dir/sshd.pid" ] || break
  sleep 0.05
done
export OMPI_MCA_plm_rsh_agent="ssh -F $dir/ssh_config"
on "$first" "$@"
