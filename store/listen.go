package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Bounds of listening.
const (
	heartbeat     = 250 * time.Millisecond // between two questions whether the connection still works
	listenTimeout = 2 * time.Second        // to connect, and for each answer
)

// Channel is what the database tells changes on.
type Channel string

// Channels.
const (
	Principals Channel = "principals"    // changes of API keys and merchants
	hints      Channel = "settle_events" // see Hint
)

// Listener is told what happens on a channel. It must not wait.
type Listener interface {
	// Changed: something changed. Without a payload: anything may have, while
	// nobody listened.
	Changed(payload string)
	// Heard: of everything that was committed before asked, Changed was told.
	Heard(asked time.Time)
}

// Listen tells the listener of a channel, on a connection of its own, until ctx
// ends or the connection breaks. It always returns an error; whoever listens
// again hears Changed first. The connection must be a session of Postgres: a
// pooler that hands each statement to another one loses what is told.
func (s *Store) Listen(ctx context.Context, channel Channel, l Listener) error {
	fault := func(err error) error { return fmt.Errorf("listen to %s: %w", channel, err) }
	cfg := s.pool.Config().ConnConfig
	cfg.RuntimeParams["application_name"] = "settle listen " + string(channel)
	cfg.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { l.Changed(n.Payload) }
	conn, err := within(ctx, func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, cfg) })
	if err != nil {
		return fault(err)
	}
	defer func() {
		_, _ = within(context.WithoutCancel(ctx), func(ctx context.Context) (any, error) { return nil, conn.Close(ctx) })
	}()
	if _, err := within(ctx, func(ctx context.Context) (any, error) {
		return conn.Exec(ctx, "LISTEN "+pgx.Identifier{string(channel)}.Sanitize()) // sqlc does not know LISTEN
	}); err != nil {
		return fault(err)
	}
	l.Changed("")
	for {
		asked := time.Now()
		if _, err := within(ctx, func(ctx context.Context) (any, error) { return nil, conn.Ping(ctx) }); err != nil {
			return fault(err)
		}
		l.Heard(asked)
		if err := await(ctx, conn); err != nil {
			return fault(err)
		}
	}
}

func within[T any](ctx context.Context, do func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, listenTimeout)
	defer cancel()
	return do(ctx)
}

// await returns after a notification, which the listener was told of, or a
// heartbeat.
func await(ctx context.Context, conn *pgx.Conn) error {
	beat, cancel := context.WithTimeout(ctx, heartbeat)
	defer cancel()
	err := conn.PgConn().WaitForNotification(beat)
	if beat.Err() != nil {
		return ctx.Err()
	}
	return err
}
