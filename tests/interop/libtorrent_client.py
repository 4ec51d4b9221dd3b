#!/usr/bin/python3
"""A libtorrent peer: libtorrent_client.py TORRENT|MAGNET FOLDER ADDRESS:PORT [tcp|dht|local|utp [ROUTER [PEER]]].

Over TCP, by the DHT that begins with ROUTER, by local discovery, or over uTP alone; PEER is one to connect to. Prints
`seeding` when all is verified and written, and over uTP `by uTP` once a peer is connected so.
"""

import sys

import libtorrent

torrent, folder, listen, by, router, peer = (sys.argv[1:] + ["tcp", "", ""][len(sys.argv) - 4:])[:6]
categories = libtorrent.alert.category_t
session = libtorrent.session({
    "listen_interfaces": listen, "outgoing_interfaces": listen.rpartition(":")[0],
    "enable_dht": by == "dht", "dht_bootstrap_nodes": router, "enable_lsd": by == "local", "enable_upnp": False,
    # The nodes of a test share a machine, and addresses that the internet has not.
    "dht_restrict_routing_ips": False, "dht_restrict_search_ips": False, "dht_ignore_dark_internet": False,
    "enable_natpmp": False, "enable_outgoing_utp": by == "utp", "enable_incoming_utp": by == "utp",
    "enable_outgoing_tcp": by != "utp", "enable_incoming_tcp": by != "utp", "allow_multiple_connections_per_ip": True,
    "alert_mask": categories.status_notification | categories.error_notification | categories.connect_notification
                  | categories.storage_notification})
if torrent.startswith("magnet:"):
    added = libtorrent.parse_magnet_uri(torrent)
else:
    added = libtorrent.add_torrent_params()
    added.ti = libtorrent.torrent_info(torrent)
added.save_path = folder
handle = session.add_torrent(added)
if peer:
    handle.connect_peer((peer.rpartition(":")[0], int(peer.rpartition(":")[2])))
while True:
    if session.wait_for_alert(1000) is None and by == "dht":
        handle.force_dht_announce()  # it asked before the other had announced, and would ask again in a quarter of an hour
    for alert in session.pop_alerts():
        if isinstance(alert, libtorrent.torrent_finished_alert):
            handle.flush_cache()  # it hashes blocks that are still on their way to the disk
        elif isinstance(alert, libtorrent.cache_flushed_alert):
            print("seeding", flush=True)
        elif "error" in alert.what():
            print(alert.message(), flush=True)
