#!/bin/sh
# What tshark makes of the captures here: flags and source port of each TCP segment.
#
# Each should give six segments. tshark does not read link types 166 and 205, and looks into a pseudowire only after
# its own guess at what that holds; it takes the times of IXIA's hardware for microseconds.
cd "$(dirname "$0")" || exit 1
for capture in *.pcap *.pcapng; do
    printf '%s:' "$capture"
    tshark -r "$capture" -o ip.defragment:FALSE -d udp.port==8472,vxlan -d udp.port==10800,vxlan \
        -T fields -e tcp.flags.str -e tcp.srcport 2>/dev/null | tr -d '\302\267' | tr '\t\n' ' ,'
    echo
done
