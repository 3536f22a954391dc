#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# What: qemu-io: random scripts of synchronous and asynchronous writes, zeroes, discards and flushes, each place read back
# Packages: qemu-utils nbdkit
. "$(dirname "$0")/lib.sh"
need nbdkit qemu-io python3
volume_of 64M
serve a vol
# script SEED: qemu-io's commands; what is in flight never overlaps, and what is read is known.
script() {
	python3 - "$1" $((600 / scale)) <<'PY'
import random
import sys

random.seed(int(sys.argv[1]))
unit, places = 65536, (64 << 20) // 65536
holds, flying = {}, set()
print("write -z 0 64M")
for _ in range(int(sys.argv[2])):
    first = random.randrange(places)
    count = min(random.choice((1, 1, 1, 2, 5, 17)), places - first)
    if flying & set(range(first, first + count)):
        print("aio_flush")
        flying.clear()
    where = f"{first * unit} {count * unit}"
    pattern = random.randrange(1, 256)
    op = random.choice(("write", "write -f", "write -q", "aio", "aio", "aio", "zero", "zero -u", "discard", "read", "flush"))
    if op == "aio":
        print(f"aio_write -q -P {pattern} {where}")
        flying.update(range(first, first + count))
    elif op.startswith("write"):
        print(f"{op} -P {pattern} {where}")
    elif op.startswith("zero"):
        print(f"write -z{' -u' if op.endswith('u') else ''} {where}")
        pattern = 0
    elif op == "discard":
        print(f"discard {where}")
        pattern = 0
    elif op == "flush":
        print("flush")
        continue
    else:
        print(f"read -P {holds.get(first, 0)} {first * unit} {unit}")
        continue
    for place in range(first, first + count):
        holds[place] = pattern
print("aio_flush")
for place in range(places):
    print(f"read -P {holds.get(place, 0)} {place * unit} {unit}")
PY
}
for seed in 1 2 3; do
	script $seed >"$work/script"
	for cache in none writeback writethrough; do
		qemu-io -f raw -t $cache "$uri" <"$work/script" >"$work/said" 2>&1 || fail "seed $seed, cache $cache: qemu-io's status $?"
		! grep -iE 'verification failed|error|invalid|fail' "$work/said" | head -n 3 | grep . ||
			fail "seed $seed, cache $cache: see the line above"
		same 0 "$(volume_field a vol errors)" "failed requests"
		explain "seed $seed, cache $cache: $(wc -l <"$work/script") commands"
	done
done
end_nbdkit
in_order
passed
