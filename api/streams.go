package api

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/settlehq/settle/store"
)

// Bounds of streams.
const (
	streamsPerKey     = 20
	defaultMaxStreams = 1000
	streamPage        = 20               // events read, and held for a client, at once
	streamHeartbeat   = 15 * time.Second // also how often a key is checked again
	streamPoll        = 1500 * time.Millisecond
	streamWrite       = 10 * time.Second // that a client may take to accept what is written
	streamRead        = 5 * time.Second
	listenRetry       = time.Second
)

// streams are the open streams of this process. It bounds how many there are,
// wakes those that a hint is about, and ends them all when the server stops.
//
// Events are always read from Postgres, by each stream from where it stands. A
// hint only makes it look sooner: without hints it looks every streamPoll, and
// with them every streamHeartbeat, in case one was lost. Since a stream reads
// on only when its client has taken what was read before, a slow client costs
// one page, and is cut when it takes longer than streamWrite.
type streams struct {
	store                  *store.Store
	log                    *zap.Logger
	max                    int
	heartbeat, poll, write time.Duration
	hears                  atomic.Bool // hints arrive
	stopping               chan struct{}

	mu      sync.Mutex
	stopped bool
	total   int
	perKey  map[string]int
	about   map[store.Hint]map[*stream]struct{}
	running sync.WaitGroup
}

// stream is one open stream.
type stream struct {
	key   string
	about store.Hint // without an intent: all of the merchant's
	wake  chan struct{}
}

func newStreams(st *store.Store, limit int, log *zap.Logger) *streams {
	if limit == 0 {
		limit = defaultMaxStreams
	}
	return &streams{
		store: st, log: log, max: limit, heartbeat: streamHeartbeat, poll: streamPoll, write: streamWrite,
		stopping: make(chan struct{}), perKey: make(map[string]int), about: make(map[store.Hint]map[*stream]struct{}),
	}
}

// run hears hints until ctx ends, on one connection for all streams, then ends
// the streams and waits for them. Without it streams poll.
func (s *streams) run(ctx context.Context) error {
	told := false
	for ctx.Err() == nil {
		err := s.store.ListenHints(ctx, func() {
			told = false
			s.hears.Store(true)
			s.wakeAll()
		}, s.hint)
		s.hears.Store(false)
		s.wakeAll()
		if ctx.Err() == nil && !told {
			told = true
			s.log.Warn("hints of new events are not heard: streams poll", zap.Error(err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(listenRetry):
		}
	}
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	close(s.stopping)
	s.running.Wait()
	return nil
}

// enter admits a stream, or says why not. Who enters must leave.
func (s *streams) enter(key string, about store.Hint) (*stream, *Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stopped:
		return nil, fail(Unavailable, "")
	case s.perKey[key] >= streamsPerKey:
		return nil, fail(StreamLimit, "")
	case s.total >= s.max:
		return nil, fail(StreamsFull, "")
	}
	one := &stream{key: key, about: about, wake: make(chan struct{}, 1)}
	if s.about[about] == nil {
		s.about[about] = make(map[*stream]struct{})
	}
	s.about[about][one] = struct{}{}
	s.perKey[key]++
	s.total++
	s.running.Add(1)
	return one, nil
}

func (s *streams) leave(one *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.about[one.about], one); len(s.about[one.about]) == 0 {
		delete(s.about, one.about)
	}
	if s.perKey[one.key]--; s.perKey[one.key] == 0 {
		delete(s.perKey, one.key)
	}
	s.total--
	s.running.Done()
}

// hint wakes the streams of an intent and those of its merchant.
func (s *streams) hint(h store.Hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wake(s.about[h])
	h.IntentID = ""
	wake(s.about[h])
}

func (s *streams) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, some := range s.about {
		wake(some)
	}
}

func wake(some map[*stream]struct{}) {
	for one := range some {
		one.poke()
	}
}

// poke has the stream look for events soon.
func (one *stream) poke() {
	select {
	case one.wake <- struct{}{}:
	default: // it has yet to look for an earlier one
	}
}

// message is what a client gets: an event, or only the place to go on from.
type message struct {
	id    string
	event []byte
}

// feed reads what a stream sends.
type feed struct {
	about store.Hint
	// polls: hints are not enough, because the log may show an event only when
	// an older transaction has ended.
	polls bool
	// next returns at most streamPage messages behind those it returned before.
	next  func(ctx context.Context) ([]message, error)
	ended bool // nothing can follow; next may set it
}

// sink writes to a client. Each call is bounded by a deadline, and after an
// error only close may follow.
type sink interface {
	send(context.Context, message) error
	beat(context.Context) error
	close(ending)
}

// ending says why a stream ends.
type ending string

const (
	clientGone ending = ""
	allSent    ending = "the payment has ended"
	keyInvalid ending = "the API key is not valid any more"
	goingAway  ending = "the server stops; connect again"
)

// pump sends a feed until it or the client ends, the key is not valid any more
// or the server stops. An error of the database is waited out.
func (s *streams) pump(ctx context.Context, one *stream, f *feed, out sink, valid func(context.Context) bool) ending {
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	for {
		batch, err := read(ctx, f)
		for _, m := range batch {
			if out.send(ctx, m) != nil {
				return clientGone
			}
		}
		if f.ended {
			return allSent
		}
		var again <-chan time.Time
		switch {
		case len(batch) == streamPage:
			one.poke()
		case f.polls || err != nil || !s.hears.Load():
			again = time.After(s.poll/2 + rand.N(s.poll))
		}
		select {
		case <-s.stopping:
			return goingAway
		case <-ctx.Done():
			return clientGone
		case <-beat.C:
			if !valid(ctx) {
				return keyInvalid
			}
			if out.beat(ctx) != nil {
				return clientGone
			}
		case <-one.wake:
		case <-again:
		}
	}
}

func read(ctx context.Context, f *feed) ([]message, error) {
	if f.ended {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, streamRead)
	defer cancel()
	return f.next(ctx)
}
