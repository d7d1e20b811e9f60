package model

import (
	"flag"
	"fmt"
	"math/big"
	"strconv"
	"sync"
	"testing"

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
	batch         = 200
	actionsPerRun = 50
)

var oneGwei = big.NewInt(1_000_000_000)

// TestPaymentsAreMadeExactlyOnce is the property. What a failure prints after
// -rapid.seed repeats it.
func TestPaymentsAreMadeExactlyOnce(t *testing.T) {
	if again, err := strconv.ParseUint(flag.Lookup("rapid.seed").Value.String(), 10, 64); err == nil && again != 0 {
		prove(t, again, 1)
		return
	}
	share := min(batch, (*runs+1)/2)
	for i := range (*runs + share - 1) / share {
		seed := *first + uint64(i)*1_000_003
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			prove(t, seed, min(share, *runs-i*share))
		})
	}
}

// prove runs the property from a seed.
func prove(t *testing.T, seed uint64, runs int) {
	db := &database{t: t}
	defer db.close()
	check(t, seed, runs, func(t *rapid.T) { run(t, db, bug{}) })
}

// starting keeps rapid's flags from changing before a check has read them.
var starting sync.Mutex

// check is rapid.Check with a seed and a number of runs.
func check(t rapid.TB, seed uint64, runs int, property func(*rapid.T)) {
	starting.Lock()
	started := sync.OnceFunc(func() {
		_ = flag.Set("rapid.seed", "0") // as it was
		starting.Unlock()
	})
	defer started()
	for name, value := range map[string]any{"seed": seed, "checks": runs, "steps": actionsPerRun, "nofailfile": true} {
		if err := flag.Set("rapid."+name, fmt.Sprint(value)); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		started()
		property(t)
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
