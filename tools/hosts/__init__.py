"""Several hosts on one machine: network namespaces of Linux on a bridge, each with an address and a line of its own."""
