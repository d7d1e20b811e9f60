package telemetry

import (
	"go.temporal.io/sdk/log"
	"go.uber.org/zap"
)

// TemporalLogger lets the Temporal SDK write to log. The SDK's own chatter is
// named "temporal", so that it can be told from ours.
func TemporalLogger(l *zap.Logger) log.Logger {
	return temporalLogger{l.Named("temporal").WithOptions(zap.AddCallerSkip(1)).Sugar()}
}

type temporalLogger struct{ *zap.SugaredLogger }

func (l temporalLogger) Debug(msg string, keyvals ...any) { l.Debugw(msg, keyvals...) }
func (l temporalLogger) Info(msg string, keyvals ...any)  { l.Infow(msg, keyvals...) }
func (l temporalLogger) Warn(msg string, keyvals ...any)  { l.Warnw(msg, keyvals...) }
func (l temporalLogger) Error(msg string, keyvals ...any) { l.Errorw(msg, keyvals...) }

// With implements log.WithLogger.
func (l temporalLogger) With(keyvals ...any) log.Logger {
	return temporalLogger{l.SugaredLogger.With(keyvals...)}
}

// WithCallerSkip implements log.WithSkipCallers.
func (l temporalLogger) WithCallerSkip(depth int) log.Logger {
	return temporalLogger{l.WithOptions(zap.AddCallerSkip(depth))}
}
