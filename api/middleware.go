package api

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
	"go.uber.org/zap"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/telemetry"
)

const requestIDHeader = "Request-Id"

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// observe gives every request its id, its deadline and its log line, and turns
// a panic into an answer.
func (s *surface) observe(c *gin.Context) {
	began := time.Now()
	id := c.GetHeader(requestIDHeader)
	if !saneRequestID.MatchString(id) {
		id = store.NewID("req")
	}
	whole := telemetry.WithLine(telemetry.WithRequestID(telemetry.WithLogger(c.Request.Context(), s.log), id))
	ctx, cancel := context.WithTimeout(context.WithValue(whole, lastingKey{}, whole), requestTimeout)
	defer cancel()
	c.Request = c.Request.WithContext(ctx)
	h := c.Writer.Header()
	h.Set(requestIDHeader, id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")

	defer func() {
		r := recover()
		if r == http.ErrAbortHandler { //nolint:errorlint // net/http compares it the same way
			panic(r)
		}
		if r != nil {
			s.recovered(c, r)
		}
		logRequest(ctx, c, began)
	}()
	c.Next()
}

type lastingKey struct{}

// lasting is the context of a request without the deadline that observe gave
// it: it ends when the client goes away.
func lasting(ctx context.Context) context.Context {
	whole, _ := ctx.Value(lastingKey{}).(context.Context)
	return whole
}

// within gives a request that may take longer than others a deadline of its own.
// It ends as well when the client goes away.
func within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	stop := context.AfterFunc(lasting(ctx), cancel)
	return out, func() {
		stop()
		cancel()
	}
}

func (s *surface) recovered(c *gin.Context, r any) {
	telemetry.Add(c.Request.Context(), zap.String("panic", fmt.Sprint(r)), zap.ByteString("stack", debug.Stack()))
	if !c.Writer.Written() {
		s.reject(c, fail(InternalError, ""))
	}
}

// logRequest writes the one wide line of a request.
func logRequest(ctx context.Context, c *gin.Context, began time.Time) {
	status := c.Writer.Status()
	fields := append([]zap.Field{
		zap.String("method", c.Request.Method),
		zap.String("route", c.FullPath()),
		zap.String("path", c.Request.URL.Path),
		zap.Int("status", status),
		zap.Duration("duration", time.Since(began)),
		zap.Int("bytes", max(0, c.Writer.Size())),
		zap.String("remote", c.RemoteIP()),
	}, telemetry.Fields(ctx)...)
	log := telemetry.Logger(ctx)
	switch {
	case status >= 500:
		log.Error("request", fields...)
	case c.FullPath() == "/health" || c.FullPath() == "/ready":
		log.Debug("request", fields...)
	default:
		log.Info("request", fields...)
	}
}

// reject answers outside huma.
func (s *surface) reject(c *gin.Context, p *Problem) {
	s.finish(c.Request.Context(), p, c.Request.URL.Path)
	p.write(c.Writer)
	c.Abort()
}

// respond answers from a huma middleware.
func (s *surface) respond(ctx huma.Context, p *Problem) {
	s.prepare(ctx, p)
	ctx.SetHeader("Content-Type", problemType)
	ctx.SetStatus(p.Status)
	_ = s.api.Marshal(ctx.BodyWriter(), "application/json", p) // the client may be gone
}

// transform is huma's last hook before an answer is written: problems get what
// depends on the request.
func (s *surface) transform(ctx huma.Context, _ string, v any) (any, error) {
	if p, ok := v.(*Problem); ok {
		s.prepare(ctx, p)
	}
	return v, nil
}

func (s *surface) prepare(ctx huma.Context, p *Problem) {
	u := ctx.URL()
	s.finish(ctx.Context(), p, u.Path)
	h := http.Header{}
	p.headers(h)
	for name := range h {
		ctx.SetHeader(name, h.Get(name))
	}
}

// finish completes a problem and puts it on the log line.
func (s *surface) finish(ctx context.Context, p *Problem, path string) {
	p.complete(s.publicURL, path, telemetry.RequestID(ctx))
	telemetry.Add(ctx, zap.String("code", string(p.Code)))
	if p.cause != nil {
		telemetry.Add(ctx, zap.Error(p.cause))
	}
}
