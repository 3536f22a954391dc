#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What metrics.sh asks of HTTP and of Prometheus.

usage: metrics.py get [--method METHOD] URL      the status, the type, then the body
       metrics.py check PAGE NAME-OF-FILE...     holds a page to the format, and the files to the page
       metrics.py value PAGE 'NAME{LABEL="..."}' one sample
       metrics.py watch PROMETHEUS FOLDER RULES LIMIT URL...
                  runs Prometheus on the exporters at URLs; prints each alert that it sends, once, as it comes ("Scraped"
                  when all engines answered). Reads lines: "query EXPRESSION" is answered, anything else ends it
"""
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

SAMPLE = re.compile(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)*\})? (-?[0-9.e+-]+|\+Inf|NaN)')


def get(method, url):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


def samples(page):
    found = {}
    for line in page.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        if not match:
            sys.exit(f"not a sample: {line!r}")
        key = match[1] + (match[2] or "")
        if key in found:
            sys.exit(f"twice: {key}")
        found[key] = float(match[3])
    return found


def check_histograms(found):
    buckets = {}
    for key, value in found.items():
        match = re.fullmatch(r'(\w+)_bucket\{(.*),le="([^"]+)"\}', key)
        if match:
            buckets.setdefault((match[1], match[2]), []).append((float(match[3]), value))
    for (name, labels), list_ in buckets.items():
        if list_ != sorted(list_) or [v for _, v in list_] != sorted(v for _, v in list_):
            sys.exit(f"{name}{{{labels}}}: the buckets do not rise")
        if list_[-1][1] != found[f"{name}_count{{{labels}}}"] or list_[-1][0] != float("inf"):
            sys.exit(f"{name}{{{labels}}}: the last bucket is not all of it")
        if found[f"{name}_sum{{{labels}}}"] < sum((b - a) * low for (low, a), (_, b) in zip(list_, list_[1:])):
            sys.exit(f"{name}{{{labels}}}: the sum is less than the buckets say")
    return len(buckets)


def check(page, files):
    found = samples(page)
    names = {re.split(r"[{]", key)[0] for key in found}
    names |= set(re.findall(r"^# TYPE (\w+) ", page, re.M))
    histograms = check_histograms(found)
    used = set()
    for path in files:
        with open(path, encoding="utf-8") as file:
            used |= set(re.findall(r"\blockstep_[a-z_]+\b", file.read()))
    missing = sorted(used - names)
    if missing:
        sys.exit(f"named in {' '.join(files)}, but not served: {' '.join(missing)}")
    print(f"{len(found)} samples, {histograms} histograms; all {len(used)} metrics that rules and dashboard name are there")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Alertmanager(http.server.BaseHTTPRequestHandler):
    """Tells of each alert once."""
    told = set()

    def do_POST(self):
        alerts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in alerts:
            labels = alert["labels"]
            name = " ".join([labels.pop("alertname")] + [f"{k}={v}" for k, v in sorted(labels.items())])
            if name not in self.told:
                self.told.add(name)
                print(name, flush=True)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def at_once(rules):
    """The rules, but without the time for which a condition must have held."""
    return re.sub(r"^ *for: .*\n", "", rules, flags=re.M)


def watch(program, folder, rules_path, limit, urls):
    signal.alarm(limit)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Alertmanager)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    targets = [re.sub("^http://|/metrics$", "", url) for url in urls]
    with open(rules_path, encoding="utf-8") as file:
        rules = at_once(file.read())
    with open(f"{folder}/rules.yml", "w", encoding="utf-8") as file:
        file.write(rules)
    with open(f"{folder}/scraped.yml", "w", encoding="utf-8") as file:
        json.dump({"groups": [{"name": "test", "rules": [{
            "alert": "Scraped", "expr": f"count(lockstep_up == 1) == {len(urls)}"}]}]}, file)
    with open(f"{folder}/prometheus.yml", "w", encoding="utf-8") as file:
        json.dump({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [f"{folder}/rules.yml", f"{folder}/scraped.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [
                {"targets": [f"127.0.0.1:{server.server_port}"]}]}]},
            "scrape_configs": [{"job_name": "lockstep", "static_configs": [{"targets": targets}]}],
        }, file)
    port = free_port()
    with open(f"{folder}/prometheus.log", "w", encoding="utf-8") as log, subprocess.Popen(
            [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, cwd=folder) as prometheus:
        try:
            for line in sys.stdin:
                if line.startswith("query "):
                    query = urllib.parse.urlencode({"query": line[6:].strip()})
                    status, _, body = get("GET", f"http://127.0.0.1:{port}/api/v1/query?{query}")
                    print("answer", status, json.dumps(json.loads(body)["data"]["result"]), flush=True)
                else:
                    break
        finally:
            prometheus.terminate()
    if prometheus.returncode != 0:
        sys.exit(f"prometheus ended with {prometheus.returncode}")


def main():
    verb, words = sys.argv[1], sys.argv[2:]
    if verb == "get":
        method = "GET"
        if words[0] == "--method":
            method, words = words[1], words[2:]
        status, kind, body = get(method, words[0])
        print(status, kind)
        print(body, end="")
    elif verb == "watch":
        watch(words[0], os.path.abspath(words[1]), words[2], int(words[3]), words[4:])
    else:
        with open(words[0], encoding="utf-8") as file:
            page = file.read()
        if verb == "check":
            check(page, words[1:])
        else:
            print(f"{samples(page)[words[1]]:.12g}")


if __name__ == "__main__":
    main()
