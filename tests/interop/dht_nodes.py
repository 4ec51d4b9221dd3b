#!/usr/bin/python3
"""A DHT of libtorrent's nodes: dht_nodes.py ADDRESS:PORT COUNT. The first is at that port, the others at the next ones.

Prints `together` when the first knows eight of them: Transmission takes a smaller network for a broken one.
"""

import sys

import libtorrent

address, port = sys.argv[1].rsplit(":", 1)
sessions = [libtorrent.session({
    "listen_interfaces": f"{address}:{int(port) + i}", "enable_dht": True, "dht_bootstrap_nodes": f"{address}:{port}",
    "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False, "dht_restrict_routing_ips": False,
    "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "alert_mask": libtorrent.alert.category_t.stats_notification}) for i in range(int(sys.argv[2]))]
for i, each in enumerate(sessions):
    for other in range(len(sessions)):
        if other != i:
            each.add_dht_node((address, int(port) + other))
is_together = False
while True:
    sessions[0].wait_for_alert(200)
    sessions[0].post_session_stats()
    for alert in sessions[0].pop_alerts():
        if isinstance(alert, libtorrent.session_stats_alert) and alert.values["dht.dht_nodes"] >= 8 and not is_together:
            is_together = True
            print("together", flush=True)
