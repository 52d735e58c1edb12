#!/usr/bin/env bash
# broker.sh DIR PORT: becomes the broker under test ($BROKER, $TIDEWATER_BIN, $BROKER_SET), so that a kill meets it.
set -uo pipefail
source "$(dirname "$0")/../lib/common.sh"
source "$compat/lib/broker.sh"
broker_launch "$1" "$2"
