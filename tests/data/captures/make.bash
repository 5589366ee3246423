#!/usr/bin/env bash
# Makes the captures of this folder anew: tcpdump watches dig ask a server in a network namespace of its own.
# Usage, as root: unshare -n tests/data/captures/make.bash STEERD. Needs tcpdump, bind9-dnsutils and wireshark-common (editcap).
set -euo pipefail
steerd=$(realpath "$1")
cd "$(dirname "$0")"
ip link set lo up
ip addr add 10.1.0.7/32 dev lo
ip addr add 10.2.0.7/32 dev lo
ip addr add 2001:db8:1::7/128 dev lo nodad
config=$(mktemp)
cat >"$config" <<'YAML'
server: {listen: ['0.0.0.0:53', '[::]:53'], ns: [ns.example.net]}
globalnames: {www.example.com: web, api.example.com: web}
pools: {web: {lb_method: wrr, members: [10.1.0.1, '2001:db8::1'], monitor: forced, monitor_params: {status: up}}}
YAML
"$steerd" serve -c "$config" >/dev/null 2>&1 &
server=$!
sleep 1
tcpdump -q -i lo -w ethernet.pcap -Z root 2>/dev/null &
watchers=($!)
tcpdump -q -i any -w cooked.pcap -Z root 2>/dev/null &
watchers+=($!)
# Too short for a query with a client subnet or over IPv6.
tcpdump -q -i lo -s 96 -w short.pcap -Z root 2>/dev/null &
watchers+=($!)
sleep 2
ask() { dig +tries=1 +time=1 +nocookie "$@" >/dev/null; }
for _ in 1 2 3; do ask -b 10.1.0.7 @10.1.0.7 www.example.com A; done
ask -b 10.2.0.7 @10.1.0.7 WWW.example.com A
ask -b 10.2.0.7 @10.1.0.7 www.example.com A +subnet=10.2.128.0/17
ask -b 10.2.0.7 @10.1.0.7 api.example.com AAAA
ask -b 2001:db8:1::7 @2001:db8:1::7 www.example.com AAAA
ask -b 10.1.0.7 @10.1.0.7 www.example.com TXT
ask -b 10.1.0.7 @10.1.0.7 www.example.com A +tcp
ask -b 10.1.0.7 @10.1.0.7 nowhere.test A
sleep 1
kill -INT "${watchers[@]}"
kill "$server"
wait || true
rm "$config"
editcap -F pcapng ethernet.pcap ethernet.pcapng
editcap -F nsecpcap ethernet.pcap nanoseconds.pcap
