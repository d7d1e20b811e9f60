// Package redis is the sandbox's Redis: the server that SETTLE_REDIS_URL names,
// else a redis-server from PATH, else miniredis in process. Settle owes Redis
// nothing (it may be flushed at any time), so the substitute is good enough for
// a demo; Ready.Detail says which of the three it is.
//
// A redis-server keeps its data if the sandbox has a directory; miniredis never
// does. Both listen on 127.0.0.1 only.
//
// Called by `sandbox part redis`.
package redis
