package rpcpool

import (
	"slices"
	"time"
)

// State is what a node is good for.
type State string

// States. Reads go to Healthy nodes, then to Unknown and Lagging ones. The
// others are not read from; OutOfSync nodes still get broadcasts.
const (
	Unknown     State = "unknown"     // has not been asked yet, or not for long
	Healthy     State = "healthy"     // right network, answers, at the head
	Lagging     State = "lagging"     // some blocks behind the others
	OutOfSync   State = "out_of_sync" // too far from the others to be of use
	WrongChain  State = "wrong_chain" // names another network than the configured one
	Unreachable State = "unreachable" // its breaker is open
)

// Figures of the state machine. Heights are blocks or slots.
const (
	openAfter   = 3           // failures in a row that open the breaker for a rest, and for twice as long with every failed probe
	longestRest = 30          // times Config.Rest, between probes
	outvotedFor = 300         // times Config.Rest: a node that two others contradict is asked last
	freshFor    = time.Minute // a height that was read longer ago says nothing
	smoothing   = 0.2         // weight of the newest measurement in the averages
)

// identity is what a node said about its network.
type identity uint8

const (
	unasked identity = iota
	matches
	differs
)

// health is everything remembered about a node. It is a value: events make a
// new one of it.
type health struct {
	identity      identity
	identifiedAt  time.Time
	failures      int           // in a row
	openUntil     time.Time     // of the breaker; zero if closed
	latency       time.Duration // moving average of answers
	errorRate     float64       // moving average, 0 to 1
	height        uint64
	heightAt      time.Time
	outvotedUntil time.Time
}

// answered is the event of an answer, whatever is in it.
func (h health) answered(took time.Duration) health {
	h.failures, h.openUntil = 0, time.Time{}
	h.errorRate -= smoothing * h.errorRate
	if h.latency == 0 {
		h.latency = took
	} else {
		h.latency += time.Duration(smoothing * float64(took-h.latency))
	}
	return h
}

// failed is the event of no answer, or of a limit. A failed probe of an open
// breaker opens it for twice as long as before, which was rest at first.
func (h health) failed(now time.Time, rest time.Duration) health {
	h.failures++
	h.errorRate += smoothing * (1 - h.errorRate)
	if h.failures >= openAfter {
		doublings := min(h.failures-openAfter, 5) // the fifth is beyond the longest
		h.openUntil = now.Add(min(rest<<doublings, longestRest*rest))
	}
	return h
}

func (h health) identified(right bool, now time.Time) health {
	h.identity, h.identifiedAt = differs, now
	if right {
		h.identity = matches
	}
	return h
}

// saw is the event of a height. A node behind a load balancer may go back.
func (h health) saw(height uint64, now time.Time) health {
	h.height, h.heightAt = height, now
	return h
}

func (h health) outvoted(now time.Time, rest time.Duration) health {
	h.outvotedUntil = now.Add(outvotedFor * rest)
	return h
}

// open reports whether the breaker keeps requests from the node. Once
// openUntil has passed, one probe is due.
func (h health) open(now time.Time) bool { return now.Before(h.openUntil) }

// tolerance is how far from the others a node may be.
type tolerance struct {
	lagging   uint64 // from here behind: Lagging
	outOfSync uint64 // from here behind, or ahead of, a height that two nodes share: OutOfSync
}

// state draws the conclusion at a moment. reference is the others' height (see
// agreed), 0 if there is none.
func (h health) state(reference height, t tolerance, now time.Time) State {
	switch {
	case h.identity == differs:
		return WrongChain
	case !h.openUntil.IsZero():
		return Unreachable
	case h.identity == unasked || h.heightAt.IsZero() || now.Sub(h.heightAt) > freshFor:
		return Unknown
	case reference.shared && (h.height+t.outOfSync <= reference.is || h.height >= reference.is+t.outOfSync):
		return OutOfSync
	case h.height+t.lagging <= reference.is:
		return Lagging
	}
	return Healthy
}

// height is where the nodes say that the chain is.
type height struct {
	is     uint64
	shared bool // at least two of three or more nodes have got there
}

// agreed is the height that lag is measured against: the highest one; with
// three nodes or more the second highest, so that one node alone cannot make
// all others look late.
func agreed(all []health, now time.Time) height {
	var heights []uint64
	for _, h := range all {
		if h.identity == matches && h.openUntil.IsZero() && !h.heightAt.IsZero() && now.Sub(h.heightAt) <= freshFor {
			heights = append(heights, h.height)
		}
	}
	slices.Sort(heights)
	switch n := len(heights); {
	case n == 0:
		return height{}
	case n < 3:
		return height{is: heights[n-1]}
	default:
		return height{is: heights[n-2], shared: true}
	}
}

// step is how finely latencies are told apart: below it, the order of the
// configuration decides.
const step = 25 * time.Millisecond

// score orders nodes of the same rank, lowest first: latency in steps, made
// worse by errors (tenfold at a rate of 1) and by lag.
func (h health) score(reference height) float64 {
	lag := float64(0)
	if h.height < reference.is {
		lag = float64(reference.is - h.height)
	}
	return float64(1+h.latency/step) * (1 + 10*h.errorRate) * (1 + lag/4)
}

// rank orders nodes before the score does; no is a node that is not read from.
func (h health) rank(s State, now time.Time) (rank int, ok bool) {
	switch s {
	case Healthy:
		rank = 0
	case Unknown:
		rank = 1
	case Lagging:
		rank = 2
	case Unreachable:
		if h.open(now) {
			return 0, false
		}
		rank = 4 // a probe is due
	case WrongChain:
		rank = 5 // is asked for its network first, and for nothing else
	default:
		return 0, false
	}
	if now.Before(h.outvotedUntil) {
		rank = max(rank, 3)
	}
	return rank, true
}
