# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# shellcheck disable=SC2154 # what lib.sh sets
# PostgreSQL's regression suite on $mnt; behind lib.sh.

bin=/usr/lib/postgresql/15/bin
as_postgres() { runuser -u postgres -- "$@"; }

# What the tests run and compare with is in the source alone, and the headers in a package that brings compilers along.
postgres_regression() {
	local source driver out=$work/regress headers
	source=$(compgen -G "${LS_OUTSIDE_CACHE:-}/source/postgresql-15/postgresql-15-*/src/test/regress") || skip "the source of PostgreSQL 15 was not fetched"
	driver=/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress
	headers=$LS_OUTSIDE_CACHE/package/postgresql-server-dev-15/root/usr/include/postgresql/15/server
	chmod 755 "$work"
	mkdir -p "$out/lib" "$out/out"
	cp -r "$source"/{sql,expected,data,parallel_schedule,resultmap} "$out/"
	# Functions in C that the tests call; two more are in Debian's package.
	gcc -O1 -w -fPIC -shared -I "$headers" -I /usr/include/postgresql -o "$out/lib/regress.so" "$source/regress.c" || fail "regress.c does not compile"
	cp /usr/lib/postgresql/15/lib/{autoinc,refint}.so "$out/lib/"
	chown -R postgres "$out"
	mkdir "$mnt/data"
	chown postgres "$mnt/data"
	as_postgres $bin/initdb -D "$mnt/data" --data-checksums --locale=C --encoding=UTF8 -A trust >"$work/initdb" || fail "initdb: $(tail -n 1 "$work/initdb")"
	as_postgres $bin/pg_ctl -D "$mnt/data" -w -t 300 -l "$out/log" -o "-k $out -c listen_addresses= -c max_connections=40" start >/dev/null ||
		fail "PostgreSQL does not start: $(tail -n 1 "$out/log")"
	if as_postgres env PATH="$bin:$PATH" $driver --inputdir="$out" --outputdir="$out/out" --bindir=$bin --dlpath="$out/lib" \
		--host="$out" --user=postgres --schedule="$out/parallel_schedule" --max-concurrent-tests=20 \
		>"$work/said" 2>&1; then
		explain "$(grep -E 'All [0-9]+ tests passed' "$work/said" | xargs)"
	else
		grep -E 'FAILED' "$work/said" || true
		as_postgres $bin/pg_ctl -D "$mnt/data" -m fast -w stop >/dev/null || true
		fail "PostgreSQL's tests: $(grep -E 'failed|FAILED|could not|unrecognized' "$work/said" | tail -n 1 | tr -d "='" | xargs)"
	fi
	as_postgres $bin/pg_amcheck -h "$out" --all --install-missing --heapallindexed >"$work/amcheck" 2>&1 || fail "pg_amcheck: $(tail -n 2 "$work/amcheck" | xargs)"
	as_postgres $bin/pg_ctl -D "$mnt/data" -w -t 300 stop >/dev/null || fail "PostgreSQL does not stop"
	as_postgres $bin/pg_checksums -D "$mnt/data" --check >"$work/checksums" || fail "pg_checksums: $(tail -n 2 "$work/checksums" | xargs)"
	explain "pg_checksums: $(grep -E 'Bad checksums' "$work/checksums" | xargs)"
}
