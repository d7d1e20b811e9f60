package telemetry

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger builds the process's logger on stderr. Format is "json" for
// machines or "console" for people; level is one of zap's: debug, info, warn,
// error. Lines are never sampled: each describes one unit of work that
// somebody may look for.
func NewLogger(level, format string) (*zap.Logger, error) {
	return NewLoggerTo(zapcore.Lock(os.Stderr), level, format)
}

// NewLoggerTo is NewLogger with another sink.
func NewLoggerTo(sink zapcore.WriteSyncer, level, format string) (*zap.Logger, error) {
	at, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	var encoder zapcore.Encoder
	switch format {
	case "json":
		c := zap.NewProductionEncoderConfig()
		c.TimeKey, c.EncodeTime, c.EncodeDuration = "time", zapcore.RFC3339NanoTimeEncoder, zapcore.MillisDurationEncoder
		encoder = zapcore.NewJSONEncoder(c)
	case "console":
		c := zap.NewDevelopmentEncoderConfig()
		c.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		encoder = zapcore.NewConsoleEncoder(c)
	default:
		return nil, fmt.Errorf("log format %q: use json or console", format)
	}
	return zap.New(zapcore.NewCore(encoder, sink, at), zap.AddCaller(), zap.AddStacktrace(zapcore.DPanicLevel)), nil
}
