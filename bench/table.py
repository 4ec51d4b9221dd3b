#!/usr/bin/env python3
"""What `peer bench --json` and `tracker bench --json` wrote, as tables: table.py FILE"""
import json
import sys


def table(headings, rows):
    cells = [headings] + [[cell if isinstance(cell, str) else f"{cell:,.2f}" for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headings))]
    for row in cells:
        print("  ".join(cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))))
    print()


def main():
    with open(sys.argv[1]) as lines:
        events = [json.loads(line) for line in lines]
    results = [each for each in events if each["event"] == "result"]
    table(["content, peer to peer", "seconds", "MB/s", "CPU s/GB", "of the limit"],
          [[each["what"], each["seconds"], each["megabytes_per_second"], each["cpu_seconds_per_gigabyte"], each["times_limit"]]
           for each in results if "megabytes_per_second" in each])
    table(["announces", "by", "a second", "of the limit", "p50 ms", "p99 ms", "CPU s/million", "peers each"],
          [[each["what"], each["by"], each["announces_per_second"], each["times_limit"], each["p50_milliseconds"], each["p99_milliseconds"],
            each.get("cpu_seconds_per_million", "-"), each["peers_per_answer"]] for each in results if "by" in each])
    for each in events:
        if each["event"] == "memory":
            print(f"memory of the {each['what']}: {each['bytes_per_peer']:.1f} bytes for each of {each['peers']:,} peers")


if __name__ == "__main__":
    main()
