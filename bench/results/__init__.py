"""The record of a run, in memory and on disk: data alone, the ground floor of `trigru.bench`."""
