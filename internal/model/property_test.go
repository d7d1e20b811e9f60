package model

import (
	"flag"
	"fmt"
	"math/big"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// How much is done; make property sets them.
var (
	runs  = flag.Int("runs", 160, "runs of the property, in batches of at most 200")
	first = flag.Uint64("seed", 1, "seed of the first batch")
)

// batch is how many runs begin with one seed, and actions how long they are on
// average.
const (
	batch     = 200
	actions60 = "60"
)

var oneGwei = big.NewInt(1_000_000_000)

// TestPaymentsAreMadeExactlyOnce is the property. What a failure prints after
// -rapid.seed repeats it.
func TestPaymentsAreMadeExactlyOnce(t *testing.T) {
	if seed := flag.Lookup("rapid.seed").Value.String(); seed != "0" {
		prove(t, seed, 1, bug{})
		return
	}
	share := min(batch, (*runs+1)/2)
	for i := range (*runs + share - 1) / share {
		seed := *first + uint64(i)*1_000_003
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			prove(t, fmt.Sprint(seed), min(share, *runs-i*share), bug{})
		})
	}
}

// starting keeps rapid's flags from changing before a check has read them.
var starting sync.Mutex

// prove runs the property, from a seed, with a planted bug or none.
func prove(t rapid.TB, seed string, runs int, b bug) {
	db := &database{t: testingOf(t)}
	defer db.close()
	starting.Lock()
	started := sync.OnceFunc(starting.Unlock)
	defer started()
	for name, value := range map[string]string{"seed": seed, "checks": strconv.Itoa(runs), "steps": actions60, "nofailfile": "true"} {
		if err := flag.Set("rapid."+name, value); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		started()
		run(t, db, b)
	})
}

// run is one run of the property.
func run(t *rapid.T, db *database, b bug) {
	var closing []func()
	defer func() {
		for _, f := range closing {
			f()
		}
	}()
	w := newWorld(t, db, b, &closing)
	defer w.end()
	w.accept()
	t.Repeat(map[string]func(*rapid.T){
		"act": w.act,
		"": func(t *rapid.T) {
			w.T = t
			w.check()
		},
	})
	w.T = t
	w.finish()
	w.promise()
	db.dirty = false
}

// end stops what runs in the background.
func (w *world) end() {
	for _, d := range w.intents {
		d.giveUpWaiting()
	}
	if w.worker != nil {
		w.worker.kill()
	}
}

// waitFor waits for what must come soon.
func (w *world) waitFor(what string, ready func() bool) {
	for within := time.Now().Add(5 * time.Second); !ready(); runtime.Gosched() {
		if time.Now().After(within) {
			w.Fatalf("waited in vain until %s", what)
		}
	}
}
