#!/usr/bin/env bash
# cluster.sh [--broker tidewater|apache-kafka] [--dir DIR] run COMMAND…    three brokers as one cluster around a command
# cluster.sh [--broker tidewater|apache-kafka] [--dir DIR] bare COMMAND…   the network alone: the command starts the brokers
#
# Each broker, and etcd, has a network namespace of its own on a bridge, on which the command sits too: broker N is
# 10.7.0.N:9092, etcd 10.7.0.9:2379, the command 10.7.0.254, in every run and after every restart. BOOTSTRAP names the brokers.
# The command runs in namespaces of its own (network, processes, mounts), as does all that it starts, so that any number of
# runs stand side by side, and everything is gone when it ends, however it ends. Root is needed, and Debian's nftables.
#
# For the command:
#   cluster.sh node N                 becomes broker N, with its data in DIR/N
#   cluster.sh etcd                   becomes the etcd that Tidewater's brokers share
#   cluster.sh wipe N                 the data of broker N is gone, which must not run
#   cluster.sh cut FROM TO            nothing from FROM reaches TO any more: 1, 2, 3, etcd, clients
#   cluster.sh lose WHO PERCENT       as much of what WHO sends and is sent is lost on the way
#   cluster.sh slow WHO               what is sent to WHO arrives late
#   cluster.sh heal                   all of that is over
#   cluster.sh fill N | drain N       the disk of broker N (3: the one on a disk of its own) is full, and is not any more
#
#   CLUSTER_SET     more settings for the brokers, key=value separated by blanks
#   TIDEWATER_BIN   the tidewater to run; default: the newest of this checkout's release and debug builds
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/../lib/common.sh"
source "$here/../lib/broker.sh"

nodes=(1 2 3)
subnet=10.7.0
# The one whose disk can be full.
disk_node=3 disk_bytes=2g
export BROKER=${BROKER:-tidewater}

address() {
  case $1 in
    etcd) echo "$subnet.9" ;;
    clients) echo "$subnet.254" ;;
    *) echo "$subnet.$1" ;;
  esac
}

list() { local IFS=,; printf '%s\n' "$*"; }

members() { printf '%s\n' "${nodes[@]}"; [ "$BROKER" != tidewater ] || echo etcd; }

# ---- around the command

# prepare: fetches and builds what the brokers need, while there still is a network.
prepare() {
  [ "$(id -u)" = 0 ] || die "a cluster has network namespaces, and those need root"
  need nft nftables
  need ip iproute2
  if [ "$BROKER" = tidewater ]; then
    TIDEWATER_BIN=$(tidewater_bin)
    [ -x "$TIDEWATER_BIN" ] || die "no broker to test: build tidewater, or name one in TIDEWATER_BIN"
    CLUSTER_ETCD=$(cd "$compat/.." && .ci/etcd) || exit 1
    [ -x "$CLUSTER_ETCD" ] || die "a cluster of tidewater keeps its metadata in etcd, and there is none here"
    export TIDEWATER_BIN CLUSTER_ETCD
  else
    need java default-jre-headless
    CLUSTER_LIBS=$(maven_libs "$compat/apache-kafka") || exit 1
    export CLUSTER_LIBS
  fi
}

# around WORD COMMAND…: this process looks after the namespaces; whatever ends it ends them, and with them all that runs inside.
around() {
  prepare
  export CLUSTER_DIR
  mkdir -p "$CLUSTER_DIR"
  setpriv --pdeathsig KILL unshare --mount --net --pid --fork --mount-proc --kill-child "$0" inside "$@" &
  inner=$!
  trap 'kill -KILL "$inner" 2> /dev/null; exit 130' INT
  trap 'kill -KILL "$inner" 2> /dev/null; exit 143' TERM
  wait "$inner"
}

# network: the bridge, and behind it a namespace for each member.
network() {
  mkdir -p /run/netns
  # Names of namespaces are mounts there: nobody else shall see ours.
  mount -t tmpfs tmpfs /run/netns
  ip link set lo up
  ip link add hub type bridge
  ip addr add "$(address clients)/24" dev hub
  ip link set hub up
  local member
  for member in $(members); do
    ip netns add "$member"
    ip link add "to-$member" type veth peer name eth0 netns "$member"
    ip link set "to-$member" master hub up
    ip -n "$member" link set lo up
    ip -n "$member" addr add "$(address "$member")/24" dev eth0
    ip -n "$member" link set eth0 up
  done
  nft add table bridge faults
  local hook
  for hook in forward input output; do
    nft "add chain bridge faults $hook { type filter hook $hook priority 0; }"
  done
  mkdir -p "$CLUSTER_DIR/$disk_node"
  mount -t tmpfs -o "size=$disk_bytes" tmpfs "$CLUSTER_DIR/$disk_node"
}

# inside run|bare COMMAND…
inside() {
  local word=$1
  shift
  network > "$CLUSTER_DIR/network.log" 2>&1 || die "$(cat "$CLUSTER_DIR/network.log")"
  export BOOTSTRAP
  BOOTSTRAP=$(list "${nodes[@]/%/:9092}")
  BOOTSTRAP=$subnet.${BOOTSTRAP//,/,$subnet.}
  if [ "$word" = run ]; then all_up; fi
  "$@"
}

# all_up: starts all, and returns when each broker answers.
all_up() {
  local node end=$((SECONDS + ${BROKER_READY_S:-60}))
  local -A pid
  [ "$BROKER" != tidewater ] || "$0" etcd >> "$CLUSTER_DIR/log-etcd" 2>&1 &
  for node in "${nodes[@]}"; do
    "$0" node "$node" >> "$CLUSTER_DIR/log-$node" 2>&1 &
    pid[$node]=$!
  done
  for node in "${nodes[@]}"; do
    until python3 "$compat/lib/wire.py" ready "$(address "$node"):9092" 1 2> /dev/null; do
      kill -0 "${pid[$node]}" 2> /dev/null && [ "$SECONDS" -lt "$end" ] && continue
      die "broker $node is not ready; the end of its log:"$'\n'"$(tail -5 "$CLUSTER_DIR/log-$node")"
    done
  done
}

# ---- its members

# as WHO COMMAND…: becomes the command, in the network namespace of a member.
as() {
  local who=$1
  shift
  exec nsenter "--net=/run/netns/$who" "$@"
}

# What is given to both, as Kafka names it: internal topics on all three, and no write on fewer than two.
settings=(
  offsets.topic.replication.factor=3 transaction.state.log.replication.factor=3 transaction.state.log.min.isr=2
  share.coordinator.state.topic.replication.factor=3 share.coordinator.state.topic.min.isr=2
  default.replication.factor=3 min.insync.replicas=2
)

node_of_apache_kafka() {
  local dir=$CLUSTER_DIR/$1 java node voters
  java=(java "-Xmx${CLUSTER_HEAP:-512m}" "-Dlog4j2.configurationFile=$compat/apache-kafka/log4j2.properties" -cp "$CLUSTER_LIBS/*")
  voters=$(for node in "${nodes[@]}"; do echo "$node@$(address "$node"):9093"; done)
  mkdir -p "$dir"
  cat > "$dir/server.properties" << P
process.roles=broker,controller
node.id=$1
log.dirs=$dir/logs
listeners=PLAINTEXT://$(address "$1"):9092,CONTROLLER://$(address "$1"):9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.quorum.voters=$(list $voters)
P
  printf '%s\n' "${settings[@]}" ${CLUSTER_SET:-} >> "$dir/server.properties"
  [ -f "$dir/logs/meta.properties" ] ||
    "${java[@]}" kafka.tools.StorageTool format -t MkU3OEVBNTcwNTJENDM1Qk -c "$dir/server.properties" > "$dir/format.log" 2>&1
  as "$1" "${java[@]}" kafka.Kafka "$dir/server.properties"
}

node_of_tidewater() {
  local setting set=()
  unset "${!KAFKA_@}"
  for setting in "node.id=$1" "log.dirs=$CLUSTER_DIR/$1/logs" "metadata.store=etcd://$(address etcd):2379" \
    "listeners=PLAINTEXT://$(address "$1"):9092" "advertised.listeners=PLAINTEXT://$(address "$1"):9092" \
    inter.broker.listener.name=PLAINTEXT "admin.listeners=http://$(address "$1"):9644" "${settings[@]}" ${CLUSTER_SET:-}; do
    set+=(--set "$setting")
  done
  as "$1" "$TIDEWATER_BIN" broker "${set[@]}"
}

etcd() {
  local url
  url=http://$(address etcd)
  as etcd "$CLUSTER_ETCD" --name etcd --data-dir "$CLUSTER_DIR/etcd" --logger zap --log-level warn \
    --listen-client-urls "$url:2379" --advertise-client-urls "$url:2379" \
    --listen-peer-urls "$url:2380" --initial-advertise-peer-urls "$url:2380" --initial-cluster "etcd=$url:2380"
}

# ---- what befalls them

cut_off() {
  case $1,$2 in
    clients,*) nft add rule bridge faults output oifname "to-$2" drop ;;
    *,clients) nft add rule bridge faults input iifname "to-$1" drop ;;
    *) nft add rule bridge faults forward iifname "to-$1" oifname "to-$2" drop ;;
  esac
}

lose() {
  local hook
  for hook in forward input; do
    nft add rule bridge faults "$hook" iifname "to-$1" numgen random mod 100 '<' "$2" drop
  done
  for hook in forward output; do
    nft add rule bridge faults "$hook" oifname "to-$1" numgen random mod 100 '<' "$2" drop
  done
}

# slow WHO: late by netem where the kernel has it, and else by a link that takes no more than 1 Mbit/s and queues the rest.
slow() {
  tc qdisc add dev "to-$1" root netem delay 50ms 30ms 2> /dev/null ||
    tc qdisc add dev "to-$1" root tbf rate 1mbit burst 4kb latency 600ms
}

heal() {
  local hook member
  for hook in forward input output; do nft flush chain bridge faults "$hook"; done
  for member in $(members); do tc qdisc del dev "to-$member" root 2> /dev/null; done
  return 0
}

fill() {
  local used
  used=$(df -k --output=used "$CLUSTER_DIR/$1" | tail -1)
  mount -o "remount,size=$((used + 256))k" "$CLUSTER_DIR/$1"
}

CLUSTER_DIR=${CLUSTER_DIR:-}
while :; do
  case ${1:-} in
    --broker) BROKER=$2; shift 2 ;;
    --dir) CLUSTER_DIR=$2; shift 2 ;;
    *) break ;;
  esac
done
word=${1:-}
shift
case $word in
  run | bare)
    if [ -z "$CLUSTER_DIR" ]; then
      CLUSTER_DIR=$(mktemp -d)
      say "data and logs: $CLUSTER_DIR"
    fi
    around "$word" "$@"
    ;;
  inside) inside "$@" ;;
  node) "node_of_${BROKER/-/_}" "$1" ;;
  etcd) etcd ;;
  wipe) find "$CLUSTER_DIR/$1" -mindepth 1 -delete ;;
  cut) cut_off "$@" ;;
  lose) lose "$@" ;;
  slow) slow "$@" ;;
  heal) heal ;;
  fill) fill "$1" ;;
  drain) mount -o "remount,size=$disk_bytes" "$CLUSTER_DIR/$1" ;;
  *) sed -n '2,21s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
