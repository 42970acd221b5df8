"""Runs of another machine, through ssh: what is said between the two sides, and what each of them does.

Over there `serving` looks at a folder of runs and says what changed; here `watcher` keeps a `mirror` of it, a folder of
runs that every reader takes for one, and `proxies` hand requests to workers on. No port, no server: both ends of one
ssh process.
"""
