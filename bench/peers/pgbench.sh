# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2154 # variables of lib.sh
# PostgreSQL 15 of Debian on ext4 on a system's block device: jobs "pgbench:SCALE:CLIENTS".  Behind lib.sh.
# A cluster with pgbench's tables is made once for each scale, in memory, and copied onto the device
# in each turn: what is measured is pgbench alone.

pg_bin=/usr/lib/postgresql/15/bin
pg_scratch=${PEERS_SCRATCH:-/dev/shm/ls-peers}
pg_mount=$pg_scratch/mount
pg_warm_seconds=2

as_postgres() { runuser -u postgres -- "$@"; }
pg_start() { as_postgres "$pg_bin/pg_ctl" -D "$1" -w -t 120 -s -l "$pg_scratch/log" start; }
pg_stop() { as_postgres "$pg_bin/pg_ctl" -D "$1" -w -t 120 -s -m fast stop; }
pg_query() { as_postgres psql -X -A -t -q -h "$pg_scratch" -c "$1" postgres; }

pgbench_why_not() {
	missing "$pg_bin/postgres" "$pg_bin/pgbench" mkfs.ext4
	id postgres >/dev/null 2>&1 || echo "there is no user postgres"
}

# Nothing happens by the clock, and a checkpoint only after more log than a job writes: it would hit
# one system and spare another.  What is durable, and when, is PostgreSQL's default.
pg_settings() {
	cat <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$pg_scratch'
		max_connections = 80
		shared_buffers = 32MB
		fsync = on
		synchronous_commit = on
		full_page_writes = on
		autovacuum = off
		checkpoint_timeout = 1h
		max_wal_size = $((PEERS_SPAN * 3 / 8 >> 20))MB
		jit = off
	CONF
}

# pg_cluster SCALE: made at first use, in $pg_scratch/SCALE.
pg_cluster() {
	local made=$pg_scratch/$1 new=$pg_scratch/new
	[[ ! -d $made ]] || return 0
	rm -rf "$new"
	mkdir -p "$pg_scratch" "$new"
	chown postgres "$pg_scratch" "$new"
	as_postgres "$pg_bin/initdb" -D "$new" --data-checksums --locale=C --encoding=UTF8 -A trust -N >/dev/null
	pg_settings >>"$new/postgresql.conf"
	pg_start "$new"
	as_postgres "$pg_bin/pgbench" -h "$pg_scratch" -i -I tgvp -q -s "$1" postgres
	# Log files that are used again, as in any database that has run for a while.
	pg_query "CHECKPOINT"
	pg_stop "$new"
	mv "$new" "$made"
}

# run_pgbench DEVICE: all of the pgbench jobs.  Scales one after the other, each in a new file system.
run_pgbench() {
	local device=$1 job scale now=""
	[[ -n $(own_jobs pgbench) ]] || return 0
	[[ -z $mirrored ]] || "$bench_load" --jobs touch:4096:8 --span "$PEERS_SPAN" "$device"
	for job in $(own_jobs pgbench | tr , ' '); do
		IFS=: read -r _ scale clients <<<"$job"
		if [[ $now != "$scale" ]]; then
			pgbench_end
			pg_cluster "$scale" >&2
			# Within the span, which is what is compared afterwards; nothing is left to do in the background.
			mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 "$device" "$((PEERS_SPAN >> 10))k" >&2
			mkdir -p "$pg_mount"
			mount -t ext4 "$device" "$pg_mount"
			cp -a --sparse=never "$pg_scratch/$scale" "$pg_mount/data"
			sync -f "$pg_mount"
			pg_start "$pg_mount/data" >&2
			now=$scale
		fi
		pgbench_row "$scale" "$clients"
	done
	pgbench_end
}

# The database is stopped and the device unmounted; also when there is neither.
pgbench_end() {
	[[ ! -e $pg_mount/data/postmaster.pid ]] || pg_stop "$pg_mount/data" >&2
	! mountpoint -q "$pg_mount" || umount "$pg_mount"
}

last_checkpoint() { pg_query "SELECT redo_lsn FROM pg_control_checkpoint()"; }
# Of all CPUs, so far; as bench-load takes it.
idle_us() { awk -v hz="$(getconf CLK_TCK)" '$1 == "cpu" { printf "%.0f\n", ($5 + $6) * 1e6 / hz }' /proc/stat; }

pgbench_row() { # SCALE CLIENTS
	local seconds log idle began busy before checkpointed=false
	log=$(mktemp -d "$pg_scratch/log.XXXXXX")
	seconds=$(awk -v s="$PEERS_SECONDS" -v w=$pg_warm_seconds 'BEGIN { print int(s + w + 0.999) }')
	pg_query CHECKPOINT
	before=$(last_checkpoint)
	idle=$(idle_us) began=$EPOCHREALTIME
	(cd "$log" && "$pg_bin/pgbench" -h "$pg_scratch" -U postgres -n -M prepared -c "$2" -j 1 -T "$seconds" \
		--random-seed="$ROUND" -l postgres) >&2
	busy=$(((${EPOCHREALTIME/./} - ${began/./}) * $(nproc) - ($(idle_us) - idle)))
	[[ $(last_checkpoint) == "$before" ]] || checkpointed=true
	pgbench_figures "$log" "$busy" "$1" "$2" "$checkpointed"
	rm -rf "$log"
}

# What was committed within the time that counts, from pgbench's log of each transaction: its third
# field is how long it took, the last two are when it ended.
pgbench_figures() { # LOG BUSY-US SCALE CLIENTS CHECKPOINTED
	local all
	all=$(cat "$1"/* | wc -l)
	awk -v warm=$pg_warm_seconds -v seconds="$PEERS_SECONDS" '
		{
			ended[NR] = $5 * 1e6 + $6
			took[NR] = $3
			if (NR == 1 || ended[NR] - took[NR] < begin) begin = ended[NR] - took[NR]
		}
		END {
			from = begin + warm * 1e6
			for (i = 1; i <= NR; i++)
				if (ended[i] > from && ended[i] <= from + seconds * 1e6) print took[i]
		}' "$1"/* | sort -n | awk -v system_="$SYSTEM" -v round="$ROUND" -v seconds="$PEERS_SECONDS" \
		-v scale="$3" -v clients="$4" -v busy="$2" -v all="$all" -v checkpointed="$5" '
		{ took[NR] = $1; sum += $1 }
		function at(part, n) { n = int(NR * part); return took[n < NR ? n + 1 : NR] }
		END {
			if (!NR) exit 1
			printf "{\"system\":\"%s\",\"rw\":\"pgbench\",\"bs\":%d,\"qd\":%d,\"round\":%d,\"iops\":%.1f,", \
				system_, scale, clients, round, NR / seconds
			printf "\"mean_us\":%.0f,\"p50_us\":%.0f,\"p99_us\":%.0f,\"p999_us\":%.0f,\"mbps\":null,", \
				sum / NR, at(0.5), at(0.99), at(0.999)
			printf "\"cpu_us_per_io\":%.1f,\"checkpointed\":%s}\n", busy / all, checkpointed
		}' || {
		echo "pgbench: no transaction ended within the time that counts" >&2
		return 1
	}
}
