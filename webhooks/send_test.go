package webhooks_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/webhooks"
)

// loopback is what an operator of a laboratory allows.
var loopback = webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}

func newSender(t *testing.T, cfg webhooks.SenderConfig) *webhooks.Sender {
	t.Helper()
	s := webhooks.NewSender(cfg)
	t.Cleanup(s.Close)
	return s
}

func request(url string) webhooks.Request {
	return webhooks.Request{URL: url, Mode: payment.Test, Secrets: [][]byte{key(7)}, EventID: "evt_1", Body: []byte(`{"id":"evt_1"}`)}
}

// answering starts a server that answers every request with status and headers.
func answering(t *testing.T, status int, headers ...string) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, "status %d", status)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestSendSpeaksStandardWebhooks(t *testing.T) {
	t.Parallel()
	type seen struct {
		header http.Header
		body   []byte
	}
	got := make(chan seen, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- seen{r.Header, body}
	}))
	t.Cleanup(srv.Close)

	res := newSender(t, webhooks.SenderConfig{Guard: loopback}).Send(t.Context(), request(srv.URL))
	if res.Outcome != webhooks.Delivered || res.Status != 200 || res.Error != "" || res.Blame != webhooks.BlameNone || res.SentAt.IsZero() || res.Duration <= 0 {
		t.Fatalf("%+v", res)
	}
	s := <-got
	wh, err := standardwebhooks.NewWebhookRaw(key(7))
	if err != nil {
		t.Fatal(err)
	}
	if err := wh.Verify(s.body, s.header); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"webhook-id": "evt_1", "content-type": "application/json", "user-agent": "Settle", "accept-encoding": ""} {
		if got := s.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestOutcomeByStatus(t *testing.T) {
	t.Parallel()
	const s = time.Second
	sender := newSender(t, webhooks.SenderConfig{Guard: loopback})
	for _, c := range []struct {
		status     int
		retryAfter string
		outcome    webhooks.Outcome
		wait       time.Duration
	}{
		{200, "", webhooks.Delivered, 0},
		{202, "30", webhooks.Delivered, 0},
		{204, "", webhooks.Delivered, 0},
		{300, "", webhooks.Retry, 0},
		{400, "", webhooks.Retry, 0},
		{404, "", webhooks.Retry, 0},
		{410, "", webhooks.Gone, 0},
		{429, "", webhooks.Retry, 60 * s},
		{429, "5", webhooks.Retry, 60 * s},
		{429, "120", webhooks.Retry, 120 * s},
		{500, "", webhooks.Retry, 0},
		{500, "30", webhooks.Retry, 30 * s},
		{500, "-30", webhooks.Retry, 0},
		{500, "soon", webhooks.Retry, 0},
		{500, "Mon, 02 Jan 2006 15:04:05 GMT", webhooks.Retry, 0},
		{503, "", webhooks.Retry, 60 * s},
	} {
		res := sender.Send(t.Context(), request(answering(t, c.status, "Retry-After", c.retryAfter)))
		if res.Status != c.status || res.Outcome != c.outcome || res.RetryAfter != c.wait {
			t.Errorf("%d, Retry-After %q: %+v", c.status, c.retryAfter, res)
		}
		if failed := c.outcome != webhooks.Delivered; failed != (res.Error != "") || failed != (res.Blame == webhooks.BlameEndpoint) {
			t.Errorf("%d: error %q, blame %q", c.status, res.Error, res.Blame)
		}
	}
	at := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if res := sender.Send(t.Context(), request(answering(t, 500, "Retry-After", at))); res.RetryAfter < 59*time.Minute || res.RetryAfter > time.Hour {
		t.Errorf("Retry-After %s: %v", at, res.RetryAfter)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(target.Close)
	sender := newSender(t, webhooks.SenderConfig{Guard: loopback})
	for _, status := range []int{301, 302, 303, 307, 308} {
		res := sender.Send(t.Context(), request(answering(t, status, "Location", target.URL)))
		if res.Status != status || res.Outcome != webhooks.Retry || res.Blame != webhooks.BlameEndpoint {
			t.Errorf("%d: %+v", status, res)
		}
	}
	if n := visits.Load(); n != 0 {
		t.Errorf("followed %d times", n)
	}
}

func TestLargeAnswersAreCutOff(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		for chunk := strings.Repeat("x", 4096); r.Context().Err() == nil; { // until we hang up
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	res := newSender(t, webhooks.SenderConfig{Guard: loopback}).Send(t.Context(), request(srv.URL))
	if res.Status != 500 || len(res.Response) != webhooks.MaxResponseBytes {
		t.Fatalf("status %d, %d bytes", res.Status, len(res.Response))
	}

	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Large", strings.Repeat("x", 1<<20))
	}))
	t.Cleanup(srv.Close)
	res = newSender(t, webhooks.SenderConfig{Guard: loopback}).Send(t.Context(), request(srv.URL))
	if res.Status != 0 || res.Outcome != webhooks.Retry || res.Blame != webhooks.BlameEndpoint {
		t.Fatalf("large header: %+v", res)
	}
}

func TestWhatIsOursIsNotBlamedOnTheEndpoint(t *testing.T) {
	t.Parallel()
	sender := newSender(t, webhooks.SenderConfig{Guard: loopback})
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, send := range map[string]func(*webhooks.Request) context.Context{
		"canceled":  func(*webhooks.Request) context.Context { return canceled },
		"no secret": func(r *webhooks.Request) context.Context { r.Secrets = nil; return t.Context() },
		"body too large": func(r *webhooks.Request) context.Context {
			r.Body = make([]byte, webhooks.MaxBodyBytes+1)
			return t.Context()
		},
		"http in live":   func(r *webhooks.Request) context.Context { r.Mode = payment.Live; return t.Context() },
		"no such scheme": func(r *webhooks.Request) context.Context { r.URL = "ftp://127.0.0.1/"; return t.Context() },
	} {
		r := request(answering(t, 200))
		ctx := send(&r)
		res := sender.Send(ctx, r)
		if res.Blame != webhooks.BlameUs || res.Outcome != webhooks.Retry || res.Error == "" || res.Status != 0 {
			t.Errorf("%s: %+v", name, res)
		}
	}
	r := request(answering(t, 200))
	r.Body = make([]byte, webhooks.MaxBodyBytes)
	if res := sender.Send(t.Context(), r); res.Outcome != webhooks.Delivered {
		t.Errorf("largest body: %+v", res)
	}
}

func TestEndpointsThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then does the server notice that we hung up
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { garbage.Close() })
	go func() {
		for {
			c, err := garbage.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "\x00\xff not http\r\n\r\n")
			c.Close()
		}
	}()
	sender := newSender(t, webhooks.SenderConfig{Guard: loopback, Timeout: 50 * time.Millisecond})
	for name, url := range map[string]string{
		"hangs": hanging.URL + "/?token=hush", "refuses": gone.URL + "/?token=hush", "talks garbage": "http://" + garbage.Addr().String() + "/?token=hush",
	} {
		res := sender.Send(t.Context(), request(url))
		if res.Status != 0 || res.Outcome != webhooks.Retry || res.Blame != webhooks.BlameEndpoint || res.Error == "" {
			t.Errorf("%s: %+v", name, res)
		}
		if strings.Contains(res.Error, "hush") || strings.Contains(res.Error, "\x00") {
			t.Errorf("%s: error %q", name, res.Error)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	start := func(newest uint16) (string, *x509.CertPool) {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		srv.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: newest}
		srv.Config.ErrorLog = log.New(io.Discard, "", 0)
		srv.StartTLS()
		t.Cleanup(srv.Close)
		pool := x509.NewCertPool()
		pool.AddCert(srv.Certificate())
		return srv.URL, pool
	}
	for _, c := range []struct {
		name    string
		version uint16
		trusted bool
		want    webhooks.Outcome
	}{
		{"1.1", tls.VersionTLS11, true, webhooks.Retry},
		{"1.2", tls.VersionTLS12, true, webhooks.Delivered},
		{"1.3", tls.VersionTLS13, true, webhooks.Delivered},
		{"1.3 untrusted", tls.VersionTLS13, false, webhooks.Retry},
	} {
		url, pool := start(c.version)
		if !c.trusted {
			pool = x509.NewCertPool()
		}
		r := request(url)
		r.Mode = payment.Live
		if res := newSender(t, webhooks.SenderConfig{Guard: loopback, RootCAs: pool}).Send(t.Context(), r); res.Outcome != c.want {
			t.Errorf("%s: %+v", c.name, res)
		}
	}
}
