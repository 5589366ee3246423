# Sourced by the scripts beside it: builds, starts steerd on free ports, reads its metrics, stops what was started.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
release=${CARGO_TARGET_DIR:-target}/release
scratch=$(mktemp -d)
started=()

# Stops whatever this script started, by its process id.
cleanup() {
  for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap cleanup EXIT

die() { echo "perf: $*" >&2; exit 1; }

# build EXAMPLE...: steerd itself and the programs of this folder.
build() {
  local examples=()
  for example in "$@"; do examples+=(--example "$example"); done
  cargo build --quiet --release --bin steerd "${examples[@]}"
}

# What was measured, where and when: absolute figures mean nothing without it, and other load spoils them.
print_machine() {
  local cpu
  cpu=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -1)
  echo "# $1"
  echo "# $(date -u +%Y-%m-%d), ${cpu:-unknown CPU}, $(nproc) cores, Linux $(uname -r), load $(cut -d' ' -f1 /proc/loadavg), $("$release/steerd" --version)"
}

# start_steerd FILE: sets steerd_pid, dns (address:port), admin where the file has one; the log is $scratch/log. What
# stands in `under` comes before the program.
under=()
start_steerd() {
  # Emptied before the shell forks: an earlier start's lines are not read for this one's.
  : >"$scratch/log"
  "${under[@]}" "$release/steerd" serve -c "$1" --log-format json 2>"$scratch/log" &
  steerd_pid=$!
  started+=("$steerd_pid")
  local deadline=$((SECONDS + 120))
  until grep -q '"message":"serving"' "$scratch/log"; do
    kill -0 "$steerd_pid" 2>/dev/null || die "steerd did not start: $(tail -3 "$scratch/log")"
    [ $SECONDS -lt $deadline ] || die "steerd does not serve"
    sleep 0.02
  done
  dns=$(log_address 'listening (UDP and TCP)')
  admin=$(log_address 'admin listening (HTTP: /metrics, /state, /healthz)')
}

# The first address of log lines with this message; nothing where there is none.
log_address() { awk -v message="\"message\":\"$1\"" 'index($0, message) && match($0, /"address":"[^"]*"/) { print substr($0, RSTART + 11, RLENGTH - 12); exit }' "$scratch/log"; }

# start_backend SECONDS FLAP_MS ADDRESS...: sets backend_port.
start_backend() {
  "$release/examples/backend" "$@" >"$scratch/port" &
  started+=("$!")
  for _ in $(seq 500); do
    [ -s "$scratch/port" ] && read -r backend_port <"$scratch/port" && return || sleep 0.01
  done
  die "the backend does not listen"
}

# await_members STATE COUNT: until so many members are in the state.
await_members() {
  for _ in $(seq 600); do
    [ "$(metrics | grep -c "^steerd_member_state{.*state=\"$1\"} 1")" -ge "$2" ] && return || sleep 0.05
  done
  die "fewer than $2 members are $1"
}

metrics() { curl --silent --fail --max-time 30 "http://$admin/metrics"; }

# metric NAME [FILE]: the value of one line of the page, or of a page kept in a file.
metric() {
  if [ $# -gt 1 ]; then cat "$2"; else metrics; fi | awk -v name="$1" '$1 == name { print $2 }'
}

# kib FIELD: of a line of what the kernel says of the server's memory (proc_pid_status(5)).
kib() { sed -n "s/^$1:[[:space:]]*\([0-9]*\) kB/\1/p" "/proc/$steerd_pid/status"; }

# median: of the numbers on its input.
median() { sort -n | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

# value KEY FILE: from the client's `key value` lines; 0 where it is not there.
value() { awk -v key="$1" '$1 == key { found = $2 } END { print found + 0 }' "$2"; }

# Under callgrind, with the same instructions on every machine: which memcpy, memset and memcmp glibc takes depends on the
# processor, which valgrind shows by and large as it is. Without these features it is the one for any x86-64.
callgrind=(env "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX,-AVX512F,-AVX512VL,-ERMS,-FSRM,-SSSE3,-SSE4_1,-SSE4_2,-BMI2,-MOVBE,-AVX_Fast_Unaligned_Load"
  valgrind --tool=callgrind "--callgrind-out-file=$scratch/callgrind")

# collected FILE: the instructions that callgrind reports at the end of a run, in a file of what it said. A later glibc, or a
# processor with features not listed above, may have it take other variants: then $scratch/foreign says so, for the figures
# are this machine's own.
collected() {
  ! grep -qE 'fn=\([0-9]+\) _*(mem|str)[a-z]*_(avx|evex|ssse|sse4|.*erms)' "$scratch/callgrind" || : >"$scratch/foreign"
  sed -n 's/.*Collected : \([0-9]*\).*/\1/p' "$1" | grep . || die "callgrind has not reported: $(tail -3 "$1")"
}

# respond_instructions KIND: those of one call of `respond` with all it calls, but not of the loop around it; the difference of
# two lengths is free of the first call's work.
respond_instructions() {
  local count counted=()
  for count in 1000 11000; do
    "${callgrind[@]}" --toggle-collect=steerd::dataplane::respond::respond "$release/examples/respond_loop" "$1" "$count" \
      >"$scratch/said" 2>&1 || die "respond_loop failed: $(tail -3 "$scratch/said")"
    counted+=("$(collected "$scratch/said")")
  done
  [ "${counted[0]}" -gt 0 ] || die "callgrind knows no function of the name of respond"
  echo $(((counted[1] - counted[0]) / 10000))
}
