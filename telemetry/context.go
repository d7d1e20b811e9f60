package telemetry

import (
	"context"
	"sync"

	"go.uber.org/zap"
)

type contextKey int

const (
	requestIDKey contextKey = iota
	loggerKey
	lineKey
)

// WithRequestID attaches the correlation id of the work that ctx belongs to.
// It also becomes the field request_id of Logger(ctx).
func WithRequestID(ctx context.Context, id string) context.Context {
	return WithLogger(context.WithValue(ctx, requestIDKey, id), Logger(ctx).With(zap.String("request_id", id)))
}

// RequestID returns the correlation id of ctx, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey).(string)
	return id
}

// WithLogger attaches the logger that Logger returns.
func WithLogger(ctx context.Context, log *zap.Logger) context.Context {
	return context.WithValue(ctx, loggerKey, log)
}

// Logger returns the logger of ctx, or one that drops everything; never nil.
func Logger(ctx context.Context) *zap.Logger {
	if log, ok := ctx.Value(loggerKey).(*zap.Logger); ok {
		return log
	}
	return zap.NewNop()
}

// line collects the fields of one wide log line. Work that outlives its unit
// may still add to it, hence the lock.
type line struct {
	mu     sync.Mutex
	fields []zap.Field
}

// WithLine begins a wide line: code below may Add fields to it, and whoever
// owns the unit of work writes them all at its end with Fields.
func WithLine(ctx context.Context) context.Context {
	return context.WithValue(ctx, lineKey, &line{})
}

// Add puts fields on the wide line of ctx. Without a line it does nothing.
func Add(ctx context.Context, fields ...zap.Field) {
	if l, ok := ctx.Value(lineKey).(*line); ok {
		l.mu.Lock()
		l.fields = append(l.fields, fields...)
		l.mu.Unlock()
	}
}

// Fields returns what was added to the wide line of ctx so far.
func Fields(ctx context.Context) []zap.Field {
	l, ok := ctx.Value(lineKey).(*line)
	if !ok {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]zap.Field(nil), l.fields...)
}
