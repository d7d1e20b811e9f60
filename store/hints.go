package store

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// Bounds of hints. A NOTIFY takes a lock of the whole server until its
// transaction is on disk, so that payments would commit one after the other
// if they sent it themselves; instead each process sends a few per second,
// about many payments each, after they have committed.
const (
	hintQueue   = 4096                  // hints that wait; more are dropped
	hintBatch   = 64                    // in one NOTIFY; Postgres allows 8000 bytes
	hintPause   = 20 * time.Millisecond // between two
	hintTimeout = 2 * time.Second
)

// Hint says that an intent may have new events. It may be late or get lost.
type Hint struct {
	MerchantID string
	Mode       payment.Mode
	IntentID   string
}

func (h Hint) String() string { return h.MerchantID + ":" + string(h.Mode) + ":" + h.IntentID }

// announcer sends the hints of one process.
type announcer struct {
	queries *db.Queries
	queue   chan string
	stop    context.CancelFunc
	done    sync.WaitGroup
}

func announce(queries *db.Queries) *announcer {
	ctx, stop := context.WithCancel(context.Background())
	a := &announcer{queries: queries, queue: make(chan string, hintQueue), stop: stop}
	a.done.Go(func() { a.run(ctx) })
	return a
}

func (a *announcer) offer(h Hint) {
	select {
	case a.queue <- h.String():
	default:
	}
}

func (a *announcer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case hint := <-a.queue:
			a.send(ctx, hint)
		}
		if !pause(ctx, hintPause) {
			return
		}
	}
}

// send announces a hint with those that wait behind it.
func (a *announcer) send(ctx context.Context, hint string) {
	batch := []string{hint}
	for len(batch) < hintBatch && len(a.queue) > 0 {
		batch = append(batch, <-a.queue) // nobody else takes
	}
	ctx, cancel := context.WithTimeout(ctx, hintTimeout)
	defer cancel()
	_ = a.queries.Notify(ctx, strings.Join(batch, " ")) // readers poll as well
}

func (a *announcer) close() {
	a.stop()
	a.done.Wait()
}

// announce has a hint about an intent sent once this transaction is committed.
func (tx *Tx) announce(i payment.Intent) {
	tx.AfterCommit(func() { tx.store.hints.offer(Hint{MerchantID: i.MerchantID, Mode: i.Mode, IntentID: i.ID}) })
}

// ListenHints calls ready once it hears hints of all processes, then hint for
// each, until ctx ends or the connection breaks. It always returns an error; see
// Listen.
func (s *Store) ListenHints(ctx context.Context, ready func(), hint func(Hint)) error {
	return s.Listen(ctx, hints, hearer{ready, hint})
}

// hearer is a Listener that takes hints apart.
type hearer struct {
	ready func()
	hint  func(Hint)
}

func (h hearer) Changed(payload string) {
	if payload == "" {
		h.ready()
	}
	for text := range strings.FieldsSeq(payload) {
		if part := strings.Split(text, ":"); len(part) == 3 {
			h.hint(Hint{MerchantID: part[0], Mode: payment.Mode(part[1]), IntentID: part[2]})
		}
	}
}

// Heard is of no use: readers look from time to time anyway.
func (hearer) Heard(time.Time) {}
