#!/usr/bin/python3
"""A libtorrent peer over TCP: libtorrent_client.py TORRENT|MAGNET FOLDER ADDRESS:PORT. Prints `seeding` when all is verified."""

import sys

import libtorrent

torrent, folder, listen = sys.argv[1:]
session = libtorrent.session({
    "listen_interfaces": listen, "outgoing_interfaces": listen.rpartition(":")[0],
    "enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
    "enable_outgoing_utp": False, "enable_incoming_utp": False, "allow_multiple_connections_per_ip": True,
    "alert_mask": libtorrent.alert.category_t.status_notification | libtorrent.alert.category_t.error_notification})
if torrent.startswith("magnet:"):
    added = libtorrent.parse_magnet_uri(torrent)
else:
    added = libtorrent.add_torrent_params()
    added.ti = libtorrent.torrent_info(torrent)
added.save_path = folder
session.add_torrent(added)
while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        if isinstance(alert, libtorrent.torrent_finished_alert):
            print("seeding", flush=True)
        elif "error" in alert.what():
            print(alert.message(), flush=True)
