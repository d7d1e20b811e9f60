package webhooks

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"time"
)

// Limits of one request. Slow, large or endless answers cost the endpoint its
// delivery and us nothing.
const (
	// SendTimeout bounds one attempt from dial to the last byte read.
	SendTimeout = 15 * time.Second
	// MaxBodyBytes bounds the event that is sent.
	MaxBodyBytes = 64 << 10
	// MaxResponseBytes is how much of an answer is read and kept.
	MaxResponseBytes = 8 << 10

	dialTimeout     = 5 * time.Second // TCP, and again TLS
	maxHeaderBytes  = 16 << 10
	maxURLBytes     = 2048
	maxConnsPerHost = 64 // many endpoints may share a host
	maxIdlePerHost  = 16
	maxIdle         = 512
	idleTimeout     = 90 * time.Second
)

// SenderConfig says where a Sender may send and how it trusts. The zero value
// is right for production.
type SenderConfig struct {
	Guard    Guard
	Resolver *net.Resolver  // default: the system's
	RootCAs  *x509.CertPool // default: the system's
	Timeout  time.Duration  // of one attempt; default and maximum: SendTimeout
}

// newClient makes a client whose every dial passes the guard. It uses no
// proxy, follows no redirect, keeps no cookies and asks for no compression
// (which would let 8 kB on the wire become much more in memory).
func newClient(cfg SenderConfig, guard Guard) *http.Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Resolver: cfg.Resolver, Control: guard.Control}
	return &http.Client{
		Timeout:       cfg.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: cfg.RootCAs},
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxConnsPerHost:        maxConnsPerHost,
			MaxIdleConnsPerHost:    maxIdlePerHost,
			MaxIdleConns:           maxIdle,
			IdleConnTimeout:        idleTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
	}
}
