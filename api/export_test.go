package api

import "time"

// WaitForRedis lets requests wait longer than in production, so that a busy
// machine is not taken for a dead Redis. It must precede the first request.
func (s *Server) WaitForRedis(d time.Duration) { s.limiter.timeout = d }
