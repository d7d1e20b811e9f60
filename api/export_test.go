package api

import "time"

// WaitForRedis lets requests wait longer than in production, so that a busy
// machine is not taken for a dead Redis. It must precede the first request.
func (s *surface) WaitForRedis(d time.Duration) { s.limiter.timeout = d }

// StreamTiming replaces how often a stream beats and polls, and how long a client
// may take to accept what is written. It must precede the first stream.
func (s *Server) StreamTiming(heartbeat, poll, write time.Duration) {
	s.streams.heartbeat, s.streams.poll, s.streams.write = heartbeat, poll, write
}
