#!/usr/bin/env python3
"""Makes histograms.json and kitchen*.json.gz from a real Envoy: capture.py ENVOY (histograms|kitchen|kitchen_istio) OUT

Values come through the stats access logger, which records what request headers say. Only loopback is used."""
import base64, gzip, http.client, json, os, random, socket, subprocess, sys, tempfile, time, urllib.parse

T = "type.googleapis.com/envoy.extensions."
ISTIO = "/work/shared/reference/admin-samples/istio-sidecar/bootstrap-rendered.json"


def port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def address(p):
    return {"socket_address": {"address": "127.0.0.1", "port_value": p}}


def hcm(prefix, route, filters=(), log=()):
    return {"name": "hcm", "typed_config": {
        "@type": T + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": prefix, "access_log": list(log),
        "route_config": {"virtual_hosts": [{"name": "vh", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "stat_prefix": "rt", **route}],
                                            "virtual_clusters": [{"name": "vc", "headers": [{"name": ":path", "string_match": {"prefix": "/"}}]}]}]},
        "http_filters": [*filters, {"name": "r", "typed_config": {"@type": T + "filters.http.router.v3.Router"}}]}}


class Envoy:
    def __init__(self, binary, counters=(), histograms=(), listeners=(), clusters=(), config=None, prefix="ing"):
        self.admin, self.port = port(), port()
        log = {"name": "s", "typed_config": {"@type": T + "access_loggers.stats.v3.Config", "stats_scope": {}, "counters": list(counters), "histograms": list(histograms)}}
        boot = {"admin": {"address": address(self.admin)}, "stats_flush_interval": "2s", "static_resources": {"clusters": list(clusters), "listeners": [
            {"name": "l", "address": address(self.port), "filter_chains": [{"filters": [hcm(prefix, {"direct_response": {"status": 200}}, log=[log])]}]}, *listeners]}}
        if config:
            boot["stats_config"] = config
        self.file = tempfile.NamedTemporaryFile("w", suffix=".json", delete=False)
        json.dump(boot, self.file)
        self.file.close()
        self.process = subprocess.Popen(["timeout", "120", binary, "-c", self.file.name, "--base-id", str(random.randrange(1000, 9000)), "--concurrency", "1", "-l", "error"])
        while True:
            try:
                if self.get("/ready").startswith(b"LIVE"):
                    break
            except OSError:
                time.sleep(0.1)

    def get(self, path, **headers):
        c = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        c.request("GET", path, headers=headers)
        return c.getresponse().read()

    def text(self, path):
        return self.get(path).decode()

    def send(self, requests):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for headers in requests:
            c.request("GET", "/", headers={k: str(v) for k, v in headers.items()})
            c.getresponse().read()
        c.close()

    def protobuf(self, query):
        return base64.b64encode(self.get("/stats/prometheus?" + query, Accept="application/vnd.google.protobuf")).decode()

    def close(self):
        self.process.terminate()
        self.process.wait()
        os.unlink(self.file.name)


def histograms(binary):
    random.seed(7)
    wide = lambda n: [int(10 ** random.uniform(0, 9)) for _ in range(n)]
    flat = lambda lo, hi, n: [random.randrange(lo, hi) for _ in range(n)]
    sets = [([1] * 2, [1] * 3), ([0, 0, 5], [0]), ([7], []), ([], [9]), ([1, 2, 3, 10, 250], [250, 255, 259, 260]),
            ([10**k for k in range(16)], [10**k * 9 for k in range(16)]), (flat(0, 100, 50), flat(0, 100, 37)), (wide(60), wide(43)),
            (wide(41), flat(100, 120, 60)), (flat(1000, 1200, 60), flat(5, 9, 7)), ([10**18, 2**62, 9 * 10**17], [2**53 + 1]),
            ([499, 500, 501, 509, 510, 999, 1000, 1001], [1800000, 3600000, 3599999, 3700000]), (wide(60), wide(60)), (wide(17), wide(29)),
            ([1234567890123] * 3, [123456789] * 60)]
    settings = [{"match": {"exact": "h03"}, "buckets": [3, 0.1, 9, 9.05, 9.1, 1e6, 1e15, 0.001, 123456789]},
                {"match": {"prefix": "h1"}, "buckets": [1000, 255, 251, 1001, 2500000]}, {"match": {"exact": "h06"}, "buckets": [50, 2]}]
    e = Envoy(binary, histograms=[{"stat": {"name": "h%02d" % i}, "value_format": "%%REQ(x-%d)%%" % i} for i in range(len(sets))], config={"histogram_bucket_settings": settings})
    send = lambda k: e.send({"x-%d" % i: s[k][j] for i, s in enumerate(sets) if j < len(s[k])} for j in range(max(len(s[k]) for s in sets)))
    send(0)
    while "h00: No rec" in e.text("/stats?filter=%5Eh"):
        time.sleep(0.05)
    send(1)
    while "h03: P" not in e.text("/stats?filter=%5Eh"):
        time.sleep(0.02)
    out = {"sets": sets, "settings": settings}
    for mode in ["", "cumulative", "disjoint", "detailed"]:
        for name, path in {"text": "/stats?", "json": "/stats?format=json&"}.items():
            out[(name + "_" + mode).rstrip("_")] = e.text(path + ("histogram_buckets=" + mode + "&" if mode else "") + "filter=%5Eh%5Cd")
    out["prometheus"] = e.text("/stats/prometheus?filter=%5Eh%5Cd")
    out["prometheus_summary"] = e.text("/stats/prometheus?histogram_buckets=summary&filter=%5Eh%5Cd")
    out["proto"] = e.protobuf("filter=%5Eh%5Cd")
    out["proto_summary"] = e.protobuf("histogram_buckets=summary&filter=%5Eh%5Cd")
    for most in ["", "&native_histogram_max_buckets=3", "&native_histogram_max_buckets=12", "&native_histogram_max_buckets=160"]:
        out["native" + most] = e.protobuf("histogram_buckets=prometheusnative&filter=%5Eh%5Cd" + most)
    e.close()
    return out


def kitchen(binary, istio=False):
    config = None
    if istio:
        config = json.load(open(ISTIO))["stats_config"]
        del config["stats_matcher"]
    plain, tcp = port(), port()
    rbac = {"policies": {"pol": {"permissions": [{"any": True}], "principals": [{"any": True}]}}}
    filters = [
        {"name": "rbac", "typed_config": {"@type": T + "filters.http.rbac.v3.RBAC", "track_per_rule_stats": True, "rules": rbac, "shadow_rules": rbac,
                                          "rules_stat_prefix": "" if istio else "PRE.", "shadow_rules_stat_prefix": "istio_dry_run_allow_" if istio else "SHA"}},
        {"name": "lr", "typed_config": {"@type": T + "filters.http.local_ratelimit.v3.LocalRateLimit", "stat_prefix": "lrp"}},
        {"name": "fault", "typed_config": {"@type": T + "filters.http.fault.v3.HTTPFault", "delay": {"fixed_delay": "0.001s", "percentage": {"numerator": 100}}}}]
    listeners = [
        {"name": "t", "stat_prefix": "named", "address": address(plain), "filter_chains": [{"filters": [hcm("outbound_0.0.0.0_9080;" if istio else "tl", {"route": {"cluster": "up"}}, filters)]}]},
        {"name": "p", "address": address(tcp),
         "listener_filters": [{"name": "pp", "typed_config": {"@type": T + "filters.listener.proxy_protocol.v3.ProxyProtocol", "stat_prefix": "ppx"}}],
         "filter_chains": [{"filters": [{"name": "tcp", "typed_config": {"@type": T + "filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "tp", "cluster": "up"}}]}]}]
    clusters = [{"name": n, "type": "STATIC", "connect_timeout": "1s", **({"alt_stat_name": n + ";"} if istio else {})} for n in ["a", "a-b", "a.b", "a.b.c", "x"]]
    clusters.append({"name": "up", "type": "STATIC", "connect_timeout": "1s", "outlier_detection": {}, "track_cluster_stats": {"request_response_sizes": True},
                     **({"alt_stat_name": "outbound|9080|v1|reviews.default.svc.cluster.local;"} if istio else {}),
                     "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(plain)}}]}]}})
    e = Envoy(binary, listeners=listeners, clusters=clusters, config=config, prefix="inbound_10.0.0.1_80;" if istio else "ing",
              counters=[{"stat": {"name": "req", "tags": [{"name": "code", "value_format": "%RESPONSE_CODE%"}, {"name": "t.2", "value_format": "%REQ(x-t)%"}]}, "value_fixed": 1}],
              histograms=[{"stat": {"name": "ms", "tags": [{"name": "t", "value_format": "%REQ(x-t)%"}]}, "value_format": "%REQ(x-v)%"}])
    for p, first in [(plain, b""), (tcp, b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n")]:
        with socket.create_connection(("127.0.0.1", p)) as c:
            c.settimeout(0.5)
            c.sendall(first + b"GET / HTTP/1.1\r\nhost: x\r\nx-envoy-downstream-service-cluster: dcl\r\n\r\n")
            try:
                c.recv(1000)
            except TimeoutError:
                pass
    e.send({"x-t": t, "x-v": v} for t in ["a", 'b"c', "a.b", "a-b"] for v in [1, 22, 333])
    time.sleep(5)
    e.send([{"x-t": "a", "x-v": 5}] * 8)
    moving = lambda more="": "invert_filter&filter=" + urllib.parse.quote(
        r"^(http\.admin|listener\.admin|server\.(uptime|memory|stats_recent|total_conn)|main_thread|filesystem|thread_local" + more + ")")
    before = e.text("/stats?type=Histograms&" + moving())
    while e.text("/stats?type=Histograms&" + moving()) == before:
        time.sleep(0.02)
    paths = ["/stats?", "/stats?usedonly", "/stats?type=Gauges", "/stats?format=json", "/stats?format=json&usedonly", "/stats?format=json&histogram_buckets=detailed"]
    paths += ["/stats?format=json&type=" + k + u for k in ["Counters", "Gauges", "TextReadouts"] for u in ["", "&usedonly"]]
    paths += ["/stats/prometheus?", "/stats/prometheus?usedonly", "/stats/prometheus?text_readouts", "/stats/prometheus?histogram_buckets=summary&usedonly"]
    out = {"stats_config": config, "paths": {p.rstrip("?"): e.text(p + "&" + moving()) for p in paths}, "protobuf": e.protobuf(moving("|req|ms"))}
    assert e.text("/stats?" + moving()) == out["paths"]["/stats"], "the state moved on, try again"
    e.close()
    return out


if __name__ == "__main__":
    binary, what, to = sys.argv[1:]
    out = histograms(binary) if what == "histograms" else kitchen(binary, what == "kitchen_istio")
    (gzip.open(to, "wt") if to.endswith(".gz") else open(to, "w")).write(json.dumps(out, indent=1))
