"""Layer T4: the device process. Takes leases from the server, runs graphs, reports what happened."""
